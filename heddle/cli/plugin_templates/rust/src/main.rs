//! Steps that Heddle programs import with `import "__NAME__"`.

use std::process::ExitCode;

use heddle_sdk::{Call, Config, Plugin, Result, Row, Step, Table};

#[derive(Row)]
struct Text {
    text: String,
}

#[derive(Row, Debug, PartialEq)]
struct Counted {
    words: i64,
}

#[derive(Config)]
struct CountConfig {
    /// A text with fewer words is rejected.
    #[config(default = 1)]
    least: i64,
}

fn count_words(input: Table, call: Call<CountConfig>) -> Result<Table> {
    let least = call.config().least;
    let texts = input.rows::<Text>()?;
    let counted: Vec<Counted> = texts
        .iter()
        .map(|row| Counted {
            words: row.text.split_whitespace().count() as i64,
        })
        .collect();
    let too_short = (0..counted.len()).filter(|&row| counted[row].words < least);
    call.reject_as("TooShort", too_short, format!("fewer than {least} words"));
    Table::from_rows(counted)
}

fn plugin() -> Plugin {
    Plugin::new("__NAME__")
        .version(env!("CARGO_PKG_VERSION"))
        .doc("Counts words.")
        .step(
            Step::map("count_words", count_words)
                .doc("The number of words of each text.")
                .input::<Text>()
                .output::<Counted>()
                .passthrough()
                .deterministic(true),
        )
}

fn main() -> ExitCode {
    plugin().serve()
}

#[cfg(test)]
mod tests {
    use heddle_sdk::testing;

    use super::*;

    #[test]
    fn words_are_counted_and_short_texts_rejected() -> Result<()> {
        let texts = [" to be  or not", "stop"].map(|text| Text {
            text: text.to_owned(),
        });
        let input = Table::from_rows(texts.into())?;
        let plugin = plugin();
        let outcome = testing::step(&plugin, "count_words")
            .setting("least", 2)
            .input(input)
            .run()?;
        assert_eq!(
            outcome.table().rows::<Counted>()?,
            [Counted { words: 4 }, Counted { words: 1 }]
        );
        assert_eq!(outcome.rejected_rows(), [1]);
        Ok(())
    }
}

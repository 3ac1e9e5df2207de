//! Why settings were refused, without ever showing a value: it may be secret.

use super::{ConfigType, Json};
use crate::error::Error;
use crate::text::listed;

/// The longest distance between two names for which one is offered for the other.
const TYPO_EDITS_MAX: usize = 2;

/// A setting that was refused: where it is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Names and list indices, outermost first.
    path: Vec<String>,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Unknown { known: Vec<String> },
    Missing { wanted: String },
    Wrong { found: String, wanted: String },
    Other { reason: String },
}

impl Problem {
    /// The setting is not what is wanted; `reason` says why, such as "it must be above 0".
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { path: Vec::new(), reason: Reason::Other { reason: reason.into() } }
    }

    /// The value has another type.
    #[must_use]
    pub fn wrong(found: &Json, wanted: &ConfigType) -> Self {
        let found = kind_of(found).to_owned();
        Self { path: Vec::new(), reason: Reason::Wrong { found, wanted: wanted.to_string() } }
    }

    /// This problem, inside of the setting with this name or of the list's item with this index.
    #[must_use]
    pub fn inside(mut self, name: &str) -> Self {
        self.path.insert(0, name.to_owned());
        self
    }

    pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known = known.map(str::to_owned).collect();
        Self { path: vec![name.to_owned()], reason: Reason::Unknown { known } }
    }

    pub(super) fn missing(name: &str, wanted: &ConfigType) -> Self {
        let wanted = wanted.to_string();
        Self { path: vec![name.to_owned()], reason: Reason::Missing { wanted } }
    }

    /// As an error; `owner` is what has the settings, such as "step `add`".
    #[must_use]
    pub fn of(&self, owner: &str) -> Error {
        let path = self.path.join(".");
        Error::config(match &self.reason {
            Reason::Unknown { known } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let name = self.path.last().map_or("", String::as_str);
                format!("`{path}` is not a setting of {owner}; {}", hint(name, &known))
            }
            Reason::Missing { wanted } => format!("{owner} needs the setting `{path}` ({wanted})"),
            Reason::Wrong { found, wanted } => {
                format!("the setting `{path}` of {owner} is {found} where {wanted} is wanted")
            }
            Reason::Other { reason } => format!("the setting `{path}` of {owner} does not fit: {reason}"),
        })
    }
}

fn hint(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|other| (edits(name, other), other)).min();
    match near {
        Some((distance, other)) if distance <= TYPO_EDITS_MAX => format!("did you mean `{other}`?"),
        Some(_) => format!("there is {}", listed(known.iter().copied())),
        None => "it has none".to_owned(),
    }
}

/// The number of letters to insert, drop or replace to turn one text into the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a bool",
        Json::Number(number) if number.is_f64() => "a float",
        Json::Number(_) => "an int",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "a dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("amount", "amount"), 0);
        assert_eq!(edits("amont", "amount"), 1);
        assert_eq!(edits("", "abc"), 3);
    }
}

//! Heddle's names of column types: `int`, `decimal(10,2)`, `list<string>`, `{a: int}`, and `T?` for nullable.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

const NESTING_MAX: usize = 32;
const SCALARS: [&str; 10] =
    ["int", "float", "string", "bool", "timestamp", "date", "time", "duration", "binary", "json"];

/// Reads a type's text: `"int?"` is `(Int64, true)`. The error says in plain words what is wrong.
///
/// # Errors
/// When the text is not a type.
pub fn parse_type(text: &str) -> Result<(DataType, bool), String> {
    let mut reader = Reader { rest: text, depth: 0 };
    let result = reader.type_and_mark()?;
    match reader.rest.trim() {
        "" => Ok(result),
        rest => Err(format!("`{rest}` is left over after the type `{text}`")),
    }
}

/// Heddle's name of an Arrow type, or Arrow's own where Heddle has none.
#[must_use]
pub fn type_name(data_type: &DataType, nullable: bool) -> String {
    let mut name = match data_type {
        DataType::List(item) | DataType::LargeList(item) => {
            format!("list<{}>", type_name(item.data_type(), item.is_nullable()))
        }
        DataType::Struct(fields) => format!("{{{}}}", columns_text(fields)),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".to_owned(),
        other => SCALARS
            .iter()
            .find(|name| scalar(name).as_ref() == Some(other))
            .map_or_else(|| other.to_string(), ToString::to_string),
    };
    if nullable {
        name.push('?');
    }
    name
}

/// `x: int, y: string?`.
pub(crate) fn columns_text(fields: &Fields) -> String {
    let mut text = String::new();
    for field in fields {
        let separator = if text.is_empty() { "" } else { ", " };
        let type_name = if crate::row::is_unknown(field) {
            "unknown".to_owned()
        } else {
            type_name(field.data_type(), field.is_nullable())
        };
        let _ = write!(text, "{separator}{}: {type_name}", field.name());
    }
    text
}

fn scalar(name: &str) -> Option<DataType> {
    Some(match name {
        "int" => DataType::Int64,
        "float" => DataType::Float64,
        "string" | "json" => DataType::Utf8,
        "bool" => DataType::Boolean,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "duration" => DataType::Duration(TimeUnit::Microsecond),
        "binary" => DataType::Binary,
        _ => return None,
    })
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn type_and_mark(&mut self) -> Result<(DataType, bool), String> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(format!("a type nests at most {NESTING_MAX} levels"));
        }
        let data_type = if self.take("{") { self.fields()? } else { self.named()? };
        self.depth -= 1;
        Ok((data_type, self.take("?")))
    }

    fn named(&mut self) -> Result<DataType, String> {
        let name = self.word();
        match name {
            "list" => {
                self.expect("<")?;
                let (item, nullable) = self.type_and_mark()?;
                self.expect(">")?;
                Ok(DataType::List(Arc::new(Field::new("item", item, nullable))))
            }
            "decimal" => self.decimal(),
            _ => scalar(name).ok_or_else(|| {
                format!(
                    "`{name}` is not a type; there are {}, decimal(p,s), list<…> and {{…}}",
                    SCALARS.join(", ")
                )
            }),
        }
    }

    fn decimal(&mut self) -> Result<DataType, String> {
        self.expect("(")?;
        let precision = self.number()?;
        self.expect(",")?;
        let scale = self.number()?;
        self.expect(")")?;
        match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(digits @ 1..=38), Ok(after)) if scale <= precision => Ok(DataType::Decimal128(digits, after)),
            (Ok(digits @ 39..=76), Ok(after)) if scale <= precision => {
                Ok(DataType::Decimal256(digits, after))
            }
            _ => Err("a decimal has 1 to 76 digits, and no more of them after the point".to_owned()),
        }
    }

    fn fields(&mut self) -> Result<DataType, String> {
        let mut fields = Vec::new();
        while !self.take("}") {
            let name = self.word();
            if name.is_empty() {
                return Err("a struct's field needs a name".to_owned());
            }
            self.expect(":")?;
            let (data_type, nullable) = self.type_and_mark()?;
            fields.push(Field::new(name, data_type, nullable));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(DataType::Struct(fields.into()))
    }

    fn take(&mut self, mark: &str) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        if self.take(mark) { Ok(()) } else { Err(format!("`{mark}` is missing before `{}`", self.rest)) }
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn number(&mut self) -> Result<u32, String> {
        let word = self.word();
        word.parse().map_err(|_| format!("`{word}` stands where a whole number is wanted"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_agree() {
        for text in [
            "int",
            "float?",
            "string",
            "bool",
            "timestamp",
            "date",
            "time",
            "duration",
            "binary",
            "decimal(10,2)",
            "decimal(50,0)?",
            "list<string?>",
            "{a: int, b: list<{c: float?}>?}?",
        ] {
            let (data_type, nullable) = parse_type(text).unwrap();
            assert_eq!(type_name(&data_type, nullable), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse_type("int int").unwrap_err(), "`int` is left over after the type `int int`");
        assert!(parse_type("integer").unwrap_err().starts_with("`integer` is not a type"));
        assert!(parse_type("list<int").unwrap_err().starts_with("`>` is missing"));
        assert!(parse_type("decimal(5,6)").is_err());
        assert!(parse_type(&"list<".repeat(100)).unwrap_err().contains("nests at most"));
    }
}

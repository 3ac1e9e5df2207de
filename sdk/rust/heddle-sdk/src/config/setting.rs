//! The Rust types of settings.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;

use arrow_schema::{Field, Schema};

use super::{ConfigKind, ConfigType, Json, Object, Problem};
use crate::type_text::{parse_type, type_name};

/// A type of settings: bool, numbers, `String`, `Option`, `Vec`, maps by name, [`Secret`], [`Statement`],
/// [`RowSetting`], [`Any`], enums that derive [`Choice`](crate::Choice), structs that derive
/// [`Config`](crate::Config).
pub trait Setting: Sized {
    /// Whether values must never reach a log or an error text.
    const SECRET: bool = false;

    /// What the setting accepts.
    fn config_type() -> ConfigType;

    /// The checked value. An int is taken where a float is wanted.
    ///
    /// # Errors
    /// When the value is not of the type.
    fn read(value: &Json) -> Result<Self, Problem>;

    /// The value as JSON.
    fn to_json(&self) -> Json;

    /// The value when the setting is not given and has no default of its own.
    #[must_use]
    fn when_absent() -> Option<Json> {
        None
    }
}

/// A text whose value is not shown: `{:?}` prints `…`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("…")
    }
}

/// A text whose `@name` parts are bound parameters, such as an SQL statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement(pub String);

impl From<&str> for Statement {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Deref for Statement {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Any value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Any(pub Json);

/// A row type, written as `{column: "type"}` in the program.
#[derive(Clone, Debug, PartialEq)]
pub struct RowSetting(pub Schema);

impl Setting for bool {
    fn config_type() -> ConfigType {
        ConfigType::of(ConfigKind::Bool)
    }

    fn read(value: &Json) -> Result<Self, Problem> {
        value.as_bool().ok_or_else(|| Problem::wrong(value, &Self::config_type()))
    }

    fn to_json(&self) -> Json {
        Json::from(*self)
    }
}

macro_rules! int {
    ($($int:ty)*) => {$(
        impl Setting for $int {
            fn config_type() -> ConfigType {
                ConfigType::of(ConfigKind::Int)
            }

            fn read(value: &Json) -> Result<Self, Problem> {
                let number: i128 = match (value.as_i64(), value.as_u64()) {
                    (Some(number), _) => number.into(),
                    (None, Some(number)) => number.into(),
                    (None, None) => return Err(Problem::wrong(value, &Self::config_type())),
                };
                number
                    .try_into()
                    .map_err(|_| Problem::new(format!("it must be from {} to {}", Self::MIN, Self::MAX)))
            }

            fn to_json(&self) -> Json {
                Json::from(*self)
            }
        }
    )*};
}

int!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

impl Setting for f64 {
    fn config_type() -> ConfigType {
        ConfigType::of(ConfigKind::Float)
    }

    fn read(value: &Json) -> Result<Self, Problem> {
        value.as_f64().ok_or_else(|| Problem::wrong(value, &Self::config_type()))
    }

    fn to_json(&self) -> Json {
        Json::from(*self)
    }
}

macro_rules! text {
    ($text:ty, $kind:expr, $secret:expr, $wrap:expr, $unwrap:expr) => {
        impl Setting for $text {
            const SECRET: bool = $secret;

            fn config_type() -> ConfigType {
                ConfigType::of($kind)
            }

            fn read(value: &Json) -> Result<Self, Problem> {
                let text = value.as_str().ok_or_else(|| Problem::wrong(value, &Self::config_type()))?;
                Ok($wrap(text.to_owned()))
            }

            fn to_json(&self) -> Json {
                let text: fn(&Self) -> &str = $unwrap;
                Json::from(text(self))
            }
        }
    };
}

text!(String, ConfigKind::String, false, |text| text, |text| text);
text!(Secret, ConfigKind::String, true, Secret, |secret| &secret.0);
text!(Statement, ConfigKind::Statement, false, Statement, |statement| &statement.0);

impl Setting for Any {
    fn config_type() -> ConfigType {
        ConfigType { kind: ConfigKind::Any, nullable: true }
    }

    fn read(value: &Json) -> Result<Self, Problem> {
        Ok(Self(value.clone()))
    }

    fn to_json(&self) -> Json {
        self.0.clone()
    }
}

impl<T: Setting> Setting for Option<T> {
    const SECRET: bool = T::SECRET;

    fn config_type() -> ConfigType {
        ConfigType { nullable: true, ..T::config_type() }
    }

    fn read(value: &Json) -> Result<Self, Problem> {
        if value.is_null() { Ok(None) } else { T::read(value).map(Some) }
    }

    fn to_json(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::to_json)
    }

    fn when_absent() -> Option<Json> {
        Some(Json::Null)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn config_type() -> ConfigType {
        ConfigType::of(ConfigKind::List(Box::new(T::config_type())))
    }

    fn read(value: &Json) -> Result<Self, Problem> {
        let items = value.as_array().ok_or_else(|| Problem::wrong(value, &Self::config_type()))?;
        let items = items.iter().enumerate();
        items.map(|(i, item)| T::read(item).map_err(|problem| problem.inside(&i.to_string()))).collect()
    }

    fn to_json(&self) -> Json {
        self.iter().map(T::to_json).collect()
    }
}

macro_rules! map {
    ($map:ty) => {
        impl<T: Setting> Setting for $map {
            const SECRET: bool = T::SECRET;

            fn config_type() -> ConfigType {
                ConfigType::of(ConfigKind::Map(Box::new(T::config_type())))
            }

            fn read(value: &Json) -> Result<Self, Problem> {
                let items = value.as_object().ok_or_else(|| Problem::wrong(value, &Self::config_type()))?;
                let read = |(name, item): (&String, &Json)| {
                    let item = T::read(item).map_err(|problem| problem.inside(name))?;
                    Ok((name.clone(), item))
                };
                items.iter().map(read).collect()
            }

            fn to_json(&self) -> Json {
                let items = self.iter().map(|(name, item)| (name.clone(), item.to_json()));
                Json::Object(items.collect::<Object>())
            }
        }
    };
}

map!(BTreeMap<String, T>);
map!(HashMap<String, T>);

impl Setting for RowSetting {
    fn config_type() -> ConfigType {
        ConfigType::of(ConfigKind::Row)
    }

    fn read(value: &Json) -> Result<Self, Problem> {
        let columns = value.as_object().ok_or_else(|| Problem::wrong(value, &Self::config_type()))?;
        let read = |(name, text): (&String, &Json)| {
            let text = text.as_str().ok_or_else(|| Problem::wrong(text, &String::config_type()));
            let parsed = text.and_then(|text| parse_type(text).map_err(Problem::new));
            let (data_type, nullable) = parsed.map_err(|problem| problem.inside(name))?;
            Ok(Field::new(name, data_type, nullable))
        };
        let fields: Vec<Field> = columns.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self(Schema::new(fields)))
    }

    fn to_json(&self) -> Json {
        let texts = self.0.fields().iter().map(|field| {
            let text = type_name(field.data_type(), field.is_nullable());
            (field.name().clone(), Json::from(text))
        });
        Json::Object(texts.collect())
    }
}

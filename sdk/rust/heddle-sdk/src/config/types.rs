//! The types of settings as plain data.

use std::fmt;

use super::Json;
use crate::wire;

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigField {
    /// Its name in the program.
    pub name: String,
    /// What it accepts.
    pub config_type: ConfigType,
    /// Whether it must be given.
    pub required: bool,
    /// The value of one that is not given and not required.
    pub default: Json,
    /// Whether the value must never reach a log or an error text.
    pub secret: bool,
    /// What it means, for users.
    pub doc: String,
}

/// What a setting accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigType {
    /// The kind of value.
    pub kind: ConfigKind,
    /// Whether null is a value too.
    pub nullable: bool,
}

/// The kinds of settings.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigKind {
    /// Any value.
    Any,
    /// true or false.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A text.
    String,
    /// A text whose `@name` parts are bound parameters.
    Statement,
    /// One of these strings or ints.
    Choice(Vec<Json>),
    /// A list of such values.
    List(Box<ConfigType>),
    /// An object with such values under any names.
    Map(Box<ConfigType>),
    /// An object with these settings.
    Struct(Vec<ConfigField>),
    /// A row type, written as `{column: "type"}`.
    Row,
}

impl ConfigType {
    /// A value of this kind that is not null.
    #[must_use]
    pub fn of(kind: ConfigKind) -> Self {
        Self { kind, nullable: false }
    }

    pub(crate) fn structure(fields: Vec<ConfigField>) -> Self {
        Self::of(ConfigKind::Struct(fields))
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            ConfigKind::Any => "any",
            ConfigKind::Bool => "bool",
            ConfigKind::Int => "int",
            ConfigKind::Float => "float",
            ConfigKind::String => "string",
            ConfigKind::Statement => "statement",
            ConfigKind::Choice(_) => "choice",
            ConfigKind::List(_) => "list",
            ConfigKind::Map(_) => "map",
            ConfigKind::Struct(_) => "struct",
            ConfigKind::Row => "row",
        }
    }

    pub(crate) fn to_wire(&self) -> wire::ConfigType {
        let mut result = wire::ConfigType {
            kind: self.kind_name().to_owned(),
            nullable: self.nullable,
            ..wire::ConfigType::default()
        };
        match &self.kind {
            ConfigKind::List(items) | ConfigKind::Map(items) => {
                result.items = Some(Box::new(items.to_wire()))
            }
            ConfigKind::Struct(fields) => result.fields = fields.iter().map(ConfigField::to_wire).collect(),
            ConfigKind::Choice(choices) => {
                result.choices_json = choices.iter().map(Json::to_string).collect()
            }
            _ => {}
        }
        result
    }
}

impl ConfigField {
    pub(crate) fn to_wire(&self) -> wire::ConfigField {
        wire::ConfigField {
            name: self.name.clone(),
            r#type: Some(self.config_type.to_wire()),
            required: self.required,
            default_json: if self.required { String::new() } else { self.default.to_string() },
            secret: self.secret,
            doc: self.doc.clone(),
        }
    }
}

/// As messages and `serve` show it: `list of string or null`.
impl fmt::Display for ConfigType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ConfigKind::Choice(choices) => {
                let choices: Vec<String> = choices.iter().map(Json::to_string).collect();
                write!(out, "{}", choices.join(" or "))?;
            }
            ConfigKind::List(items) => write!(out, "list of {items}")?,
            ConfigKind::Map(items) => write!(out, "map to {items}")?,
            ConfigKind::Struct(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|field| format!("{}: {}", field.name, field.config_type)).collect();
                write!(out, "{{{}}}", fields.join(", "))?;
            }
            ConfigKind::Row => write!(out, "{{column: \"type\", …}}")?,
            ConfigKind::Statement => write!(out, "string")?,
            _ => write!(out, "{}", self.kind_name())?,
        }
        write!(out, "{}", if self.nullable { " or null" } else { "" })
    }
}

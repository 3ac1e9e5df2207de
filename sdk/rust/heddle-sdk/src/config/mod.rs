//! Settings: what a step or a resource accepts in its `{…}`.

mod problem;
mod setting;
mod types;

use std::collections::BTreeMap;

pub use self::problem::Problem;
pub use self::setting::{Any, RowSetting, Secret, Setting, Statement};
pub use self::types::{ConfigField, ConfigKind, ConfigType};

/// A JSON value, as settings arrive.
pub type Json = serde_json::Value;

/// A JSON object: the settings of a step or a resource.
pub type Object = serde_json::Map<String, Json>;

/// The settings of a step or a resource; derive it.
///
/// ```
/// use std::collections::BTreeMap;
/// use heddle_sdk::{Choice, Config, Secret};
///
/// #[derive(Choice)]
/// enum Mode {
///     Fast,
///     Careful,
/// }
///
/// #[derive(Config)]
/// struct Settings {
///     /// What each field's documentation says is shown to the users of the step.
///     amount: i64,
///     #[config(default = 0.5)]
///     ratio: f64,
///     #[config(default = Mode::Fast)]
///     mode: Mode,
///     #[config(default)]
///     weights: BTreeMap<String, f64>,
///     limit: Option<u32>,
///     #[config(default = "")]
///     token: Secret,
/// }
/// ```
///
/// A field without a default is required; an `Option` is null when it is not given. The types of settings are
/// those that implement [`Setting`]. On a field: `#[config(default)]` (the type's own), `#[config(default = …)]`,
/// `#[config(required)]` for an `Option` that must be given, `#[config(name = "…")]`, and `#[config(rest)]` for a
/// `BTreeMap<String, T>` that takes all settings that are not named.
pub trait Config: Sized + Send + Sync + 'static {
    /// Whether settings that are not named are taken too.
    const OPEN: bool;

    /// The settings.
    fn fields() -> Vec<ConfigField>;

    /// Reads and checks the settings of an object.
    ///
    /// # Errors
    /// The first problem, with the path of the setting.
    fn read(values: &Object) -> Result<Self, Problem>;

    /// The settings as an object, those with defaults included.
    fn to_object(&self) -> Object;
}

/// No settings.
impl Config for () {
    const OPEN: bool = false;

    fn fields() -> Vec<ConfigField> {
        Vec::new()
    }

    fn read(values: &Object) -> Result<Self, Problem> {
        derive::check_names(values, &[])
    }

    fn to_object(&self) -> Object {
        Object::new()
    }
}

/// What the derive macro calls.
#[doc(hidden)]
pub mod derive {
    use super::{BTreeMap, ConfigField, Json, Object, Problem, Setting};

    /// Refuses names that are not settings.
    pub fn check_names(values: &Object, fields: &[ConfigField]) -> Result<(), Problem> {
        match values.keys().find(|name| !is_named(name, fields)) {
            None => Ok(()),
            Some(name) => Err(Problem::unknown(name, fields.iter().map(|field| field.name.as_str()))),
        }
    }

    /// One setting, or its default.
    pub fn field<T: Setting>(values: &Object, field: &ConfigField) -> Result<T, Problem> {
        match values.get(&field.name) {
            Some(value) => T::read(value).map_err(|problem| problem.inside(&field.name)),
            None if field.required => Err(Problem::missing(&field.name, &field.config_type)),
            None => T::read(&field.default).map_err(|problem| problem.inside(&field.name)),
        }
    }

    /// The settings that are not named.
    pub fn rest<T: Setting>(values: &Object, fields: &[ConfigField]) -> Result<BTreeMap<String, T>, Problem> {
        values
            .iter()
            .filter(|(name, _)| !is_named(name, fields))
            .map(|(name, value)| {
                let value = T::read(value).map_err(|problem| problem.inside(name))?;
                Ok((name.clone(), value))
            })
            .collect()
    }

    /// The object of a setting that is a struct.
    pub fn object(value: &Json, fields: impl FnOnce() -> Vec<ConfigField>) -> Result<&Object, Problem> {
        value.as_object().ok_or_else(|| Problem::wrong(value, &super::ConfigType::structure(fields())))
    }

    fn is_named(name: &str, fields: &[ConfigField]) -> bool {
        fields.iter().any(|field| field.name == name)
    }
}

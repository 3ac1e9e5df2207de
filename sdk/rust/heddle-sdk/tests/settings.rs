//! Settings: what a derived struct accepts, refuses and declares.

use std::collections::{BTreeMap, HashMap};

use heddle_sdk::config::{ConfigKind, Json, Object};
use heddle_sdk::{Any, Choice, Config, RowSetting, Secret, Statement};

#[derive(Choice, Debug, PartialEq)]
enum Mode {
    VeryFast,
    #[choice("safe")]
    Careful,
    #[choice(3)]
    Three,
}

#[derive(Config, Debug, PartialEq)]
struct Place {
    city: String,
    #[config(default = "")]
    zip: String,
}

#[derive(Config, Debug, PartialEq)]
struct Settings {
    /// How many.
    count: u8,
    #[config(default = Mode::Careful)]
    mode: Mode,
    #[config(default = 7)]
    seven: i64,
    #[config(default)]
    tags: Vec<String>,
    #[config(default)]
    by_name: HashMap<String, Vec<f64>>,
    place: Option<Place>,
    #[config(required)]
    limit: Option<i64>,
    #[config(default = "select 1")]
    query: Statement,
    #[config(default = "")]
    token: Secret,
    #[config(name = "type", default)]
    kind: Any,
}

#[derive(Config, Debug)]
struct Columns {
    columns: RowSetting,
    #[config(rest)]
    others: BTreeMap<String, i64>,
}

fn object(json: &str) -> Object {
    serde_json::from_str(json).unwrap()
}

fn refused<C: Config + std::fmt::Debug>(json: &str) -> String {
    C::read(&object(json)).unwrap_err().of("step `s`").message().to_owned()
}

#[test]
fn defaults_are_filled_in() {
    let settings = Settings::read(&object(r#"{"count": 2, "limit": null}"#)).unwrap();
    let expected = Settings {
        count: 2,
        mode: Mode::Careful,
        seven: 7,
        tags: vec![],
        by_name: HashMap::new(),
        place: None,
        limit: None,
        query: "select 1".into(),
        token: "".into(),
        kind: Any(Json::Null),
    };
    assert_eq!(settings, expected);
}

#[test]
fn values_come_back_equal() {
    let json = r#"{"count": 255, "mode": 3, "seven": -7, "tags": ["a"], "by_name": {"n": [1.5]},
        "place": {"city": "Bern", "zip": "3000"}, "limit": 4, "query": "q", "token": "t", "type": {"a": [1]}}"#;
    let settings = Settings::read(&object(json)).unwrap();
    assert_eq!(settings.mode, Mode::Three);
    assert_eq!(settings.token.reveal(), "t");
    assert_eq!(settings.to_object(), object(json));
}

#[test]
fn mistakes_are_named() {
    assert_eq!(refused::<Settings>("{}"), "step `s` needs the setting `count` (int)");
    assert_eq!(refused::<Settings>(r#"{"count": 1}"#), "step `s` needs the setting `limit` (int or null)");
    let with = |rest: &str| refused::<Settings>(&format!(r#"{{"limit": 1, {rest}}}"#));
    assert_eq!(
        with(r#""count": 256"#),
        "the setting `count` of step `s` does not fit: it must be from 0 to 255"
    );
    assert_eq!(
        with(r#""count": 1, "mode": "fast""#),
        r#"the setting `mode` of step `s` is a string where "very_fast" or "safe" or 3 is wanted"#
    );
    assert_eq!(
        with(r#""count": 1, "by_name": {"a": [1, "x"]}"#),
        "the setting `by_name.a.1` of step `s` is a string where float is wanted"
    );
    assert_eq!(
        with(r#""count": 1, "place": 3"#),
        "the setting `place` of step `s` is an int where {city: string, zip: string} is wanted"
    );
    assert_eq!(
        with(r#""count": 1, "tokens": 3"#),
        "`tokens` is not a setting of step `s`; did you mean `token`?"
    );
    assert!(with(r#""count": 1, "something": 3"#).contains("there is `count`, `mode`"));
    assert_eq!(refused::<()>(r#"{"a": 1}"#), "`a` is not a setting of step `s`; it has none");
}

#[test]
fn declarations_say_what_is_accepted() {
    let fields = Settings::fields();
    let field = |name: &str| fields.iter().find(|field| field.name == name).unwrap();
    assert_eq!(field("count").doc, "How many.");
    assert!(field("count").required && field("limit").required && !field("place").required);
    assert_eq!(field("mode").default, Json::from("safe"));
    assert!(field("token").secret && !field("query").secret);
    assert_eq!(field("query").config_type.kind, ConfigKind::Statement);
    assert_eq!(field("by_name").config_type.to_string(), "map to list of float");
    assert_eq!(field("place").config_type.to_string(), "{city: string, zip: string} or null");
    assert_eq!(field("type").config_type.kind, ConfigKind::Any);
}

#[test]
fn rows_keep_the_order_of_their_columns_and_the_rest_is_taken() {
    let settings =
        Columns::read(&object(r#"{"columns": {"b": "int?", "a": "list<float>"}, "more": 1}"#)).unwrap();
    let names: Vec<&str> = settings.columns.0.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(settings.others, BTreeMap::from([("more".to_owned(), 1)]));
    const { assert!(Columns::OPEN) };
    assert_eq!(settings.to_object()["columns"]["b"], "int?");
    assert!(refused::<Columns>(r#"{"columns": {"a": "number"}}"#).contains("`columns.a`"));
    assert!(refused::<Columns>(r#"{"columns": {}, "more": "x"}"#).contains("`more`"));
}

#[test]
fn secrets_are_not_shown() {
    let secret: Secret = "hidden".into();
    assert_eq!(format!("{secret:?}"), "…");
    let message = refused::<Settings>(r#"{"count": 1, "limit": 1, "token": ["hidden"]}"#);
    assert!(!message.contains("hidden"), "{message}");
}

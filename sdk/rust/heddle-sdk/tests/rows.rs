//! Rows: columns from the types of a struct's fields, and values in both directions.

use heddle_sdk::arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use heddle_sdk::arrow::schema::DataType;
use heddle_sdk::{Binary, Date, Decimal, Duration, Row, RowType, Table, Time, Timestamp, Unknown, type_name};
use std::sync::Arc;

#[derive(Row, Clone, Debug, PartialEq)]
struct Place {
    city: String,
    floor: Option<i64>,
}

#[derive(Row, Clone, Debug, PartialEq)]
struct Everything {
    int: i64,
    small: i16,
    unsigned: u32,
    float: f64,
    single: f32,
    flag: bool,
    text: String,
    bytes: Binary,
    timestamp: Timestamp,
    date: Date,
    time: Time,
    duration: Duration,
    price: Decimal<10, 2>,
    #[row(name = "type")]
    kind: Option<String>,
    r#loop: Option<bool>,
    tags: Vec<String>,
    weights: Option<Vec<Option<f64>>>,
    place: Place,
    other_place: Option<Place>,
}

#[derive(Row)]
#[row(open)]
struct Open {
    id: i64,
    anything: Unknown,
}

fn everything(n: i64) -> Everything {
    let place = Place { city: format!("city {n}"), floor: (n > 0).then_some(n) };
    Everything {
        int: n,
        small: n as i16,
        unsigned: n as u32,
        float: n as f64 / 4.0,
        single: 0.5,
        flag: n > 0,
        text: format!("text {n}"),
        bytes: Binary(vec![0, 255]),
        timestamp: Timestamp(n),
        date: Date(19_000),
        time: Time(1),
        duration: Duration(-1),
        price: Decimal(150),
        kind: (n > 0).then(|| "new".to_owned()),
        r#loop: None,
        tags: vec!["a".to_owned(); n as usize],
        weights: (n > 0).then(|| vec![Some(1.0), None]),
        other_place: (n > 0).then(|| place.clone()),
        place,
    }
}

#[test]
fn values_come_back_equal() {
    let rows: Vec<_> = (0..3).map(everything).collect();
    let table = Table::from_rows(rows.clone()).unwrap();
    assert_eq!(table.rows::<Everything>().unwrap(), rows);
    let none = Table::from_rows(Vec::<Everything>::new()).unwrap();
    assert_eq!(none.rows::<Everything>().unwrap(), []);
    assert_eq!(none.schema(), table.schema());
}

#[test]
fn types_are_named_as_in_programs() {
    assert_eq!(RowType::of::<Place>().to_string(), "{city: string, floor: int?}");
    assert_eq!(RowType::of::<Open>().to_string(), "{id: int, anything: unknown, ..}");
    let row = RowType::of::<Everything>();
    let type_of = |name: &str| {
        let field = row.schema().field_with_name(name).unwrap();
        type_name(field.data_type(), field.is_nullable())
    };
    assert_eq!(type_of("price"), "decimal(10,2)");
    assert_eq!(type_of("type"), "string?");
    assert_eq!(type_of("loop"), "bool?");
    assert_eq!(type_of("weights"), "list<float?>?");
    assert_eq!(type_of("place"), "{city: string, floor: int?}");
    assert_eq!(type_of("timestamp"), "timestamp");
}

#[test]
fn mismatches_name_the_column() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let table = Table::from_columns([("city", texts.clone()), ("floor", texts)]).unwrap();
    let message = table.rows::<Place>().unwrap_err().message().to_owned();
    assert_eq!(message, "the column `floor`: string was found where int is wanted");

    let cities: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    let floors: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let table = Table::from_columns([("city", cities), ("floor", floors)]).unwrap();
    let message = table.rows::<Place>().unwrap_err().message().to_owned();
    assert_eq!(message, "the column `city` has a null, but its type is not an Option");

    let message = table.column::<Int64Array>("city").unwrap_err().message().to_owned();
    assert!(message.starts_with("the column `city`: string was found where"), "{message}");
    let message = table.select(&["street"]).unwrap_err().message().to_owned();
    assert_eq!(message, "there is no column `street`; the table has `city` and `floor`");
}

#[test]
fn a_column_of_any_type_is_passed_on() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let table = Table::from_columns([("id", ids), ("anything", texts)]).unwrap();
    let rows = table.rows::<Open>().unwrap();
    assert_eq!(rows[1].id, 2);
    assert_eq!(rows[1].anything.0.data_type(), &DataType::Utf8);
    assert_eq!(rows[1].anything.0.len(), 1);
}

#[test]
fn decimals_beyond_their_digits_are_refused() {
    #[derive(Row)]
    struct Price {
        price: Decimal<3, 2>,
    }
    assert!(Table::from_rows(vec![Price { price: Decimal(999) }]).is_ok());
    assert!(Table::from_rows(vec![Price { price: Decimal(1000) }]).is_err());
}

#[test]
fn tables_of_several_batches_read_as_one() {
    let parts = |n: i64| Table::from_rows(vec![Place { city: n.to_string(), floor: Some(n) }]).unwrap();
    let batches = (0..4).map(|n| parts(n).batch().unwrap()).collect();
    let table = Table::new(parts(0).schema().clone(), batches).unwrap();
    assert_eq!(table.num_rows(), 4);
    assert_eq!(table.rows::<Place>().unwrap().len(), 4);
    assert_eq!(table.column::<Int64Array>("floor").unwrap().values(), &[0, 1, 2, 3]);
    let doubled: ArrayRef = Arc::new(Int64Array::from(vec![0, 2, 4, 6]));
    let wider = table.with_column("doubled", doubled).unwrap();
    assert_eq!(wider.batches().len(), 4);
    assert_eq!(wider.slice(1, 2).column::<Int64Array>("doubled").unwrap().values(), &[2, 4]);
    let shorter: ArrayRef = Arc::new(Int64Array::from(vec![0]));
    assert!(table.with_column("doubled", shorter).is_err());
}

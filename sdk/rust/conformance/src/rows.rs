//! Steps that take rows and return rows.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt64Array, make_array};
use arrow_data::transform::MutableArrayData;
use arrow_schema::ArrowError;
use heddle_sdk::{Call, Config, Plugin, Result, Row, Step, Table};

use crate::PlainCall;

#[derive(Row)]
#[row(open)]
struct Number {
    x: i64,
}

#[derive(Row)]
#[row(open)]
struct Sum {
    x: i64,
    y: i64,
}

#[derive(Row)]
struct OnlyNumber {
    x: i64,
}

#[derive(Row)]
struct Total {
    total: i64,
}

#[derive(Config)]
struct Add {
    amount: i64,
}

#[derive(Config)]
struct Repeat {
    #[config(default = 2)]
    times: i64,
}

/// Adds these steps.
pub fn register(plugin: Plugin) -> Plugin {
    let open = |name: &str, function: fn(Table, PlainCall) -> Result<Table>| {
        Step::map(name, function).deterministic(true)
    };
    plugin
        .step(open("identity", |input, _| Ok(input)))
        .step(open("rebuild", rebuild))
        .step(Step::map("add", add).input::<Number>().output::<Sum>().passthrough().deterministic(true))
        .step(
            Step::map("reject_negative", reject_negative)
                .input::<Number>()
                .output::<Number>()
                .passthrough()
                .deterministic(true),
        )
        .step(
            Step::filter("keep_even", keep_even)
                .input::<Number>()
                .output::<Number>()
                .passthrough()
                .deterministic(true),
        )
        .step(
            Step::flat("repeat", repeat)
                .input::<Number>()
                .output::<Number>()
                .passthrough()
                .deterministic(true),
        )
        .step(Step::table("total", total).input::<OnlyNumber>().output::<Total>().deterministic(true))
}

/// A deep copy, in new buffers.
fn rebuild(input: Table, _: PlainCall) -> Result<Table> {
    let copied = |batch: &RecordBatch| {
        let columns = batch.columns().iter().map(copy).collect::<Result<_, _>>()?;
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(batch.schema(), columns, &options)
    };
    let batches = input.batches().iter().map(copied).collect::<Result<_, _>>()?;
    Table::new(input.schema().clone(), batches)
}

fn copy(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let data = column.to_data();
    let mut copied = MutableArrayData::new(vec![&data], false, data.len());
    copied.try_extend(0, 0, data.len())?;
    Ok(make_array(copied.freeze()))
}

fn add(input: Table, call: Call<Add>) -> Result<Table> {
    let amount = call.config().amount;
    let sums = input
        .column::<Int64Array>("x")?
        .unary::<_, arrow_array::types::Int64Type>(|x| x.wrapping_add(amount));
    input.with_column("y", Arc::new(sums))
}

fn reject_negative(input: Table, call: PlainCall) -> Result<Table> {
    let x = input.column::<Int64Array>("x")?;
    let negative = x.values().iter().enumerate().filter(|(_, x)| **x < 0).map(|(row, _)| row);
    call.reject_as("Negative", negative, "x is negative");
    Ok(input)
}

fn keep_even(input: Table, _: PlainCall) -> Result<Table> {
    let x = input.column::<Int64Array>("x")?;
    input.filter(&BooleanArray::from_unary(&x, |x| x % 2 == 0))
}

fn repeat(input: Table, call: Call<Repeat>) -> Result<Table> {
    let times = usize::try_from(call.config().times.max(0))?;
    let rows = 0..input.num_rows() as u64;
    let rows = UInt64Array::from_iter_values(rows.flat_map(|row| std::iter::repeat_n(row, times)));
    input.take(&rows)
}

fn total(input: Table, _: PlainCall) -> Result<Table> {
    let x = input.column::<Int64Array>("x")?;
    let total = x.iter().flatten().fold(0, i64::wrapping_add);
    Table::from_rows(vec![Total { total }])
}

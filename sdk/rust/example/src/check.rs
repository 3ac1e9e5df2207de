//! A step that works on a column and refuses rows.

use heddle_sdk::arrow::array::Int64Array;
use heddle_sdk::{Call, Config, Result, Row, Table};

#[derive(Row)]
pub struct Checked {
    quantity: i64,
}

#[derive(Config)]
pub struct CheckConfig {
    /// The largest quantity that is delivered.
    #[config(default = 1000)]
    most: i64,
}

pub fn check(orders: Table, call: Call<CheckConfig>) -> Result<Table> {
    let most = call.config().most;
    let quantities = orders.column::<Int64Array>("quantity")?;
    let rows_where = |refused: &dyn Fn(i64) -> bool| -> Vec<usize> {
        let rows = quantities.values().iter().enumerate();
        rows.filter(|(_, quantity)| refused(**quantity)).map(|(row, _)| row).collect()
    };
    call.reject_as("NothingOrdered", rows_where(&|quantity| quantity < 1), "nothing is ordered");
    let too_many = rows_where(&|quantity| quantity > most);
    call.reject_as("TooMany", too_many, format!("more than {most} are ordered"));
    Ok(orders)
}

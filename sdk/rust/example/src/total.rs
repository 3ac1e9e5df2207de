//! A step over the table as a whole.

use std::collections::HashMap;

use heddle_sdk::{Call, Result, Row, Table};

#[derive(Row)]
pub struct Spent {
    pub customer: String,
    pub price: f64,
}

#[derive(Row, Debug, PartialEq)]
pub struct Total {
    pub customer: String,
    pub orders: i64,
    pub spent: f64,
}

pub fn total(orders: Table, _call: Call<()>) -> Result<Table> {
    let mut totals: HashMap<String, Total> = HashMap::new();
    for Spent { customer, price } in orders.rows()? {
        let total = totals.entry(customer).or_insert_with_key(|customer| Total {
            customer: customer.clone(),
            orders: 0,
            spent: 0.0,
        });
        total.orders += 1;
        total.spent += price;
    }
    let mut totals: Vec<Total> = totals.into_values().collect();
    totals.sort_by(|a, b| b.spent.total_cmp(&a.spent).then_with(|| a.customer.cmp(&b.customer)));
    Table::from_rows(totals)
}

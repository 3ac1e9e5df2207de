//! An example plugin: sample orders, checks, prices, totals, and a file that is written.
//!
//! ```heddle
//! import "orders"
//!
//! resource list = orders.prices { prices: { apple: 0.5, pear: 0.75 } }
//!
//! workflow Totals {
//!   orders.samples { count: 1000 }
//!     | orders.check ? Refused
//!     | orders.price <prices=list> ? Refused
//!     | orders.total
//!     | io.print
//! }
//!
//! handler Refused {
//!   *
//!     | io.print
//! }
//! ```

mod check;
mod prices;
mod samples;
mod save;
mod total;

use std::process::ExitCode;

use heddle_sdk::{Plugin, Row, Step};

use prices::Prices;

/// An order, as all steps take it.
#[derive(Row, Clone, Debug, PartialEq)]
struct Order {
    id: i64,
    customer: String,
    article: String,
    quantity: i64,
}

fn plugin() -> Plugin {
    Plugin::new("orders")
        .version(env!("CARGO_PKG_VERSION"))
        .doc("Orders of a shop: samples, checks, prices and totals.")
        .resource::<Prices>()
        .step(
            Step::source("samples", samples::samples)
                .doc("Orders that look real; the same for the same seed.")
                .output::<Order>()
                .deterministic(true),
        )
        .step(
            Step::map("check", check::check)
                .doc("Refuses orders that cannot be delivered.")
                .input::<check::Checked>()
                .output::<check::Checked>()
                .passthrough()
                .deterministic(true),
        )
        .step(
            Step::map("price", prices::price)
                .doc("Adds what an order costs; refuses articles that are not on the list.")
                .slot::<Prices>("prices")
                .input::<prices::Item>()
                .output::<prices::Priced>()
                .passthrough()
                .deterministic(true),
        )
        .step(
            Step::table("total", total::total)
                .doc("What each customer spent, the most first.")
                .input::<total::Spent>()
                .output::<total::Total>()
                .deterministic(true),
        )
        .step(
            Step::sink("save", save::save)
                .doc("Writes orders to a file, one a line, its fields separated by tabs.")
                .input::<Order>()
                .idempotent(true),
        )
}

fn main() -> ExitCode {
    plugin().serve()
}

#[cfg(test)]
mod tests;

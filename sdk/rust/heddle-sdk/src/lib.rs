//! Steps and resources of Heddle programs in Rust.
//!
//! A plugin is a process that offers steps: functions over tables. It says what it offers with [`Plugin`], whose
//! [`serve`](Plugin::serve) speaks with the engine.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use heddle_sdk::{Call, Config, Plugin, Result, Row, Step, Table};
//!
//! #[derive(Row)]
//! struct Order { amount: f64 }
//!
//! #[derive(Row)]
//! struct Discounted { discounted: f64 }
//!
//! #[derive(Config)]
//! struct Discount {
//!     /// What part of the amount is taken off.
//!     #[config(default = 0.1)]
//!     share: f64,
//! }
//!
//! fn discount(orders: Table, call: Call<Discount>) -> Result<Table> {
//!     let left = 1.0 - call.config().share;
//!     let orders = orders.rows::<Order>()?;
//!     Table::from_rows(orders.iter().map(|order| Discounted { discounted: order.amount * left }).collect())
//! }
//!
//! fn main() -> ExitCode {
//!     let discount = Step::map("discount", discount)
//!         .input::<Order>()
//!         .output::<Discounted>()
//!         .passthrough()
//!         .deterministic(true);
//!     Plugin::new("shop").step(discount).serve()
//! }
//! ```
//!
//! Tables are Arrow record batches; [`arrow`] has the types to work with them column by column. Steps are tested
//! without an engine by [`testing`].

pub mod arrow;
mod bound_step;
mod call;
mod cancellation;
pub mod config;
mod describe;
mod error;
mod payload;
mod plugin;
mod resource;
mod row;
mod serve;
mod step;
mod table;
pub mod testing;
mod text;
mod trace;
mod type_text;
mod value;
#[doc(hidden)]
pub mod wire;

// The derives name this crate by its path, also in its own tests.
extern crate self as heddle_sdk;

pub use heddle_sdk_derive::{Choice, Config, Row};

pub use crate::call::{Call, Context};
pub use crate::cancellation::Cancellation;
#[doc(hidden)]
pub use crate::config::derive as __config;
pub use crate::config::{Any, Config, RowSetting, Secret, Statement};
pub use crate::error::{Error, Result};
pub use crate::plugin::Plugin;
pub use crate::resource::Resource;
#[doc(hidden)]
pub use crate::row::derive as __row;
pub use crate::row::{Row, RowType};
pub use crate::step::{Rows, Step};
pub use crate::table::Table;
pub use crate::type_text::{parse_type, type_name};
pub use crate::value::{Binary, Date, Decimal, Duration, Time, Timestamp, Unknown, Value};

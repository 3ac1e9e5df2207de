//! The resource, and the steps that use it.

use std::sync::atomic::{AtomicI64, Ordering};

use heddle_sdk::{Call, Config, Error, Resource, Result, Row, Secret, Table};

/// A number that calls may add to.
pub struct Counter {
    number: AtomicI64,
}

#[derive(Config)]
pub struct CounterConfig {
    #[config(default = 0)]
    start: i64,
    #[config(default = false)]
    fail: bool,
    #[config(default = "")]
    token: Secret,
}

impl Resource for Counter {
    const NAME: &'static str = "counter";
    const DOC: &'static str = "A number that calls may add to.";
    type Config = CounterConfig;

    fn open(config: CounterConfig) -> Result<Self> {
        if config.fail {
            return Err(Error::new("CounterBroken", "the counter is broken").transient());
        }
        Ok(Self { number: AtomicI64::new(config.start) })
    }

    fn health(&self) -> Result<()> {
        if self.number() < 0 {
            return Err(Error::new("CounterNegative", "the counter is negative"));
        }
        Ok(())
    }

    fn close(&self) -> Result<()> {
        eprintln!("counter closed at {}", self.number());
        Ok(())
    }
}

impl Counter {
    fn number(&self) -> i64 {
        self.number.load(Ordering::Relaxed)
    }
}

#[derive(Row)]
pub struct Count {
    count: i64,
}

pub fn sink(input: Table, call: Call<()>) -> Result<()> {
    let counter = call.resource::<Counter>("counter")?;
    counter.number.fetch_add(i64::try_from(input.num_rows())?, Ordering::Relaxed);
    Ok(())
}

pub fn count(call: Call<()>) -> Result<Option<Result<Table>>> {
    let count = call.resource::<Counter>("counter")?.number();
    Ok(Some(Table::from_rows(vec![Count { count }])))
}

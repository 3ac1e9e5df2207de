//! A resource, and a step that uses it.

use std::collections::HashMap;

use heddle_sdk::{Call, Config, Error, Resource, Result, Row, Table};

/// A list of prices.
pub struct Prices {
    by_article: HashMap<String, f64>,
}

#[derive(Config)]
pub struct PricesConfig {
    /// The price of one piece of each article.
    prices: HashMap<String, f64>,
    /// What is taken off all prices, from 0 to 1.
    #[config(default = 0.0)]
    discount: f64,
}

impl Resource for Prices {
    const NAME: &'static str = "prices";
    const DOC: &'static str = "A list of prices.";
    type Config = PricesConfig;

    fn open(config: PricesConfig) -> Result<Self> {
        if !(0.0..=1.0).contains(&config.discount) {
            return Err(Error::config("the setting `discount` of resource `prices` must be from 0 to 1"));
        }
        let discounted = |(article, price)| (article, price * (1.0 - config.discount));
        Ok(Self { by_article: config.prices.into_iter().map(discounted).collect() })
    }

    fn health(&self) -> Result<()> {
        if self.by_article.is_empty() {
            return Err(Error::new("NoPrices", "the list of prices is empty"));
        }
        Ok(())
    }
}

#[derive(Row)]
pub struct Item {
    article: String,
    quantity: i64,
}

#[derive(Row, Debug, PartialEq)]
pub struct Priced {
    pub price: f64,
}

pub fn price(items: Table, call: Call<()>) -> Result<Table> {
    let prices = call.resource::<Prices>("prices")?;
    let mut unknown: HashMap<String, Vec<usize>> = HashMap::new();
    let mut priced = Vec::with_capacity(items.num_rows());
    for (row, item) in items.rows::<Item>()?.into_iter().enumerate() {
        match prices.by_article.get(&item.article) {
            Some(price) => priced.push(Priced { price: price * item.quantity as f64 }),
            None => unknown.entry(item.article).or_default().push(row),
        }
    }
    for (article, rows) in unknown {
        call.reject_as("UnknownArticle", rows, format!("`{article}` is not on the list of prices"));
    }
    Table::from_rows(priced)
}

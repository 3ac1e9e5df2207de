//! A source that streams.

use heddle_sdk::{Call, Config, Result, Table};

use crate::Order;

const BATCH_ROWS: u64 = 10_000;
const ARTICLES: [&str; 4] = ["apple", "pear", "plum", "quince"];
const CUSTOMERS: [&str; 3] = ["Ada", "Grace", "Mary"];

#[derive(Config)]
pub struct SamplesConfig {
    /// How many orders.
    count: u64,
    /// Another seed gives other orders.
    #[config(default = 1)]
    seed: u64,
}

pub fn samples(call: Call<SamplesConfig>) -> Result<impl Iterator<Item = Result<Table>>> {
    let SamplesConfig { count, seed } = *call.config();
    let begins = (0..count).step_by(BATCH_ROWS as usize);
    Ok(begins.map(move |begin| {
        call.progress(begin, count, "");
        let ids = begin..count.min(begin + BATCH_ROWS);
        Table::from_rows(ids.map(|id| sample(id, seed)).collect())
    }))
}

fn sample(id: u64, seed: u64) -> Order {
    let mut bits = scrambled(seed.wrapping_add(id));
    let mut next = |count: u64| {
        let drawn = bits % count;
        bits /= count;
        drawn
    };
    Order {
        id: id as i64,
        customer: CUSTOMERS[next(CUSTOMERS.len() as u64) as usize].to_owned(),
        article: ARTICLES[next(ARTICLES.len() as u64) as usize].to_owned(),
        quantity: next(20) as i64,
    }
}

/// The mixing function of SplitMix64.
fn scrambled(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

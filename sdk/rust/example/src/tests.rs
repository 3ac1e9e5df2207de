use heddle_sdk::config::{Json, Object};
use heddle_sdk::{Result, Table, testing};

use crate::prices::Priced;
use crate::total::{Spent, Total};
use crate::{Order, plugin};

fn order(id: i64, article: &str, quantity: i64) -> Order {
    Order { id, customer: "Ada".to_owned(), article: article.to_owned(), quantity }
}

fn orders(quantities: &[i64]) -> Table {
    let rows = quantities.iter().enumerate().map(|(id, quantity)| order(id as i64, "apple", *quantity));
    Table::from_rows(rows.collect()).unwrap()
}

fn prices(discount: f64) -> Object {
    let prices = Object::from_iter([("apple".to_owned(), Json::from(0.5))]);
    Object::from_iter([("prices".to_owned(), prices.into()), ("discount".to_owned(), discount.into())])
}

#[test]
fn samples_come_in_batches_and_are_the_same_for_a_seed() -> Result<()> {
    let plugin = plugin();
    let samples =
        |seed: u64| testing::step(&plugin, "samples").setting("count", 25_000).setting("seed", seed).run();
    let first = samples(1)?;
    assert_eq!(first.tables.iter().map(Table::num_rows).collect::<Vec<_>>(), [10_000, 10_000, 5_000]);
    assert_eq!(first.progress[1], (10_000, 25_000));
    assert_eq!(first.tables, samples(1)?.tables);
    assert_ne!(first.tables, samples(2)?.tables);
    Ok(())
}

#[test]
fn orders_that_cannot_be_delivered_are_refused() -> Result<()> {
    let outcome =
        testing::step(&plugin(), "check").setting("most", 10).input(orders(&[1, 0, 11, 10])).run()?;
    assert_eq!(outcome.rejected_rows(), [1, 2]);
    assert_eq!(outcome.rejections[0].error_type, "NothingOrdered");
    assert_eq!(outcome.rejections[1].reason, "more than 10 are ordered");
    Ok(())
}

#[test]
fn prices_come_from_the_list() -> Result<()> {
    let input = Table::from_rows(vec![order(1, "apple", 4), order(2, "moon", 1)])?;
    let outcome =
        testing::step(&plugin(), "price").resource("prices", "prices", prices(0.5)).input(input).run()?;
    let priced = outcome.table().rows::<Priced>()?;
    assert_eq!(priced, [Priced { price: 1.0 }]);
    assert_eq!(outcome.rejected_rows(), [1]);
    assert_eq!(outcome.rejections[0].reason, "`moon` is not on the list of prices");
    Ok(())
}

#[test]
fn a_discount_has_its_limits() {
    let plugin = plugin();
    let call = testing::step(&plugin, "price").resource("prices", "prices", prices(2.0)).input(orders(&[1]));
    let error = call.run().unwrap_err();
    assert!(error.is_config());
    assert_eq!(error.message(), "the setting `discount` of resource `prices` must be from 0 to 1");
}

#[test]
fn totals_are_of_each_customer() -> Result<()> {
    let spent = [("Ada", 1.0), ("Mary", 5.0), ("Ada", 2.5)];
    let spent = spent.map(|(customer, price)| Spent { customer: customer.to_owned(), price });
    let outcome = testing::step(&plugin(), "total").input(Table::from_rows(spent.into())?).run()?;
    let total = |customer: &str, orders, spent| Total { customer: customer.to_owned(), orders, spent };
    assert_eq!(outcome.table().rows::<Total>()?, [total("Mary", 1, 5.0), total("Ada", 2, 3.5)]);
    Ok(())
}

#[test]
fn orders_are_written_to_a_file() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("orders-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let plugin = plugin();
    let call =
        || testing::step(&plugin, "save").setting("path", "out.tsv").base(&folder).input(orders(&[3, 4]));
    let outcome = call().run()?;
    assert_eq!(std::fs::read_to_string(folder.join("out.tsv"))?, "0\tAda\tapple\t3\n1\tAda\tapple\t4\n");
    assert_eq!(outcome.logs[0].fields["rows"], "2");
    assert!(call().cancelled().run().unwrap_err().is_cancelled());
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

//! A sink: it writes a file and can be cancelled.

use std::fs::File;
use std::io::{BufWriter, Write};

use heddle_sdk::{Call, Config, Result, Table};

use crate::Order;

/// So many rows are written between two looks whether the call was cancelled.
const ROWS_A_LOOK: usize = 1000;

#[derive(Config)]
pub struct SaveConfig {
    /// The file, from the program's folder.
    path: String,
}

pub fn save(orders: Table, call: Call<SaveConfig>) -> Result<()> {
    let path = call.path(&call.config().path);
    let mut file = BufWriter::new(File::create(&path)?);
    let rows = orders.rows::<Order>()?;
    for part in rows.chunks(ROWS_A_LOOK) {
        call.cancellation().check()?;
        for Order { id, customer, article, quantity } in part {
            writeln!(file, "{id}\t{customer}\t{article}\t{quantity}")?;
        }
    }
    file.flush()?;
    call.info("saved", &[("path", &path.display()), ("rows", &rows.len())]);
    Ok(())
}

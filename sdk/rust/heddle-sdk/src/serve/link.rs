//! Links of chains: what a step takes of the table before it, and what the table behind it must be.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};

use crate::error::Result;
use crate::payload;
use crate::serve::output::is_same_memory;
use crate::table::{Table, batch_of};
use crate::wire;

/// How a binding stands in a chain. A step that does not do exactly this is left to the engine, which calls it by
/// itself.
pub(crate) struct Link {
    takes: SchemaRef,
    gives: SchemaRef,
    returns: HashSet<String>,
    open: bool,
    rows: String,
}

impl Link {
    pub fn read(link: wire::Link) -> Result<Self> {
        Ok(Self {
            takes: payload::schema_from_bytes(&link.takes)?,
            gives: payload::schema_from_bytes(&link.gives)?,
            returns: link.returns.into_iter().collect(),
            open: link.open,
            rows: link.rows,
        })
    }

    /// What the step is given of a table; None when that does not fit.
    pub fn taken(&self, before: &Table) -> Result<Option<Table>> {
        let sources = vec![before; self.takes.fields().len()];
        assembled(&self.takes, before, &sources)
    }

    /// The table behind the step, of the one before it and what the step returned; None when that is not what the
    /// link says.
    pub fn given(&self, before: &Table, taken: &Table, returned: &Table) -> Result<Option<Table>> {
        let is_map = self.rows == "map";
        let (rows, rows_before) = (returned.num_rows(), before.num_rows());
        if (is_map && rows != rows_before) || (self.rows == "filter" && rows > rows_before) {
            return Ok(None);
        }
        let fields = returned.schema().fields();
        let own: HashSet<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        let is_mine = |name: &str| own.contains(name) && (self.open || self.returns.contains(name));
        let is_complete =
            own.len() == fields.len() && self.returns.iter().all(|name| own.contains(name.as_str()));
        if !is_complete || !own.iter().all(|name| is_mine(name) || self.has_stayed(name, taken, returned)) {
            return Ok(None);
        }
        let mut sources = Vec::with_capacity(self.gives.fields().len());
        for field in self.gives.fields() {
            match is_mine(field.name()) {
                true => sources.push(returned),
                false if is_map => sources.push(before),
                false => return Ok(None),
            }
        }
        assembled(&self.gives, returned, &sources)
    }

    /// Whether a column that travels past the step came back as it went in.
    fn has_stayed(&self, name: &str, taken: &Table, returned: &Table) -> bool {
        if self.rows != "map" || self.gives.index_of(name).is_err() {
            return false;
        }
        let (Ok(place), Ok(found)) = (taken.schema().index_of(name), returned.schema().index_of(name)) else {
            return false;
        };
        let same = |(a, b): (&RecordBatch, &RecordBatch)| is_same_memory(a.column(found), b.column(place));
        returned.batches().len() == taken.batches().len()
            && returned.batches().iter().zip(taken.batches()).all(same)
    }
}

/// A table of columns of other tables, with the rows of `like`; None when a column is not there, is of another type
/// than the schema says, or has a null too many.
fn assembled(schema: &Schema, like: &Table, sources: &[&Table]) -> Result<Option<Table>> {
    let loose: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), true))
        .collect();
    let loose: SchemaRef = Arc::new(Schema::new(loose));
    let mut columns = Vec::with_capacity(sources.len());
    for (field, source) in schema.fields().iter().zip(sources) {
        let Some(parts) = parts(field, source) else { return Ok(None) };
        columns.push(parts);
    }
    let batches = like.batches();
    let cut_alike = |parts: &Vec<ArrayRef>| {
        parts.len() == batches.len()
            && parts.iter().zip(batches).all(|(part, batch)| part.len() == batch.num_rows())
    };
    if columns.iter().all(cut_alike) {
        let batches = batches.iter().enumerate().map(|(index, batch)| {
            let row = columns.iter().map(|parts| parts[index].clone()).collect();
            batch_of(loose.clone(), row, batch.num_rows())
        });
        let batches = batches.collect::<Result<Vec<_>>>()?;
        return Table::new(loose, batches).map(Some);
    }
    let whole = schema.fields().iter().zip(sources).map(|(field, source)| source.array(field.name()));
    let whole = whole.collect::<Result<Vec<_>>>()?;
    Ok(Some(batch_of(loose, whole, like.num_rows())?.into()))
}

/// A column's arrays, one for each batch; None when it is not what the field says.
fn parts(field: &Field, table: &Table) -> Option<Vec<ArrayRef>> {
    let place = table.schema().index_of(field.name()).ok()?;
    if table.schema().field(place).data_type() != field.data_type() {
        return None;
    }
    let parts: Vec<ArrayRef> = table.batches().iter().map(|batch| batch.column(place).clone()).collect();
    let has_null = parts.iter().any(|part| part.logical_null_count() > 0);
    (field.is_nullable() || !has_null).then_some(parts)
}

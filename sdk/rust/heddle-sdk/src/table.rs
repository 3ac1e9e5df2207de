//! Tables: what a step takes and returns.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::{Field, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::row::{Row, columns_of};
use crate::text::listed;

/// Record batches of one schema.
///
/// A clone and a slice share the memory of the table that they are made from. A table that a step was given may
/// lie in memory that it shares with the engine: it stays as it is for as long as anything refers to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Table {
    /// Batches that have this schema.
    ///
    /// # Errors
    /// When a batch has other columns.
    pub fn new(schema: impl Into<SchemaRef>, batches: Vec<RecordBatch>) -> Result<Self> {
        let schema = schema.into();
        if let Some(other) = batches.iter().find(|batch| batch.schema_ref().fields() != schema.fields()) {
            let message = format!(
                "a batch has the columns {}, the table has {}",
                names(other.schema_ref()),
                names(&schema)
            );
            return Err(Error::contract(message));
        }
        Ok(Self { schema, batches })
    }

    /// A table of named columns of equal length, all of them nullable.
    ///
    /// # Errors
    /// When the columns differ in length.
    pub fn from_columns<N: AsRef<str>>(columns: impl IntoIterator<Item = (N, ArrayRef)>) -> Result<Self> {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?.into())
    }

    /// A table of rows.
    ///
    /// # Errors
    /// When a value does not fit its column.
    pub fn from_rows<R: Row>(rows: Vec<R>) -> Result<Self> {
        let schema = Arc::new(Schema::new(R::fields()));
        let num_rows = rows.len();
        Ok(batch_of(schema, R::into_columns(rows)?, num_rows)?.into())
    }

    /// No rows of these columns.
    #[must_use]
    pub fn empty(schema: impl Into<SchemaRef>) -> Self {
        RecordBatch::new_empty(schema.into()).into()
    }

    /// The columns' names and types.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batches as they arrived.
    #[must_use]
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The number of rows.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The rows as one batch. Copies only when there are several batches.
    ///
    /// # Errors
    /// When the rows do not fit one batch, such as more than 2 GB of text in a column of type `string`.
    pub fn batch(&self) -> Result<RecordBatch> {
        match self.batches.as_slice() {
            [batch] => Ok(batch.clone()),
            batches => Ok(arrow_select::concat::concat_batches(&self.schema, batches)?),
        }
    }

    /// A column by its name, as an array of its own type, such as `Int64Array`. Copies only when there are
    /// several batches.
    ///
    /// # Errors
    /// When there is no such column, or it has another type.
    pub fn column<A: Array + Clone + 'static>(&self, name: &str) -> Result<A> {
        let array = self.array(name)?;
        let typed = crate::value::typed::<A>(array.as_ref());
        typed.cloned().map_err(|error| Error::contract(format!("the column `{name}`: {}", error.message())))
    }

    /// A column by its name, whatever its type. Copies only when there are several batches.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn array(&self, name: &str) -> Result<ArrayRef> {
        let index = index_of(&self.schema, name)?;
        match self.batches.as_slice() {
            [batch] => Ok(batch.column(index).clone()),
            [] => Ok(arrow_array::new_empty_array(self.schema.field(index).data_type())),
            batches => {
                let chunks: Vec<&dyn Array> =
                    batches.iter().map(|batch| batch.column(index).as_ref()).collect();
                Ok(arrow_select::concat::concat(&chunks)?)
            }
        }
    }

    /// The rows as values of `R`; columns that it does not name are left out.
    ///
    /// # Errors
    /// When a column is missing, has another type, or a null where none may be.
    pub fn rows<R: Row>(&self) -> Result<Vec<R>> {
        let mut rows = Vec::with_capacity(self.num_rows());
        for batch in &self.batches {
            rows.append(&mut R::from_columns(&columns_of::<R>(batch)?, batch.num_rows())?);
        }
        Ok(rows)
    }

    /// This table with a column replaced where the name is there, else appended. It is nullable. The others keep
    /// their memory.
    ///
    /// # Errors
    /// When the column has another length.
    pub fn with_column(&self, name: &str, column: ArrayRef) -> Result<Self> {
        if column.len() != self.num_rows() {
            let message =
                format!("the column `{name}` has {} rows, the table has {}", column.len(), self.num_rows());
            return Err(Error::contract(message));
        }
        let field = Arc::new(Field::new(name, column.data_type().clone(), true));
        let place = self.schema.index_of(name).ok();
        let mut fields = self.schema.fields().to_vec();
        replace_or_push(&mut fields, place, field);
        let schema = Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()));
        let mut start = 0;
        let mut batches = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            let mut columns = batch.columns().to_vec();
            replace_or_push(&mut columns, place, column.slice(start, batch.num_rows()));
            batches.push(batch_of(schema.clone(), columns, batch.num_rows())?);
            start += batch.num_rows();
        }
        Ok(Self { schema, batches })
    }

    /// Only these columns, in this order.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn select(&self, names: &[&str]) -> Result<Self> {
        let indices = names.iter().map(|name| index_of(&self.schema, name)).collect::<Result<Vec<_>>>()?;
        let batches = self.batches.iter().map(|batch| batch.project(&indices)).collect::<Result<_, _>>()?;
        Ok(Self { schema: Arc::new(self.schema.project(&indices)?), batches })
    }

    /// The rows where `keep` is true.
    ///
    /// # Errors
    /// When `keep` has another length.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        Ok(arrow_select::filter::filter_record_batch(&self.batch()?, keep)?.into())
    }

    /// The rows with these numbers, in this order; a number may come several times.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn take(&self, rows: &UInt64Array) -> Result<Self> {
        let batch = self.batch()?;
        if batch.num_columns() == 0 {
            return Ok(batch_of(batch.schema(), Vec::new(), rows.len())?.into());
        }
        Ok(arrow_select::take::take_record_batch(&batch, rows)?.into())
    }

    /// `length` rows from row `offset` on, or as many as there are. Shares the memory.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        let mut batches = Vec::new();
        let end = offset.saturating_add(length);
        let mut start = 0;
        for batch in &self.batches {
            let from = offset.clamp(start, start + batch.num_rows());
            let to = end.clamp(start, start + batch.num_rows());
            if from < to {
                batches.push(batch.slice(from - start, to - from));
            }
            start += batch.num_rows();
        }
        Self { schema: self.schema.clone(), batches }
    }
}

impl From<RecordBatch> for Table {
    fn from(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), batches: vec![batch] }
    }
}

/// A batch whose number of rows is known even when it has no column.
pub(crate) fn batch_of(schema: SchemaRef, columns: Vec<ArrayRef>, num_rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(num_rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

pub(crate) fn column_of<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    Ok(batch.column(index_of(batch.schema_ref(), name)?))
}

fn index_of(schema: &Schema, name: &str) -> Result<usize> {
    schema
        .index_of(name)
        .map_err(|_| Error::contract(format!("there is no column `{name}`; the table has {}", names(schema))))
}

fn names(schema: &Schema) -> String {
    listed(schema.fields().iter().map(|field| field.name().as_str()))
}

fn replace_or_push<T>(items: &mut Vec<T>, place: Option<usize>, item: T) {
    match place {
        Some(index) => items[index] = item,
        None => items.push(item),
    }
}

//! Row types: the columns that a step takes and returns.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::type_text::columns_text;
use crate::value::Value;

const TYPE_KEY: &str = "heddle.type";
const UNKNOWN: &str = "unknown";

/// A table's type: its columns in order, and whether there may be more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowType {
    schema: SchemaRef,
    open: bool,
}

impl RowType {
    /// Exactly these columns.
    #[must_use]
    pub fn closed(schema: impl Into<SchemaRef>) -> Self {
        Self { schema: schema.into(), open: false }
    }

    /// These columns, and any others beside them.
    #[must_use]
    pub fn open(schema: impl Into<SchemaRef>) -> Self {
        Self { schema: schema.into(), open: true }
    }

    /// Any columns.
    #[must_use]
    pub fn any() -> Self {
        Self::open(Schema::empty())
    }

    /// The row of a type that derives [`Row`].
    #[must_use]
    pub fn of<R: Row>() -> Self {
        Self { schema: Arc::new(Schema::new(R::fields())), open: R::OPEN }
    }

    /// The named columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether other columns may stand beside the named ones.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }
}

impl fmt::Display for RowType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = columns_text(self.schema.fields());
        let more = match (self.open, columns.is_empty()) {
            (true, true) => "..",
            (true, false) => ", ..",
            (false, _) => "",
        };
        write!(out, "{{{columns}{more}}}")
    }
}

/// A struct whose fields are columns; derive it.
///
/// ```
/// use heddle_sdk::{Row, Table};
///
/// #[derive(Row, Debug, PartialEq)]
/// #[row(open)]
/// struct Order {
///     id: i64,
///     #[row(name = "type")]
///     kind: String,
///     note: Option<String>,
/// }
///
/// let orders = vec![Order { id: 1, kind: "new".into(), note: None }];
/// let table = Table::from_rows(orders)?;
/// assert_eq!(table.rows::<Order>()?[0].kind, "new");
/// # Ok::<(), heddle_sdk::Error>(())
/// ```
///
/// A field's type says the column's type: `i64` is `int`, `f64` `float`, `String` `string`, `bool`, [`Binary`],
/// [`Timestamp`], [`Date`], [`Time`], [`Duration`], [`Decimal`], `Vec<T>` `list<T>`, another row `{…}`,
/// `Option<T>` a nullable column, and [`Unknown`] a column of any type. The narrower numbers of Arrow
/// (`i32`, `u8`, `f32` …) are there too. `#[row(open)]` says that other columns may stand beside these.
///
/// [`Binary`]: crate::Binary
/// [`Timestamp`]: crate::Timestamp
/// [`Date`]: crate::Date
/// [`Time`]: crate::Time
/// [`Duration`]: crate::Duration
/// [`Decimal`]: crate::Decimal
/// [`Unknown`]: crate::Unknown
pub trait Row: Sized {
    /// Whether other columns may stand beside the named ones.
    const OPEN: bool;

    /// The columns.
    fn fields() -> Vec<Field>;

    /// The rows, from columns in the order of [`Row::fields`].
    ///
    /// # Errors
    /// When a column has another type, or a null where none may be.
    fn from_columns(columns: &[ArrayRef], num_rows: usize) -> Result<Vec<Self>>;

    /// The columns, in the order of [`Row::fields`].
    ///
    /// # Errors
    /// When values do not fit their columns.
    fn into_columns(rows: Vec<Self>) -> Result<Vec<ArrayRef>>;
}

/// Whether a field stands for a column whose type the step does not fix.
pub(crate) fn is_unknown(field: &Field) -> bool {
    field.data_type() == &DataType::Null && field.metadata().get(TYPE_KEY).is_some_and(|t| t == UNKNOWN)
}

pub(crate) fn unknown_field(name: &str) -> Field {
    let metadata = HashMap::from([(TYPE_KEY.to_owned(), UNKNOWN.to_owned())]);
    Field::new(name, DataType::Null, true).with_metadata(metadata)
}

/// The columns of a batch that `R` names, in its order.
pub(crate) fn columns_of<R: Row>(batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    R::fields().iter().map(|field| crate::table::column_of(batch, field.name()).cloned()).collect()
}

/// What the derive macro calls.
#[doc(hidden)]
pub mod derive {
    use super::{Array, ArrayRef, Error, Field, Result, Value};

    /// A column's field.
    #[must_use]
    pub fn field<T: Value>(name: &str) -> Field {
        T::field(name)
    }

    /// A column's values; the error names the column.
    pub fn read<T: Value>(columns: &[ArrayRef], index: usize, name: &str) -> Result<std::vec::IntoIter<T>> {
        let values = T::read(columns[index].as_ref())
            .map_err(|error| Error::contract(format!("the column `{name}`: {}", error.message())))?;
        let values: Option<Vec<T>> = values.into_iter().collect();
        let values = values.ok_or_else(|| {
            Error::contract(format!("the column `{name}` has a null, but its type is not an Option"))
        })?;
        Ok(values.into_iter())
    }

    /// A column from values.
    pub fn write<T: Value>(values: Vec<T>) -> Result<ArrayRef> {
        T::array(values.into_iter().map(Some).collect())
    }

    /// The values of a struct column, null where a struct is null.
    pub fn read_struct<R: super::Row>(array: &dyn Array) -> Result<Vec<Option<R>>> {
        let array = crate::value::typed::<arrow_array::StructArray>(array)?;
        let columns: Option<Vec<ArrayRef>> =
            R::fields().iter().map(|field| array.column_by_name(field.name()).cloned()).collect();
        let columns = columns.ok_or_else(|| Error::contract("it lacks a field of its struct"))?;
        let valid: Vec<usize> = (0..array.len()).filter(|&row| array.is_valid(row)).collect();
        if valid.len() == array.len() {
            return Ok(R::from_columns(&columns, array.len())?.into_iter().map(Some).collect());
        }
        let indices = arrow_array::UInt64Array::from_iter_values(valid.iter().map(|&row| row as u64));
        let columns = columns
            .iter()
            .map(|column| arrow_select::take::take(column, &indices, None))
            .collect::<Result<Vec<_>, _>>()?;
        let mut rows = R::from_columns(&columns, valid.len())?.into_iter();
        Ok((0..array.len()).map(|row| array.is_valid(row).then(|| rows.next()).flatten()).collect())
    }

    /// A struct column from values; `filler` is what stands where a struct is null.
    pub fn write_struct<R: super::Row>(values: Vec<Option<R>>) -> Result<ArrayRef> {
        let nulls: arrow_buffer::NullBuffer = values.iter().map(Option::is_some).collect();
        let mut next = 0_u64;
        let places = nulls.iter().map(|valid| {
            let place = next;
            next += u64::from(valid);
            valid.then_some(place)
        });
        let places: arrow_array::UInt64Array = places.collect();
        let columns = R::into_columns(values.into_iter().flatten().collect())?;
        let spread = columns.iter().map(|column| arrow_select::take::take(column, &places, None));
        let columns = spread.collect::<Result<Vec<_>, _>>()?;
        let fields: arrow_schema::Fields = R::fields().into();
        let array = if columns.is_empty() {
            arrow_array::StructArray::new_empty_fields(nulls.len(), Some(nulls))
        } else {
            arrow_array::StructArray::try_new(fields, columns, Some(nulls))?
        };
        Ok(std::sync::Arc::new(array))
    }
}

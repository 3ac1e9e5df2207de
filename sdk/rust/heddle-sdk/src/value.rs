//! The Rust types of column values.

use std::sync::Arc;

use arrow_array::types::Decimal128Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, TimeUnit};

use crate::error::{Error, Result};
use crate::row::unknown_field;
use crate::type_text::type_name;

/// A type whose values a column holds; [`Row`](crate::Row) lists those that there are.
pub trait Value: Sized {
    /// The column with this name.
    fn field(name: &str) -> Field;

    /// A column's values, None where it is null.
    ///
    /// # Errors
    /// When the column has another type.
    fn read(array: &dyn Array) -> Result<Vec<Option<Self>>>;

    /// A column of these values.
    ///
    /// # Errors
    /// When a value does not fit the column.
    fn array(values: Vec<Option<Self>>) -> Result<ArrayRef>;
}

/// Bytes: `binary`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Binary(pub Vec<u8>);

/// Microseconds since 1970 in UTC: `timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// Days since 1970: `date`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(pub i32);

/// Microseconds since midnight: `time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub i64);

/// Microseconds: `duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Duration(pub i64);

/// A number of `P` digits, `S` of them after the point, as a whole number of the last digit:
/// `Decimal::<10, 2>(150)` is 1.50. `P` is at most 38.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decimal<const P: u8, const S: i8>(pub i128);

/// A value of a column whose type the step does not fix: an array of one row.
#[derive(Clone, Debug)]
pub struct Unknown(pub ArrayRef);

/// The array as its own type; the error says which was found.
pub(crate) fn typed<A: Array + 'static>(array: &dyn Array) -> Result<&A> {
    array.as_any().downcast_ref::<A>().ok_or_else(|| {
        let found = type_name(array.data_type(), false);
        let wanted = std::any::type_name::<A>();
        let wanted = wanted.rsplit("::").next().unwrap_or(wanted);
        Error::contract(format!("{found} was found where {wanted} is wanted"))
    })
}

fn checked<'a, A: Array + 'static>(array: &'a dyn Array, wanted: &DataType) -> Result<&'a A> {
    if array.data_type() != wanted {
        let found = type_name(array.data_type(), false);
        let wanted = type_name(wanted, false);
        return Err(Error::contract(format!("{found} was found where {wanted} is wanted")));
    }
    typed(array)
}

macro_rules! value {
    ($rust:ty, $array:ty, $data_type:expr, $wrap:expr, $unwrap:expr) => {
        impl Value for $rust {
            fn field(name: &str) -> Field {
                Field::new(name, $data_type, false)
            }

            fn read(array: &dyn Array) -> Result<Vec<Option<Self>>> {
                let array = checked::<$array>(array, &$data_type)?;
                Ok(array.iter().map(|value| value.map($wrap)).collect())
            }

            fn array(values: Vec<Option<Self>>) -> Result<ArrayRef> {
                let values = values.into_iter().map(|value| value.map($unwrap));
                let array = <$array>::from_iter(values).into_data();
                let array = array.into_builder().data_type($data_type).build()?;
                Ok(arrow_array::make_array(array))
            }
        }
    };
}

macro_rules! number {
    ($rust:ty, $array:ty, $data_type:expr) => {
        value!($rust, $array, $data_type, |value| value, |value| value);
    };
}

number!(i8, Int8Array, DataType::Int8);
number!(i16, Int16Array, DataType::Int16);
number!(i32, Int32Array, DataType::Int32);
number!(i64, Int64Array, DataType::Int64);
number!(u8, UInt8Array, DataType::UInt8);
number!(u16, UInt16Array, DataType::UInt16);
number!(u32, UInt32Array, DataType::UInt32);
number!(u64, UInt64Array, DataType::UInt64);
number!(f32, Float32Array, DataType::Float32);
number!(f64, Float64Array, DataType::Float64);
number!(bool, BooleanArray, DataType::Boolean);
value!(String, StringArray, DataType::Utf8, str::to_owned, |text: String| text);
value!(Binary, BinaryArray, DataType::Binary, |bytes: &[u8]| Binary(bytes.to_vec()), |bytes: Binary| bytes.0);
value!(Date, Date32Array, DataType::Date32, Date, |date: Date| date.0);
value!(
    Timestamp,
    TimestampMicrosecondArray,
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    Timestamp,
    |timestamp: Timestamp| timestamp.0
);
value!(Time, Time64MicrosecondArray, DataType::Time64(TimeUnit::Microsecond), Time, |time: Time| time.0);
value!(
    Duration,
    DurationMicrosecondArray,
    DataType::Duration(TimeUnit::Microsecond),
    Duration,
    |duration: Duration| duration.0
);

impl<const P: u8, const S: i8> Value for Decimal<P, S> {
    fn field(name: &str) -> Field {
        Field::new(name, DataType::Decimal128(P, S), false)
    }

    fn read(array: &dyn Array) -> Result<Vec<Option<Self>>> {
        let array = checked::<Decimal128Array>(array, &DataType::Decimal128(P, S))?;
        Ok(array.iter().map(|value| value.map(Decimal)).collect())
    }

    fn array(values: Vec<Option<Self>>) -> Result<ArrayRef> {
        let values = values.into_iter().map(|value| value.map(|value| value.0));
        let array = arrow_array::PrimitiveArray::<Decimal128Type>::from_iter(values);
        let array = array.with_precision_and_scale(P, S)?;
        array.validate_decimal_precision(P)?;
        Ok(Arc::new(array))
    }
}

impl<T: Value> Value for Option<T> {
    fn field(name: &str) -> Field {
        T::field(name).with_nullable(true)
    }

    fn read(array: &dyn Array) -> Result<Vec<Option<Self>>> {
        Ok(T::read(array)?.into_iter().map(Some).collect())
    }

    fn array(values: Vec<Option<Self>>) -> Result<ArrayRef> {
        T::array(values.into_iter().map(Option::flatten).collect())
    }
}

impl<T: Value> Value for Vec<T> {
    fn field(name: &str) -> Field {
        Field::new(name, DataType::List(Arc::new(T::field("item"))), false)
    }

    fn read(array: &dyn Array) -> Result<Vec<Option<Self>>> {
        let array = typed::<ListArray>(array)?;
        (0..array.len())
            .map(|row| {
                if array.is_null(row) {
                    return Ok(None);
                }
                let items: Option<Vec<T>> = T::read(array.value(row).as_ref())?.into_iter().collect();
                items.map(Some).ok_or_else(|| Error::contract("a list has a null item"))
            })
            .collect()
    }

    fn array(values: Vec<Option<Self>>) -> Result<ArrayRef> {
        let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
        let lengths = values.iter().map(|list| list.as_ref().map_or(0, Vec::len));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let items = T::array(values.into_iter().flatten().flatten().map(Some).collect())?;
        let item = Arc::new(T::field("item"));
        Ok(Arc::new(ListArray::try_new(item, offsets, items, Some(nulls))?))
    }
}

impl Value for Unknown {
    fn field(name: &str) -> Field {
        unknown_field(name)
    }

    fn read(array: &dyn Array) -> Result<Vec<Option<Self>>> {
        Ok((0..array.len()).map(|row| Some(Unknown(array.slice(row, 1)))).collect())
    }

    fn array(values: Vec<Option<Self>>) -> Result<ArrayRef> {
        let parts: Vec<ArrayRef> = values.into_iter().flatten().map(|value| value.0).collect();
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        if parts.is_empty() {
            return Ok(arrow_array::new_empty_array(&DataType::Null));
        }
        Ok(arrow_select::concat::concat(&parts)?)
    }
}

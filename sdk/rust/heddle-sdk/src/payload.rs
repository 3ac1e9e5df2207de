//! Tables as Arrow IPC streams: measured, written straight into memory, read in place.

use std::io;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::{Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::table::Table;
use crate::trace::guarded;

/// A table ready to be written: pieces of memory that follow one another, most of them the table's own.
pub(crate) struct Payload {
    pieces: Vec<Buffer>,
    size_bytes: usize,
}

impl Payload {
    /// At least one batch is written, so that an empty table is one without rows.
    pub fn of(schema: &Schema, batches: &[RecordBatch]) -> Result<Self> {
        let mut encoder = StreamEncoder::try_new(schema)?;
        let mut pieces = Vec::new();
        for batch in batches {
            pieces.append(&mut encoder.encode(batch)?);
        }
        if batches.is_empty() {
            pieces.append(&mut encoder.encode(&RecordBatch::new_empty(SchemaRef::new(schema.clone())))?);
        }
        pieces.append(&mut encoder.finish()?);
        let size_bytes = pieces.iter().map(Buffer::len).sum();
        Ok(Self { pieces, size_bytes })
    }

    /// Exactly what `write` fills.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Copies the pieces to where they are wanted.
    pub fn write(&self, target: &mut impl io::Write) -> io::Result<()> {
        self.pieces.iter().try_for_each(|piece| target.write_all(piece))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size_bytes);
        for piece in &self.pieces {
            bytes.extend_from_slice(piece);
        }
        bytes
    }
}

/// The table of a stream, in place: its buffers are slices of `data`. All of it is checked, so that no bytes can
/// make what is unsound.
pub(crate) fn read(mut data: Buffer) -> Result<Table> {
    let read = || -> Result<Table> {
        let mut decoder = StreamDecoder::new();
        let mut batches = Vec::new();
        while !data.is_empty() {
            batches.extend(decoder.decode(&mut data)?);
        }
        decoder.finish()?;
        let schema = decoder.schema().ok_or_else(|| Error::protocol("there is no schema"))?;
        Table::new(schema, batches)
    };
    guarded(read).map_err(unreadable)
}

/// An IPC stream that holds a schema and no batch.
pub(crate) fn schema_to_bytes(schema: &Schema) -> Vec<u8> {
    let pieces = StreamEncoder::try_new(schema).and_then(StreamEncoder::finish).unwrap_or_default();
    pieces.iter().flat_map(|piece| piece.as_slice().iter().copied()).collect()
}

/// The schema of an IPC stream.
pub(crate) fn schema_from_bytes(bytes: &[u8]) -> Result<SchemaRef> {
    let mut data = Buffer::from(bytes);
    let read = || -> Result<SchemaRef> {
        let mut decoder = StreamDecoder::new();
        while !data.is_empty() && decoder.schema().is_none() {
            decoder.decode(&mut data)?;
        }
        decoder.schema().ok_or_else(|| Error::protocol("there is no schema"))
    };
    guarded(read).map_err(unreadable)
}

fn unreadable(error: Error) -> Error {
    Error::protocol(format!("no Arrow stream could be read ({})", error.message()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Array, Int64Array, RecordBatchOptions, StringArray};

    use super::*;

    fn table() -> Table {
        let numbers = Int64Array::from_iter(0..1000);
        let texts = StringArray::from_iter((0..1000).map(|i| (i % 3 > 0).then(|| format!("text {i}"))));
        Table::from_columns([("n", Arc::new(numbers) as _), ("t", Arc::new(texts) as _)]).unwrap()
    }

    fn bytes_of(table: &Table) -> Vec<u8> {
        Payload::of(table.schema(), table.batches()).unwrap().to_bytes()
    }

    #[test]
    fn tables_come_back_equal() {
        let table = table();
        for given in
            [table.clone(), table.slice(7, 500), table.slice(3, 0), Table::empty(table.schema().clone())]
        {
            let found = read(Buffer::from_vec(bytes_of(&given))).unwrap();
            assert_eq!(found.num_rows(), given.num_rows());
            assert_eq!(found.batch().unwrap(), given.batch().unwrap());
        }
    }

    #[test]
    fn rows_without_columns_are_counted() {
        let options = RecordBatchOptions::new().with_row_count(Some(5));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        assert_eq!(read(Buffer::from_vec(bytes_of(&batch.into()))).unwrap().num_rows(), 5);
    }

    #[test]
    fn reading_copies_nothing() {
        let data = Buffer::from_vec(bytes_of(&table()));
        let memory = data.as_ptr_range();
        let read = read(data.clone()).unwrap();
        for column in read.batches()[0].columns() {
            for buffer in column.to_data().buffers() {
                assert!(memory.contains(&buffer.as_ptr()));
            }
        }
    }

    #[test]
    fn the_pieces_are_the_tables_own_memory() {
        let table = table();
        let payload = Payload::of(table.schema(), table.batches()).unwrap();
        let column = table.batches()[0].column(0).to_data();
        assert!(payload.pieces.iter().any(|piece| piece.as_ptr() == column.buffers()[0].as_ptr()));
    }

    #[test]
    fn broken_streams_are_refused() {
        let bytes = bytes_of(&table());
        for end in (0..bytes.len() - 8).step_by(97) {
            assert!(read(Buffer::from(&bytes[..end])).is_err() || end == 0, "cut at {end}");
        }
        for at in (0..bytes.len()).step_by(13) {
            let mut broken = bytes.clone();
            broken[at] ^= 0xFF;
            let _ = read(Buffer::from_vec(broken));
        }
    }
}

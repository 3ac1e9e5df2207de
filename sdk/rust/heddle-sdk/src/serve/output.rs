//! The way of an output's rows to the engine: inline when they are few, else in a segment that the engine grants.

use std::io;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_data::ArrayData;
use arrow_schema::{Field, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::payload::Payload;
use crate::serve::Host;
use crate::serve::frames::FrameReader;
use crate::serve::lane::{LaneOut, Stop};
use crate::table::{Table, batch_of};
use crate::type_text::columns_text;
use crate::wire;
use crate::wire::batch::Place;
use crate::wire::engine_frame::Kind as Received;
use crate::wire::plugin_frame::Kind as Sent;

/// Room in a frame for what stands beside a payload.
const FRAME_SLACK_BYTES: usize = 64 << 10;

/// Sends the batches of one call.
pub(crate) struct OutputSender<'a> {
    host: &'a Host,
    reader: &'a mut FrameReader,
    out: &'a Arc<LaneOut>,
    grant: Option<wire::Segment>,
    /// The schema of the first table, which the others share.
    schema: Option<SchemaRef>,
}

impl<'a> OutputSender<'a> {
    pub fn new(
        host: &'a Host,
        reader: &'a mut FrameReader,
        out: &'a Arc<LaneOut>,
        grant: Option<wire::Segment>,
    ) -> Self {
        Self { host, reader, out, grant, schema: None }
    }

    /// Sends a table as one batch, without the columns that are those of `input`. Where memory is short it may be
    /// several batches.
    pub fn send(&mut self, table: &Table, input: Option<&Table>) -> Result<(), Stop> {
        self.check_schema(table.schema())?;
        let untouched = input.map(|input| untouched(table, input)).unwrap_or_default();
        let payload = changed_columns(table, &untouched)?;
        let place = if payload.size_bytes() <= self.host.limits.inline_bytes_max() {
            Some(Place::Inline(payload.to_bytes()))
        } else {
            let segment = self.segment(payload.size_bytes())?;
            let slice = segment.map(|segment| self.host.segments.output(&segment, &payload)).transpose()?;
            slice.map(Place::Slice)
        };
        let fits_inline = payload.size_bytes() <= self.inline_bytes_at_most();
        match place.or_else(|| fits_inline.then(|| Place::Inline(payload.to_bytes()))) {
            Some(place) => self.out.push(Sent::Batch(wire::Batch { place: Some(place), columns: untouched })),
            None => self.send_cut(table)?,
        }
        Ok(())
    }

    fn check_schema(&mut self, schema: &SchemaRef) -> Result<()> {
        let first = self.schema.get_or_insert_with(|| schema.clone()).fields();
        let fields = schema.fields();
        let same =
            |(a, b): (&Arc<Field>, &Arc<Field>)| a.name() == b.name() && a.data_type() == b.data_type();
        if first.len() == fields.len() && first.iter().zip(fields).all(same) {
            return Ok(());
        }
        Err(Error::contract(format!(
            "one table has the columns {{{}}}, an earlier one of the same call {{{}}}; return the same columns each time",
            columns_text(fields),
            columns_text(first)
        )))
    }

    /// A granted segment of at least this size; None when there is no memory.
    fn segment(&mut self, size_bytes: usize) -> Result<Option<wire::Segment>, Stop> {
        let large_enough = |segment: &wire::Segment| segment.size_bytes >= size_bytes as u64;
        if let Some(segment) = self.grant.take().filter(large_enough) {
            return Ok(Some(segment));
        }
        self.out.push(Sent::Need(wire::Need { size_bytes: size_bytes as u64 }));
        self.out.flush()?;
        match self.reader.next()? {
            Some(Received::Grant(grant)) => Ok(grant.segment.filter(large_enough)),
            Some(_) => Err(Stop::Lane(io::Error::other("a frame that is no answer to a Need"))),
            None => Err(Stop::Lane(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Sends a table inline, in as many batches as its size needs.
    fn send_cut(&mut self, table: &Table) -> Result<(), Stop> {
        let payload = Payload::of(table.schema(), table.batches())?;
        if payload.size_bytes() <= self.inline_bytes_at_most() {
            let place = Some(Place::Inline(payload.to_bytes()));
            self.out.push(Sent::Batch(wire::Batch { place, columns: Vec::new() }));
            return Ok(self.out.flush()?);
        }
        let rows = table.num_rows();
        if rows < 2 {
            let size = payload.size_bytes();
            let message = format!("the engine has no shared memory left for a row of {size} bytes");
            return Err(Error::new("OutOfMemory", message).transient().into());
        }
        drop(payload);
        self.send_cut(&table.slice(0, rows / 2))?;
        self.send_cut(&table.slice(rows / 2, rows))
    }

    fn inline_bytes_at_most(&self) -> usize {
        self.host.limits.frame_bytes_max().saturating_sub(FRAME_SLACK_BYTES)
    }
}

/// Where each column of the output comes from, in the numbers of `Batch.columns`; empty when none is the input's.
fn untouched(output: &Table, input: &Table) -> Vec<i32> {
    let same_rows = |(a, b): (&RecordBatch, &RecordBatch)| a.num_rows() == b.num_rows();
    let comparable = output.batches().len() == input.batches().len()
        && output.batches().iter().zip(input.batches()).all(same_rows);
    if !comparable {
        return Vec::new();
    }
    let mut sent = 0;
    let mut sources = Vec::with_capacity(output.schema().fields().len());
    for (index, field) in output.schema().fields().iter().enumerate() {
        let at_same_place =
            input.schema().fields().get(index).is_some_and(|other| other.name() == field.name());
        let place = if at_same_place { Some(index) } else { input.schema().index_of(field.name()).ok() };
        match place.filter(|&place| is_same_column(output, index, input, place)) {
            Some(place) => sources.push(-1 - place as i32),
            None => {
                sources.push(sent);
                sent += 1;
            }
        }
    }
    if sent as usize == sources.len() { Vec::new() } else { sources }
}

fn is_same_column(output: &Table, index: usize, input: &Table, place: usize) -> bool {
    output
        .batches()
        .iter()
        .zip(input.batches())
        .all(|(a, b)| is_same_memory(a.column(index), b.column(place)))
}

pub(crate) fn is_same_memory(a: &ArrayRef, b: &ArrayRef) -> bool {
    Arc::ptr_eq(a, b) || (a.data_type() == b.data_type() && ArrayData::ptr_eq(&a.to_data(), &b.to_data()))
}

/// The columns that must be sent, as batches of the output's lengths.
fn changed_columns(table: &Table, untouched: &[i32]) -> Result<Payload> {
    if untouched.is_empty() {
        return Payload::of(table.schema(), table.batches());
    }
    let changed: Vec<usize> = (0..untouched.len()).filter(|&index| untouched[index] >= 0).collect();
    let fields: Vec<_> = changed.iter().map(|&index| table.schema().fields()[index].clone()).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let batches = table.batches().iter().map(|batch| {
        let columns = changed.iter().map(|&index| batch.column(index).clone()).collect();
        batch_of(schema.clone(), columns, batch.num_rows())
    });
    Payload::of(&schema, &batches.collect::<Result<Vec<_>>>()?)
}

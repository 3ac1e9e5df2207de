//! Shared memory of the engine: mapped once per segment, kept until nothing refers to it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, OpenOptions};
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_buffer::Buffer;
use memmap2::{Mmap, MmapMut};

use crate::error::{Error, Result};
use crate::payload::Payload;
use crate::wire;

/// The segments that this process has mapped. A segment may be mapped twice: to read and to write.
#[derive(Default)]
pub(crate) struct Segments {
    inputs: Mutex<HashMap<u64, Arc<Mmap>>>,
    outputs: Mutex<HashMap<u64, Arc<Mutex<MmapMut>>>>,
}

/// The ids of segments of inputs that nothing refers to any more, for the next frame of a lane.
#[derive(Default)]
pub(crate) struct Released(Mutex<Vec<u64>>);

/// Keeps a mapping alive for the buffers that lie in it; the last of them gives the segment back.
struct Hold {
    _mapping: Arc<Mmap>,
    segment_id: u64,
    released: Arc<Released>,
}

impl Segments {
    /// The bytes of a slice, in place. The segment is given back through `released` when the last buffer that
    /// refers to it is dropped, or at once if it cannot be mapped.
    pub fn input(&self, slice: &wire::Slice, released: &Arc<Released>) -> Result<Buffer> {
        let segment = slice.segment.as_ref().ok_or_else(|| Error::protocol("a slice without a segment"))?;
        self.mapped_input(slice, segment, released).inspect_err(|_| released.push(segment.id))
    }

    fn mapped_input(
        &self,
        slice: &wire::Slice,
        segment: &wire::Segment,
        released: &Arc<Released>,
    ) -> Result<Buffer> {
        let mapping = mapped(&self.inputs, segment, |segment| {
            // SAFETY: the engine changes a slice only after this process has released it, which it does when no
            // buffer refers to it any more; nobody truncates a segment.
            File::open(&segment.path).and_then(|file| unsafe { Mmap::map(&file) }).map(Arc::new)
        })?;
        let (offset, length) = within(slice, mapping.len())?;
        let bytes = &mapping[offset..offset + length];
        let start = NonNull::from(bytes).cast();
        let hold = Hold { segment_id: segment.id, released: released.clone(), _mapping: mapping };
        // SAFETY: the bytes are inside of the mapping, which `hold` keeps.
        Ok(unsafe { Buffer::from_custom_allocation(start, length, Arc::new(hold)) })
    }

    /// Writes a payload to the begin of a granted segment.
    pub fn output(&self, segment: &wire::Segment, payload: &Payload) -> Result<wire::Slice> {
        let mapping = mapped(&self.outputs, segment, |segment| {
            let file = OpenOptions::new().read(true).write(true).open(&segment.path)?;
            // SAFETY: as long as the grant lasts, this process is the only one that touches the segment.
            let mapping = unsafe { MmapMut::map_mut(&file)? };
            Ok(Arc::new(Mutex::new(mapping)))
        })?;
        let mut mapping = locked(&mapping);
        payload.write(&mut &mut mapping[..])?;
        Ok(wire::Slice { segment: Some(segment.clone()), offset: 0, length: payload.size_bytes() as u64 })
    }

    /// Forgets segments that are gone. A mapping ends when nothing refers to it any more.
    pub fn forget(&self, ids: &[u64]) {
        for id in ids {
            locked(&self.inputs).remove(id);
            locked(&self.outputs).remove(id);
        }
    }
}

impl Released {
    pub fn push(&self, segment_id: u64) {
        locked(&self.0).push(segment_id);
    }

    pub fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *locked(&self.0))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.released.push(self.segment_id);
    }
}

fn mapped<M: Clone>(
    cache: &Mutex<HashMap<u64, M>>,
    segment: &wire::Segment,
    map: impl FnOnce(&wire::Segment) -> io::Result<M>,
) -> Result<M> {
    match locked(cache).entry(segment.id) {
        Entry::Occupied(entry) => Ok(entry.get().clone()),
        Entry::Vacant(entry) => {
            let checked = is_whole(segment).and_then(|()| map(segment));
            let mapping = checked.map_err(|error| {
                Error::protocol(format!(
                    "segment {} at {} cannot be mapped: {error}",
                    segment.id, segment.path
                ))
            })?;
            Ok(entry.insert(mapping).clone())
        }
    }
}

/// A file that is shorter than its mapping would end the process where it is read.
fn is_whole(segment: &wire::Segment) -> io::Result<()> {
    let found = std::fs::metadata(&segment.path)?.len();
    if found < segment.size_bytes {
        return Err(io::Error::other(format!("it has {found} bytes, not {}", segment.size_bytes)));
    }
    Ok(())
}

fn within(slice: &wire::Slice, mapped_bytes: usize) -> Result<(usize, usize)> {
    let (offset, length) = (slice.offset as usize, slice.length as usize);
    match offset.checked_add(length) {
        Some(end) if end <= mapped_bytes => Ok((offset, length)),
        _ => Err(Error::protocol(format!(
            "a slice of {length} bytes at {offset} is not inside of a segment of {mapped_bytes} bytes"
        ))),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use arrow_array::{Array, Int64Array};

    use super::*;
    use crate::payload;
    use crate::table::Table;

    /// A segment in a file that is removed with it.
    struct Memory(wire::Segment);

    impl Memory {
        fn with(id: u64, bytes: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("heddle-sdk-segment-{}-{id}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            let path = path.to_str().unwrap().to_owned();
            Self(wire::Segment { id, path, size_bytes: bytes.len() as u64 })
        }

        fn slice(&self, offset: u64) -> wire::Slice {
            wire::Slice { segment: Some(self.0.clone()), offset, length: self.0.size_bytes - offset }
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0.path);
        }
    }

    fn numbers() -> Table {
        let numbers = Int64Array::from_iter_values(0..10_000);
        Table::from_columns([("x", Arc::new(numbers) as _)]).unwrap()
    }

    fn payload() -> Payload {
        let numbers = numbers();
        Payload::of(numbers.schema(), numbers.batches()).unwrap()
    }

    fn mapping(segments: &Segments, id: u64) -> Range<*const u8> {
        locked(&segments.inputs)[&id].as_ptr_range()
    }

    #[test]
    fn tables_are_read_in_place_and_given_back_with_their_last_slice() {
        let (segments, released) = (Segments::default(), Arc::new(Released::default()));
        let memory = Memory::with(1, &[vec![0; 64], payload().to_bytes()].concat());
        let table = payload::read(segments.input(&memory.slice(64), &released).unwrap()).unwrap();
        assert_eq!(table, numbers());
        let column = table.batches()[0].column(0).to_data();
        assert!(mapping(&segments, 1).contains(&column.buffers()[0].as_ptr()), "not copied");

        drop(column);
        let kept = table.slice(9_990, 5);
        drop(table);
        assert!(released.take().is_empty(), "a slice refers to it");
        segments.forget(&[1]);
        assert_eq!(kept.column::<Int64Array>("x").unwrap().value(0), 9_990, "still mapped");
        drop(kept);
        assert_eq!(released.take(), [1]);
    }

    #[test]
    fn a_segment_is_mapped_once() {
        let (segments, released) = (Segments::default(), Arc::new(Released::default()));
        let memory = Memory::with(2, &payload().to_bytes());
        drop(segments.input(&memory.slice(0), &released).unwrap());
        let first = mapping(&segments, 2);
        drop(segments.input(&memory.slice(0), &released).unwrap());
        assert_eq!(mapping(&segments, 2), first);
        assert_eq!(released.take(), [2, 2]);
    }

    #[test]
    fn payloads_are_written_into_granted_segments() {
        let segments = Segments::default();
        let memory = Memory::with(3, &vec![0; 1 << 20]);
        let slice = segments.output(&memory.0, &payload()).unwrap();
        let written = std::fs::read(&memory.0.path).unwrap();
        let table = payload::read(Buffer::from(&written[..slice.length as usize])).unwrap();
        assert_eq!(table, numbers());
    }
}

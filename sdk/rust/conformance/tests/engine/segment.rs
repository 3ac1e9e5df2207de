//! Memory that the engine shares.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heddle_sdk::wire;
use memmap2::MmapMut;

pub struct SharedMemory {
    pub id: u64,
    pub path: PathBuf,
    pub memory: MmapMut,
}

impl SharedMemory {
    pub fn new(size_bytes: usize) -> Arc<Self> {
        Arc::new(Self::make(size_bytes))
    }

    /// Memory that holds these bytes at this offset.
    pub fn with(offset: usize, bytes: &[u8]) -> Arc<Self> {
        let mut memory = Self::make(offset + bytes.len());
        memory.memory[offset..].copy_from_slice(bytes);
        Arc::new(memory)
    }

    fn make(size_bytes: usize) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let id = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("heddle-segment-{}-{id}", process::id()));
        let file: File = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(size_bytes as u64).unwrap();
        // SAFETY: the file is this test's own.
        let memory = unsafe { MmapMut::map_mut(&file).unwrap() };
        Self { id, path, memory }
    }

    pub fn segment(&self) -> wire::Segment {
        wire::Segment {
            id: self.id,
            path: self.path.to_str().unwrap().to_owned(),
            size_bytes: self.memory.len() as u64,
        }
    }

    /// A batch whose rows are in this memory from `offset` on.
    pub fn batch(&self, offset: usize) -> wire::Batch {
        let slice = wire::Slice {
            segment: Some(self.segment()),
            offset: offset as u64,
            length: (self.memory.len() - offset) as u64,
        };
        wire::Batch { place: Some(wire::batch::Place::Slice(slice)), columns: Vec::new() }
    }

    pub fn bytes(&self, slice: &wire::Slice) -> &[u8] {
        &self.memory[slice.offset as usize..(slice.offset + slice.length) as usize]
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

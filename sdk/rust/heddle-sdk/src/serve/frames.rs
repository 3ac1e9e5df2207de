//! Frames on a lane: a `uint32` (little endian) with the length of the protobuf message that follows.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use prost::Message;

use crate::wire;

const PREFIX_BYTES: usize = 4;
const READ_BYTES: usize = 64 << 10;
/// A buffer that had to grow beyond this is given back after its frame.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Reads the engine's frames.
pub(crate) struct FrameReader {
    connection: Arc<UnixStream>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    frame_bytes_max: usize,
}

impl FrameReader {
    pub fn new(connection: Arc<UnixStream>, frame_bytes_max: usize) -> Self {
        Self { connection, buffer: vec![0; READ_BYTES], start: 0, end: 0, frame_bytes_max }
    }

    /// The next frame; None when the engine closed the lane. An error is the end of the lane too.
    pub fn next(&mut self) -> io::Result<Option<wire::engine_frame::Kind>> {
        if !self.fill(PREFIX_BYTES)? {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX_BYTES];
        prefix.copy_from_slice(&self.buffer[self.start..self.start + PREFIX_BYTES]);
        let length = u32::from_le_bytes(prefix) as usize;
        if length > self.frame_bytes_max {
            return Err(io::Error::other(format!("a frame of {length} bytes was announced")));
        }
        self.start += PREFIX_BYTES;
        if !self.fill(length)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let frame = wire::EngineFrame::decode(&self.buffer[self.start..self.start + length]);
        self.start += length;
        if self.start == self.end && self.buffer.len() > KEPT_BYTES_MAX {
            (self.buffer, self.start, self.end) = (vec![0; READ_BYTES], 0, 0);
        }
        let frame = frame.map_err(io::Error::other)?;
        frame.kind.map(Some).ok_or_else(|| io::Error::other("an empty frame"))
    }

    /// Whether `size` bytes are there, after reading what is missing.
    fn fill(&mut self, size: usize) -> io::Result<bool> {
        if self.end - self.start >= size {
            return Ok(true);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
        while self.end < size {
            match (&*self.connection).read(&mut self.buffer[self.end..]) {
                Ok(0) if self.end == 0 => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Writes the plugin's frames. Frames are kept until one is sent with `flush`.
pub(crate) struct FrameWriter {
    connection: Arc<UnixStream>,
    buffer: Vec<u8>,
}

impl FrameWriter {
    pub fn new(connection: Arc<UnixStream>) -> Self {
        Self { connection, buffer: Vec::with_capacity(READ_BYTES) }
    }

    pub fn push(&mut self, frame: &wire::PluginFrame) {
        let length = u32::try_from(frame.encoded_len()).expect("a frame is far below 4 GB");
        self.buffer.extend_from_slice(&length.to_le_bytes());
        frame.encode(&mut self.buffer).expect("a Vec grows as needed");
    }

    pub fn flush(&mut self) -> io::Result<()> {
        let written = (&*self.connection).write_all(&self.buffer);
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES_MAX);
        written
    }
}

//! A lane: a connection that carries one call after the other, served by a thread of its own.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow_buffer::Buffer;

use crate::call::{CallCore, Context, Events};
use crate::cancellation::Cancellation;
use crate::error::{Error, Result};
use crate::payload;
use crate::serve::Host;
use crate::serve::bindings::Binding;
use crate::serve::frames::{FrameReader, FrameWriter};
use crate::serve::output::OutputSender;
use crate::serve::segments::Released;
use crate::serve::watch::Current;
use crate::step::Output;
use crate::table::Table;
use crate::trace::guarded;
use crate::wire;
use crate::wire::engine_frame::Kind as Received;
use crate::wire::plugin_frame::Kind as Sent;

/// Serves a connection until the engine closes it, or sends what is no frame.
pub(crate) fn serve(host: &Arc<Host>, connection: UnixStream) {
    let connection = Arc::new(connection);
    let current = Arc::new(Current::default());
    host.watch.add(connection.clone(), current.clone());
    let released = Arc::new(Released::default());
    let writer = FrameWriter::new(connection.clone());
    let mut lane = Lane {
        host: host.clone(),
        reader: FrameReader::new(connection.clone(), host.limits.frame_bytes_max()),
        out: Arc::new(LaneOut {
            released,
            state: Mutex::new(OutState { writer, call_id: None, error: None }),
        }),
        current,
        done: 0,
    };
    match catch_unwind(AssertUnwindSafe(|| lane.run())) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("heddle: a lane ended: {error}"),
        Err(_) => eprintln!("heddle: a lane ended with a panic"),
    }
    let _ = connection.shutdown(Shutdown::Both);
}

struct Lane {
    host: Arc<Host>,
    reader: FrameReader,
    out: Arc<LaneOut>,
    current: Arc<Current>,
    /// So many steps of the chain that is under way did what their links say.
    done: u32,
}

/// The way out of a lane, which other threads of user code share.
pub(crate) struct LaneOut {
    released: Arc<Released>,
    state: Mutex<OutState>,
}

struct OutState {
    writer: FrameWriter,
    /// The call that is under way; without one no events can be sent.
    call_id: Option<u64>,
    /// What broke when an event was sent.
    error: Option<io::Error>,
}

/// Why a call did not go on.
pub(crate) enum Stop {
    /// It failed; the lane goes on.
    Call(Error),
    /// The lane is unusable.
    Lane(io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Lane(error)
    }
}

impl Lane {
    fn run(&mut self) -> io::Result<()> {
        while let Some(frame) = self.reader.next()? {
            match frame {
                Received::Call(call) => self.call(call)?,
                _ => return Err(io::Error::other("a frame outside of a call")),
            }
        }
        Ok(())
    }

    fn call(&mut self, mut call: wire::Call) -> io::Result<()> {
        let begin = Instant::now();
        self.host.segments.forget(&call.forgotten);
        let under_way = self.host.calls.begin(call.call_id);
        self.current.set(under_way.as_ref().ok().map(|call| call.cancellation.clone()));
        self.done = 0;
        let batches = self.input_frames(&mut call)?;
        self.out.begin(call.call_id);
        let result = match &under_way {
            Ok(under_way) if !call.followers.is_empty() => {
                self.chain(call, &batches, &under_way.cancellation, begin)
            }
            Ok(under_way) => self.answer(call, &batches, &under_way.cancellation, begin),
            Err(_) => self.give_back(&batches),
        };
        self.current.set(None);
        let result = match (result, &under_way) {
            (Err(Stop::Lane(error)), _) => return Err(error),
            (Err(Stop::Call(error)), Ok(call)) if call.cancellation.is_cancelled() => {
                self.done = 0;
                Err(error.of_cancelled_call())
            }
            (Err(Stop::Call(error)), _) => Err(error),
            (Ok(()), _) => Ok(()),
        };
        let refused = under_way.as_ref().err().map(|error| Error::protocol(error.message()));
        self.out.end(refused.map_or(result, Err), self.done)
    }

    /// All batches of the call's input.
    fn input_frames(&mut self, call: &mut wire::Call) -> io::Result<Vec<wire::Batch>> {
        let mut batches: Vec<wire::Batch> = call.batch.take().into_iter().collect();
        if !call.has_input || call.end {
            return Ok(batches);
        }
        loop {
            match self.reader.next()? {
                Some(Received::Batch(batch)) => batches.push(batch),
                Some(Received::End(_)) => return Ok(batches),
                Some(_) => return Err(io::Error::other("a frame that is no part of a call's input")),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Runs the step and sends what it returns. When this is over, nothing of the SDK refers to the input.
    fn answer(
        &mut self,
        call: wire::Call,
        batches: &[wire::Batch],
        cancellation: &Cancellation,
        begin: Instant,
    ) -> Result<(), Stop> {
        let input = self.input(call.has_input, batches)?;
        let binding = self.host.bindings.get(call.binding_id)?;
        let (_uses, resources) = binding.enter()?;
        let definition = binding.step.definition();
        let core = Arc::new(CallCore {
            step: definition.name.clone(),
            rows: definition.rows,
            input_rows: input.as_ref().map_or(0, |table| table.num_rows() as u64),
            context: context(call.context.unwrap_or_default()),
            begin,
            base: binding.base.clone(),
            cancellation: cancellation.clone(),
            resources,
            events: Arc::new(LaneEvents { out: self.out.clone(), call_id: call.call_id, member: 0 }),
            violation: Mutex::default(),
        });
        let comparable = input.clone().filter(|_| batches.len() == 1);
        let output = binding.bound.run(input, &core)?;
        cancellation.check()?;
        let grant = call.grant.and_then(|grant| grant.segment);
        let mut sender = OutputSender::new(&self.host, &mut self.reader, &self.out, grant);
        match output {
            Output::Nothing => Ok(()),
            Output::Table(table) => sender.send(&table, comparable.as_ref()),
            Output::Stream(mut tables) => {
                while let Some(table) = guarded(|| tables.next().transpose())? {
                    core.checked(Ok(()))?;
                    sender.send(&table, None)?;
                    self.out.flush()?;
                    cancellation.check()?;
                }
                Ok(())
            }
        }
    }

    /// Runs the steps of a chain and sends the table behind the last that did what its link says. An error is that
    /// of the step behind them.
    fn chain(
        &mut self,
        call: wire::Call,
        batches: &[wire::Batch],
        cancellation: &Cancellation,
        begin: Instant,
    ) -> Result<(), Stop> {
        let Some(input) = self.input(call.has_input, batches)? else {
            return Err(Error::protocol("a chain came without an input").into());
        };
        let first = call.context.unwrap_or_default();
        let mut members = vec![(self.host.bindings.get(call.binding_id)?, first.clone())];
        for follower in call.followers {
            let wire::Follower { binding_id, step, idempotency_key } = follower;
            let told = wire::Context { step, idempotency_key, ..first.clone() };
            members.push((self.host.bindings.get(binding_id)?, told));
        }
        let comparable = (batches.len() == 1).then(|| input.clone());
        let (mut table, mut done, mut failure) = (input, 0, None);
        for (number, (binding, told)) in members.into_iter().enumerate() {
            let events = LaneEvents { out: self.out.clone(), call_id: call.call_id, member: number as u32 };
            let told = Told { context: told, cancellation, begin, events };
            match behind(&binding, &table, told) {
                Ok(Some(behind)) => (table, done) = (behind, number as u32 + 1),
                Ok(None) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
            if table.num_rows() == 0 {
                break;
            }
        }
        cancellation.check()?;
        if done > 0 {
            let grant = call.grant.and_then(|grant| grant.segment);
            OutputSender::new(&self.host, &mut self.reader, &self.out, grant)
                .send(&table, comparable.as_ref())?;
        }
        self.done = done;
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    fn input(&self, has_input: bool, batches: &[wire::Batch]) -> Result<Option<Table>> {
        if !has_input {
            return Ok(None);
        }
        let bytes: Vec<Result<Buffer>> = batches.iter().map(|batch| self.bytes(batch)).collect();
        let tables = bytes.into_iter().map(|bytes| payload::read(bytes?)).collect::<Result<Vec<_>>>()?;
        let Some(first) = tables.first() else {
            return Err(Error::protocol("the call has an input without a batch"));
        };
        if tables.len() == 1 {
            return Ok(tables.into_iter().next());
        }
        let schema = first.schema().clone();
        let all = tables.iter().flat_map(|table| table.batches().iter().cloned()).collect();
        let joined = Table::new(schema, all);
        joined.map(Some).map_err(|error| Error::protocol(error.message()))
    }

    fn bytes(&self, batch: &wire::Batch) -> Result<Buffer> {
        match &batch.place {
            Some(wire::batch::Place::Inline(bytes)) => Ok(Buffer::from(bytes.as_slice())),
            Some(wire::batch::Place::Slice(slice)) => self.host.segments.input(slice, &self.out.released),
            None => Err(Error::protocol("a batch without rows and without a slice")),
        }
    }

    /// Gives the segments of an input back that no step reads.
    fn give_back(&self, batches: &[wire::Batch]) -> Result<(), Stop> {
        for batch in batches {
            if let Some(wire::batch::Place::Slice(wire::Slice { segment: Some(segment), .. })) = &batch.place
            {
                self.out.released.push(segment.id);
            }
        }
        Ok(())
    }
}

impl LaneOut {
    /// Adds a frame to those that are sent with the next `flush`.
    pub fn push(&self, kind: Sent) {
        self.locked().writer.push(&self.frame(kind, 0));
    }

    pub fn flush(&self) -> io::Result<()> {
        let mut state = self.locked();
        match state.error.take() {
            Some(error) => Err(error),
            None => state.writer.flush(),
        }
    }

    fn begin(&self, call_id: u64) {
        self.locked().call_id = Some(call_id);
    }

    fn end(&self, result: Result<()>, done: u32) -> io::Result<()> {
        let result = wire::Result { failure: result.err().map(Error::into_failure), done };
        let mut state = self.locked();
        state.call_id = None;
        state.writer.push(&self.frame(Sent::Result(result), 0));
        drop(state);
        self.flush()
    }

    /// `member` is the step of a chain that tells it.
    fn frame(&self, kind: Sent, member: u32) -> wire::PluginFrame {
        wire::PluginFrame { kind: Some(kind), member, released: self.released.take() }
    }

    fn locked(&self) -> MutexGuard<'_, OutState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct LaneEvents {
    out: Arc<LaneOut>,
    call_id: u64,
    member: u32,
}

impl Events for LaneEvents {
    /// What comes after the call's end is dropped: the lane carries another call by then.
    fn send(&self, event: Sent) {
        let mut state = self.out.locked();
        if state.call_id != Some(self.call_id) || state.error.is_some() {
            return;
        }
        state.writer.push(&self.out.frame(event, self.member));
        state.error = state.writer.flush().err();
    }
}

/// The events of a step in a chain. Rows that it rejects are not told: the engine calls it again.
struct MemberEvents {
    lane: LaneEvents,
    rejected: AtomicBool,
}

impl Events for MemberEvents {
    fn send(&self, event: Sent) {
        match event {
            Sent::Rejection(_) => self.rejected.store(true, Ordering::Relaxed),
            _ => self.lane.send(event),
        }
    }
}

/// What a step of a chain is told of its call.
struct Told<'a> {
    context: wire::Context,
    cancellation: &'a Cancellation,
    begin: Instant,
    events: LaneEvents,
}

/// The table behind a step of a chain; None when the step did not do what its link says.
fn behind(binding: &Binding, table: &Table, told: Told<'_>) -> Result<Option<Table>> {
    let link = binding.link.as_ref();
    let link = link.ok_or_else(|| Error::protocol("a binding without a link stands in a chain"))?;
    let Some(taken) = link.taken(table)? else { return Ok(None) };
    let (_uses, resources) = binding.enter()?;
    let definition = binding.step.definition();
    let events = Arc::new(MemberEvents { lane: told.events, rejected: AtomicBool::new(false) });
    let core = Arc::new(CallCore {
        step: definition.name.clone(),
        rows: definition.rows,
        input_rows: taken.num_rows() as u64,
        context: context(told.context),
        begin: told.begin,
        base: binding.base.clone(),
        cancellation: told.cancellation.clone(),
        resources,
        events: events.clone(),
        violation: Mutex::default(),
    });
    let output = binding.bound.run(Some(taken.clone()), &core)?;
    match output {
        Output::Table(returned) if !events.rejected.load(Ordering::Relaxed) => {
            link.given(table, &taken, &returned)
        }
        _ => Ok(None),
    }
}

fn context(context: wire::Context) -> Context {
    Context {
        run_id: context.run_id,
        workflow: context.workflow,
        step: context.step,
        attempt: context.attempt,
        idempotency_key: context.idempotency_key,
        deadline: context.deadline_s.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    }
}

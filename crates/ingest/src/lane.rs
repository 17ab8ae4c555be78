//! The one way into the log and the table.
//!
//! In: requests whose bodies are read and inflated. Out: one answer each, after the log has the
//! request on disk, and chunks of rows that the log has. One thread does it all in order: decode
//! straight into the table, hand the request to the log, and publish rows once the log says that
//! they are durable. Never here: sockets, files, waiting.
//!
//! ```text
//!   submit ──> thread: decode ──> log.append ──> (fsync) ──> answer, and Committed to the thread
//!                 ^                                                │
//!                 └───────────── publish what is durable <─────────┘
//! ```
//!
//! A window is cut at an exact place of the log: new requests wait in the thread until the log has
//! answered the earlier ones, and every row so far is published before the first one after it.
//!
//! Replay goes through the same tables, so it gives the same rows.

mod replay;
mod tables;
mod trace_sizes;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use suyuan_ids::TraceId;
use suyuan_model::{Publication, Tenant};
use suyuan_wal::{AppendError, Log, Position};
use suyuan_wire::otlp::RefusedReason;
use suyuan_wire::record::{Compression, Format, Limits};
use tokio::sync::{oneshot, watch};

use self::tables::{StageError, Staged, Tables, Ticket};
use crate::Metrics;

pub use self::replay::{Replay, ReplayError};

/// One request on its way to the log.
#[derive(Debug)]
pub struct Submission {
    pub tenant: Tenant,
    pub format: Format,
    pub compression: Compression,
    /// The body as received; this is what the log keeps.
    pub sent: Bytes,
    /// The body inflated; `sent` itself where it was not compressed.
    pub inflated: Bytes,
}

/// What became of a request that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub accepted_spans: u64,
    pub refused_spans: u64,
    /// Why spans were refused, or what was cut; empty if there is nothing to say.
    pub message: String,
}

/// Why a request was not taken. Nothing of it is in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Sending it again is pointless.
    #[error("{0}")]
    Malformed(String),
    #[error("the disk of the log is full; retry when there is space")]
    LogFull,
    #[error("the log could not be written: {0}")]
    LogFailed(String),
    #[error("too many requests wait for the log; retry later")]
    Overloaded,
    #[error("the live window is full: {rows} spans; retry later")]
    WindowFull { rows: u64 },
    #[error("there are {tenants_max} tenants already, as many as are allowed")]
    TooManyTenants { tenants_max: usize },
    #[error("the request made the decoder fail; it was not stored, please report it")]
    DecoderFailed,
    #[error("the server is stopping")]
    Stopping,
}

/// How the lane works. Fields are read when it starts.
#[derive(Clone, Debug)]
pub struct LaneOptions {
    pub limits: Limits,
    /// A chunk is closed when it has this many rows ...
    pub chunk_rows: u32,
    /// ... or this many bytes of values.
    pub chunk_bytes: usize,
    /// Durable rows become visible at least this often.
    pub publish_interval: Duration,
    pub tenants_max: usize,
    /// Spans that the live window of all tenants may hold.
    pub window_rows_max: u64,
}

impl Default for LaneOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            chunk_rows: 16_384,
            chunk_bytes: 16 << 20,
            publish_interval: Duration::from_millis(250),
            tenants_max: 10_000,
            window_rows_max: 1_000_000_000,
        }
    }
}

/// What the lane asks of its surroundings.
pub trait Surroundings: Send + 'static {
    /// Takes a chunk; called in order, on one thread.
    fn publish(&mut self, publication: Publication);
    /// Ends the window: what was published since the last cut is all of the records from there to
    /// `log_end`, and what is published from now on is numbered from chunk 0 and stands at or after
    /// `log_end`. Nothing if there was no record since the last cut.
    fn cut(&mut self, log_end: Option<Position>);
    /// How many visible spans a trace has.
    fn trace_rows(&self, tenant: &Tenant, trace_id: TraceId) -> u64;
    /// Nanoseconds since 1970.
    fn now_unix_nanos(&self) -> u64;
    /// How long a request shall wait before it is taken: zero, but for a store that falls behind.
    /// Asked with every request, on the same thread as `publish`.
    fn pressure(&self) -> Duration;
}

/// The longest wait that surroundings can ask for: exporters give up after 10 s.
const PRESSURE_MAX: Duration = Duration::from_secs(5);

/// A handle on the lane; clones are handles on the same one.
#[derive(Clone)]
pub struct Lane {
    events: mpsc::Sender<Event>,
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    is_closed: watch::Receiver<bool>,
}

/// How a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that was submitted is answered, and the log is closed.
    Closed,
    /// Its thread panicked. Nothing more is taken; what the log has is found at the next start.
    Panicked,
}

/// What handles and thread tell each other beside events.
#[derive(Default)]
struct Shared {
    /// A cut was asked for and has not begun.
    is_cut_due: AtomicBool,
    /// What the surroundings asked for last.
    pressure_nanos: AtomicU64,
}

enum Event {
    Submit {
        submission: Submission,
        reply: oneshot::Sender<Result<Outcome, Refusal>>,
    },
    /// The log has answered: with where the record ends, or nothing if it does not have it.
    Committed {
        tenant: Tenant,
        ticket: Ticket,
        record_end: Option<Position>,
    },
    Cut,
    Stop,
}

impl Lane {
    /// Hands a request over and waits until the log has it on disk. Under pressure it waits first.
    pub async fn submit(&self, submission: Submission) -> Result<Outcome, Refusal> {
        let pressure = Duration::from_nanos(self.shared.pressure_nanos.load(Ordering::Relaxed));
        if !pressure.is_zero() {
            tokio::time::sleep(pressure).await;
        }
        let (reply, answer) = oneshot::channel();
        let event = Event::Submit { submission, reply };
        self.events.send(event).map_err(|_| Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)?
    }

    /// Asks for the window to end here, and returns at once. [`Surroundings::cut`] follows when the
    /// log has what was submitted before; requests submitted later wait for it and go into the next
    /// window. Asking again before that changes nothing, nor does asking a lane that has stopped.
    pub fn cut(&self) {
        if !self.shared.is_cut_due.swap(true, Ordering::Relaxed) {
            let _ = self.events.send(Event::Cut);
        }
    }

    /// Waits until the lane's thread has ended.
    pub async fn ended(&self) -> Ended {
        // An error says that the thread is gone and never said that it had closed.
        match self.is_closed.clone().wait_for(|is_closed| *is_closed).await {
            Ok(_) => Ended::Closed,
            Err(_) => Ended::Panicked,
        }
    }

    /// Finishes what was submitted, publishes it, closes the log and joins the thread. What is
    /// submitted later is refused.
    pub fn close(&self) {
        // A lane that stopped already has nobody to receive this.
        let _ = self.events.send(Event::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the ingest thread panicked");
        }
    }
}

/// Tells the thread what the log did with a request when dropped: also if the log's thread panics
/// and never answers, else the lane would wait for it for ever.
struct Waiting {
    events: mpsc::Sender<Event>,
    tenant: Tenant,
    ticket: Ticket,
    record_end: Option<Position>,
}

impl Waiting {
    fn end(mut self, record_end: Option<Position>) {
        self.record_end = record_end;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Self { ref tenant, ticket, record_end, .. } = *self;
        // The worker waits for every commit before it stops, so it is still there.
        let _ = self.events.send(Event::Committed { tenant: tenant.clone(), ticket, record_end });
    }
}

/// The thread's side of the lane.
struct Worker {
    /// First, so that it is closed before the surroundings end, also in a panic: they may hold what
    /// keeps others away from its files.
    log: Log,
    tables: Tables,
    metrics: Metrics,
    own_events: mpsc::Sender<Event>,
    shared: Arc<Shared>,
    n_uncommitted: u64,
    /// Just behind the last durable record since the last cut.
    log_end: Option<Position>,
    is_cutting: bool,
    /// What came while a cut waits for the log.
    deferred: VecDeque<Event>,
    next_publish: Instant,
    publish_interval: Duration,
    is_stopping: bool,
}

impl Replay {
    /// Ends the replay and begins to take requests.
    pub fn start(self, log: Log) -> std::io::Result<Lane> {
        let (events, inbox) = mpsc::channel();
        let (closed, is_closed) = watch::channel(false);
        let shared = Arc::new(Shared::default());
        let (mut tables, metrics, log_end) = self.into_parts();
        tables.publish_due();
        let publish_interval = tables.options().publish_interval;
        let mut worker = Worker {
            log,
            tables,
            metrics,
            own_events: events.clone(),
            shared: shared.clone(),
            n_uncommitted: 0,
            log_end,
            is_cutting: false,
            deferred: VecDeque::new(),
            next_publish: Instant::now() + publish_interval,
            publish_interval,
            is_stopping: false,
        };
        let thread =
            std::thread::Builder::new().name("suyuan-ingest".to_owned()).spawn(move || {
                worker.run(&inbox);
                worker.log.close();
                closed.send_replace(true);
            })?;
        Ok(Lane { events, shared, thread: Arc::new(Mutex::new(Some(thread))), is_closed })
    }
}

impl Worker {
    fn run(&mut self, inbox: &mpsc::Receiver<Event>) {
        while !(self.is_stopping && self.n_uncommitted == 0) {
            match self.next_event(inbox) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.tables.has_unpublished() && Instant::now() >= self.next_publish {
                self.tables.publish_due();
                self.next_publish = Instant::now() + self.publish_interval;
            }
        }
        self.tables.publish_due();
    }

    /// Waits for an event, but not past the time to publish.
    fn next_event(&self, inbox: &mpsc::Receiver<Event>) -> Result<Event, RecvTimeoutError> {
        if !self.tables.has_unpublished() {
            return inbox.recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        inbox.recv_timeout(self.next_publish.saturating_duration_since(Instant::now()))
    }

    /// Handles an event, unless it has to wait for a cut.
    fn take(&mut self, event: Event) {
        if self.is_cutting && !matches!(event, Event::Committed { .. }) {
            self.deferred.push_back(event);
        } else {
            self.handle(event);
        }
        while self.is_cutting && self.n_uncommitted == 0 {
            self.cut();
        }
    }

    fn cut(&mut self) {
        // From here on asking again means another cut.
        self.shared.is_cut_due.store(false, Ordering::Relaxed);
        self.is_cutting = false;
        self.tables.cut(self.log_end.take());
        while !self.is_cutting
            && let Some(event) = self.deferred.pop_front()
        {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Submit { reply, .. } if self.is_stopping => {
                let _ = reply.send(Err(Refusal::Stopping));
            }
            Event::Submit { submission, reply } => self.submit(submission, reply),
            Event::Committed { tenant, ticket, record_end: Some(record_end) } => {
                self.n_uncommitted -= 1;
                self.log_end = Some(record_end);
                self.tables.commit(&tenant, ticket);
            }
            Event::Committed { tenant, ticket, record_end: None } => {
                self.n_uncommitted -= 1;
                self.tables.fail(&tenant, ticket);
            }
            Event::Cut => self.is_cutting = true,
            Event::Stop => self.is_stopping = true,
        }
    }

    fn submit(&mut self, submission: Submission, reply: oneshot::Sender<Result<Outcome, Refusal>>) {
        self.note_pressure();
        let started_at = Instant::now();
        let tenant = submission.tenant.clone();
        let sent = submission.sent.clone();
        let staged = self.tables.stage(submission);
        self.metrics.decoded(started_at.elapsed());
        // A client that went away does not want its answer: the result of `send` is ignored below.
        let staged = match staged {
            Ok(staged) => staged,
            Err(error) => {
                let _ = reply.send(Err(error.into()));
                return;
            }
        };
        self.count(&staged);
        let outcome = outcome(&staged);
        let Some((ticket, header)) = staged.record else {
            let _ = reply.send(Ok(outcome));
            return;
        };
        self.n_uncommitted += 1;
        let events = self.own_events.clone();
        let waiting = Waiting { events, tenant, ticket, record_end: None };
        let record_bytes = (header.len() + sent.len()) as u64;
        self.log.append(vec![header, sent], move |result: Result<Position, AppendError>| {
            let record_end = result.as_ref().ok().map(|start| start.after_record(record_bytes));
            let _ = reply.send(result.map(|_| outcome).map_err(Refusal::from));
            waiting.end(record_end);
        });
    }

    /// Lets the handles know how long requests shall wait.
    fn note_pressure(&self) {
        let pressure = self.tables.pressure().min(PRESSURE_MAX);
        self.shared.pressure_nanos.store(pressure.as_nanos() as u64, Ordering::Relaxed);
    }

    fn count(&self, staged: &Staged) {
        for (reason, n_spans) in reasons(staged) {
            self.metrics.refused_spans(reason.label(), n_spans);
        }
        let decoded = &staged.decoded;
        for (what, n) in [
            ("cut_value", decoded.cut_values),
            ("dropped_attribute", decoded.dropped_attributes),
            ("dropped_event", decoded.dropped_events),
            ("dropped_link", decoded.dropped_links),
            ("repaired_text", decoded.repaired_texts),
            ("ends_before_start", decoded.ends_before_start),
            ("own_parent", decoded.own_parent),
        ] {
            if n > 0 {
                self.metrics.odd_spans(what, n);
            }
        }
    }
}

/// How often each reason occurs, an example for each.
fn reasons(staged: &Staged) -> Vec<(RefusedReason, u64)> {
    let mut reasons: Vec<(RefusedReason, u64)> = Vec::new();
    for refused in &staged.decoded.refused {
        match reasons.iter_mut().find(|(reason, _)| reason.label() == refused.reason.label()) {
            Some((_, n_spans)) => *n_spans += 1,
            None => reasons.push((refused.reason, 1)),
        }
    }
    reasons
}

fn outcome(staged: &Staged) -> Outcome {
    let decoded = &staged.decoded;
    let mut parts: Vec<String> = Vec::new();
    for (reason, n_spans) in reasons(staged) {
        parts.push(format!("{n_spans} refused: {reason}"));
    }
    for (n, what) in [
        (decoded.cut_values, "values were longer than the limit and were cut"),
        (decoded.dropped_attributes, "attributes over the limit were dropped"),
        (decoded.dropped_events, "events over the limit were dropped"),
        (decoded.dropped_links, "links over the limit were dropped"),
        (decoded.repaired_texts, "texts were not UTF-8 and were repaired"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    Outcome {
        accepted_spans: decoded.accepted_spans,
        refused_spans: decoded.refused.len() as u64,
        message: parts.join("; "),
    }
}

impl From<StageError> for Refusal {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Malformed(error) => Self::Malformed(error.to_string()),
            StageError::TooManyTenants { tenants_max } => Self::TooManyTenants { tenants_max },
            StageError::WindowFull { rows } => Self::WindowFull { rows },
            StageError::DecoderPanicked => Self::DecoderFailed,
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::DiskFull => Self::LogFull,
            AppendError::QueueFull { .. } => Self::Overloaded,
            AppendError::TooLarge { .. } => Self::Malformed(error.to_string()),
            AppendError::Closed => Self::Stopping,
            AppendError::Unsettled(inner) if matches!(*inner, AppendError::DiskFull) => {
                Self::LogFull
            }
            AppendError::Write(_) | AppendError::Sync(_) | AppendError::Unsettled(_) => {
                Self::LogFailed(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests;

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
//! Replay goes through the same tables, so it gives the same rows.

mod replay;
mod tables;
mod trace_sizes;

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
use tokio::sync::oneshot;

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
    /// How many visible spans a trace has.
    fn trace_rows(&self, tenant: &Tenant, trace_id: TraceId) -> u64;
    /// Nanoseconds since 1970.
    fn now_unix_nanos(&self) -> u64;
}

/// A handle on the lane; clones are handles on the same one.
#[derive(Clone)]
pub struct Lane {
    events: mpsc::Sender<Event>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

enum Event {
    Submit { submission: Submission, reply: oneshot::Sender<Result<Outcome, Refusal>> },
    Committed { tenant: Tenant, ticket: Ticket, is_durable: bool },
    Stop,
}

impl Lane {
    /// Hands a request over and waits until the log has it on disk.
    pub async fn submit(&self, submission: Submission) -> Result<Outcome, Refusal> {
        let (reply, answer) = oneshot::channel();
        let event = Event::Submit { submission, reply };
        self.events.send(event).map_err(|_| Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)?
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
    is_durable: bool,
}

impl Waiting {
    fn end(mut self, is_durable: bool) {
        self.is_durable = is_durable;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Self { ref tenant, ticket, is_durable, .. } = *self;
        // The worker waits for every commit before it stops, so it is still there.
        let _ = self.events.send(Event::Committed { tenant: tenant.clone(), ticket, is_durable });
    }
}

/// The thread's side of the lane.
struct Worker {
    tables: Tables,
    log: Log,
    metrics: Metrics,
    own_events: mpsc::Sender<Event>,
    n_uncommitted: u64,
    next_publish: Instant,
    publish_interval: Duration,
    is_stopping: bool,
}

impl Replay {
    /// Ends the replay and begins to take requests.
    pub fn start(self, log: Log) -> std::io::Result<Lane> {
        let (events, inbox) = mpsc::channel();
        let (mut tables, metrics) = self.into_parts();
        tables.publish_due();
        let publish_interval = tables.options().publish_interval;
        let mut worker = Worker {
            tables,
            log,
            metrics,
            own_events: events.clone(),
            n_uncommitted: 0,
            next_publish: Instant::now() + publish_interval,
            publish_interval,
            is_stopping: false,
        };
        let thread =
            std::thread::Builder::new().name("suyuan-ingest".to_owned()).spawn(move || {
                worker.run(&inbox);
                worker.log.close();
            })?;
        Ok(Lane { events, thread: Arc::new(Mutex::new(Some(thread))) })
    }
}

impl Worker {
    fn run(&mut self, inbox: &mpsc::Receiver<Event>) {
        while !(self.is_stopping && self.n_uncommitted == 0) {
            match self.next_event(inbox) {
                Ok(event) => self.handle(event),
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

    fn handle(&mut self, event: Event) {
        match event {
            Event::Submit { reply, .. } if self.is_stopping => {
                let _ = reply.send(Err(Refusal::Stopping));
            }
            Event::Submit { submission, reply } => self.submit(submission, reply),
            Event::Committed { tenant, ticket, is_durable } => {
                self.n_uncommitted -= 1;
                if is_durable {
                    self.tables.commit(&tenant, ticket);
                } else {
                    self.tables.fail(&tenant, ticket);
                }
            }
            Event::Stop => self.is_stopping = true,
        }
    }

    fn submit(&mut self, submission: Submission, reply: oneshot::Sender<Result<Outcome, Refusal>>) {
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
        let waiting = Waiting { events, tenant, ticket, is_durable: false };
        self.log.append(vec![header, sent], move |result: Result<Position, AppendError>| {
            let is_durable = result.is_ok();
            let _ = reply.send(result.map(|_| outcome).map_err(Refusal::from));
            waiting.end(is_durable);
        });
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

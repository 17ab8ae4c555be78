//! Which questions are answered now, which wait, and which are sent away.
//!
//! In: work that reads the store, from handlers. Out: its result, or why there is none. The work
//! runs on threads of a lower priority than ingest (`design.md 6`); a bounded number waits, and
//! one too many hears 429. Nothing goes on for a client that has left: when a handler is dropped,
//! its work finds that it is cancelled. What a question may hold in memory is an equal share of
//! what all of them may, and large answers on their way hold one share more, so the sum is known.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use suyuan_query::parallel::{Panicked, Threads};
use suyuan_query::search::{Accounting, Budget, QueryError};
use suyuan_query::{Workers, WorkersOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout_at;

use crate::error::ApiError;
use crate::metrics::{Metrics, Outcome, QueryKind};

/// How questions are admitted.
#[derive(Clone, Copy, Debug)]
pub struct QueryOptions {
    /// Questions that are worked on at the same time.
    pub concurrency: usize,
    /// Questions that wait for one of these to end; further ones are refused.
    pub queue_max: usize,
    /// Threads that work on all questions together; each question has one in any case.
    pub threads: usize,
    /// From a question's arrival to the head of its answer, waiting included.
    pub timeout: Duration,
    /// Of all questions that are worked on together; each may have an equal share.
    pub memory_bytes_max: usize,
}

impl Default for QueryOptions {
    fn default() -> Self {
        let n_cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            concurrency: n_cpus,
            queue_max: 64,
            threads: n_cpus,
            timeout: Duration::from_secs(30),
            memory_bytes_max: 128 << 20,
        }
    }
}

impl QueryOptions {
    /// What one question may hold.
    fn share_bytes(&self) -> usize {
        self.memory_bytes_max / self.concurrency.max(1)
    }
}

/// Answers that wait for a thread to encode their next piece; as many as are sent at the same time
/// (`streams_max`) is enough.
const ENCODINGS_MAX: usize = 1_024;

const HELD_UNIT_BYTES: usize = 1 << 10;

fn units_of(bytes: usize) -> usize {
    bytes.div_ceil(HELD_UNIT_BYTES).min(Semaphore::MAX_PERMITS)
}

/// The threads that answer, and the way to them.
pub(crate) struct Questions {
    workers: Workers,
    /// Encode large answers while they are sent.
    encoders: Arc<Workers>,
    /// Memory of large answers on their way, in [`HELD_UNIT_BYTES`].
    held: Arc<Semaphore>,
    threads: Threads,
    options: QueryOptions,
    metrics: Metrics,
}

/// What a piece of work gives back: the answer, and what was done for it.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) answer: T,
    pub(crate) accounting: Accounting,
}

impl Questions {
    pub(crate) fn start(options: QueryOptions, metrics: Metrics) -> io::Result<Self> {
        let workers =
            Workers::start(WorkersOptions::new(options.concurrency.max(1), options.queue_max))?;
        let encoders = Workers::start(WorkersOptions::new(options.threads, ENCODINGS_MAX))?;
        let held = Arc::new(Semaphore::new(units_of(options.share_bytes())));
        let threads = Threads::new(options.threads);
        Ok(Self { workers, encoders: Arc::new(encoders), held, threads, options, metrics })
    }

    /// The threads that encode what is sent; ingest goes before them too.
    pub(crate) fn encoders(&self) -> Arc<Workers> {
        self.encoders.clone()
    }

    /// Makes room for an answer that is sent while others are worked on; all of those together may
    /// hold as much as one question.
    pub(crate) fn hold(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let units = units_of(bytes.min(self.options.share_bytes()));
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.held.clone().try_acquire_many_owned(units).map_err(|_| ApiError::TooManyStreams)
    }

    /// Has a question answered: waits for a thread and for its work.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        kind: QueryKind,
        work: impl FnOnce(&Budget) -> Result<Answered<T>, ApiError> + Send + 'static,
    ) -> Result<Answered<T>, ApiError> {
        let asked_at = Instant::now();
        let mut watch = Watch::new(kind, asked_at, &self.metrics);
        let result = self.wait_for(work, asked_at, &watch.cancelled).await;
        watch.note(&result);
        result
    }

    async fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Budget) -> Result<Answered<T>, ApiError> + Send + 'static,
        asked_at: Instant,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<Answered<T>, ApiError> {
        let deadline = asked_at + self.options.timeout;
        let budget = Budget {
            deadline,
            memory_bytes: self.options.share_bytes(),
            threads: self.threads.clone(),
            cancelled: cancelled.clone(),
        };
        let (sender, receiver) = oneshot::channel();
        let waiting = Counted::new(self.metrics.queries_waiting.clone());
        let running = self.metrics.queries_running.clone();
        let task = move || {
            drop(waiting);
            let _running = Counted::new(running);
            let _busy = budget.threads.enter();
            let result = match budget.check(asked_at) {
                Ok(()) => work(&budget),
                Err(error) => Err(error.into()),
            };
            // Nobody listens any more when the client has left.
            let _ = sender.send(result);
        };
        let submitted = self.workers.submit(task);
        submitted.map_err(|full| ApiError::Busy { n_waiting: full.waiting })?;
        match timeout_at(deadline.into(), receiver).await {
            Ok(Ok(result)) => result,
            // The thread's panic hook has said more.
            Ok(Err(_)) => Err(QueryError::from(Panicked).into()),
            Err(_) => {
                let seconds = self.options.timeout.as_secs_f64();
                Err(QueryError::TimedOut { seconds }.into())
            }
        }
    }
}

/// Follows one question; dropped, it tells the work to stop and the metrics how it ended.
struct Watch {
    kind: QueryKind,
    asked_at: Instant,
    outcome: Outcome,
    cancelled: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Watch {
    fn new(kind: QueryKind, asked_at: Instant, metrics: &Metrics) -> Self {
        let metrics = metrics.clone();
        Self { kind, asked_at, outcome: Outcome::Cancelled, cancelled: Arc::default(), metrics }
    }

    fn note<T>(&mut self, result: &Result<Answered<T>, ApiError>) {
        self.outcome = match result {
            Ok(answered) => {
                self.metrics.inspected(self.kind, &answered.accounting);
                Outcome::Answered
            }
            Err(ApiError::Busy { .. }) => Outcome::Refused,
            Err(ApiError::Query(QueryError::TimedOut { .. })) => Outcome::TimedOut,
            Err(ApiError::Query(QueryError::TooMuchMemory { .. })) => Outcome::TooLarge,
            Err(ApiError::Query(QueryError::Cancelled)) => Outcome::Cancelled,
            Err(_) => Outcome::Failed,
        };
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cancelled.store(true, Relaxed);
        self.metrics.queried(self.kind, self.outcome, self.asked_at.elapsed());
    }
}

/// One more in a gauge, for as long as it lives.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;

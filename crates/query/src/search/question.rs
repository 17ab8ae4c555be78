//! What all threads of one search share: the question, and how far it has come.
//!
//! In: a request, compiled, and the units of a snapshot. Out: the next unit, whether time is left,
//! and from which start on a trace still has a place in the answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use suyuan_store::{Snapshot, SplitSet, TraceKey, TraceRef, Unit};

use super::shown::Shown;
use super::{Budget, FoundTrace, QueryError, SearchRequest};
use crate::filter::Filter;

/// Of a question's memory, what verdicts about traces may take: one in so many bytes. What is not
/// remembered is found out again.
const VERDICTS_SHARE: usize = 4;

/// Never changes while it is answered.
pub(crate) struct Question<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) split: &'a Arc<SplitSet>,
    /// That which may hold the newest trace first.
    pub(crate) units: &'a [Unit],
    pub(crate) filter: &'a Filter,
    pub(crate) shown: &'a Shown,
    pub(crate) request: &'a SearchRequest,
    pub(crate) budget: &'a Budget,
    pub(crate) started_at: Instant,
    /// Of the traces that are ready to be answered.
    pub(crate) answer_bytes: AtomicUsize,
}

/// How far the threads of one round have come.
pub(super) struct Progress {
    next_unit: AtomicUsize,
    /// No trace that starts earlier has a place any more.
    start_unix_nanos_min: AtomicI64,
    memory_bytes: AtomicUsize,
    /// One thread has failed: the others need not go on.
    is_ended: AtomicBool,
    /// Of traces that had to be put together to be judged, whether they have a row that fulfils the
    /// filter: so most are put together once. Nothing is forgotten.
    judged: Mutex<HashMap<TraceKey, bool>>,
}

impl Question<'_> {
    pub(super) fn check(&self) -> Result<(), QueryError> {
        self.budget.check(self.started_at)
    }

    /// Counts what will be answered; an error if it is too much.
    pub(super) fn count_answer(&self, traces: &[FoundTrace]) -> Result<(), QueryError> {
        let bytes: usize = traces.iter().map(FoundTrace::bytes).sum();
        let before = self.answer_bytes.fetch_add(bytes, Relaxed);
        if before.saturating_add(bytes) > self.budget.memory_bytes {
            return Err(QueryError::TooMuchMemory { bytes: self.budget.memory_bytes });
        }
        Ok(())
    }

    /// Whether a trace lies in the range and lasts as long as it shall. One that ends before it
    /// starts has one moment: its start.
    pub(super) fn wants(&self, trace: &TraceRef) -> bool {
        let (start, end) = (trace.start_unix_nanos, trace.end_unix_nanos);
        let duration_nanos = i128::from(end) - i128::from(start);
        let request = self.request;
        request.range.is_none_or(|range| {
            start <= range.max_unix_nanos && end.max(start) >= range.min_unix_nanos
        }) && request.duration_nanos_min.is_none_or(|min| duration_nanos >= i128::from(min))
            && request.duration_nanos_max.is_none_or(|max| duration_nanos <= i128::from(max))
    }
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            next_unit: AtomicUsize::new(0),
            start_unix_nanos_min: AtomicI64::new(i64::MIN),
            memory_bytes: AtomicUsize::new(0),
            is_ended: AtomicBool::new(false),
            judged: Mutex::default(),
        }
    }

    /// The place of the next unit that nobody has taken.
    pub(super) fn next_unit(&self) -> usize {
        self.next_unit.fetch_add(1, Relaxed)
    }

    /// Any thread may know fewer traces than all together do, so each raises it and reads it.
    pub(super) fn start_unix_nanos_min(&self) -> i64 {
        self.start_unix_nanos_min.load(Relaxed)
    }

    pub(super) fn raise_start(&self, start_unix_nanos: i64) {
        self.start_unix_nanos_min.fetch_max(start_unix_nanos, Relaxed);
    }

    /// What one thread's share has grown or shrunk by; an error if all shares are too much.
    pub(super) fn count_memory(
        &self,
        before: usize,
        now: usize,
        budget: &Budget,
    ) -> Result<(), QueryError> {
        let all = self.memory_bytes.fetch_add(now.wrapping_sub(before), Relaxed);
        if all.wrapping_add(now.wrapping_sub(before)) > budget.memory_bytes {
            return Err(QueryError::TooMuchMemory { bytes: budget.memory_bytes });
        }
        Ok(())
    }

    pub(super) fn end(&self) {
        self.is_ended.store(true, Relaxed);
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended.load(Relaxed)
    }

    pub(super) fn verdict(&self, trace: &TraceKey) -> Option<bool> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).get(trace).copied()
    }

    /// Remembers them, as far as there is room.
    pub(super) fn set_verdicts(&self, verdicts: &HashMap<TraceKey, bool>, budget: &Budget) {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |n_traces: usize| 2 * n_traces * size_of::<(TraceKey, bool)>();
        if bytes(judged.len() + verdicts.len()) <= budget.memory_bytes / VERDICTS_SHARE {
            judged.extend(verdicts);
        }
    }
}

//! What all threads of one search share: the question, and how far it has come.
//!
//! In: a request, compiled, and the units of a snapshot. Out: the next unit, whether time is left,
//! and from which start on a trace still has a place in the answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// A question that takes longer than this gets more threads: to start one costs a part of that, and
/// most questions are answered by then.
const ALONE_MAX: Duration = Duration::from_micros(500);

/// Calls for the other threads of [`on_threads`], once.
pub(super) struct Help<'a> {
    started_at: Instant,
    call: Option<&'a dyn Fn()>,
}

impl Help<'_> {
    /// To be asked between pieces of work.
    pub(super) fn call_if_late(&mut self) {
        if self.call.is_some() && self.started_at.elapsed() >= ALONE_MAX {
            self.call();
        }
    }

    pub(super) fn call(&mut self) {
        if let Some(call) = self.call.take() {
            call();
        }
    }
}

/// Does the same work on several threads, the caller's among them, and gathers what they made: the
/// caller's thread begins and calls for the others when it pays. A panic on one of those is an
/// error.
pub(super) fn on_threads<T: Send>(
    n_threads: usize,
    work: impl Fn(&mut Help<'_>) -> Result<T, QueryError> + Sync,
) -> Result<Vec<T>, QueryError> {
    let mut alone = Help { started_at: Instant::now(), call: None };
    if n_threads <= 1 {
        return Ok(vec![work(&mut alone)?]);
    }
    std::thread::scope(|scope| {
        let others = RefCell::new(Vec::new());
        let work_along = || work(&mut Help { started_at: Instant::now(), call: None });
        let call = || {
            for _ in 1..n_threads {
                let thread = std::thread::Builder::new().name("query".to_owned());
                // Where the system gives no thread, those that are there do the work.
                others.borrow_mut().extend(thread.spawn_scoped(scope, work_along).ok());
            }
        };
        let mut help = Help { started_at: Instant::now(), call: Some(&call) };
        let mut results = vec![work(&mut help)];
        for thread in others.take() {
            results.push(thread.join().unwrap_or(Err(QueryError::Panicked)));
        }
        results.into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shared_among_threads_once_they_are_called_for() {
        let next = AtomicUsize::new(0);
        let parts = on_threads(3, |help| {
            help.call();
            help.call();
            let mut done = Vec::new();
            while let number @ ..100 = next.fetch_add(1, Relaxed) {
                done.push(number);
            }
            Ok(done)
        });
        let parts = parts.expect("no thread fails");
        assert_eq!(parts.len(), 3);
        let mut all = parts.concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_is_called_for_a_short_question() {
        let parts = on_threads(3, |_| Ok(()));
        assert_eq!(parts.expect("no thread fails").len(), 1);
    }

    #[test]
    fn an_error_or_a_panic_on_one_thread_is_an_error_of_the_question() {
        let is_caller = |help: &Help<'_>| help.call.is_some();
        let result = on_threads(2, |help| {
            if !is_caller(help) {
                std::panic::resume_unwind(Box::new("a test's panic"));
            }
            help.call();
            Ok(())
        });
        assert!(matches!(result, Err(QueryError::Panicked)));
        let result = on_threads(2, |help| {
            if !is_caller(help) {
                return Err(QueryError::Cancelled);
            }
            help.call();
            Ok(())
        });
        assert!(matches!(result, Err(QueryError::Cancelled)));
    }
}

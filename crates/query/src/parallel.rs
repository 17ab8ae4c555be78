//! Several threads for one question.
//!
//! In: work that any number of threads can share. Out: what each of them made. The thread that has
//! the question begins alone and calls for the others when it pays: to start one costs a part of what
//! most questions take.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::search::QueryError;

/// A question that takes longer than this gets more threads: to start one costs a part of that, and
/// most questions are answered by then.
const ALONE_MAX: Duration = Duration::from_micros(500);

/// Calls for the other threads of [`on_threads`], once.
pub struct Help<'a> {
    started_at: Instant,
    call: Option<&'a dyn Fn()>,
}

impl Help<'_> {
    /// To be asked between pieces of work.
    pub fn call_if_late(&mut self) {
        if self.call.is_some() && self.started_at.elapsed() >= ALONE_MAX {
            self.call();
        }
    }

    pub fn call(&mut self) {
        if let Some(call) = self.call.take() {
            call();
        }
    }
}

/// Does the same work on several threads, the caller's among them, and gathers what they made: the
/// caller's thread begins and calls for the others when it pays. A panic on one of those is an
/// error.
pub fn on_threads<T: Send>(
    n_threads: usize,
    work: impl Fn(&mut Help<'_>) -> Result<T, QueryError> + Sync,
) -> Result<Vec<T>, QueryError> {
    let mut alone = Help { started_at: Instant::now(), call: None };
    if n_threads <= 1 {
        return Ok(vec![work(&mut alone)?]);
    }
    std::thread::scope(|scope| {
        let others = RefCell::new(Vec::new());
        let call = || {
            let cpu_of_caller = sched_getcpu();
            let work = &work;
            let work_along = move || {
                move_away_from(cpu_of_caller);
                work(&mut Help { started_at: Instant::now(), call: None })
            };
            for _ in 1..n_threads {
                let thread = std::thread::Builder::new().name("query".to_owned());
                // Where the system gives no thread, those that are there do the work.
                others.borrow_mut().extend(thread.spawn_scoped(scope, work_along).ok());
            }
            // Those that were started on this CPU leave it at once.
            std::thread::yield_now();
        };
        let mut help = Help { started_at: Instant::now(), call: Some(&call) };
        let mut results = vec![work(&mut help)];
        for thread in others.take() {
            results.push(thread.join().unwrap_or(Err(QueryError::Panicked)));
        }
        results.into_iter().collect()
    })
}

/// Puts the calling thread on another CPU, from where the system may move it as it likes. Systems
/// that save CPUs start a thread where its parent runs, and then leave both there for tens of
/// milliseconds, although the next CPU is idle: threads that give way to each other look as if one
/// CPU were enough for them. Where there is one CPU, or the system refuses, nothing is changed.
fn move_away_from(cpu: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut others = allowed;
    if cpu < CpuSet::MAX_CPU {
        others.unset(cpu);
    }
    if others.count() > 0 && sched_setaffinity(None, &others).is_ok() {
        // Refused, the thread stays where it may run, which is right too.
        let _ = sched_setaffinity(None, &allowed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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
    fn a_thread_that_was_moved_may_run_where_it_might_before() {
        let allowed = || sched_getaffinity(None).expect("readable");
        let before = allowed();
        move_away_from(sched_getcpu());
        assert_eq!(allowed(), before);
        move_away_from(usize::MAX);
        assert_eq!(allowed(), before);
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

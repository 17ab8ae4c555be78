//! Several threads for one question.
//!
//! In: work that any number of threads can share. Out: what each of them made. The thread that has
//! the question begins alone and calls for the others when it pays; no more come than there is room
//! for beside other questions. Never here: what they do.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// A question that takes longer than this gets more threads: to start one costs a part of that, and
/// most questions are answered by then.
const ALONE_MAX: Duration = Duration::from_micros(500);

/// How many threads work on questions, and how many may: more than there are CPUs would only take
/// them from each other, and from ingest. Clones count together.
#[derive(Clone, Debug)]
pub struct Threads {
    max: usize,
    n_busy: Arc<AtomicUsize>,
}

/// Threads that work on a question for as long as this lives.
#[derive(Debug)]
pub struct Busy<'a> {
    threads: &'a Threads,
    n: usize,
}

impl Threads {
    /// `max`: of all questions together; a question that is worked on has one in any case.
    pub fn new(max: usize) -> Self {
        Self { max: max.max(1), n_busy: Arc::default() }
    }

    /// The most that can work on one question.
    pub fn max(&self) -> usize {
        self.max
    }

    /// The calling thread begins to work on a question, whether or not there is room.
    pub fn enter(&self) -> Busy<'_> {
        self.n_busy.fetch_add(1, Relaxed);
        Busy { threads: self, n: 1 }
    }

    /// As many more as there is room for.
    fn helpers(&self, n_wanted: usize) -> Busy<'_> {
        let n_free = |n_busy: usize| self.max.saturating_sub(n_busy).min(n_wanted);
        let more = |n_busy| Some(n_busy + n_free(n_busy));
        let before = self.n_busy.fetch_update(Relaxed, Relaxed, more);
        Busy { threads: self, n: n_free(before.unwrap_or(self.max)) }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.threads.n_busy.fetch_sub(self.n, Relaxed);
    }
}

/// A thread that works on a question panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query panicked: please report it")]
pub struct Panicked;

/// Calls for the other threads of [`on_threads`].
pub struct Help<'a> {
    started_at: Instant,
    /// Says whether any came; after that nobody is called again.
    call: Option<&'a dyn Fn() -> bool>,
}

impl Help<'_> {
    /// To be asked between pieces of work.
    pub fn call_if_late(&mut self) {
        self.call_if(self.call.is_some() && self.started_at.elapsed() >= ALONE_MAX);
    }

    pub fn call_if(&mut self, is_long: bool) {
        if is_long {
            self.call();
        }
    }

    /// Where there was no room for others, the next call may find some.
    pub fn call(&mut self) {
        if self.call.is_some_and(|call| call()) {
            self.call = None;
        }
    }
}

/// Does the same work on some threads, the caller's among them and no more than there are tasks, and
/// gathers what they made: the caller's thread begins and calls for the others when it pays. A panic
/// on one of those is an error.
pub fn on_threads<T: Send, E: Send + From<Panicked>>(
    threads: &Threads,
    n_tasks: usize,
    work: impl Fn(&mut Help<'_>) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let n_helpers_max = n_tasks.min(threads.max).saturating_sub(1);
    if n_helpers_max == 0 {
        let mut alone = Help { started_at: Instant::now(), call: None };
        return Ok(vec![work(&mut alone)?]);
    }
    let helpers = Cell::new(None);
    std::thread::scope(|scope| {
        let others = RefCell::new(Vec::new());
        let call = || {
            let cpu_of_caller = sched_getcpu();
            let work = &work;
            let work_along = move || {
                move_away_from(cpu_of_caller);
                work(&mut Help { started_at: Instant::now(), call: None })
            };
            let busy = threads.helpers(n_helpers_max);
            for _ in 0..busy.n {
                let thread = std::thread::Builder::new().name("query".to_owned());
                // Where the system gives no thread, those that are there do the work.
                others.borrow_mut().extend(thread.spawn_scoped(scope, work_along).ok());
            }
            let has_come = busy.n > 0;
            if has_come {
                // Those that were started on this CPU leave it at once.
                std::thread::yield_now();
                helpers.set(Some(busy));
            }
            has_come
        };
        let mut help = Help { started_at: Instant::now(), call: Some(&call) };
        let mut results = vec![work(&mut help)];
        for thread in others.take() {
            results.push(thread.join().unwrap_or(Err(Panicked.into())));
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
    use super::*;

    #[test]
    fn no_more_threads_come_than_there_is_room_for_beside_other_questions() {
        let threads = Threads::new(3);
        let n_parts = |n_threads_max| {
            let parts = on_threads(&threads, n_threads_max, |help| {
                help.call();
                Ok::<_, Panicked>(())
            });
            parts.expect("no thread fails").len()
        };
        let one = threads.enter();
        assert_eq!((n_parts(2), n_parts(3), n_parts(9)), (2, 3, 3));
        let other = threads.enter();
        assert_eq!(n_parts(9), 2);
        let third = threads.clone();
        let third = third.enter();
        assert_eq!(n_parts(9), 1);
        drop(third);
        assert_eq!(n_parts(9), 2);
        drop((one, other));
        assert_eq!(threads.n_busy.load(Relaxed), 0);
    }

    #[test]
    fn work_is_shared_among_threads_once_they_are_called_for() {
        let next = AtomicUsize::new(0);
        let parts = on_threads(&Threads::new(3), 3, |help| {
            help.call();
            help.call();
            let mut done = Vec::new();
            while let number @ ..100 = next.fetch_add(1, Relaxed) {
                done.push(number);
            }
            Ok::<_, Panicked>(done)
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
        let parts = on_threads(&Threads::new(3), 3, |_| Ok::<_, Panicked>(()));
        assert_eq!(parts.expect("no thread fails").len(), 1);
    }

    #[test]
    fn an_error_or_a_panic_on_one_thread_is_an_error_of_the_question() {
        #[derive(Debug, PartialEq)]
        enum Failure {
            Own,
            Panicked,
        }
        impl From<Panicked> for Failure {
            fn from(_: Panicked) -> Self {
                Self::Panicked
            }
        }
        let is_caller = |help: &Help<'_>| help.call.is_some();
        let result = on_threads(&Threads::new(3), 2, |help| {
            if !is_caller(help) {
                std::panic::resume_unwind(Box::new("a test's panic"));
            }
            help.call();
            Ok(())
        });
        assert_eq!(result, Err(Failure::Panicked));
        let result = on_threads(&Threads::new(3), 2, |help| {
            if !is_caller(help) {
                return Err(Failure::Own);
            }
            help.call();
            Ok(())
        });
        assert_eq!(result, Err::<Vec<()>, _>(Failure::Own));
    }
}

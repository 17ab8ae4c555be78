//! The threads that answer questions: few, and of a lower priority than ingest.
//!
//! In: tasks. Out: they are run, in the order in which they came, each by one thread; threads that a
//! task starts for itself have the same priority. What waits is bounded: a task too many is refused
//! at once. A task that panics ends alone; whoever waits for it finds that its channel is closed.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How many work, and how many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkersOptions {
    /// At least one.
    pub threads: usize,
    /// Tasks that wait for a thread.
    pub queue_max: usize,
    /// What the threads add to their niceness: ingest goes first.
    pub niceness: i32,
}

impl WorkersOptions {
    /// With the priority of a server's questions.
    pub fn new(threads: usize, queue_max: usize) -> Self {
        Self { threads, queue_max, niceness: 10 }
    }
}

/// As many tasks wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} questions wait already: ask again in a moment")]
pub struct QueueFull {
    pub waiting: usize,
}

/// Threads and what waits for them. Dropped: what waits is dropped, what runs is waited for.
pub struct Workers {
    queue: Arc<Queue>,
    queue_max: usize,
    threads: Vec<JoinHandle<()>>,
}

type Task = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// A task came, or the end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Task>,
    n_running: usize,
    is_stopped: bool,
}

impl Workers {
    /// Starts the threads.
    pub fn start(options: WorkersOptions) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let mut workers = Self {
            queue: queue.clone(),
            queue_max: options.queue_max,
            threads: Vec::with_capacity(options.threads),
        };
        for _ in 0..options.threads.max(1) {
            let queue = queue.clone();
            let thread = std::thread::Builder::new().name("query".to_owned());
            workers.threads.push(thread.spawn(move || {
                // A system that refuses has its reasons; the questions are answered all the same.
                let _ = rustix::process::nice(options.niceness);
                queue.work();
            })?);
        }
        Ok(workers)
    }

    /// Hands a task over.
    pub fn submit(&self, task: impl FnOnce() + Send + 'static) -> Result<(), QueueFull> {
        let mut state = self.queue.state();
        let has_room = state.waiting.len() < self.queue_max
            || state.waiting.len() + state.n_running < self.threads.len();
        if !has_room {
            return Err(QueueFull { waiting: state.waiting.len() });
        }
        state.waiting.push_back(Box::new(task));
        drop(state);
        self.queue.changed.notify_one();
        Ok(())
    }

    /// How many tasks wait.
    pub fn n_waiting(&self) -> usize {
        self.queue.state().waiting.len()
    }

    /// How many tasks run.
    pub fn n_running(&self) -> usize {
        self.queue.state().n_running
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.queue.state();
            state.is_stopped = true;
            std::mem::take(&mut state.waiting)
        };
        drop(waiting);
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // Its tasks' panics were caught.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            // What a task leaves half done is its own: it shares nothing that it writes.
            let _ = catch_unwind(AssertUnwindSafe(task));
            self.state().n_running -= 1;
        }
    }

    /// Waits for a task; `None`: there will be none.
    fn next(&self) -> Option<Task> {
        let mut state = self.state();
        loop {
            if state.is_stopped {
                return None;
            }
            if let Some(task) = state.waiting.pop_front() {
                state.n_running += 1;
                return Some(task);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests;

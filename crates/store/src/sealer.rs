//! The thread that turns live data into blocks.
//!
//! In: cuts of the log, as they come. Out, for each: a block, the catalog entry that makes it
//! exist, the view without the live rows and with the block, and only then the log shortened.
//! A step that fails is tried again for ever, the waits growing; meanwhile the rows stay findable
//! and in the log. Decides when the next cut is due: rows, age or bytes of log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use suyuan_wal::Position;

use crate::live::Live;
use crate::seal::SealError;
use crate::{Inner, Store};

/// When live data becomes a block: at the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealPolicy {
    pub rows_max: u64,
    pub age_max: Duration,
    pub log_bytes_max: u64,
}

impl Default for SealPolicy {
    fn default() -> Self {
        Self { rows_max: 2_000_000, age_max: Duration::from_secs(120), log_bytes_max: 1 << 30 }
    }
}

/// What the store asks of the log and of who writes to it. Called from the store's threads.
pub trait LogControl: Send + Sync {
    /// Asks for the live data to end here; [`Store::cut`](crate::Store::cut) follows, even if
    /// nothing came since the last one.
    fn request_cut(&self);
    /// Everything before this position is in blocks, for good.
    fn truncate(&self, before: Position);
    /// Bytes appended since the log was opened.
    fn appended_bytes(&self) -> u64;
}

/// Why waiting for blocks ended without them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    #[error("the server is stopping")]
    Stopping,
    #[error("another server has taken over the log, so this one writes no more blocks: {0}")]
    Fenced(String),
    #[error("the block cannot be written; it is tried again, nothing is lost: {0}")]
    Failing(String),
}

/// Waits after failed seals.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often bytes of log are looked at while rows wait.
const LOG_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What the thread and its callers share.
#[derive(Default)]
pub(crate) struct Sealer {
    state: Mutex<State>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    /// Rises with every change that may give the thread something to do.
    version: u64,
    control: Option<Arc<dyn LogControl>>,
    is_stopping: bool,
    /// Cuts that came.
    n_cuts: u64,
    /// A cut was asked for and has not come.
    is_cut_requested: bool,
    /// The live data that takes rows has as many as it should.
    is_full: bool,
    appended_bytes_at_cut: u64,
    /// Seals that failed since the last one that did not, and why the last one did.
    failures: u32,
    last_failure: Option<String>,
    fenced: Option<String>,
}

/// What the thread does next.
enum Step {
    Stop,
    Seal(Arc<Live>),
    RequestCut,
    Wait(Option<Duration>),
}

impl Store {
    /// Does once what the thread does again and again: for tests and for who has no thread. Returns
    /// up to where the log is in blocks now; `None`: nothing waited.
    #[doc(hidden)]
    pub fn seal_once(&self) -> Result<Option<Position>, FlushError> {
        let inner = &self.0;
        let view = inner.view();
        let Some(live) = view.live.first().filter(|live| live.end().is_some()) else {
            return Ok(None);
        };
        inner.seal(live).map(Some).map_err(|error| match error {
            SealError::Fenced(why) => FlushError::Fenced(why),
            error => FlushError::Failing(error.to_string()),
        })
    }
}

impl Sealer {
    /// Begins to seal. What was cut before waits until now.
    pub(crate) fn start(
        &self,
        inner: &Arc<Inner>,
        control: Arc<dyn LogControl>,
    ) -> std::io::Result<()> {
        self.change(|state| {
            state.appended_bytes_at_cut = control.appended_bytes();
            state.control = Some(control);
        });
        let weak = Arc::downgrade(inner);
        let sealer = inner.sealer.clone();
        let thread = std::thread::Builder::new()
            .name("suyuan-seal".to_owned())
            .spawn(move || sealer.run(&weak))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Ends after the step it is at. Live data that has no block yet stays in the log.
    pub(crate) fn stop(&self) {
        self.change(|state| state.is_stopping = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            // The last handle on the store may be the thread's own.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes blocks panicked");
        }
    }

    /// The live data that takes rows is full. Asks for its end at once: the thread may be busy with
    /// a block, or waiting for an object store that fails, and one block shall not become many
    /// times as large meanwhile.
    pub(crate) fn set_full(&self) {
        if self.state().is_full {
            return;
        }
        let control = self.change(|state| {
            state.is_full = true;
            let control = state.control.clone().filter(|_| !state.is_cut_requested);
            state.is_cut_requested |= control.is_some();
            control
        });
        if let Some(control) = control {
            control.request_cut();
        }
    }

    /// Live data has become blocks, whoever has found that out.
    pub(crate) fn note_sealed(&self) {
        self.change(|_| ());
    }

    /// A cut came.
    pub(crate) fn note_cut(&self) {
        self.change(|state| {
            state.n_cuts += 1;
            state.is_cut_requested = false;
            state.is_full = false;
            if let Some(control) = &state.control {
                state.appended_bytes_at_cut = control.appended_bytes();
            }
        });
    }

    /// Why no block will ever be written again.
    pub(crate) fn fenced(&self) -> Option<String> {
        self.state().fenced.clone()
    }

    /// Asks for a cut, and waits until it has come.
    pub(crate) fn cut_and_wait(&self) -> Result<(), FlushError> {
        let mut state = self.state();
        let Some(control) = state.control.clone() else { return Err(FlushError::Stopping) };
        let n_cuts = state.n_cuts;
        state.is_cut_requested = true;
        drop(state);
        control.request_cut();
        self.wait_until(|state| state.n_cuts > n_cuts)
    }

    /// Waits until a condition holds, or it is known that it will not soon.
    pub(crate) fn wait_until_sealed(&self, is_sealed: impl Fn() -> bool) -> Result<(), FlushError> {
        let failures = self.state().failures;
        let mut result = Ok(());
        self.wait_until(|state| {
            if is_sealed() {
                return true;
            }
            if state.failures > failures {
                result = Err(FlushError::Failing(state.last_failure.clone().unwrap_or_default()));
            }
            result.is_err()
        })?;
        result
    }

    fn wait_until(&self, mut is_so: impl FnMut(&State) -> bool) -> Result<(), FlushError> {
        let mut state = self.state();
        loop {
            if is_so(&state) {
                return Ok(());
            }
            if let Some(why) = &state.fenced {
                return Err(FlushError::Fenced(why.clone()));
            }
            if state.is_stopping {
                return Err(FlushError::Stopping);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, inner: &Weak<Inner>) {
        loop {
            let version = self.state().version;
            let Some(inner) = inner.upgrade() else { return };
            let step = self.next_step(&inner);
            match step {
                Step::Stop => return,
                Step::Seal(live) => self.seal(&inner, &live),
                Step::RequestCut => {
                    let control = self.state().control.clone();
                    if let Some(control) = control {
                        control.request_cut();
                    }
                }
                Step::Wait(timeout) => {
                    drop(inner);
                    self.wait(version, timeout);
                }
            }
        }
    }

    fn next_step(&self, inner: &Inner) -> Step {
        let view = inner.view();
        let mut state = self.state();
        if state.is_stopping {
            return Step::Stop;
        }
        if state.fenced.is_some() {
            return Step::Wait(None);
        }
        if let Some(waiting) = view.live.first().filter(|live| live.end().is_some()) {
            return Step::Seal(waiting.clone());
        }
        let Some(first_row_at) = view.open_live().first_row_at() else { return Step::Wait(None) };
        if state.is_cut_requested {
            return Step::Wait(None);
        }
        let policy = &inner.options.seal;
        let appended = state.control.as_ref().map_or(0, |control| control.appended_bytes());
        let log_bytes = appended.saturating_sub(state.appended_bytes_at_cut);
        let left = policy.age_max.saturating_sub(first_row_at.elapsed());
        if state.is_full || left.is_zero() || log_bytes >= policy.log_bytes_max {
            state.is_cut_requested = true;
            return Step::RequestCut;
        }
        Step::Wait(Some(left.min(LOG_CHECK_INTERVAL)))
    }

    fn seal(&self, inner: &Inner, live: &Live) {
        let started_at = Instant::now();
        // Data that nobody has thought of must not end all sealing without a word.
        let result = catch_unwind(AssertUnwindSafe(|| inner.seal(live)));
        match result.unwrap_or(Err(SealError::Panicked)) {
            Ok(log_end) => {
                inner.metrics.sealed(started_at.elapsed());
                self.change(|state| {
                    state.failures = 0;
                    state.last_failure = None;
                });
                let control = self.state().control.clone();
                if let Some(control) = control {
                    control.truncate(log_end);
                }
                inner.keeper.wake();
            }
            Err(SealError::Fenced(why)) => {
                tracing::error!(%why, "another server has taken over the log: no block is written any more");
                self.change(|state| state.fenced = Some(why));
            }
            Err(error) => {
                inner.metrics.seal_failed();
                let failures = self.change(|state| {
                    state.failures += 1;
                    state.last_failure = Some(error.to_string());
                    state.failures
                });
                let wait = RETRY_MIN.saturating_mul(1 << failures.min(10)).min(RETRY_MAX);
                tracing::error!(%error, retry_after = ?wait, "cannot write a block; live data stays in the log");
                self.pause(wait);
            }
        }
    }

    /// Waits for so long, or until it shall stop.
    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state();
        while !state.is_stopping {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Waits until something has changed since a version, or for so long.
    fn wait(&self, version: u64, timeout: Option<Duration>) {
        let state = self.state();
        let is_unchanged = |state: &mut State| state.version == version;
        match timeout {
            Some(timeout) => drop(self.changed.wait_timeout_while(state, timeout, is_unchanged)),
            None => drop(self.changed.wait_while(state, is_unchanged)),
        }
    }

    /// Changes the state and wakes whoever waits for that.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        state.version += 1;
        drop(state);
        self.changed.notify_all();
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

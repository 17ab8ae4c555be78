//! The thread that keeps the store in order.
//!
//! In: the catalog as it grows, the time. Out: what others committed, seen; fewer blocks
//! ([`crate::compaction`]); blocks removed that have expired ([`crate::retention`]); files deleted
//! that nobody reads any more, or that no entry names; erasures forgotten that are done; snapshots
//! of the catalog. Every step may fail and is tried again, the waits growing; none of them is needed
//! for a span to be safe or found. Runs at a lower priority than ingest.

mod cleaning;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use suyuan_catalog::{CatalogError, Change, CommitError};
use suyuan_objects::ObjectError;
use suyuan_wal::Uuid;

use crate::blocks::BlockError;
use crate::compaction::{
    CompactionPolicy, CompactionReport, CompactionStart, ErasedRows, MergeError, Occasion, Pending,
    Sharing,
};
use crate::retention::{RetentionPolicy, expired, is_all_expired};
use crate::view::View;
use crate::{Inner, Store, now_unix_nanos};

/// What is kept how long, and what is written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepPolicy {
    pub compaction: CompactionPolicy,
    pub retention: RetentionPolicy,
    /// The files of a removed block stay so long for those who still read them: longer than the
    /// longest query.
    pub delete_after: Duration,
    /// Files in a block's folder that no entry names are deleted when they are so old; their writer
    /// may only be slow.
    pub orphans_after: Duration,
    /// What is erased is hidden at once, and gone from the files after this time.
    pub erase_within: Duration,
    /// How often the catalog is looked at, if nothing happens here.
    pub interval: Duration,
}

impl Default for KeepPolicy {
    fn default() -> Self {
        Self {
            compaction: CompactionPolicy::default(),
            retention: RetentionPolicy::default(),
            delete_after: Duration::from_secs(30 + 15 * 60),
            orphans_after: Duration::from_hours(1),
            erase_within: Duration::from_hours(24),
            interval: Duration::from_secs(5),
        }
    }
}

/// Why the store is not in order yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error("cannot write blocks anew: {0}")]
    Merge(#[from] MergeError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error("the step panicked: please report it")]
    Panicked,
}

/// Why blocks were not compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error("the server is stopping")]
    Stopping,
    #[error("the blocks cannot be compacted; they stay as they are: {0}")]
    Failed(String),
}

/// Waits after failed steps.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Files are deleted, orphans looked for and snapshots taken so often.
const CLEAN_INTERVAL: Duration = Duration::from_secs(60);
/// What this thread adds to its niceness.
const NICENESS: i32 = 10;
/// Blocks too many that may wait for their compaction without anybody being slowed down.
const WAITING_BLOCKS_FREE: u64 = 64;
/// How much slower each further one makes a request, and all of them together at most.
const WAIT_PER_BLOCK: Duration = Duration::from_millis(2);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What the thread and its callers share.
#[derive(Default)]
pub(crate) struct Keeper {
    state: Mutex<KeeperState>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// One compaction, removal or deletion at a time, whoever asks for it.
    work: Mutex<Work>,
    waiting_blocks: AtomicU64,
}

#[derive(Default)]
struct KeeperState {
    /// Rises when there may be something to do.
    version: u64,
    is_stopping: bool,
}

/// What is remembered between steps.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) pending: Option<Pending>,
    /// Blocks that cannot be compacted.
    pub(crate) barred: BTreeSet<Uuid>,
    pub(crate) sharing: Sharing,
    pub(crate) erased_rows: ErasedRows,
    cleaned_at: Option<Instant>,
}

impl Work {
    /// Forgets what is about blocks that are gone.
    pub(crate) fn forget(&mut self, view: &View) {
        self.sharing.retain(view);
        self.erased_rows.retain(view);
        self.barred.retain(|id| view.blocks.contains_key(id));
    }
}

impl Store {
    /// Writes blocks anew until it pays no more, and those with erased rows at once. Others may
    /// have done it at the same time: what they did is not in the report.
    pub fn compact(&self) -> Result<CompactionReport, CompactError> {
        let inner = &self.0;
        let mut work = inner.keeper.work();
        let mut report = CompactionReport::default();
        loop {
            if inner.keeper.is_stopping() {
                return Err(CompactError::Stopping);
            }
            match inner.compact_once(&mut work, Occasion::Request) {
                Ok(Some(done)) => report.add(&done),
                Ok(None) => return Ok(report),
                Err(KeepError::Merge(MergeError::Stopping)) => return Err(CompactError::Stopping),
                Err(error) => {
                    inner.metrics.compaction_failed();
                    return Err(CompactError::Failed(error.to_string()));
                }
            }
        }
    }

    /// Does once what the thread does again and again: for tests and for who has no thread.
    #[doc(hidden)]
    pub fn keep_once(&self) -> Result<(), CompactError> {
        let mut work = self.0.keeper.work();
        work.cleaned_at = None;
        self.0.keep(&mut work).map_err(|error| CompactError::Failed(error.to_string()))
    }
}

impl Keeper {
    pub(crate) fn start(&self, inner: &Arc<Inner>) -> std::io::Result<()> {
        let weak = Arc::downgrade(inner);
        let keeper = inner.keeper.clone();
        let thread = std::thread::Builder::new()
            .name("suyuan-keep".to_owned())
            .spawn(move || keeper.run(&weak))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Ends soon; a compaction that is on its way is given up.
    pub(crate) fn stop(&self) {
        self.change(|state| state.is_stopping = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            // The last handle on the store may be the thread's own.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps blocks in order panicked");
        }
    }

    /// There may be something to do.
    pub(crate) fn wake(&self) {
        self.change(|_| ());
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    pub(crate) fn set_waiting_blocks(&self, n: u64) {
        self.waiting_blocks.store(n, Relaxed);
    }

    /// How long requests shall wait because blocks become more, faster than they are made fewer.
    pub(crate) fn pressure(&self) -> Duration {
        let n = self.waiting_blocks.load(Relaxed).saturating_sub(WAITING_BLOCKS_FREE);
        WAIT_PER_BLOCK.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX)).min(WAIT_MAX)
    }

    fn run(&self, inner: &Weak<Inner>) {
        if let Err(error) = rustix::process::nice(NICENESS) {
            tracing::debug!(%error, "blocks are compacted at the priority of everything else");
        }
        let mut failures = 0;
        loop {
            let version = self.state().version;
            let Some(inner) = inner.upgrade() else { return };
            if self.is_stopping() {
                return;
            }
            let interval = inner.options.keep.interval;
            // A block that nobody has thought of must not end all care for the others.
            let kept = catch_unwind(AssertUnwindSafe(|| inner.keep(&mut self.work())));
            let result = kept.unwrap_or(Err(KeepError::Panicked));
            let metrics = inner.metrics.clone();
            drop(inner);
            match result {
                Ok(()) => {
                    failures = 0;
                    self.wait(Some(version), interval);
                }
                Err(KeepError::Merge(MergeError::Stopping)) => return,
                Err(error) => {
                    failures += 1;
                    metrics.keep_failed();
                    let wait = RETRY_MIN.saturating_mul(1 << failures.min(10)).min(RETRY_MAX);
                    tracing::error!(%error, retry_after = ?wait, "cannot keep the blocks in order; nothing is lost");
                    self.wait(None, wait);
                }
            }
        }
    }

    /// Waits for so long, until it shall stop, or until there is more to do than at a version.
    fn wait(&self, version: Option<u64>, timeout: Duration) {
        let is_quiet = |state: &mut KeeperState| {
            !state.is_stopping && version.is_none_or(|version| state.version == version)
        };
        drop(self.changed.wait_timeout_while(self.state(), timeout, is_quiet));
    }

    fn change(&self, change: impl FnOnce(&mut KeeperState)) {
        let mut state = self.state();
        change(&mut state);
        state.version += 1;
        drop(state);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, KeeperState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Does what there is to do.
    fn keep(&self, work: &mut Work) -> Result<(), KeepError> {
        self.install(self.catalog.refresh()?);
        self.remove_expired(work)?;
        let compacted = self.compact_routinely(work);
        // Also if it failed: on a full disk this is what makes room.
        self.clean_if_due(work)?;
        compacted
    }

    fn compact_routinely(&self, work: &mut Work) -> Result<(), KeepError> {
        if self.options.keep.compaction.start == CompactionStart::OnRequest {
            return Ok(());
        }
        while !self.keeper.is_stopping() && self.compact_once(work, Occasion::Routine)?.is_some() {}
        Ok(())
    }

    fn clean_if_due(&self, work: &mut Work) -> Result<(), KeepError> {
        let is_quiet = |at: Instant| at.elapsed() < CLEAN_INTERVAL;
        if self.keeper.is_stopping() || work.cleaned_at.is_some_and(is_quiet) {
            return Ok(());
        }
        self.clean(work)?;
        work.cleaned_at = Some(Instant::now());
        Ok(())
    }

    /// Hides what has expired, and removes blocks that hold nothing else.
    fn remove_expired(&self, work: &Work) -> Result<(), KeepError> {
        let view = self.view();
        let expired = expired(&view.blocks, &self.options.keep.retention, now_unix_nanos());
        if expired != *view.expired {
            self.set_expired(expired.clone());
        }
        let is_all_expired = |id: &Uuid, block: &crate::blocks::Block| {
            block.meta().is_some_and(|meta| is_all_expired(&expired, *id, meta))
        };
        let removes: Vec<Uuid> = (view.blocks.iter())
            .filter(|(id, block)| is_all_expired(id, block))
            .map(|(id, _)| *id)
            .collect();
        if removes.is_empty() || work.pending.is_some() {
            return Ok(());
        }
        let n_removed = removes.len();
        let rows = |id: &Uuid| {
            view.blocks.get(id).and_then(|block| block.meta()).map_or(0, |meta| meta.n_spans())
        };
        let n_rows: u64 = removes.iter().map(rows).sum();
        let committed = self.catalog.commit(Change { removes, ..Change::default() });
        match committed {
            Ok(committed) => self.install(committed.state),
            // Others look after the same blocks.
            Err(CommitError::Ignored(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.metrics.expired(n_removed as u64, n_rows);
        tracing::info!(blocks = n_removed, spans = n_rows, "removed blocks that have expired");
        Ok(())
    }
}

#[cfg(test)]
mod tests;

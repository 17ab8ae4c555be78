//! The catalog of one shard as one process has it.
//!
//! In: changes to commit. Out: states. One commit at a time; readers of a state wait for nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use suyuan_objects::Objects;
use suyuan_wal::Uuid;

use crate::change::{Change, Owner};
use crate::place::Folder;
use crate::read::{load, newest_snapshot, read_entries};
use crate::state::{Ignored, State};
use crate::{CatalogError, CommitError};

mod commit;
mod maintain;

use commit::Attempts;
pub use maintain::Maintained;

/// How many times a log is tried to be taken over, while others do the same.
const TAKE_OVERS_MAX: u32 = 64;

/// How a catalog is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which shard; 0 on a single machine.
    pub shard: u32,
    /// Names this process among all that ever commit: random, and never used by another
    /// `Catalog`.
    pub writer: Uuid,
    /// After how many entries a snapshot is due.
    pub snapshot_every: u64,
    /// How long entries and older snapshots stay after a newer snapshot.
    pub entry_keep: Duration,
}

impl Options {
    /// Entries between two snapshots unless said otherwise: some hours of one server.
    pub const SNAPSHOT_EVERY: u64 = 256;

    /// How long what a snapshot has replaced stays unless said otherwise (`design.md 5`).
    pub const ENTRY_KEEP: Duration = Duration::from_hours(24);
}

/// A shard's catalog. One per process and shard; calls block.
pub struct Catalog {
    objects: Arc<dyn Objects>,
    options: Options,
    folder: Folder,
    /// As far as is known here. Every state that ever stands here is one that all readers share.
    state: RwLock<Arc<State>>,
    /// What is being committed. Whoever changes `state` holds it.
    attempts: Mutex<Attempts>,
    /// The snapshot below which things may be deleted, if it was read back and found whole.
    verified: Mutex<u64>,
}

/// A change that counts.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The number of its entry.
    pub number: u64,
    /// A state with the change in it.
    pub state: Arc<State>,
}

impl Catalog {
    /// Reads what there is. Writes nothing.
    pub fn open(objects: Arc<dyn Objects>, options: Options) -> Result<Self, CatalogError> {
        let folder = Folder { shard: options.shard };
        let state = load(objects.as_ref(), folder)?;
        // A writer's name is used once, but if it was used before, its numbers go on.
        let sequence = state.writers.get(&options.writer).map_or(0, |writer| writer.sequence);
        Ok(Self {
            objects,
            options,
            folder,
            state: RwLock::new(Arc::new(state)),
            attempts: Mutex::new(Attempts::new(sequence)),
            verified: Mutex::new(0),
        })
    }

    /// The last state known here.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what others committed. Settles a commit of unknown outcome first.
    pub fn refresh(&self) -> Result<Arc<State>, CatalogError> {
        let mut attempts = self.attempts();
        self.settle(&mut attempts)?;
        self.catch_up()
    }

    /// Makes this process the owner of a log: whoever owned it before cannot commit for it any
    /// more. Call it at every start, before the log is read.
    pub fn take_over(&self, log: Uuid) -> Result<Owner, CommitError> {
        for _ in 0..TAKE_OVERS_MAX {
            let owner = Owner { log, epoch: self.state().epoch(log).saturating_add(1) };
            match self.commit_entry(vec![owner], Change::default()) {
                Ok(_) => return Ok(owner),
                Err(CommitError::Ignored(Ignored::Fenced { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(CommitError::Busy { tries: TAKE_OVERS_MAX })
    }

    /// Commits a change: when this returns well, it counts for every reader, for ever. An error
    /// says whether it may be tried again.
    pub fn commit(&self, change: Change) -> Result<Committed, CommitError> {
        self.commit_entry(Vec::new(), change)
    }

    /// Removed blocks whose files may go: they were removed longer than `grace` ago, by the
    /// store's clock. When the files are gone, a change forgets them.
    pub fn deletable(&self, grace: Duration) -> Result<Vec<Uuid>, CatalogError> {
        let state = self.state();
        if state.removed.is_empty() {
            return Ok(Vec::new());
        }
        let grace_nanos = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        let now = self.objects.now_unix_nanos()?;
        let is_over = |since: u64| since.saturating_add(grace_nanos) < now;
        let over = state.removed.iter().filter(|(_, removed)| is_over(removed.unix_nanos));
        Ok(over.map(|(id, _)| *id).collect())
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the entries that came since. The caller holds `attempts`.
    fn catch_up(&self) -> Result<Arc<State>, CatalogError> {
        let objects = self.objects.as_ref();
        let known = self.state();
        let mut state = Arc::clone(&known);
        let read = read_entries(objects, self.folder, &mut state);
        if newest_snapshot(objects, self.folder)? > known.number {
            return self.reload();
        }
        read?;
        self.publish(Arc::clone(&state));
        Ok(state)
    }

    /// Reads everything again from the newest snapshot. The caller holds `attempts`.
    fn reload(&self) -> Result<Arc<State>, CatalogError> {
        let state = Arc::new(load(self.objects.as_ref(), self.folder)?);
        debug_assert!(state.number >= self.state().number, "a snapshot is beyond what was known");
        self.publish(Arc::clone(&state));
        Ok(state)
    }

    fn publish(&self, state: Arc<State>) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

//! Which folders are durable, and in which of them a name may be seen that is not.
//!
//! In: folders made, changes begun and ended. Out: whether who looks must sync first. Never touches
//! the disk by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(super) struct Folders {
    /// Those whose names are durable, up to the root.
    durable: Mutex<BTreeSet<String>>,
    /// Those in which a change is under way, or failed to be synced.
    changing: Mutex<BTreeMap<String, Changes>>,
    /// How many `changing` has. Reads look here first: mostly there are none.
    n_changing: AtomicUsize,
}

#[derive(Default)]
struct Changes {
    under_way: u64,
    /// How often a change was left behind unsynced since the folder was last synced.
    left_behind: u64,
}

impl Folders {
    /// Says that a folder's name is, or will be before anybody asks, durable.
    pub(super) fn remember(&self, folder: String) {
        self.durable().insert(folder);
    }

    /// Makes a folder and those above it with `make`, which makes one and syncs the one above it,
    /// unless that was done before.
    pub(super) fn make_durable(
        &self,
        folder: &str,
        make: impl Fn(&str) -> io::Result<()>,
    ) -> io::Result<()> {
        // Held while the disk works, so that nobody takes a folder for durable that is only made.
        let mut durable = self.durable();
        let ends = folder.match_indices('/').map(|(end, _)| end).chain([folder.len()]);
        for end in ends {
            let above = &folder[..end];
            if !durable.contains(above) {
                make(above)?;
                durable.insert(above.to_owned());
            }
        }
        Ok(())
    }

    /// To be called before a folder is removed.
    pub(super) fn forget(&self, folder: &str) {
        self.durable().remove(folder);
    }

    /// To be called before a name in the folder changes.
    pub(super) fn begin_change(&self, folder: &str) -> Change<'_> {
        let mut changing = self.changing();
        changing.entry(folder.to_owned()).or_default().under_way += 1;
        self.n_changing.store(changing.len(), Ordering::SeqCst);
        Change { folders: self, folder: folder.to_owned(), is_durable: false }
    }

    /// Syncs the folder if what was seen in it may not be durable. To be called after looking:
    /// whoever made the change seen counts it until it is durable.
    pub(super) fn see_durable(
        &self,
        folder: &str,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        if self.n_changing.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        let left_behind = match self.changing().get(folder) {
            None => return Ok(()),
            Some(changes) => changes.left_behind,
        };
        sync()?;
        let mut changing = self.changing();
        if let Some(changes) = changing.get_mut(folder) {
            // What was left behind meanwhile may be younger than the sync.
            changes.left_behind -= left_behind.min(changes.left_behind);
        }
        self.tidy(changing, folder);
        Ok(())
    }

    fn tidy(&self, mut changing: MutexGuard<'_, BTreeMap<String, Changes>>, folder: &str) {
        let is_quiet = |changes: &Changes| changes.under_way == 0 && changes.left_behind == 0;
        if changing.get(folder).is_some_and(is_quiet) {
            changing.remove(folder);
        }
        self.n_changing.store(changing.len(), Ordering::SeqCst);
    }

    fn durable(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, BTreeMap<String, Changes>> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change of names in a folder. Dropped before it is durable, it leaves the folder in doubt.
pub(super) struct Change<'a> {
    folders: &'a Folders,
    folder: String,
    is_durable: bool,
}

impl Change<'_> {
    /// The folder was synced after the change.
    pub(super) fn end_durable(mut self) {
        self.is_durable = true;
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let mut changing = self.folders.changing();
        let changes = changing.entry(self.folder.clone()).or_default();
        changes.under_way -= 1;
        changes.left_behind += u64::from(!self.is_durable);
        self.folders.tidy(changing, &self.folder);
    }
}

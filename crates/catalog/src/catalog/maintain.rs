//! Snapshots, and the end of what they replace.
//!
//! In: the state, the store's clock. Out: a snapshot when enough entries came since the last one;
//! entries and older snapshots deleted when a newer snapshot is old enough. Never the newest
//! snapshot, and nothing for which the store's clock or a snapshot's bytes cannot be read.

use std::sync::PoisonError;

use suyuan_objects::ObjectError;

use super::Catalog;
use crate::CatalogError;
use crate::format::encode_snapshot;
use crate::place::Numbered;
use crate::read::read_snapshot;

/// Objects deleted at most by one call, oldest first, so that it ends soon.
const DELETIONS_MAX: usize = 1000;

/// What a maintenance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// The number of the snapshot that was taken, if one was due.
    pub snapshot: Option<u64>,
    /// Its size in bytes.
    pub snapshot_bytes: u64,
    /// Entries and snapshots deleted.
    pub deleted: u64,
}

impl Catalog {
    /// Takes a snapshot if one is due and deletes what old ones have replaced. Cheap if there is
    /// nothing to do; call it after commits, from any thread. It does not hold up commits.
    pub fn maintain(&self) -> Result<Maintained, CatalogError> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = Maintained::default();
        let snapshots = self.folder.snapshots(self.objects.as_ref())?;
        let newest = snapshots.last().map_or(0, |snapshot| snapshot.number);
        let state = self.state();
        if state.number >= newest.saturating_add(self.options.snapshot_every.max(1)) {
            let bytes = encode_snapshot(self.options.shard, &state)
                .map_err(|error| CatalogError::SnapshotTooLarge { bytes: error.0 })?;
            done.snapshot_bytes = bytes.len() as u64;
            match self.objects.create(&self.folder.snapshot(state.number), bytes) {
                // Another reader's snapshot of this number says the same, and so does this one if
                // it turns up later.
                Ok(_) | Err(ObjectError::Unsettled { .. }) => done.snapshot = Some(state.number),
                Err(error) => return Err(error.into()),
            }
        }
        done.deleted = self.delete_replaced(&snapshots, &mut verified)?;
        Ok(done)
    }

    fn delete_replaced(
        &self,
        snapshots: &[Numbered],
        verified: &mut u64,
    ) -> Result<u64, CatalogError> {
        let objects = self.objects.as_ref();
        if snapshots.is_empty() {
            return Ok(0);
        }
        let now = objects.now_unix_nanos()?;
        let keep_nanos = u64::try_from(self.options.entry_keep.as_nanos()).unwrap_or(u64::MAX);
        let is_old = |snapshot: &&Numbered| {
            snapshot.info.modified_unix_nanos.saturating_add(keep_nanos) < now
        };
        let Some(old) = snapshots.iter().rev().find(is_old) else { return Ok(0) };
        let entries = self.folder.entries(objects)?;
        let replaced = entries.iter().filter(|entry| entry.number <= old.number);
        let older = snapshots.iter().filter(|snapshot| snapshot.number < old.number);
        let paths: Vec<&str> = replaced
            .chain(older)
            .map(|object| object.info.path.as_str())
            .take(DELETIONS_MAX)
            .collect();
        if paths.is_empty() {
            return Ok(0);
        }
        if *verified < old.number {
            // Nothing goes before what replaces it was read back.
            if read_snapshot(objects, self.folder, old.number)?.is_none() {
                return Ok(0);
            }
            *verified = old.number;
        }
        for path in &paths {
            objects.delete(path)?;
        }
        Ok(paths.len() as u64)
    }
}

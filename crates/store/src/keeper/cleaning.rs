//! Files and entries that nobody needs any more.
//!
//! In: the catalog's state and the store's clock. Out: files of removed blocks deleted when their
//! readers have had their time; folders that no entry names forbidden by an entry first, because
//! their writer may only be slow, and then deleted; erasures forgotten that no block is held back
//! by; snapshots of the catalog. Never the files of a block that exists, or may come to exist.

use std::collections::BTreeMap;
use std::time::Duration;

use suyuan_block::meta::BlockId;
use suyuan_block::writer::{BLOCKS_FOLDER, folder};
use suyuan_catalog::{Change, CommitError, Forgets, Tombstone, TombstoneId};
use suyuan_wal::Uuid;

use super::{KeepError, Work};
use crate::view::{LOG_BEGIN, View};
use crate::{Inner, now_unix_nanos};

/// A forbidden block's writer may be a machine that sleeps; it does not sleep so long.
const FORBIDDEN_KEEP: Duration = Duration::from_hours(90 * 24);
/// A server that no erasure knew of has committed what it had received by then.
const TOMBSTONE_KEEP: Duration = Duration::from_hours(24);
/// Orphans forbidden by one entry.
const ORPHANS_MAX: usize = 1_000;

impl Inner {
    pub(super) fn clean(&self, work: &mut Work) -> Result<(), KeepError> {
        self.delete_removed()?;
        self.delete_orphans(work)?;
        self.forget_tombstones(work)?;
        self.catalog.maintain()?;
        Ok(())
    }

    fn delete_removed(&self) -> Result<(), KeepError> {
        let removed = self.catalog.deletable(self.options.keep.delete_after)?;
        if removed.is_empty() {
            return Ok(());
        }
        for id in removed.iter().filter_map(|id| BlockId::from_uuid(*id).ok()) {
            self.options.objects.delete_folder(&folder(id))?;
        }
        self.metrics.deleted(removed.len() as u64);
        self.commit_forgets(Forgets { removed, ..Forgets::default() })
    }

    fn delete_orphans(&self, work: &Work) -> Result<(), KeepError> {
        let age_nanos = |age: Duration| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        let folders = self.block_folders()?;
        // Read after the list: who has committed a block before is in it.
        let state = self.catalog.refresh()?;
        self.install(state.clone());
        let view = self.view();
        let is_known = |id: &Uuid| {
            state.blocks.contains_key(id)
                || state.removed.contains_key(id)
                || work.pending.as_ref().is_some_and(|pending| pending.has(*id))
                || view
                    .live
                    .iter()
                    .any(|live| live.written().is_some_and(|meta| meta.id.uuid() == *id))
        };
        let mut orphans: Vec<(Uuid, u64)> =
            folders.iter().filter(|(id, _)| !is_known(id)).map(|(id, at)| (*id, *at)).collect();
        if orphans.is_empty() && state.forbidden.is_empty() {
            return Ok(());
        }
        let now = self.options.objects.now_unix_nanos()?;
        let is_older =
            |unix_nanos: u64, age: Duration| unix_nanos.saturating_add(age_nanos(age)) < now;
        orphans.retain(|(id, at)| {
            state.forbidden.contains_key(id) || is_older(*at, self.options.keep.orphans_after)
        });
        orphans.truncate(ORPHANS_MAX);
        let forbids: Vec<Uuid> = (orphans.iter().map(|(id, _)| *id))
            .filter(|id| !state.forbidden.contains_key(id))
            .collect();
        if !forbids.is_empty() {
            tracing::warn!(
                blocks = forbids.len(),
                "found files of blocks that were never committed"
            );
            match self.catalog.commit(Change { forbids, ..Change::default() }) {
                Ok(committed) => self.install(committed.state),
                // One of them was committed just now: the next look sees it.
                Err(CommitError::Ignored(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        for id in orphans.iter().filter_map(|(id, _)| BlockId::from_uuid(*id).ok()) {
            self.options.objects.delete_folder(&folder(id))?;
        }
        self.metrics.orphans_deleted(orphans.len() as u64);
        let is_over = |(id, moment): &(&Uuid, &suyuan_catalog::Moment)| {
            !folders.contains_key(id) && is_older(moment.unix_nanos, FORBIDDEN_KEEP)
        };
        let forbidden: Vec<Uuid> =
            state.forbidden.iter().filter(is_over).map(|(id, _)| *id).collect();
        if forbidden.is_empty() {
            return Ok(());
        }
        self.commit_forgets(Forgets { forbidden, ..Forgets::default() })
    }

    /// The blocks that have files, and when the last of them was written.
    fn block_folders(&self) -> Result<BTreeMap<Uuid, u64>, KeepError> {
        let mut folders = BTreeMap::new();
        for object in self.options.objects.list(BLOCKS_FOLDER)? {
            let name =
                object.path.strip_prefix(BLOCKS_FOLDER).and_then(|path| path.strip_prefix('/'));
            let Some((name, _)) = name.and_then(|name| name.split_once('/')) else { continue };
            // What is not named as a block is somebody else's.
            let Ok(id) = BlockId::parse(name) else { continue };
            let at: &mut u64 = folders.entry(id.uuid()).or_default();
            *at = object.modified_unix_nanos.max(*at);
        }
        Ok(folders)
    }

    /// Forgets erasures of which no block holds anything any more, nor can one that comes.
    fn forget_tombstones(&self, work: &mut Work) -> Result<(), KeepError> {
        let view = self.view();
        let mut tombstones: Vec<TombstoneId> = Vec::new();
        for (id, tombstone) in &view.state.tombstones {
            if self.is_over(&view, tombstone) && !self.holds_any(work, &view, *id, tombstone)? {
                tombstones.push(*id);
            }
        }
        if tombstones.is_empty() {
            return Ok(());
        }
        tracing::info!(erasures = tombstones.len(), "what was erased is gone from all blocks");
        self.commit_forgets(Forgets { tombstones, ..Forgets::default() })
    }

    /// Whether all that an erasure is about is in blocks.
    fn is_over(&self, view: &View, tombstone: &Tombstone) -> bool {
        let state = &view.state;
        let age_nanos = now_unix_nanos().saturating_sub(tombstone.ingested_before_unix_nanos);
        let is_old = u128::from(age_nanos) > TOMBSTONE_KEEP.as_nanos();
        let names_log = |log: &Uuid| tombstone.before.iter().any(|(of, _)| of == log);
        let is_in_blocks = tombstone
            .before
            .iter()
            .all(|(log, end)| *end == LOG_BEGIN || state.log_end(*log) >= Some(*end));
        is_in_blocks && (is_old || state.logs.keys().all(names_log))
    }

    fn holds_any(
        &self,
        work: &mut Work,
        view: &View,
        id: TombstoneId,
        tombstone: &Tombstone,
    ) -> Result<bool, KeepError> {
        for block in view.blocks.values() {
            if !block.is_covered_by(id.number, tombstone) {
                continue;
            }
            let Some(meta) = block.meta() else { return Ok(true) };
            if block.broken().is_some() {
                return Ok(true);
            }
            if work.erased_rows.of(self, block, meta, id, tombstone)? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn commit_forgets(&self, forgets: Forgets) -> Result<(), KeepError> {
        let committed = self.catalog.commit(Change { forgets, ..Change::default() })?;
        self.install(committed.state);
        Ok(())
    }
}

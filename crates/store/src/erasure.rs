//! Erasing a trace, or all that a tenant has.
//!
//! In: whose, and which trace. Out: an entry of the catalog with a tombstone: what was received
//! before it is gone from every answer when the call returns, and from the files when a compaction
//! has written them anew. What arrives later stays. Live data ends at the erasure, so that it is
//! wholly before or wholly behind it; after a restart the log is cut at the same place
//! ([`Store::replay_cuts`]).

use suyuan_catalog::{Change, CommitError, Tombstone};
use suyuan_ids::TraceId;
use suyuan_model::Tenant;
use suyuan_wal::Position;

use crate::compaction::rows_of;
use crate::sealer::FlushError;
use crate::{Store, now_unix_nanos};

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EraseReport {
    /// Blocks that hold some of it until they are written anew.
    pub blocks: u64,
    /// Spans of it in these blocks, as far as they can be read.
    pub block_rows: u64,
    /// Spans of it that have no block yet.
    pub live_rows: u64,
}

/// Why something was not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error(transparent)]
    Cut(#[from] FlushError),
    #[error("not known to be erased, so erase it again: {0}")]
    Commit(#[from] CommitError),
}

impl Store {
    /// Erases a trace of a tenant, or all its traces, as far as they were received before.
    pub fn erase(
        &self,
        tenant: &Tenant,
        trace: Option<TraceId>,
    ) -> Result<EraseReport, EraseError> {
        let inner = &self.0;
        inner.sealer.cut_and_wait()?;
        let view = inner.view();
        let log = inner.options.log;
        let own_end = view.open_live().begin();
        let tombstone = Tombstone {
            tenant: tenant.clone(),
            trace,
            // Of other logs the blocks there are now, and those wholly received before.
            before: vec![(log, own_end)],
            ingested_before_unix_nanos: now_unix_nanos(),
        };
        let mut report = EraseReport::default();
        for live in view.live.iter().filter(|live| live.end().is_some()) {
            report.live_rows += live.rows_of(tenant, trace);
        }
        let change = Change { tombstones: vec![tombstone], ..Change::default() };
        inner.install(inner.catalog.commit(change)?.state);
        for block in view.blocks.values() {
            let Some(meta) = block.meta() else { continue };
            let n_rows = rows_of(inner, block, meta, tenant, trace).unwrap_or_default();
            report.blocks += u64::from(n_rows > 0);
            report.block_rows += n_rows;
        }
        inner.keeper.wake();
        Ok(report)
    }

    /// Where replay must cut the log so that erasures hold: positions behind what is in blocks,
    /// ascending.
    pub fn replay_cuts(&self) -> Vec<Position> {
        let view = self.0.view();
        let sealed_to = view.state.log_end(self.0.options.log);
        let of_log = |tombstone: &Tombstone| {
            tombstone.before.iter().find(|(log, _)| *log == self.0.options.log).map(|(_, end)| *end)
        };
        let mut cuts: Vec<Position> = (view.state.tombstones.values())
            .filter_map(|tombstone| of_log(tombstone))
            .filter(|end| Some(*end) > sealed_to)
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }
}

#[cfg(test)]
mod tests;

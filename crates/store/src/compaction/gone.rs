//! What of a block is erased or expired, and how much that is.
//!
//! In: a block and a view. Out: tenants and traces that a compaction leaves out, and the number of
//! their rows. A trace that was erased is looked up once in each block that the erasure is about.

use std::collections::{BTreeSet, HashMap, HashSet};

use suyuan_block::meta::BlockMeta;
use suyuan_catalog::{Tombstone, TombstoneId};
use suyuan_ids::TraceId;
use suyuan_model::Tenant;
use suyuan_wal::Uuid;

use crate::Inner;
use crate::blocks::{Block, BlockError};
use crate::retention::expired_rows;
use crate::view::View;

/// What does not come out of a compaction.
#[derive(Default)]
pub(super) struct Gone {
    /// Numbers of tenants in the block.
    tenants: BTreeSet<u32>,
    traces: HashMap<u32, HashSet<TraceId>>,
}

impl Gone {
    pub(super) fn of(view: &View, block: &Block, meta: &BlockMeta) -> Self {
        let expired = view.expired.range((block.id, 0)..=(block.id, u32::MAX));
        let mut gone =
            Self { tenants: expired.map(|(_, number)| *number).collect(), traces: HashMap::new() };
        for (_, tombstone) in tombstones_of(view, block) {
            let Some((number, _)) = meta.tenant(&tombstone.tenant) else { continue };
            match tombstone.trace {
                None => drop(gone.tenants.insert(number)),
                Some(trace) => drop(gone.traces.entry(number).or_default().insert(trace)),
            }
        }
        gone
    }

    pub(super) fn is_tenant_gone(&self, number: u32) -> bool {
        self.tenants.contains(&number)
    }

    pub(super) fn is_trace_gone(&self, tenant: u32, id: TraceId) -> bool {
        self.traces.get(&tenant).is_some_and(|traces| traces.contains(&id))
    }
}

/// The erasures that a block must still obey.
pub(crate) fn tombstones_of<'a>(
    view: &'a View,
    block: &Block,
) -> impl Iterator<Item = (TombstoneId, &'a Tombstone)> {
    view.state.tombstones.iter().filter_map(move |(id, tombstone)| {
        block.is_covered_by(id.number, tombstone).then_some((*id, &**tombstone))
    })
}

/// Rows of blocks that single erasures are about, as far as they were counted.
#[derive(Default)]
pub(crate) struct ErasedRows(HashMap<(Uuid, TombstoneId), u64>);

/// What of a block is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DeadRows {
    pub(super) n_rows: u64,
    /// The oldest erasure among the reasons: rows received before this time.
    pub(super) erased_unix_nanos: Option<u64>,
}

impl ErasedRows {
    /// Counts what is erased and expired of a block; twice what is both.
    pub(super) fn dead(
        &mut self,
        inner: &Inner,
        view: &View,
        block: &Block,
        meta: &BlockMeta,
    ) -> Result<DeadRows, BlockError> {
        let mut dead = DeadRows {
            n_rows: expired_rows(&view.expired, block.id, meta),
            erased_unix_nanos: None,
        };
        for (id, tombstone) in tombstones_of(view, block) {
            let n_rows = self.of(inner, block, meta, id, tombstone)?;
            if n_rows > 0 {
                dead.n_rows += n_rows;
                let erased = tombstone.ingested_before_unix_nanos;
                dead.erased_unix_nanos =
                    Some(dead.erased_unix_nanos.map_or(erased, |oldest| oldest.min(erased)));
            }
        }
        Ok(dead)
    }

    /// How many rows of a block an erasure is about.
    pub(crate) fn of(
        &mut self,
        inner: &Inner,
        block: &Block,
        meta: &BlockMeta,
        id: TombstoneId,
        tombstone: &Tombstone,
    ) -> Result<u64, BlockError> {
        if let Some(n_rows) = self.0.get(&(block.id, id)) {
            return Ok(*n_rows);
        }
        let n_rows = rows_of(inner, block, meta, &tombstone.tenant, tombstone.trace)?;
        self.0.insert((block.id, id), n_rows);
        Ok(n_rows)
    }

    /// Forgets what is no longer asked for.
    pub(crate) fn retain(&mut self, view: &View) {
        self.0.retain(|(block, tombstone), _| {
            view.blocks.contains_key(block) && view.state.tombstones.contains_key(tombstone)
        });
    }
}

/// How many rows a block has of a trace, or of all of a tenant's.
pub(crate) fn rows_of(
    inner: &Inner,
    block: &Block,
    meta: &BlockMeta,
    tenant: &Tenant,
    trace: Option<TraceId>,
) -> Result<u64, BlockError> {
    let Some((_, rows)) = meta.tenant(tenant) else { return Ok(0) };
    let Some(trace) = trace else { return Ok(rows.n_spans()) };
    let reader = block.reader(&inner.options.objects, &inner.read_cache)?;
    let places = reader.place(tenant, trace).map_err(|error| block.judge(error))?;
    Ok(places.iter().map(|place| u64::from(place.rows.end - place.rows.start)).sum())
}

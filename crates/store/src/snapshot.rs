//! Everything of one tenant at one moment, for questions that are about more than one trace.
//!
//! In: a view. Out: the sources a question must ask, live data up to a row and blocks, without what
//! has expired or was erased; what of them belongs together is the [split set](crate::split), what
//! they hold is read by [scans](crate::scan). Rows that come later, seals and compactions change
//! nothing here.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use suyuan_block::meta::TenantRange;
use suyuan_catalog::Tombstone;
use suyuan_ids::TraceId;
use suyuan_model::{Tenant, UnixNanosRange};

use crate::blocks::Block;
use crate::compaction::tombstones_of;
use crate::find::{FindError, Skipped};
use crate::live::{Live, TenantWindow};
use crate::split::SplitSet;
use crate::view::View;
use crate::{Inner, Store};

/// A tenant's data at one moment.
pub struct Snapshot {
    pub(crate) inner: Arc<Inner>,
    pub(crate) view: Arc<View>,
    pub(crate) tenant: Tenant,
    /// Oldest first.
    pub(crate) live: Vec<LiveSource>,
    /// Newest first, by when they received their last span.
    pub(crate) blocks: Vec<BlockSource>,
    /// Blocks of which nothing is known.
    pub(crate) unreadable: Vec<Skipped>,
    split: Mutex<Option<Arc<SplitSet>>>,
}

/// Live data up to a row.
pub(crate) struct LiveSource {
    pub(crate) live: Arc<Live>,
    pub(crate) window: TenantWindow,
    /// Rows and traces that there were.
    pub(crate) n_rows: u32,
    pub(crate) n_traces: u32,
    pub(crate) received: UnixNanosRange,
    pub(crate) erased: HashSet<TraceId>,
}

/// A tenant's rows in a block.
pub(crate) struct BlockSource {
    pub(crate) block: Arc<Block>,
    /// The tenant's number there.
    pub(crate) tenant: u32,
    pub(crate) received: UnixNanosRange,
    pub(crate) erased: HashSet<TraceId>,
}

impl BlockSource {
    /// Traces that lie in several slices: for each two neighbours the first of the slices.
    pub(crate) fn cut_traces(&self) -> impl Iterator<Item = (u32, TraceId)> {
        let slices = self.block.meta().map_or(&[][..], |meta| &meta.slices);
        let ranges = self.block.meta().and_then(|meta| meta.tenants.get(self.tenant as usize));
        let ranges = ranges.map_or(&[][..], |tenant| &tenant.ranges);
        let has_both = |pair: &&[TenantRange]| pair[0].slice + 1 == pair[1].slice;
        ranges.windows(2).filter(has_both).filter_map(|pair| {
            let slice = pair[0].slice;
            Some((slice, slices.get(slice as usize)?.continues?))
        })
    }
}

/// Which live data. What is known under it may outlive the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LiveKey(u64);

impl LiveKey {
    pub(crate) fn of(live: &Arc<Live>) -> Self {
        Self(live.number())
    }
}

impl LiveSource {
    pub(crate) fn key(&self) -> LiveKey {
        LiveKey::of(&self.live)
    }
}

impl Store {
    /// What a tenant has now. Cheap: nothing is read.
    pub fn snapshot(&self, tenant: &Tenant) -> Snapshot {
        Snapshot::new(self.0.clone(), tenant)
    }
}

impl Snapshot {
    pub(crate) fn new(inner: Arc<Inner>, tenant: &Tenant) -> Self {
        let view = inner.view();
        let live = live_sources(&inner, &view, tenant);
        let (blocks, unreadable) = block_sources(&view, tenant);
        let (tenant, split) = (tenant.clone(), Mutex::default());
        Self { inner, view, tenant, live, blocks, unreadable, split }
    }

    /// Whose data it is.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The traces that lie in several sources; computed when it is first asked for, as far as it
    /// has not been already.
    pub fn split(&self) -> Result<Arc<SplitSet>, FindError> {
        let mut split = self.split.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(split) = &*split {
            return Ok(split.clone());
        }
        let computed = self.inner.splits.of(self)?;
        Ok(split.insert(computed).clone())
    }
}

fn live_sources(inner: &Inner, view: &View, tenant: &Tenant) -> Vec<LiveSource> {
    let mut sources = Vec::new();
    for live in &view.live {
        let Some(window) = live.window(tenant) else { continue };
        let is_about = |tombstone: &&Arc<Tombstone>| {
            tombstone.tenant == *tenant && live.is_covered_by(tombstone, inner.options.log)
        };
        let tombstones: Vec<_> = view.state.tombstones.values().filter(is_about).collect();
        if tombstones.iter().any(|tombstone| tombstone.trace.is_none()) {
            continue;
        }
        let erased = tombstones.iter().filter_map(|tombstone| tombstone.trace).collect();
        let (n_rows, n_traces, received) = {
            let window = window.read().unwrap_or_else(PoisonError::into_inner);
            (window.n_rows() as u32, window.traces().len() as u32, window.received())
        };
        if let Some(received) = received {
            let live = live.clone();
            sources.push(LiveSource { live, window, n_rows, n_traces, received, erased });
        }
    }
    sources
}

fn block_sources(view: &View, tenant: &Tenant) -> (Vec<BlockSource>, Vec<Skipped>) {
    let (mut sources, mut unreadable) = (Vec::new(), Vec::new());
    for block in view.blocks.values() {
        let Some(meta) = block.meta() else {
            let reason = block.broken().unwrap_or_default();
            unreadable.push(Skipped { block: block.id, reason });
            continue;
        };
        let Some((number, rows)) = meta.tenant(tenant) else { continue };
        if view.is_expired(number, block) {
            continue;
        }
        let tombstones: Vec<_> = tombstones_of(view, block)
            .filter(|(_, tombstone)| tombstone.tenant == *tenant)
            .map(|(_, tombstone)| tombstone.trace)
            .collect();
        if tombstones.contains(&None) {
            continue;
        }
        sources.push(BlockSource {
            block: block.clone(),
            tenant: number,
            received: rows.received_unix_nanos,
            erased: tombstones.into_iter().flatten().collect(),
        });
    }
    sources.sort_by_key(|source| std::cmp::Reverse((source.received.max, source.block.id)));
    (sources, unreadable)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::view::LOG_BEGIN;

    #[test]
    fn live_data_that_is_gone_leaves_its_key_to_nobody() {
        let keys = (0..64).map(|_| LiveKey::of(&Arc::new(Live::new(LOG_BEGIN))));
        assert_eq!(keys.collect::<BTreeSet<_>>().len(), 64);
    }
}

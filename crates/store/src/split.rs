//! Traces that lie in more than one source: their pieces, and what is said of the whole.
//!
//! In: a snapshot's sources. Two of them are held against each other if they were received within
//! the horizon of each other; what they share is found by sorted fingerprints of ids (8 bytes a
//! trace in memory, 1 ms for two sources of 100,000 traces; an id filter would let a thousand of
//! them through) and then by the ids themselves. Out: the split set, one entry for each trace with
//! all its pieces and the row that a search answers from, duplicates removed. What two blocks share
//! never changes and is found once; of live data only new traces are looked at. Spans themselves
//! are read by [scans](crate::scan).
//!
//! Pieces further apart than the horizon stay pieces until a compaction brings them together; a
//! lookup by id is always whole.

mod background;
mod ids;
mod merging;
mod pairs;
mod probes;
mod set;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use suyuan_block::reader::BlockReader;
use suyuan_catalog::TombstoneId;
use suyuan_model::{Tenant, UnixNanosRange};
use suyuan_wal::Uuid;

use crate::Inner;
use crate::blocks::BlockError;
use crate::find::{FindError, Skipped};
use crate::metrics::SplitTotals;
use crate::snapshot::{BlockSource, LiveKey, Snapshot};
use crate::view::View;

pub(crate) use background::Splitter;
use ids::{IdCache, PlaceCache};
use merging::Outlines;
use pairs::Pair;
use probes::LiveProbe;
pub(crate) use set::{Piece, TraceLine};
pub use set::{SplitSet, SplitTrace};

/// Memory that a shared trace takes, about: its places, and its row.
pub(crate) const SHARED_TRACE_BYTES: u64 = 256;

/// What is known of all tenants.
#[derive(Default)]
pub(crate) struct Splits {
    tenants: Mutex<HashMap<Tenant, Arc<Mutex<TenantSplits>>>>,
    totals: Mutex<HashMap<Tenant, SplitTotals>>,
}

/// What is known of a tenant, kept from one snapshot to the next.
#[derive(Default)]
struct TenantSplits {
    ids: IdCache,
    places: PlaceCache,
    outlines: Outlines,
    /// The newer block first; a block with itself for traces that lie in several of its slices.
    pairs: HashMap<(Uuid, Uuid), Arc<Pair>>,
    live: HashMap<LiveKey, LiveProbe>,
    blocks: Option<Arc<BlockPart>>,
    last: Option<LastSet>,
}

/// The part of a split set that blocks alone decide.
struct BlockPart {
    blocks: Vec<Uuid>,
    erasures: Vec<TombstoneId>,
    /// By id.
    traces: Vec<Arc<SplitTrace>>,
    n_left_out: u64,
}

struct LastSet {
    blocks: Arc<BlockPart>,
    live: Vec<(LiveKey, u32)>,
    set: Arc<SplitSet>,
}

/// Why a split set is not complete.
#[derive(Debug)]
enum SplitError {
    /// It is computed again without the block.
    Block(BlockError),
    Other(FindError),
}

impl From<BlockError> for SplitError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}

impl From<FindError> for SplitError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Block(error) => Self::Block(error),
            other => Self::Other(other),
        }
    }
}

impl Splits {
    /// The split set of a snapshot. Blocks that cannot be read are left out and named.
    pub(crate) fn of(&self, snapshot: &Snapshot) -> Result<Arc<SplitSet>, FindError> {
        let is_one_source = snapshot.blocks.len() + snapshot.live.len() < 2;
        if is_one_source
            && snapshot.blocks.iter().all(|source| source.cut_traces().next().is_none())
        {
            // Nothing is kept of a name that anybody may ask for.
            return Ok(Arc::new(SplitSet::new(Vec::new(), Vec::new(), 0)));
        }
        let tenant = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            tenants.entry(snapshot.tenant.clone()).or_default().clone()
        };
        let mut tenant = tenant.lock().unwrap_or_else(PoisonError::into_inner);
        let started_at = Instant::now();
        let mut skipped: Vec<Skipped> = Vec::new();
        let result = loop {
            match tenant.set(snapshot, &skipped) {
                Ok(set) => break Ok(set),
                Err(SplitError::Other(error)) => break Err(error),
                Err(SplitError::Block(error)) => skipped.push(error.into()),
            }
        };
        let metrics = &snapshot.inner.metrics;
        metrics.split_computed(started_at.elapsed());
        if let Ok(set) = &result {
            let totals = SplitTotals {
                n_traces: set.len() as u64,
                n_bytes: tenant.bytes(),
                n_left_out: set.n_left_out(),
            };
            metrics.set_split(self.add_totals(&snapshot.tenant, totals));
        }
        result
    }

    /// Of all tenants.
    fn add_totals(&self, tenant: &Tenant, totals: SplitTotals) -> SplitTotals {
        let mut all = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(tenant.clone(), totals);
        all.values().fold(SplitTotals::default(), |sum, one| SplitTotals {
            n_traces: sum.n_traces + one.n_traces,
            n_bytes: sum.n_bytes + one.n_bytes,
            n_left_out: sum.n_left_out + one.n_left_out,
        })
    }

    /// Of how many tenants something is kept.
    #[cfg(test)]
    pub(crate) fn n_tenants(&self) -> usize {
        self.tenants.lock().expect("not poisoned").len()
    }

    /// Forgets what is about sources that are gone.
    pub(crate) fn retain(&self, view: &View) {
        let tenants: Vec<Arc<Mutex<TenantSplits>>> = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            tenants.retain(|tenant, _| view.has_tenant(tenant));
            let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.retain(|tenant, _| tenants.contains_key(tenant));
            tenants.values().cloned().collect()
        };
        for tenant in tenants {
            tenant.lock().unwrap_or_else(PoisonError::into_inner).retain(view);
        }
    }
}

impl TenantSplits {
    fn set(
        &mut self,
        snapshot: &Snapshot,
        skipped: &[Skipped],
    ) -> Result<Arc<SplitSet>, SplitError> {
        let is_skipped = |id: Uuid| skipped.iter().any(|skipped| skipped.block == id);
        let served: Vec<&BlockSource> =
            snapshot.blocks.iter().filter(|source| !is_skipped(source.block.id)).collect();
        let blocks = self.block_part(snapshot, &served)?;
        let live: Vec<(LiveKey, u32)> =
            snapshot.live.iter().map(|source| (source.key(), source.n_rows)).collect();
        if let Some(last) = &self.last
            && Arc::ptr_eq(&last.blocks, &blocks)
            && last.live == live
        {
            return Ok(last.set.clone());
        }
        let (shared, n_left_out) = self.probe_live(snapshot, &served)?;
        let traces = self.join(snapshot, &served, &blocks.traces, shared)?;
        let n_left_out = n_left_out + blocks.n_left_out;
        let set = Arc::new(SplitSet::new(traces, skipped.to_vec(), n_left_out));
        self.last = Some(LastSet { blocks, live, set: set.clone() });
        Ok(set)
    }

    /// What blocks share among themselves.
    fn block_part(
        &mut self,
        snapshot: &Snapshot,
        served: &[&BlockSource],
    ) -> Result<Arc<BlockPart>, SplitError> {
        let blocks: Vec<Uuid> = served.iter().map(|source| source.block.id).collect();
        let erasures: Vec<TombstoneId> = (snapshot.view.state.tombstones.iter())
            .filter(|(_, tombstone)| tombstone.tenant == snapshot.tenant)
            .map(|(id, _)| *id)
            .collect();
        if let Some(part) = &self.blocks
            && part.blocks == blocks
            && part.erasures == erasures
        {
            return Ok(part.clone());
        }
        let (shared, n_left_out) = self.shared_by_blocks(snapshot, served)?;
        let before = self.blocks.take();
        let known = before.as_ref().map_or(&[][..], |part| &part.traces);
        let found = merging::components(shared);
        let result = self.merge(snapshot, served, found, known);
        // What was known stays known if a block cannot be read now.
        self.blocks = before;
        let part = Arc::new(BlockPart { blocks, erasures, traces: result?, n_left_out });
        self.blocks = Some(part.clone());
        Ok(part)
    }

    /// Joins what live data shares with other sources to what blocks share.
    fn join(
        &mut self,
        snapshot: &Snapshot,
        served: &[&BlockSource],
        blocks: &[Arc<SplitTrace>],
        mut shared: Vec<Shared>,
    ) -> Result<Vec<Arc<SplitTrace>>, SplitError> {
        if shared.is_empty() {
            return Ok(blocks.to_vec());
        }
        let ids: HashSet<[u8; 16]> = shared.iter().map(|shared| shared.id).collect();
        for trace in blocks.iter().filter(|trace| ids.contains(trace.id().as_bytes())) {
            for pair in trace.pieces().windows(2) {
                let id = *trace.id().as_bytes();
                shared.push(Shared { id, pieces: [pair[0], pair[1]] });
            }
        }
        let mut found = merging::components(shared);
        // Pieces in blocks that no live data belongs to are told of already.
        found.retain(|trace| trace.pieces.iter().any(Piece::is_live));
        let joined: HashSet<([u8; 16], Piece)> = found
            .iter()
            .flat_map(|trace| trace.pieces.iter().map(|piece| (trace.id, *piece)))
            .collect();
        let last = self.last.as_ref().map(|last| last.set.clone());
        let known = last.as_ref().map_or(&[][..], |set| set.traces());
        let mut traces = self.merge(snapshot, served, found, known)?;
        let is_joined = |trace: &&Arc<SplitTrace>| {
            let first = trace.pieces().first().copied();
            first.is_some_and(|piece| joined.contains(&(*trace.id().as_bytes(), piece)))
        };
        traces.extend(blocks.iter().filter(|trace| !is_joined(trace)).cloned());
        traces.sort_by_key(|trace| *trace.id().as_bytes());
        Ok(traces)
    }

    fn retain(&mut self, view: &View) {
        let exists = |id: &Uuid| view.blocks.contains_key(id);
        self.pairs.retain(|(newer, older), _| exists(newer) && exists(older));
        self.ids.retain(exists);
        self.places.retain(exists);
        self.outlines.retain(exists);
        let live: BTreeSet<LiveKey> = view.live.iter().map(LiveKey::of).collect();
        self.live.retain(|key, _| live.contains(key));
        for probe in self.live.values_mut() {
            probe.retain(exists, &live);
        }
        // A set of live data that is gone is of no use and may be large.
        if self
            .last
            .as_ref()
            .is_some_and(|last| last.live.iter().any(|(key, _)| !live.contains(key)))
        {
            self.last = None;
        }
    }

    /// Memory taken, about.
    fn bytes(&self) -> u64 {
        let pairs: u64 = self.pairs.values().map(|pair| pair.bytes()).sum();
        let n_blocks = self.blocks.as_ref().map_or(0, |part| part.traces.len() as u64);
        let n_live: u64 = self.live.values().map(|probe| probe.n_shared()).sum();
        let caches = self.ids.bytes() + self.places.bytes() + self.outlines.bytes();
        pairs + (n_blocks + n_live) * SHARED_TRACE_BYTES + caches
    }
}

/// Two pieces of a trace.
#[derive(Clone, Copy, Debug)]
struct Shared {
    id: [u8; 16],
    pieces: [Piece; 2],
}

/// Whether two sources were received within the horizon of each other.
fn is_near(one: UnixNanosRange, other: UnixNanosRange, inner: &Inner) -> bool {
    let apart = one.min.saturating_sub(other.max).max(other.min.saturating_sub(one.max));
    u128::from(apart) <= inner.options.trace_horizon.as_nanos()
}

/// The open files of a source.
fn reader_of(inner: &Inner, source: &BlockSource) -> Result<Arc<BlockReader>, BlockError> {
    source.block.reader(&inner.options.objects, &inner.read_cache)
}

//! What live data shares with blocks and with older live data. Only traces that are new since the
//! last look are sought.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::PoisonError;

use suyuan_ids::TraceId;
use suyuan_wal::Uuid;

use crate::Inner;
use crate::snapshot::{BlockSource, LiveKey, LiveSource, Snapshot};

use super::ids::rows_of;
use super::pairs::block_piece;
use super::{Piece, SHARED_TRACE_BYTES, Shared, SplitError, TenantSplits, is_near};

/// What is known of a window.
#[derive(Default)]
pub(super) struct LiveProbe {
    blocks: HashMap<Uuid, Probed<(u32, Range<u32>)>>,
    live: HashMap<LiveKey, Probed<u32>>,
}

/// What a window shares with another source, as far as it was looked at.
struct Probed<There> {
    n_traces: u32,
    /// Trace of the window, and where it is there; ascending.
    shared: Vec<(u32, There)>,
}

impl<There> Default for Probed<There> {
    fn default() -> Self {
        Self { n_traces: 0, shared: Vec::new() }
    }
}

impl LiveProbe {
    pub(super) fn retain(&mut self, exists: impl Fn(&Uuid) -> bool, live: &BTreeSet<LiveKey>) {
        self.blocks.retain(|id, _| exists(id));
        self.live.retain(|key, _| live.contains(key));
    }

    /// Traces that are shared with one source, of all sources.
    pub(super) fn n_shared(&self) -> u64 {
        let blocks = self.blocks.values().map(|probed| probed.shared.len());
        let live = self.live.values().map(|probed| probed.shared.len());
        blocks.chain(live).sum::<usize>() as u64
    }

    /// The traces from which on some source was not looked at.
    fn first_new(&self, blocks: &[&&BlockSource], older: &[&LiveSource]) -> u32 {
        let block = |source: &&&BlockSource| {
            self.blocks.get(&source.block.id).map_or(0, |probed| probed.n_traces)
        };
        let live =
            |source: &&LiveSource| self.live.get(&source.key()).map_or(0, |probed| probed.n_traces);
        let seen = blocks.iter().map(block).chain(older.iter().map(live));
        seen.min().unwrap_or(0)
    }
}

/// The ids of new traces of a window: the first of them is trace `first`.
struct NewIds {
    first: u32,
    ids: Vec<[u8; 16]>,
}

impl NewIds {
    fn from(&self, trace: u32) -> impl Iterator<Item = (u32, &[u8; 16])> {
        let skipped = trace.saturating_sub(self.first);
        (self.first + skipped..).zip(self.ids.iter().skip(skipped as usize))
    }
}

impl TenantSplits {
    /// What live data shares with other sources, erased traces left out, and about how much more
    /// there is that does not fit into memory.
    pub(super) fn probe_live(
        &mut self,
        snapshot: &Snapshot,
        served: &[&BlockSource],
    ) -> Result<(Vec<Shared>, u64), SplitError> {
        let inner = &snapshot.inner;
        let n_max = (inner.options.split_bytes_max / SHARED_TRACE_BYTES) as usize;
        let (mut shared, mut n_left_out) = (Vec::new(), 0);
        for (at, source) in snapshot.live.iter().enumerate().rev() {
            let older = &snapshot.live[..at];
            self.probe(inner, source, older, served)?;
            let found = self.shared_of(inner, source, older, served);
            let n_kept = found.len().min(n_max - shared.len());
            n_left_out += (found.len() - n_kept) as u64;
            shared.extend(found.into_iter().take(n_kept));
        }
        Ok((shared, n_left_out))
    }

    /// Looks for the new traces of a window in older sources.
    fn probe(
        &mut self,
        inner: &Inner,
        source: &LiveSource,
        older: &[LiveSource],
        served: &[&BlockSource],
    ) -> Result<(), SplitError> {
        let blocks: Vec<&&BlockSource> =
            served.iter().filter(|block| is_near(source.received, block.received, inner)).collect();
        let older: Vec<&LiveSource> =
            older.iter().filter(|live| is_near(source.received, live.received, inner)).collect();
        let mut probe = self.live.remove(&source.key()).unwrap_or_default();
        let new = new_ids(source, probe.first_new(&blocks, &older));
        for live in older {
            let probed = probe.live.entry(live.key()).or_default();
            let window = live.window.read().unwrap_or_else(PoisonError::into_inner);
            for (trace, id) in new.from(probed.n_traces) {
                probed.shared.extend(window.trace_number(id).map(|there| (trace, there)));
            }
            probed.n_traces = probed.n_traces.max(source.n_traces);
        }
        let mut result = Ok(());
        for block in blocks {
            let probed = probe.blocks.entry(block.block.id).or_default();
            if probed.n_traces < source.n_traces {
                result = self.probe_block(inner, block, &new, probed);
                if result.is_err() {
                    break;
                }
                probed.n_traces = source.n_traces;
            }
        }
        self.live.insert(source.key(), probe);
        result
    }

    fn probe_block(
        &mut self,
        inner: &Inner,
        block: &BlockSource,
        new: &NewIds,
        probed: &mut Probed<(u32, Range<u32>)>,
    ) -> Result<(), SplitError> {
        let ids = self.ids.of(inner, block)?;
        let mut candidates = Vec::new();
        for (trace, id) in new.from(probed.n_traces) {
            let slices = ids.find(self.ids.fingerprint(id));
            candidates.extend(slices.map(|slice| (slice, trace, id)));
        }
        candidates.sort_unstable();
        let mut found = Vec::new();
        for same_slice in candidates.chunk_by(|one, next| one.0 == next.0) {
            let slice = same_slice[0].0;
            let places = self.places.of(inner, block, slice)?;
            for (_, trace, id) in same_slice {
                found.extend(rows_of(&places, id).map(|rows| (*trace, (slice, rows))));
            }
        }
        let n_false = candidates.len() - found.len();
        inner.metrics.split_probed(candidates.len() as u64, n_false as u64);
        probed.shared.append(&mut found);
        Ok(())
    }

    /// What a window shares, up to the snapshot's row.
    fn shared_of(
        &self,
        inner: &Inner,
        source: &LiveSource,
        older: &[LiveSource],
        served: &[&BlockSource],
    ) -> Vec<Shared> {
        let mut shared = Vec::new();
        let Some(probe) = self.live.get(&source.key()) else { return shared };
        let window = source.window.read().unwrap_or_else(PoisonError::into_inner);
        let piece_of = |source: &LiveSource, window: &crate::window::Window, trace: u32| {
            let n_rows = window.rows_of(trace, source.n_rows).len() as u32;
            Piece::Live { live: source.key(), trace, n_rows }
        };
        for live in older.iter().filter(|live| is_near(source.received, live.received, inner)) {
            let Some(probed) = probe.live.get(&live.key()) else { continue };
            let older_window = live.window.read().unwrap_or_else(PoisonError::into_inner);
            for (trace, there) in probed.shared.iter().filter(|s| s.0 < source.n_traces) {
                let id = window.traces()[*trace as usize].id;
                let trace_id = TraceId::from_bytes(id);
                if source.erased.contains(&trace_id) || live.erased.contains(&trace_id) {
                    continue;
                }
                let pieces =
                    [piece_of(source, &window, *trace), piece_of(live, &older_window, *there)];
                shared.push(Shared { id, pieces });
            }
        }
        for block in served.iter().filter(|b| is_near(source.received, b.received, inner)) {
            let Some(probed) = probe.blocks.get(&block.block.id) else { continue };
            for (trace, (slice, rows)) in probed.shared.iter().filter(|s| s.0 < source.n_traces) {
                let id = window.traces()[*trace as usize].id;
                let trace_id = TraceId::from_bytes(id);
                if source.erased.contains(&trace_id) || block.erased.contains(&trace_id) {
                    continue;
                }
                let there = block_piece(block.block.id, *slice, rows.clone());
                shared.push(Shared { id, pieces: [piece_of(source, &window, *trace), there] });
            }
        }
        shared
    }
}

fn new_ids(source: &LiveSource, first: u32) -> NewIds {
    let window = source.window.read().unwrap_or_else(PoisonError::into_inner);
    let end = source.n_traces as usize;
    let new = window.traces().get(first as usize..end).unwrap_or(&[]);
    NewIds { first, ids: new.iter().map(|trace| trace.id).collect() }
}

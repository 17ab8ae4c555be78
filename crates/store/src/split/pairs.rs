//! What two blocks share, and what one has in several slices. Blocks never change, so it is found
//! once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use suyuan_ids::TraceId;
use suyuan_wal::Uuid;

use crate::Inner;
use crate::snapshot::{BlockSource, Snapshot};

use super::ids::rows_of;
use super::{Piece, SHARED_TRACE_BYTES, Shared, SplitError, TenantSplits, is_near};

/// Traces that have rows in two blocks, or in several slices of one.
pub(super) struct Pair {
    shared: Vec<Shared>,
}

impl Pair {
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(&self.shared[..]) as u64
    }
}

impl TenantSplits {
    /// What blocks share and what lies in several slices of one, erased traces left out, and about
    /// how much more there is that does not fit into memory: what is newest comes first.
    pub(super) fn shared_by_blocks(
        &mut self,
        snapshot: &Snapshot,
        served: &[&BlockSource],
    ) -> Result<(Vec<Shared>, u64), SplitError> {
        let inner = &snapshot.inner;
        let n_max = (inner.options.split_bytes_max / SHARED_TRACE_BYTES) as usize;
        let (mut shared, mut n_left_out) = (Vec::new(), 0);
        for source in served {
            let cut = self.cut(inner, source)?;
            let stands = |cut: &&Shared| !source.erased.contains(&TraceId::from_bytes(cut.id));
            shared.extend(cut.iter().flat_map(|cut| &cut.shared).filter(stands).copied());
        }
        for (at, newer) in served.iter().enumerate() {
            for older in &served[at + 1..] {
                if !is_near(newer.received, older.received, inner) {
                    continue;
                }
                if shared.len() >= n_max {
                    n_left_out += self.candidates(inner, newer, older)?.len() as u64;
                    continue;
                }
                let pair = self.pair(inner, newer, older)?;
                let is_erased = |shared: &Shared| {
                    let id = TraceId::from_bytes(shared.id);
                    newer.erased.contains(&id) || older.erased.contains(&id)
                };
                shared.extend(pair.shared.iter().filter(|shared| !is_erased(shared)).copied());
                n_left_out += shared.len().saturating_sub(n_max) as u64;
                shared.truncate(n_max);
            }
        }
        Ok((shared, n_left_out))
    }

    /// Traces of a block that take more bytes than a slice may have, and so lie in several: what the
    /// block shares with itself. Most have none.
    fn cut(
        &mut self,
        inner: &Inner,
        source: &BlockSource,
    ) -> Result<Option<Arc<Pair>>, SplitError> {
        let key = (source.block.id, source.block.id);
        if let Some(cut) = self.pairs.get(&key) {
            return Ok(Some(cut.clone()));
        }
        let mut shared = Vec::new();
        for (slice, trace) in source.cut_traces() {
            let id = *trace.as_bytes();
            let mut rows_in = |slice| -> Result<_, SplitError> {
                Ok(rows_of(&*self.places.of(inner, source, slice)?, &id))
            };
            let (Some(here), Some(next)) = (rows_in(slice)?, rows_in(slice + 1)?) else {
                continue;
            };
            let pieces = [
                block_piece(source.block.id, slice, here),
                block_piece(source.block.id, slice + 1, next),
            ];
            shared.push(Shared { id, pieces });
        }
        if shared.is_empty() {
            return Ok(None);
        }
        let cut = Arc::new(Pair { shared });
        self.pairs.insert(key, cut.clone());
        Ok(Some(cut))
    }

    /// Slices of two blocks for each trace that they may share.
    fn candidates(
        &mut self,
        inner: &Inner,
        newer: &BlockSource,
        older: &BlockSource,
    ) -> Result<Vec<(u32, u32)>, SplitError> {
        let (ours, theirs) = (self.ids.of(inner, newer)?, self.ids.of(inner, older)?);
        Ok(ours.shared(&theirs))
    }

    fn pair(
        &mut self,
        inner: &Inner,
        newer: &BlockSource,
        older: &BlockSource,
    ) -> Result<Arc<Pair>, SplitError> {
        let key = (newer.block.id, older.block.id);
        if let Some(pair) = self.pairs.get(&key) {
            return Ok(pair.clone());
        }
        let candidates = self.candidates(inner, newer, older)?;
        let slices: BTreeSet<(u32, u32)> = candidates.iter().copied().collect();
        let mut shared = Vec::new();
        for (slice, other) in slices {
            let ours = self.places.of(inner, newer, slice)?;
            let theirs = self.places.of(inner, older, other)?;
            // The shorter one is looked through, each of its ids sought in the longer one.
            let is_shorter = ours.len() <= theirs.len();
            let (short, long) = if is_shorter { (&ours, &theirs) } else { (&theirs, &ours) };
            for (id, rows) in short.iter() {
                let Some(found) = rows_of(long, id) else { continue };
                let (our_rows, their_rows) =
                    if is_shorter { (rows.clone(), found) } else { (found, rows.clone()) };
                let pieces = [
                    block_piece(newer.block.id, slice, our_rows),
                    block_piece(older.block.id, other, their_rows),
                ];
                shared.push(Shared { id: *id, pieces });
            }
        }
        inner.metrics.split_probed(
            candidates.len() as u64,
            candidates.len().saturating_sub(shared.len()) as u64,
        );
        let pair = Arc::new(Pair { shared });
        self.pairs.insert(key, pair.clone());
        Ok(pair)
    }
}

pub(super) fn block_piece(block: Uuid, slice: u32, rows: Range<u32>) -> Piece {
    Piece::Block { block, slice, first_row: rows.start, end_row: rows.end }
}

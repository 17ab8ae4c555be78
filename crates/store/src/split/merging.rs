//! Pieces of traces to whole traces, and what is said of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use suyuan_block::reader::Projection;
use suyuan_block::traces::{merged, merged_outlines};
use suyuan_model::{Chunk, TracePiece, TraceRows};
use suyuan_wal::Uuid;

use crate::chunk_file::encoded_bytes;
use crate::scan::LiveReader;
use crate::snapshot::{BlockSource, Snapshot};

use super::{Piece, Shared, SplitError, SplitTrace, TenantSplits, TraceLine, reader_of};

/// Traces of which rows are in memory at a time.
const BATCH_TRACES: usize = 4_096;
/// From so many pieces of one slice on, the whole slice is read.
const WHOLE_SLICE_PIECES_MIN: usize = 8;
/// Memory for slices whose outlines are kept, of one tenant: live data often shares traces with
/// the same few slices.
const OUTLINE_BYTES_MAX: u64 = 16 << 20;

/// A trace and its pieces, ascending.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: [u8; 16],
    pub(super) pieces: Vec<Piece>,
}

/// Outlines of whole slices, the latest last.
#[derive(Default)]
pub(super) struct Outlines {
    slices: Vec<((Uuid, u32), Arc<Chunk>, u64)>,
}

impl Outlines {
    fn get(&mut self, key: (Uuid, u32)) -> Option<Arc<Chunk>> {
        let at = self.slices.iter().position(|slice| slice.0 == key)?;
        let found = self.slices.remove(at);
        let chunk = found.1.clone();
        self.slices.push(found);
        Some(chunk)
    }

    fn insert(&mut self, key: (Uuid, u32), chunk: Arc<Chunk>) {
        let bytes = encoded_bytes(&chunk);
        self.slices.push((key, chunk, bytes));
        while self.bytes() > OUTLINE_BYTES_MAX && self.slices.len() > 1 {
            self.slices.remove(0);
        }
    }

    pub(super) fn retain(&mut self, exists: impl Fn(&Uuid) -> bool) {
        self.slices.retain(|((block, _), _, _)| exists(block));
    }

    pub(super) fn bytes(&self) -> u64 {
        self.slices.iter().map(|slice| slice.2).sum()
    }
}

/// What pairs of pieces have in common joins them: traces by id, each with all its pieces. Pieces
/// of one id that nothing joins are several traces.
pub(super) fn components(mut shared: Vec<Shared>) -> Vec<Found> {
    shared.sort_unstable_by_key(|shared| (shared.id, shared.pieces));
    let mut found = Vec::new();
    for same_id in shared.chunk_by(|one, next| one.id == next.id) {
        let mut pieces: Vec<Piece> = same_id.iter().flat_map(|shared| shared.pieces).collect();
        pieces.sort_unstable();
        pieces.dedup();
        let place = |piece: &Piece| pieces.partition_point(|other| other < piece);
        // The smallest place of the pieces that belong together, as far as it is known.
        let mut least: Vec<usize> = (0..pieces.len()).collect();
        for Shared { pieces: [one, other], .. } in same_id {
            let (one, other) = (least[place(one)], least[place(other)]);
            for least in &mut least {
                if *least == one.max(other) {
                    *least = one.min(other);
                }
            }
        }
        let mut together: BTreeMap<usize, Vec<Piece>> = BTreeMap::new();
        for (least, piece) in least.into_iter().zip(pieces) {
            together.entry(least).or_default().push(piece);
        }
        found.extend(together.into_values().map(|pieces| Found { id: same_id[0].id, pieces }));
    }
    found
}

impl TenantSplits {
    /// What is said of traces, by id. Those whose pieces are known are not read again.
    pub(super) fn merge(
        &mut self,
        snapshot: &Snapshot,
        served: &[&BlockSource],
        found: Vec<Found>,
        known: &[Arc<SplitTrace>],
    ) -> Result<Vec<Arc<SplitTrace>>, SplitError> {
        let mut traces = Vec::with_capacity(found.len());
        let mut new = Vec::new();
        for trace in found {
            match known_trace(known, &trace) {
                Some(known) => traces.push(known.clone()),
                None => new.push(trace),
            }
        }
        // Those that lie beside each other are read together.
        new.sort_unstable_by(|one, other| one.pieces.cmp(&other.pieces));
        for batch in new.chunks(BATCH_TRACES) {
            let mut rows = Rows::new(self, snapshot, served);
            rows.note(batch);
            for trace in batch {
                let line = rows.line(trace)?;
                traces.push(Arc::new(SplitTrace::new(trace.id, trace.pieces.clone(), line)));
            }
        }
        traces.sort_by_key(|trace| *trace.id().as_bytes());
        Ok(traces)
    }
}

fn known_trace<'a>(known: &'a [Arc<SplitTrace>], found: &Found) -> Option<&'a Arc<SplitTrace>> {
    let first = known.partition_point(|trace| *trace.id().as_bytes() < found.id);
    let same_id = known[first..].iter().take_while(|trace| *trace.id().as_bytes() == found.id);
    same_id.into_iter().find(|trace| trace.pieces() == found.pieces)
}

/// Reads the rows of some traces.
struct Rows<'a> {
    splits: &'a mut TenantSplits,
    snapshot: &'a Snapshot,
    served: HashMap<Uuid, &'a BlockSource>,
    live: LiveReader<'a>,
    /// Pieces in each slice.
    n_pieces: HashMap<(Uuid, u32), usize>,
}

impl<'a> Rows<'a> {
    fn new(
        splits: &'a mut TenantSplits,
        snapshot: &'a Snapshot,
        served: &[&'a BlockSource],
    ) -> Self {
        let served = served.iter().map(|source| (source.block.id, *source)).collect();
        let live = LiveReader::new(snapshot);
        Self { splits, snapshot, served, live, n_pieces: HashMap::new() }
    }

    fn note(&mut self, traces: &[Found]) {
        for piece in traces.iter().flat_map(|trace| &trace.pieces) {
            if let Piece::Block { block, slice, .. } = piece {
                *self.n_pieces.entry((*block, *slice)).or_default() += 1;
            }
        }
    }

    fn line(&mut self, trace: &Found) -> Result<TraceLine, SplitError> {
        let rows = self.rows(trace, Projection::Outline)?;
        if let Ok(summary) = merged_outlines(&rows) {
            return Ok(TraceLine::of(&summary.expect("pieces have rows")));
        }
        let rows = self.rows(trace, Projection::All)?;
        Ok(TraceLine::of(&merged(&rows).expect("pieces have rows")))
    }

    fn rows(&mut self, trace: &Found, projection: Projection) -> Result<TraceRows, SplitError> {
        let mut rows = TraceRows::default();
        for piece in &trace.pieces {
            match *piece {
                Piece::Live { live, trace, .. } => {
                    self.live.rows(live, trace, &mut rows)?;
                }
                Piece::Block { block, slice, first_row, end_row } => {
                    let source = self.served[&block];
                    rows.pieces.push(self.block_rows(
                        source,
                        slice,
                        first_row..end_row,
                        projection,
                    )?);
                }
            }
        }
        Ok(rows)
    }

    fn block_rows(
        &mut self,
        source: &BlockSource,
        slice: u32,
        rows: std::ops::Range<u32>,
        projection: Projection,
    ) -> Result<TracePiece, SplitError> {
        let key = (source.block.id, slice);
        let judge = |error| source.block.judge(error);
        let reader = reader_of(&self.snapshot.inner, source)?;
        let is_whole = projection == Projection::Outline
            && self.n_pieces.get(&key).is_some_and(|n| *n >= WHOLE_SLICE_PIECES_MIN);
        if !is_whole {
            let n_rows = rows.end - rows.start;
            let chunk = reader.rows(source.tenant, slice, rows, projection).map_err(judge)?;
            return Ok(TracePiece { chunk: Arc::new(chunk), rows: (0..n_rows).collect() });
        }
        let within = reader.slice_rows(source.tenant, slice).map_err(judge)?;
        let first_row = within.start;
        let chunk = match self.splits.outlines.get(key) {
            Some(chunk) => chunk,
            None => {
                let chunk = reader.rows(source.tenant, slice, within, projection).map_err(judge)?;
                let chunk = Arc::new(chunk);
                self.splits.outlines.insert(key, chunk.clone());
                chunk
            }
        };
        Ok(TracePiece { chunk, rows: (rows.start - first_row..rows.end - first_row).collect() })
    }
}

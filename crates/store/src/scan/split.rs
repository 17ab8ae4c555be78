//! The spans of split traces: pieces of several sources put together, each span once.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use suyuan_block::TimeRange;
use suyuan_block::reader::Projection;
use suyuan_model::{Chunk, TracePiece, TraceRows};
use suyuan_wal::Uuid;

use super::live::{Batch, LiveReader};
use super::{Flow, ScanReport, is_within};
use crate::blocks::BlockError;
use crate::find::FindError;
use crate::snapshot::{BlockSource, Snapshot};
use crate::split::{Piece, SplitSet, SplitTrace};

/// From so many pieces of one slice on, the whole slice is read.
const WHOLE_SLICE_PIECES_MIN: usize = 16;
/// Whole slices that stay loaded.
const LOADED_SLICES_MAX: usize = 4;

impl Snapshot {
    pub(super) fn split_spans(
        &self,
        split: &SplitSet,
        range: Option<TimeRange>,
        visit: &mut dyn FnMut(&[TracePiece]) -> ControlFlow<()>,
        report: &mut ScanReport,
    ) -> Result<Flow, FindError> {
        let is_wanted = |trace: &&SplitTrace| is_within(&trace.summary(), range);
        let mut traces: Vec<&SplitTrace> = split.iter().filter(is_wanted).collect();
        // Those that lie beside each other are read together.
        traces.sort_by(|one, other| one.pieces().cmp(other.pieces()));
        let mut reader = SplitReader::new(self, &traces);
        let mut batch = Batch::default();
        for trace in traces {
            report.n_split_traces += 1;
            let mut rows = TraceRows::default();
            for piece in trace.pieces() {
                match reader.rows(piece, &mut rows) {
                    Ok(()) => {}
                    Err(FindError::Block(error)) => report.skip(error),
                    Err(error) => return Err(error),
                }
            }
            batch.add(&rows);
            if batch.is_full() && batch.visit(visit).is_break() {
                return Ok(Flow::Break(()));
            }
        }
        Ok(batch.visit(visit))
    }
}

impl ScanReport {
    /// Names a block that something is missing of.
    fn skip(&mut self, error: BlockError) {
        let skipped = error.into();
        if !self.skipped.contains(&skipped) {
            self.skipped.push(skipped);
        }
    }
}

/// Reads pieces of split traces.
struct SplitReader<'a> {
    snapshot: &'a Snapshot,
    live: LiveReader<'a>,
    blocks: HashMap<Uuid, &'a BlockSource>,
    /// Pieces in each slice.
    n_pieces: HashMap<(Uuid, u32), usize>,
    /// The latest last, each with its first row.
    slices: Vec<((Uuid, u32), u32, Arc<Chunk>)>,
}

impl<'a> SplitReader<'a> {
    fn new(snapshot: &'a Snapshot, traces: &[&SplitTrace]) -> Self {
        let mut n_pieces: HashMap<(Uuid, u32), usize> = HashMap::new();
        for piece in traces.iter().flat_map(|trace| trace.pieces()) {
            if let Piece::Block { block, slice, .. } = piece {
                *n_pieces.entry((*block, *slice)).or_default() += 1;
            }
        }
        let blocks = snapshot.blocks.iter().map(|source| (source.block.id, source)).collect();
        let live = LiveReader::new(snapshot);
        Self { snapshot, live, blocks, n_pieces, slices: Vec::new() }
    }

    fn rows(&mut self, piece: &Piece, rows: &mut TraceRows) -> Result<(), FindError> {
        match *piece {
            Piece::Live { live, trace, .. } => self.live.rows(live, trace, rows).map(drop),
            Piece::Block { block, slice, first_row, end_row } => {
                let source = self.blocks[&block];
                let piece = self.block_rows(source, slice, first_row..end_row);
                rows.pieces.push(piece.map_err(FindError::Block)?);
                Ok(())
            }
        }
    }

    fn block_rows(
        &mut self,
        source: &BlockSource,
        slice: u32,
        rows: Range<u32>,
    ) -> Result<TracePiece, BlockError> {
        let key = (source.block.id, slice);
        if self.n_pieces.get(&key).is_some_and(|n| *n >= WHOLE_SLICE_PIECES_MIN) {
            let (first_row, chunk) = self.slice(source, slice)?;
            let rows = (rows.start - first_row..rows.end - first_row).collect();
            return Ok(TracePiece { chunk, rows });
        }
        let inner = &self.snapshot.inner;
        let reader = source.block.reader(&inner.options.objects, &inner.read_cache)?;
        let n_rows = rows.end - rows.start;
        let chunk = reader
            .rows(source.tenant, slice, rows, Projection::All)
            .map_err(|error| source.block.judge(error))?;
        Ok(TracePiece { chunk: Arc::new(chunk), rows: (0..n_rows).collect() })
    }

    fn slice(&mut self, source: &BlockSource, slice: u32) -> Result<(u32, Arc<Chunk>), BlockError> {
        let key = (source.block.id, slice);
        let loaded = match self.slices.iter().position(|loaded| loaded.0 == key) {
            Some(at) => self.slices.remove(at),
            None => {
                let judge = |error| source.block.judge(error);
                let inner = &self.snapshot.inner;
                let reader = source.block.reader(&inner.options.objects, &inner.read_cache)?;
                let within = reader.slice_rows(source.tenant, slice).map_err(judge)?;
                let chunk = reader.slice(source.tenant, slice).map_err(judge)?;
                if self.slices.len() >= LOADED_SLICES_MAX {
                    self.slices.remove(0);
                }
                (key, within.start, Arc::new(chunk))
            }
        };
        let found = (loaded.1, loaded.2.clone());
        self.slices.push(loaded);
        Ok(found)
    }
}

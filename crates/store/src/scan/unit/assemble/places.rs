//! Where the rows of a trace lie, unit by unit.
//!
//! In: a trace as rows of units name it. Out: its pieces, from the table of a slice, the index of
//! a window or the split set. No span is read; the window's lock is held for a moment.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use suyuan_block::reader::SliceTraces;
use suyuan_objects::ReadMeter;

use super::skip;
use crate::find::{FindError, Skipped};
use crate::scan::unit::slice::{judged, reader_of};
use crate::scan::unit::{Place, TraceRef, UnitName};
use crate::snapshot::Snapshot;
use crate::split::{Piece, SplitSet, TraceLine};

/// Traces of live data that are looked up under one lock, for which ingest waits.
const LOOKUP_TRACES: usize = 64;

/// A unit by its numbers in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum UnitKey {
    Slice { source: u32, slice: u32 },
    Chunk { source: u32, chunk: u32 },
}

/// A trace that shall be put together.
pub(super) struct Wanted {
    pub(super) trace: TraceRef,
    pub(super) pieces: Vec<WantedPiece>,
    /// What is said of it, if it is whole in a block: then each of its rows stands.
    pub(super) line: Option<TraceLine>,
}

/// The rows of a trace in a unit.
#[derive(Debug)]
pub(super) struct WantedPiece {
    pub(super) unit: UnitKey,
    /// Ascending, of a slice one range.
    pub(super) rows: Vec<Range<u32>>,
}

/// Finds the places of traces, one after another.
pub(super) struct Places<'a> {
    snapshot: &'a Snapshot,
    split: &'a SplitSet,
    meter: &'a ReadMeter,
    /// The slice that was asked for last: traces that began together lie together.
    last: Option<((u32, u32), Arc<SliceTraces>)>,
    /// Of live data, by source and trace: chunk and row of each row.
    live_rows: HashMap<(u32, u32), Vec<(u32, u32)>>,
}

impl UnitKey {
    pub(super) fn is_chunk(self) -> bool {
        matches!(self, Self::Chunk { .. })
    }

    pub(super) fn name(self, snapshot: &Snapshot) -> UnitName {
        match self {
            Self::Slice { source, slice } => {
                UnitName::Slice { block: snapshot.blocks[source as usize].block.id, slice }
            }
            Self::Chunk { source, chunk } => {
                UnitName::Chunk { live: snapshot.live[source as usize].live.number(), chunk }
            }
        }
    }
}

impl Wanted {
    pub(super) fn n_rows(&self) -> usize {
        let rows = self.pieces.iter().flat_map(|piece| &piece.rows);
        rows.map(|rows| rows.len()).sum()
    }
}

impl<'a> Places<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, split: &'a SplitSet, meter: &'a ReadMeter) -> Self {
        Self { snapshot, split, meter, last: None, live_rows: HashMap::new() }
    }

    /// Looks some traces of live data up together, before they are asked for one by one.
    pub(super) fn expect(&mut self, traces: &[TraceRef]) {
        self.live_rows.clear();
        let mut of_source: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for trace in traces {
            if let Place::Live { source, trace } = trace.place {
                of_source.entry(source).or_default().push(trace);
            }
        }
        for (source, traces) in of_source {
            for traces in traces.chunks(LOOKUP_TRACES) {
                let rows = {
                    let live = &self.snapshot.live[source as usize];
                    let window = live.window.read().unwrap_or_else(PoisonError::into_inner);
                    window.rows_of_each(traces, live.n_rows)
                };
                let keys = traces.iter().map(|trace| (source, *trace));
                self.live_rows.extend(keys.zip(rows));
            }
        }
    }

    /// Where the rows of a trace are; without those of blocks that break.
    pub(super) fn of(
        &mut self,
        trace: &TraceRef,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Wanted, FindError> {
        let mut wanted = Wanted { trace: *trace, pieces: Vec::new(), line: None };
        match trace.place {
            Place::Slice { source, slice, trace } => match self.traces(source, slice) {
                Ok(traces) => {
                    let unit = UnitKey::Slice { source, slice };
                    wanted.pieces.push(WantedPiece::new(unit, traces.rows(trace)));
                    wanted.line = Some(TraceLine::of(&traces.summary(trace)));
                }
                Err(error) => skip(skipped, error)?,
            },
            Place::Live { source, trace } => self.add_live(source, trace, &mut wanted.pieces),
            Place::Split { trace } => {
                for piece in self.split.trace(trace).into_iter().flat_map(|split| split.pieces()) {
                    self.add_piece(piece, &mut wanted.pieces);
                }
            }
        }
        Ok(wanted)
    }

    fn add_piece(&mut self, piece: &Piece, pieces: &mut Vec<WantedPiece>) {
        match *piece {
            Piece::Live { live, trace, .. } => {
                let source = self.snapshot.live.iter().position(|source| source.key() == live);
                if let Some(source) = source {
                    self.add_live(source as u32, trace, pieces);
                }
            }
            Piece::Block { block, slice, first_row, end_row } => {
                let mut blocks = self.snapshot.blocks.iter();
                if let Some(source) = blocks.position(|source| source.block.id == block) {
                    let unit = UnitKey::Slice { source: source as u32, slice };
                    pieces.push(WantedPiece::new(unit, first_row..end_row));
                }
            }
        }
    }

    fn add_live(&mut self, source: u32, trace: u32, pieces: &mut Vec<WantedPiece>) {
        let rows = self.live_rows.remove(&(source, trace)).unwrap_or_else(|| {
            let live = &self.snapshot.live[source as usize];
            let window = live.window.read().unwrap_or_else(PoisonError::into_inner);
            window.rows_of(trace, live.n_rows)
        });
        for (chunk, row) in rows {
            let unit = UnitKey::Chunk { source, chunk };
            match pieces.last_mut() {
                Some(piece) if piece.unit == unit => piece.add(row),
                _ => pieces.push(WantedPiece::new(unit, row..row + 1)),
            }
        }
    }

    fn traces(&mut self, source: u32, slice: u32) -> Result<Arc<SliceTraces>, FindError> {
        if let Some((key, traces)) = &self.last
            && *key == (source, slice)
        {
            return Ok(traces.clone());
        }
        let block = &self.snapshot.blocks[source as usize];
        let reader = reader_of(self.snapshot, block)?;
        let traces = reader.slice_traces(block.tenant, slice, self.meter).map_err(judged(block))?;
        self.last = Some(((source, slice), traces.clone()));
        Ok(traces)
    }
}

impl WantedPiece {
    fn new(unit: UnitKey, rows: Range<u32>) -> Self {
        Self { unit, rows: std::iter::once(rows).collect() }
    }

    /// Adds a row behind all others.
    fn add(&mut self, row: u32) {
        match self.rows.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => self.rows.push(row..row + 1),
        }
    }
}

//! The split set: traces that lie in several sources, and which rows of the sources are theirs.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use suyuan_block::traces::{Root, TraceSummary};
use suyuan_ids::TraceId;
use suyuan_wal::Uuid;

use crate::find::Skipped;
use crate::snapshot::LiveKey;

/// The traces of a snapshot whose spans lie in more than one source.
#[derive(Debug, Default)]
pub struct SplitSet {
    /// By id. Pieces that lie too far apart to be held together are several traces of one id.
    traces: Vec<Arc<SplitTrace>>,
    /// By block and slice.
    rows: HashMap<Uuid, HashMap<u32, SliceRows>>,
    /// Traces of windows, with their numbers here.
    live: HashMap<LiveKey, HashMap<u32, u32>>,
    skipped: Vec<Skipped>,
    n_left_out: u64,
    version: u64,
}

/// Rows of a slice that belong to split traces.
#[derive(Debug, Default)]
struct SliceRows {
    /// Ascending.
    ranges: Vec<Range<u32>>,
    /// For each of them the number of its trace.
    traces: Vec<u32>,
}

/// A trace that lies in several sources.
#[derive(Debug)]
pub struct SplitTrace {
    id: TraceId,
    pieces: Vec<Piece>,
    line: TraceLine,
}

/// Where some rows of a trace are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Piece {
    /// Rows of a slice, the last one not included.
    Block { block: Uuid, slice: u32, first_row: u32, end_row: u32 },
    /// The first rows of a trace of a window.
    Live { live: LiveKey, trace: u32, n_rows: u32 },
}

/// A [`TraceSummary`] that owns its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceLine {
    pub(crate) n_spans: u32,
    pub(crate) n_errors: u32,
    pub(crate) start_unix_nanos: i64,
    pub(crate) end_unix_nanos: i64,
    /// Service and name.
    pub(crate) root: Option<(Option<Arc<str>>, Arc<str>)>,
}

impl Piece {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }
}

impl TraceLine {
    pub(crate) fn of(summary: &TraceSummary<'_>) -> Self {
        let root = summary.root.map(|root| (root.service.map(Arc::from), Arc::from(root.name)));
        Self {
            n_spans: summary.n_spans,
            n_errors: summary.n_errors,
            start_unix_nanos: summary.start_unix_nanos,
            end_unix_nanos: summary.end_unix_nanos,
            root,
        }
    }

    pub(crate) fn summary(&self) -> TraceSummary<'_> {
        let root = self.root.as_ref();
        TraceSummary {
            n_spans: self.n_spans,
            n_errors: self.n_errors,
            start_unix_nanos: self.start_unix_nanos,
            end_unix_nanos: self.end_unix_nanos,
            root: root.map(|(service, name)| Root { service: service.as_deref(), name }),
        }
    }
}

impl SplitTrace {
    pub(crate) fn new(id: [u8; 16], pieces: Vec<Piece>, line: TraceLine) -> Self {
        Self { id: TraceId::from_bytes(id), pieces, line }
    }

    pub fn id(&self) -> TraceId {
        self.id
    }

    /// What is said of it, all pieces together.
    pub fn summary(&self) -> TraceSummary<'_> {
        self.line.summary()
    }

    /// In how many places it lies.
    pub fn n_pieces(&self) -> usize {
        self.pieces.len()
    }

    pub(crate) fn line(&self) -> &TraceLine {
        &self.line
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

impl SplitSet {
    pub(super) fn new(
        traces: Vec<Arc<SplitTrace>>,
        skipped: Vec<Skipped>,
        n_left_out: u64,
    ) -> Self {
        let mut set = Self { skipped, n_left_out, ..Self::default() };
        let mut version = DefaultHasher::new();
        for (number, trace) in (0..).zip(&traces) {
            (trace.id.as_bytes(), trace.pieces.len(), trace.line.n_spans).hash(&mut version);
            for piece in &trace.pieces {
                match *piece {
                    Piece::Block { block, slice, first_row, end_row } => {
                        let slices = set.rows.entry(block).or_default();
                        let rows = slices.entry(slice).or_default();
                        rows.ranges.push(first_row..end_row);
                        rows.traces.push(number);
                    }
                    Piece::Live { live, trace, .. } => {
                        set.live.entry(live).or_default().insert(trace, number);
                    }
                }
            }
        }
        set.rows.values_mut().flat_map(HashMap::values_mut).for_each(SliceRows::sort);
        set.traces = traces;
        set.version = version.finish();
        set
    }

    pub fn contains(&self, id: TraceId) -> bool {
        self.traces.binary_search_by_key(id.as_bytes(), |trace| *trace.id.as_bytes()).is_ok()
    }

    /// By id.
    pub fn iter(&self) -> impl Iterator<Item = &SplitTrace> {
        self.traces.iter().map(|trace| &**trace)
    }

    pub fn len(&self) -> usize {
        self.traces.len()
    }

    pub fn is_empty(&self) -> bool {
        self.traces.is_empty()
    }

    /// Equal for equal sets: for the keys of caches.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Equal while the same rows of a block belong to split traces: what else is known of a block
    /// may be kept under this number.
    pub fn version_of(&self, block: Uuid) -> u64 {
        let Some(slices) = self.rows.get(&block) else { return 0 };
        let mut slices: Vec<_> = slices.iter().map(|(slice, rows)| (slice, &rows.ranges)).collect();
        slices.sort_unstable_by_key(|(slice, _)| **slice);
        let mut version = DefaultHasher::new();
        slices.hash(&mut version);
        version.finish()
    }

    /// Blocks that could not be read, so that nothing of them may be answered.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// About how many shared traces are answered as pieces because they did not fit into memory.
    pub fn n_left_out(&self) -> u64 {
        self.n_left_out
    }

    pub(crate) fn traces(&self) -> &[Arc<SplitTrace>] {
        &self.traces
    }

    /// A trace of the set, by its number.
    pub(crate) fn trace(&self, number: u32) -> Option<&SplitTrace> {
        self.traces.get(number as usize).map(|trace| &**trace)
    }

    /// Rows of a slice that belong to split traces, ascending.
    pub(crate) fn rows_of(&self, block: Uuid, slice: u32) -> &[Range<u32>] {
        self.slice_rows(block, slice).map_or(&[], |rows| &rows.ranges)
    }

    /// The same, each with the number of its trace.
    pub(crate) fn traces_of(
        &self,
        block: Uuid,
        slice: u32,
    ) -> impl Iterator<Item = (&Range<u32>, u32)> {
        let rows = self.slice_rows(block, slice).into_iter();
        rows.flat_map(|rows| rows.ranges.iter().zip(rows.traces.iter().copied()))
    }

    fn slice_rows(&self, block: Uuid, slice: u32) -> Option<&SliceRows> {
        self.rows.get(&block)?.get(&slice)
    }

    /// Whether a trace of a window is in the set, by its number there.
    pub(crate) fn has_live(&self, live: LiveKey, trace: u32) -> bool {
        self.live_trace(live, trace).is_some()
    }

    /// The number here of a trace of a window, by its number there.
    pub(crate) fn live_trace(&self, live: LiveKey, trace: u32) -> Option<u32> {
        self.live.get(&live)?.get(&trace).copied()
    }

    /// The traces of a window that are in the set: their numbers there and here.
    pub(crate) fn live_traces(&self, live: LiveKey) -> impl Iterator<Item = (u32, u32)> {
        let traces = self.live.get(&live).into_iter().flatten();
        traces.map(|(there, here)| (*there, *here))
    }
}

impl SliceRows {
    fn sort(&mut self) {
        let mut rows: Vec<(Range<u32>, u32)> =
            self.ranges.drain(..).zip(self.traces.drain(..)).collect();
        rows.sort_unstable_by_key(|(range, _)| range.start);
        (self.ranges, self.traces) = rows.into_iter().unzip();
    }
}

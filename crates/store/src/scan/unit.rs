//! The one scan, cut into units: a slice of a block, or a chunk of live data.
//!
//! In: a snapshot. Out: units that say what they may hold before anything is read, give the columns
//! that are asked for, and say which trace a row belongs to. A question evaluates its conditions on
//! the rows of units; rows of live and of split traces may repeat each other, so what was found of
//! such a trace is confirmed on the trace put together ([`Snapshot::assemble`]). Never here: what a
//! condition is.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use suyuan_block::meta::TimeRange;
use suyuan_block::reader::{Between, Probe, TextOf};
use suyuan_block::traces::TraceSummary;
use suyuan_ids::TraceId;
use suyuan_model::{AttributeOwner, Batch, Columns, Resources, Scopes, ValueType};
use suyuan_objects::ReadMeter;
use suyuan_wal::Uuid;

use crate::find::{FindError, Skipped};
use crate::snapshot::Snapshot;
use crate::split::SplitSet;

/// Rows that are read together. Cheap to make: nothing was read. It owns what it needs, so that it
/// may go to another thread.
pub struct Unit {
    snapshot: Arc<Snapshot>,
    split: Arc<SplitSet>,
}

/// For people and for keys of caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnitName {
    Slice {
        block: Uuid,
        slice: u32,
    },
    /// The number of the live data, and of the chunk in it.
    Chunk {
        live: u64,
        chunk: u32,
    },
}

/// What is known of a key and type before anything is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitPresence {
    /// No row has it.
    Absent,
    Maybe,
}

/// A unit whose file is open.
pub struct OpenUnit<'a> {
    unit: &'a Unit,
}

/// Which trace a row belongs to, and what is known of it without a look at its spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRef {
    pub id: TraceId,
    /// Of the whole trace, all sources together.
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    /// Whether this unit holds all of the trace and each span once. If not, what its rows say holds
    /// for those of them that [`Snapshot::assemble`] lets stand.
    pub is_whole: bool,
    pub(crate) place: Place,
}

/// Which trace of a snapshot; traces of one id may be several that lie too far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceKey(Place);

impl TraceRef {
    /// The same for every row of the trace, in whatever unit.
    pub fn key(&self) -> TraceKey {
        TraceKey(self.place)
    }
}

/// Where a trace lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A trace of a slice, by its number there.
    Slice { source: u32, slice: u32, trace: u32 },
    /// A trace of a live source, by its number there.
    Live { source: u32, trace: u32 },
    /// By its number in the split set.
    Split { trace: u32 },
}

/// A trace put together from wherever it lies. Of blocks that break while they are read the rows
/// are missing: there may be no piece at all.
pub struct Assembled {
    pub trace: TraceRef,
    pub pieces: Vec<AssembledPiece>,
}

/// The rows of a trace in one unit that stand: no other span repeats them or replaces them.
pub struct AssembledPiece {
    pub unit: UnitName,
    pub batch: Arc<Batch>,
    /// Rows of the batch, ascending.
    pub rows: Vec<u32>,
}

/// What the tree of a trace says of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanStructure {
    /// Spans above it.
    pub depth: u32,
    /// Numbers of the nested sets, from 1 on in pre-order of all roots; 0 for spans that hang on no
    /// root.
    pub left: u32,
    pub right: u32,
    /// `left` of the parent; -1 for a root, 0 for what hangs on no root.
    pub parent: i64,
    /// Spans directly below it.
    pub n_children: u32,
}

/// The structure of each row of one trace in pre-order. A row at depth 0 that names a parent is an
/// orphan: it and what hangs on it have no numbers.
pub fn structure_of(depths: &[u32], names_parent: impl Fn(usize) -> bool) -> Vec<SpanStructure> {
    let _ = (depths, names_parent(0));
    todo!()
}

impl Assembled {
    /// What is said of the trace, by the same rule as of traces of blocks.
    pub fn summary(&self) -> TraceSummary<'_> {
        todo!()
    }

    /// For each piece, the structure of each of its rows. Ask for `Field::ParentSpanId` to be read.
    pub fn structure(&self) -> Vec<Vec<SpanStructure>> {
        todo!()
    }
}

impl Snapshot {
    /// Everything the tenant has, in units, that which may hold the newest trace first. Units in
    /// which no trace has a moment in the range of time are left out, and counted.
    pub fn units(
        self: &Arc<Self>,
        split: &Arc<SplitSet>,
        range: Option<TimeRange>,
    ) -> (Vec<Unit>, u64) {
        let _ = (split, range);
        todo!()
    }

    /// Blocks of which nothing can be said, and why.
    pub fn missing(&self, split: &SplitSet) -> Vec<Skipped> {
        todo!()
    }

    /// Puts traces together and gives the columns asked for of their spans, each span once, besides
    /// start, end, span id, kind, status code, name and resource, which are always there. In the
    /// order of `traces`; reads each chunk and page about once. Returns the blocks that broke
    /// meanwhile, whose rows are missing.
    pub fn assemble(
        &self,
        split: &SplitSet,
        traces: &[TraceRef],
        columns: &Columns,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(Assembled) -> ControlFlow<()>,
    ) -> Result<Vec<Skipped>, FindError> {
        todo!()
    }
}

impl Unit {
    pub fn name(&self) -> UnitName {
        todo!()
    }

    /// No trace that has a row here starts later.
    pub fn newest_start_unix_nanos(&self) -> i64 {
        todo!()
    }

    pub fn n_rows(&self) -> u32 {
        todo!()
    }

    /// What is known of a key before anything is read. Resources and scopes count for what any of
    /// them has.
    pub fn presence(
        &self,
        owner: AttributeOwner,
        key: &str,
        value_type: ValueType,
    ) -> UnitPresence {
        todo!()
    }

    /// Whether rows of it may have been erased: then [`OpenUnit::traces_of`] alone says which stand.
    pub fn has_erased(&self) -> bool {
        todo!()
    }

    /// Visits every key and type that the tenant has in the block or the chunk; those of a block are
    /// the same for all of its slices. `false`: there may be more, which nobody has listed.
    pub fn for_each_key(&self, visit: &mut dyn FnMut(AttributeOwner, &Arc<str>, ValueType)) -> bool {
        let _ = visit;
        todo!()
    }

    /// Opens files, reads resources and scopes. [`FindError::Block`]: the block is damaged or cannot
    /// be read now; name it ([`Skipped`]), the rest goes on. [`FindError::Live`]: rows that were
    /// acknowledged cannot be read, there is no answer.
    pub fn open(&self, meter: &ReadMeter) -> Result<OpenUnit<'_>, FindError> {
        todo!()
    }
}

impl OpenUnit<'_> {
    pub fn resources(&self) -> &Resources {
        todo!()
    }

    pub fn scopes(&self) -> &Scopes {
        todo!()
    }

    /// False: no row has the value, as bloom filters, bounds and dictionaries say.
    pub fn may_contain(&self, probe: &Probe<'_>, meter: &ReadMeter) -> Result<bool, FindError> {
        todo!()
    }

    /// The tenant's rows in pieces that are cheap to read: pages of a block, a whole chunk.
    pub fn pieces(&self) -> Vec<Range<u32>> {
        todo!()
    }

    /// Among which rows a value between bounds may be; whole pieces. Empty: nowhere.
    pub fn candidates(
        &self,
        between: &Between<'_>,
        meter: &ReadMeter,
    ) -> Result<Vec<Range<u32>>, FindError> {
        todo!()
    }

    /// Reads some rows; ranges ascend and do not touch. A live chunk is given whole whatever the
    /// ranges are: see [`Batch::rows`]; what its columns say of rows beyond [`Batch::n_rows`] is
    /// not to be looked at.
    pub fn read(
        &self,
        rows: &[Range<u32>],
        columns: &Columns,
        meter: &ReadMeter,
    ) -> Result<Batch, FindError> {
        todo!()
    }

    /// The traces of rows, which ascend: rows beside each other that are of one trace together, as a
    /// range of places in `rows`. Rows that were erased or came after the snapshot are left out.
    pub fn traces_of(
        &self,
        rows: &[u32],
        meter: &ReadMeter,
    ) -> Result<Vec<(TraceRef, Range<usize>)>, FindError> {
        todo!()
    }

    /// What the trace table says, for a trace that is whole here.
    pub fn summary(&self, trace: &TraceRef) -> Option<TraceSummary<'_>> {
        todo!()
    }

    /// The rows of a trace that is whole here.
    pub fn rows_of(&self, trace: &TraceRef) -> Option<Range<u32>> {
        todo!()
    }

    /// Every text of a column of spans, if that can be told without looking at rows: none erased,
    /// and in a block dictionaries alone tell. `false`: it cannot, scan; nothing was visited.
    pub fn dictionary_texts(
        &self,
        of: TextOf<'_>,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(&str),
    ) -> Result<bool, FindError> {
        todo!()
    }
}

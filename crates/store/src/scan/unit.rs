//! The one scan, cut into units: a slice of a block, or a chunk of live data.
//!
//! In: a snapshot. Out: units that say what they may hold before anything is read, give the columns
//! that are asked for, and say which trace a row belongs to. A question evaluates its conditions on
//! the rows of units; rows of live and of split traces may repeat each other, so what was found of
//! such a trace is confirmed on the trace put together ([`Snapshot::assemble`]). Never here: what a
//! condition is.

use std::ops::Range;
use std::sync::Arc;

use suyuan_block::meta::TimeRange;
use suyuan_block::traces::TraceSummary;
use suyuan_ids::TraceId;
use suyuan_model::{AttributeOwner, Batch, Columns, Resources, Scopes, ValueType};
use suyuan_objects::ReadMeter;
use suyuan_wal::Uuid;

use crate::find::{FindError, Skipped};
use crate::snapshot::Snapshot;
use crate::split::SplitSet;

/// Rows that are read together. Cheap to make: nothing was read.
pub struct Unit<'a> {
    snapshot: &'a Snapshot,
    split: &'a SplitSet,
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

/// A value that a row must have exactly.
#[derive(Clone, Copy, Debug)]
pub enum Probe<'a> {
    SpanText { key: &'a str, text: &'a str },
    SpanInt { key: &'a str, value: i64 },
    TraceId(TraceId),
    Name(&'a str),
}

/// A unit whose file is open.
pub struct OpenUnit<'a> {
    unit: &'a Unit<'a>,
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

/// A trace put together from wherever it lies.
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

impl Snapshot {
    /// Everything the tenant has, in units, that which may hold the newest trace first. Slices
    /// outside the range of time are left out, and counted.
    pub fn units<'a>(
        &'a self,
        split: &'a SplitSet,
        range: Option<TimeRange>,
    ) -> (Vec<Unit<'a>>, u64) {
        todo!()
    }

    /// Blocks of which nothing can be said, and why.
    pub fn missing(&self, split: &SplitSet) -> Vec<Skipped> {
        todo!()
    }

    /// Puts traces together and gives the columns asked for of their spans, each span once. In the
    /// order of `traces`; reads each chunk and page about once.
    pub fn assemble(
        &self,
        split: &SplitSet,
        traces: &[TraceRef],
        columns: &Columns,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(Assembled) -> Result<(), FindError>,
    ) -> Result<(), FindError> {
        todo!()
    }
}

impl<'a> Unit<'a> {
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

    /// Opens files, reads resources and scopes.
    pub fn open(&'a self, meter: &ReadMeter) -> Result<OpenUnit<'a>, FindError> {
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

    /// Reads some rows; ranges ascend and do not touch.
    pub fn read(
        &self,
        rows: &[Range<u32>],
        columns: &Columns,
        meter: &ReadMeter,
    ) -> Result<Batch, FindError> {
        todo!()
    }

    /// The trace of each row; `None`: the row was erased, or came after the snapshot. `rows` ascend.
    pub fn traces_of(
        &self,
        rows: &[u32],
        meter: &ReadMeter,
    ) -> Result<Vec<Option<TraceRef>>, FindError> {
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

    /// Every value of an attribute of spans that its dictionaries hold, if dictionaries alone
    /// answer: no row of another tenant, none erased, no plain pages. `false`: they do not, scan.
    pub fn dictionary_texts(
        &self,
        key: &str,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(&str),
    ) -> Result<bool, FindError> {
        todo!()
    }
}

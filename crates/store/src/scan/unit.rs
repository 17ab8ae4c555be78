//! The one scan, cut into units: a slice of a block, or a chunk of live data.
//!
//! In: a snapshot. Out: units that say what they may hold before anything is read, give the columns
//! that are asked for, and say which trace a row belongs to. A question evaluates its conditions on
//! the rows of units; rows of live and of split traces may repeat each other, so what was found of
//! such a trace is confirmed on the trace put together ([`Snapshot::assemble`]). Never here: what a
//! condition is.

mod assemble;
mod live;
mod slice;
mod structure;

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use suyuan_block::meta::TimeRange;
use suyuan_block::reader::{Between, Probe, TextOf};
use suyuan_block::traces::TraceSummary;
use suyuan_ids::TraceId;
use suyuan_model::{AttributeOwner, Batch, Columns, Resources, Scopes, ValueType};
use suyuan_objects::ReadMeter;
use suyuan_wal::Uuid;

use self::live::{LiveChunk, OpenLive};
use self::slice::{BlockSlice, OpenSlice};
use super::is_within;
use crate::find::{FindError, Skipped};
use crate::snapshot::Snapshot;
use crate::split::{SplitSet, SplitTrace};

pub use self::assemble::{Assembled, AssembledPiece};
pub use self::structure::{SpanStructure, structure_of};

/// Rows that are read together. Cheap to make: nothing was read. It owns what it needs, so that it
/// may go to another thread.
pub struct Unit {
    snapshot: Arc<Snapshot>,
    split: Arc<SplitSet>,
    newest_start_unix_nanos: i64,
    n_rows: u32,
    place: UnitPlace,
}

enum UnitPlace {
    Slice(BlockSlice),
    Live(LiveChunk),
}

/// For people and for keys of caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    content: Content<'a>,
}

enum Content<'a> {
    Slice(OpenSlice<'a>),
    Live(OpenLive<'a>),
}

/// Which trace a row belongs to, and what is known of it without a look at its spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRef {
    pub id: TraceId,
    /// Of the whole trace, all sources together.
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    /// Whether this unit holds all of the trace and each span once. If not, what its rows say holds
    /// for those of them that [`Snapshot::assemble`] lets stand. A trace that ends before it starts
    /// has one moment: its start.
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

impl Snapshot {
    /// Everything the tenant has, in units, that which may hold the newest trace first. Units in
    /// which no trace has a moment in the range of time are left out, and counted; split traces
    /// are looked at as wholes.
    pub fn units(
        self: &Arc<Self>,
        split: &Arc<SplitSet>,
        range: Option<TimeRange>,
    ) -> (Vec<Unit>, u64) {
        let mut units = Vec::new();
        let mut n_outside = live::add_units(self, split, range, &mut units);
        n_outside += slice::add_units(self, split, range, &mut units);
        // Of those that begin at once the order must be the same in every run.
        units.sort_by_key(|unit| (Reverse(unit.newest_start_unix_nanos), unit.name()));
        (units, n_outside)
    }

    /// Blocks of which nothing can be said, and why.
    pub fn missing(&self, split: &SplitSet) -> Vec<Skipped> {
        split.skipped().iter().chain(&self.unreadable).cloned().collect()
    }
}

impl Unit {
    pub fn name(&self) -> UnitName {
        match &self.place {
            UnitPlace::Slice(slice) => slice.name(),
            UnitPlace::Live(chunk) => chunk.name(),
        }
    }

    /// No trace that has a row here starts later.
    pub fn newest_start_unix_nanos(&self) -> i64 {
        self.newest_start_unix_nanos
    }

    pub fn n_rows(&self) -> u32 {
        self.n_rows
    }

    /// What is known of a key before anything is read. Resources and scopes count for what any of
    /// them has.
    pub fn presence(
        &self,
        owner: AttributeOwner,
        key: &str,
        value_type: ValueType,
    ) -> UnitPresence {
        match &self.place {
            UnitPlace::Slice(slice) => slice.presence(owner, key, value_type),
            UnitPlace::Live(chunk) => chunk.presence(owner, key, value_type),
        }
    }

    /// False: no row has the value, as is known before anything is read. More is known of an open
    /// unit: [`OpenUnit::may_contain`].
    pub fn may_contain(&self, probe: &Probe<'_>) -> bool {
        match &self.place {
            UnitPlace::Slice(_) => true,
            UnitPlace::Live(chunk) => chunk.may_contain(probe),
        }
    }

    /// False: no row has a value between the bounds, as is known before anything is read. More is
    /// known of an open unit: [`OpenUnit::candidates`].
    pub fn may_lie_between(&self, between: &Between<'_>) -> bool {
        match &self.place {
            UnitPlace::Slice(_) => true,
            UnitPlace::Live(chunk) => chunk.may_lie_between(between),
        }
    }

    /// Whether rows of it may have been erased: then [`OpenUnit::traces_of`] alone says which stand.
    pub fn has_erased(&self) -> bool {
        match &self.place {
            UnitPlace::Slice(slice) => slice.has_erased(),
            UnitPlace::Live(chunk) => chunk.has_erased(),
        }
    }

    /// Visits every key and type that the tenant has in the block or the chunk; those of a block are
    /// the same for all of its slices. `false`: there may be more, which nobody has listed.
    pub fn for_each_key(
        &self,
        visit: &mut dyn FnMut(AttributeOwner, &Arc<str>, ValueType),
    ) -> bool {
        match &self.place {
            UnitPlace::Slice(slice) => slice.for_each_key(visit),
            UnitPlace::Live(chunk) => chunk.for_each_key(visit),
        }
    }

    /// Opens files, reads resources and scopes. [`FindError::Block`]: the block is damaged or cannot
    /// be read now; name it ([`Skipped`]), the rest goes on. [`FindError::Live`]: rows that were
    /// acknowledged cannot be read, there is no answer.
    pub fn open(&self, meter: &ReadMeter) -> Result<OpenUnit<'_>, FindError> {
        let content = match &self.place {
            UnitPlace::Slice(slice) => {
                Content::Slice(OpenSlice::open(&self.snapshot, &self.split, slice, meter)?)
            }
            UnitPlace::Live(chunk) => {
                Content::Live(OpenLive::open(&self.snapshot, &self.split, chunk, meter)?)
            }
        };
        Ok(OpenUnit { unit: self, content })
    }
}

impl OpenUnit<'_> {
    pub fn resources(&self) -> &Resources {
        match &self.content {
            Content::Slice(slice) => slice.resources(),
            Content::Live(chunk) => chunk.resources(),
        }
    }

    pub fn scopes(&self) -> &Scopes {
        match &self.content {
            Content::Slice(slice) => slice.scopes(),
            Content::Live(chunk) => chunk.scopes(),
        }
    }

    /// False: no row has the value, as bloom filters, bounds and dictionaries say.
    pub fn may_contain(&self, probe: &Probe<'_>, meter: &ReadMeter) -> Result<bool, FindError> {
        match &self.content {
            Content::Slice(slice) => slice.may_contain(probe, meter),
            Content::Live(_) => Ok(self.unit.may_contain(probe)),
        }
    }

    /// The tenant's rows in pieces that are cheap to read: pages of a block, a whole chunk. If the
    /// unit lies outside the range of time but for split traces, the pieces that hold rows of these.
    pub fn pieces(&self) -> Vec<Range<u32>> {
        match &self.content {
            Content::Slice(slice) => slice.pieces(),
            Content::Live(_) => std::iter::once(0..self.unit.n_rows).collect(),
        }
    }

    /// Rows of the traces that have a moment in the range, as far as the unit knows them; those of
    /// live data are all given.
    pub fn rows_within(
        &self,
        range: TimeRange,
        meter: &ReadMeter,
    ) -> Result<Vec<Range<u32>>, FindError> {
        match &self.content {
            Content::Slice(slice) => slice.rows_within(range, meter),
            Content::Live(_) => Ok(self.pieces()),
        }
    }

    /// Among which rows a value between bounds may be; whole pieces. Empty: nowhere.
    pub fn candidates(
        &self,
        between: &Between<'_>,
        meter: &ReadMeter,
    ) -> Result<Vec<Range<u32>>, FindError> {
        match &self.content {
            Content::Slice(slice) => slice.candidates(between, meter),
            Content::Live(_) => Ok(self.pieces()),
        }
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
        match &self.content {
            Content::Slice(slice) => slice.read(rows, columns, meter),
            Content::Live(chunk) => chunk.read(columns, meter),
        }
    }

    /// The trace of each row; `None`: the row was erased, or came after the snapshot. `rows` ascend.
    pub fn traces_of(
        &self,
        rows: &[u32],
        meter: &ReadMeter,
    ) -> Result<Vec<Option<TraceRef>>, FindError> {
        match &self.content {
            Content::Slice(slice) => slice.traces_of(rows, meter),
            Content::Live(chunk) => chunk.traces_of(rows, meter),
        }
    }

    /// What is said of a trace without a look at its spans, all pieces together: of split traces,
    /// and of those that are whole in a block, once [`OpenUnit::traces_of`] has named them. Never of
    /// traces of live data alone.
    pub fn summary(&self, trace: &TraceRef) -> Option<TraceSummary<'_>> {
        match (trace.place, &self.content) {
            (Place::Split { trace }, _) => {
                self.unit.split.trace(trace).map(|split| split.summary())
            }
            (Place::Slice { .. }, Content::Slice(slice)) => slice.summary(trace),
            _ => None,
        }
    }

    /// The rows of a trace that is whole here, once [`OpenUnit::traces_of`] has named it.
    pub fn rows_of(&self, trace: &TraceRef) -> Option<Range<u32>> {
        match &self.content {
            Content::Slice(slice) => slice.rows_of(trace),
            Content::Live(_) => None,
        }
    }

    /// Every text of a column of spans, if that can be told without looking at rows: none erased,
    /// and in a block dictionaries alone tell. `false`: it cannot, scan; nothing was visited.
    pub fn dictionary_texts(
        &self,
        of: TextOf<'_>,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(&str),
    ) -> Result<bool, FindError> {
        if self.unit.has_erased() {
            return Ok(false);
        }
        match &self.content {
            Content::Slice(slice) => slice.dictionary_texts(of, meter, visit),
            Content::Live(chunk) => chunk.dictionary_texts(of, meter, visit).map(|()| true),
        }
    }
}

/// A split trace as its rows in any unit name it.
fn split_ref(number: u32, trace: &SplitTrace) -> TraceRef {
    let summary = trace.summary();
    TraceRef {
        id: trace.id(),
        start_unix_nanos: summary.start_unix_nanos,
        end_unix_nanos: summary.end_unix_nanos,
        is_whole: false,
        place: Place::Split { trace: number },
    }
}

/// Whether a split trace has a moment in the range.
fn is_split_within(split: &SplitSet, number: u32, range: TimeRange) -> bool {
    split.trace(number).is_some_and(|trace| is_within(&trace.summary(), Some(range)))
}

#[cfg(test)]
mod tests;

//! A tenant's rows of a slice of a block as a unit of a scan.
//!
//! In: what the block's meta says, and its reader. Out: rows of the slice, without those that were
//! erased; those of split traces carry the split trace's name.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use suyuan_block::directory::Presence;
use suyuan_block::meta::{BlockMeta, TimeRange};
use suyuan_block::reader::{Between, BlockReader, Probe, ReadError, Shared, SliceTraces, TextOf};
use suyuan_block::traces::TraceSummary;
use suyuan_model::{AttributeOwner, Batch, Columns, Resources, Scopes, ValueType};
use suyuan_objects::ReadMeter;

use super::{Place, TraceRef, Unit, UnitName, UnitPlace, UnitPresence, is_split_within, split_ref};
use crate::chunk_keys::{owner_of, scope_of};
use crate::find::FindError;
use crate::scan::{is_within, reaches};
use crate::snapshot::{BlockSource, Snapshot};
use crate::split::SplitSet;

/// A tenant's rows of a slice.
pub(super) struct BlockSlice {
    snapshot: Arc<Snapshot>,
    /// Its place among the snapshot's blocks.
    source: u32,
    slice: u32,
    /// If the slice lies outside the range of time: the rows of split traces that do not, apart.
    only: Option<Vec<Range<u32>>>,
}

/// The same with the block's files open.
pub(super) struct OpenSlice<'a> {
    unit: &'a BlockSlice,
    source: &'a BlockSource,
    split: &'a SplitSet,
    reader: Arc<BlockReader>,
    shared: Arc<Shared>,
    traces: OnceLock<Arc<SliceTraces>>,
}

/// Adds the slices of all blocks that can be read. Returns how many were left out.
pub(super) fn add_units(
    snapshot: &Arc<Snapshot>,
    split: &Arc<SplitSet>,
    range: Option<TimeRange>,
    units: &mut Vec<Unit>,
) -> u64 {
    let mut n_outside = 0;
    for (number, source) in (0..).zip(&snapshot.blocks) {
        let is_skipped = split.skipped().iter().any(|skipped| skipped.block == source.block.id);
        let (Some(meta), false) = (source.block.meta(), is_skipped) else { continue };
        let Some(tenant) = meta.tenants.get(source.tenant as usize) else { continue };
        for rows in &tenant.ranges {
            let Some(slice) = meta.slices.get(rows.slice as usize) else { continue };
            let mut only = None;
            if let Some(range) = range
                && !reaches(slice.span_time, slice.trace_start).overlaps(range)
            {
                let within = split_rows_within(split, source, rows.slice, range);
                if within.is_empty() {
                    n_outside += 1;
                    continue;
                }
                only = Some(within);
            }
            let place =
                BlockSlice { snapshot: snapshot.clone(), source: number, slice: rows.slice, only };
            units.push(Unit {
                snapshot: snapshot.clone(),
                split: split.clone(),
                newest_start_unix_nanos: slice.trace_start.max_unix_nanos,
                n_rows: rows.n_rows,
                place: UnitPlace::Slice(place),
            });
        }
    }
    n_outside
}

/// The rows of a slice that belong to split traces with a moment in the range.
fn split_rows_within(
    split: &SplitSet,
    source: &BlockSource,
    slice: u32,
    range: TimeRange,
) -> Vec<Range<u32>> {
    let traces = split.traces_of(source.block.id, slice);
    let within = traces.filter(|(_, number)| is_split_within(split, *number, range));
    apart(within.map(|(rows, _)| rows.clone()).collect())
}

/// Ranges in order, those that touch made one.
pub(super) fn apart(mut ranges: Vec<Range<u32>>) -> Vec<Range<u32>> {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let is_touching = next.start <= last.end;
        if is_touching {
            last.end = last.end.max(next.end);
        }
        is_touching
    });
    ranges
}

impl BlockSlice {
    fn source(&self) -> &BlockSource {
        &self.snapshot.blocks[self.source as usize]
    }

    fn meta(&self) -> &BlockMeta {
        self.source().block.meta().expect("only blocks with a meta have units")
    }

    pub(super) fn name(&self) -> UnitName {
        UnitName::Slice { block: self.source().block.id, slice: self.slice }
    }

    pub(super) fn has_erased(&self) -> bool {
        !self.source().erased.is_empty()
    }

    pub(super) fn presence(
        &self,
        owner: AttributeOwner,
        key: &str,
        value_type: ValueType,
    ) -> UnitPresence {
        let tenant = self.source().tenant;
        match self.meta().keys.may_have(tenant, scope_of(owner), key, value_type) {
            Presence::Absent => UnitPresence::Absent,
            Presence::Listed(_) | Presence::Maybe => UnitPresence::Maybe,
        }
    }

    pub(super) fn for_each_key(
        &self,
        visit: &mut dyn FnMut(AttributeOwner, &Arc<str>, ValueType),
    ) -> bool {
        let (keys, tenant) = (&self.meta().keys, self.source().tenant);
        for entry in keys.entries_of(tenant) {
            visit(owner_of(entry.scope), &entry.key, entry.value_type);
        }
        keys.is_complete_for(tenant)
    }
}

/// An error of a block, which is remembered as broken if it is.
pub(super) fn judged(source: &BlockSource) -> impl Fn(ReadError) -> FindError {
    |error| FindError::Block(source.block.judge(error))
}

/// The open files of a block.
pub(super) fn reader_of(
    snapshot: &Snapshot,
    source: &BlockSource,
) -> Result<Arc<BlockReader>, FindError> {
    let inner = &snapshot.inner;
    let reader = source.block.reader(&inner.options.objects, &inner.read_cache);
    reader.map_err(FindError::Block)
}

impl<'a> OpenSlice<'a> {
    pub(super) fn open(
        snapshot: &Snapshot,
        split: &'a SplitSet,
        unit: &'a BlockSlice,
        meter: &ReadMeter,
    ) -> Result<Self, FindError> {
        let source = unit.source();
        let reader = reader_of(snapshot, source)?;
        let shared = reader.shared(source.tenant, meter).map_err(judged(source))?;
        Ok(Self { unit, source, split, reader, shared, traces: OnceLock::new() })
    }

    pub(super) fn resources(&self) -> &Resources {
        &self.shared.resources
    }

    pub(super) fn scopes(&self) -> &Scopes {
        &self.shared.scopes
    }

    pub(super) fn may_contain(
        &self,
        probe: &Probe<'_>,
        meter: &ReadMeter,
    ) -> Result<bool, FindError> {
        let (tenant, slice) = (self.source.tenant, self.unit.slice);
        self.reader.may_contain(tenant, slice, probe, meter).map_err(judged(self.source))
    }

    pub(super) fn pieces(&self) -> Vec<Range<u32>> {
        // The meta was checked when it was decoded: the tenant has rows in the slice.
        let pieces = self.reader.pieces(self.source.tenant, self.unit.slice);
        let mut pieces = pieces.unwrap_or_default();
        if let Some(only) = &self.unit.only {
            pieces.retain(|piece| touches(only, piece));
        }
        pieces
    }

    /// Rows of the traces that have a moment in the range. A span of a wrong clock makes its whole
    /// slice reach far, but only its own trace is read for that.
    pub(super) fn rows_within(
        &self,
        range: TimeRange,
        meter: &ReadMeter,
    ) -> Result<Vec<Range<u32>>, FindError> {
        let slice = self.unit.meta().slices.get(self.unit.slice as usize);
        let is_all_within = slice.is_some_and(|slice| {
            let all = reaches(slice.span_time, slice.trace_start);
            range.min_unix_nanos <= all.min_unix_nanos && all.max_unix_nanos <= range.max_unix_nanos
        });
        if is_all_within {
            return Ok(self.pieces());
        }
        if let Some(only) = &self.unit.only {
            return Ok(only.clone());
        }
        let traces = self.slice_traces(meter)?;
        let mut elsewhere = split_rows_within(self.split, self.source, self.unit.slice, range);
        let is_within = |trace: &u32| is_within(&traces.summary(*trace), Some(range));
        let mut rows: Vec<Range<u32>> =
            (0..traces.len() as u32).filter(is_within).map(|trace| traces.rows(trace)).collect();
        rows.append(&mut elsewhere);
        Ok(apart(rows))
    }

    pub(super) fn candidates(
        &self,
        between: &Between<'_>,
        meter: &ReadMeter,
    ) -> Result<Vec<Range<u32>>, FindError> {
        let (tenant, slice) = (self.source.tenant, self.unit.slice);
        let found = self.reader.page_candidates(tenant, slice, between, meter);
        let found = found.map_err(judged(self.source))?;
        match self.unit.only {
            Some(_) => Ok(in_both(&found, &self.pieces())),
            None => Ok(found),
        }
    }

    pub(super) fn read(
        &self,
        rows: &[Range<u32>],
        columns: &Columns,
        meter: &ReadMeter,
    ) -> Result<Batch, FindError> {
        let (tenant, slice) = (self.source.tenant, self.unit.slice);
        self.reader.columns(tenant, slice, rows, columns, meter).map_err(judged(self.source))
    }

    fn slice_traces(&self, meter: &ReadMeter) -> Result<&Arc<SliceTraces>, FindError> {
        if let Some(traces) = self.traces.get() {
            return Ok(traces);
        }
        let traces = self.reader.slice_traces(self.source.tenant, self.unit.slice, meter);
        let traces = traces.map_err(judged(self.source))?;
        Ok(self.traces.get_or_init(|| traces))
    }

    pub(super) fn traces_of(
        &self,
        rows: &[u32],
        meter: &ReadMeter,
    ) -> Result<Vec<Option<TraceRef>>, FindError> {
        let traces = self.slice_traces(meter)?;
        let mut found = Vec::with_capacity(rows.len());
        let mut elsewhere = self.split.traces_of(self.source.block.id, self.unit.slice).peekable();
        // The trace of the row before, and where it ends.
        let mut last = (None, 0..0);
        for row in rows {
            if !last.1.contains(row) {
                while elsewhere.next_if(|(other, _)| other.end <= *row).is_some() {}
                let split = elsewhere.peek().filter(|(other, _)| other.contains(row));
                last = match (split, traces.trace_of(*row)) {
                    (Some((rows, number)), _) => {
                        let trace = self.split.trace(*number);
                        (trace.map(|trace| split_ref(*number, trace)), (*rows).clone())
                    }
                    (None, Some(trace)) => (self.whole_ref(traces, trace), traces.rows(trace)),
                    (None, None) => (None, *row..row + 1),
                };
            }
            found.push(last.0);
        }
        Ok(found)
    }

    /// A trace that lies here alone, unless it was erased.
    fn whole_ref(&self, traces: &SliceTraces, trace: u32) -> Option<TraceRef> {
        let id = traces.id(trace);
        let summary = traces.summary(trace);
        (!self.source.erased.contains(&id)).then_some(TraceRef {
            id,
            start_unix_nanos: summary.start_unix_nanos,
            end_unix_nanos: summary.end_unix_nanos,
            is_whole: true,
            place: Place::Slice { source: self.unit.source, slice: self.unit.slice, trace },
        })
    }

    /// The number of a trace that is whole here.
    fn number_of(&self, trace: &TraceRef) -> Option<u32> {
        match trace.place {
            Place::Slice { source, slice, trace }
                if (source, slice) == (self.unit.source, self.unit.slice) =>
            {
                Some(trace)
            }
            _ => None,
        }
    }

    pub(super) fn summary(&self, trace: &TraceRef) -> Option<TraceSummary<'_>> {
        Some(self.traces.get()?.summary(self.number_of(trace)?))
    }

    pub(super) fn rows_of(&self, trace: &TraceRef) -> Option<Range<u32>> {
        Some(self.traces.get()?.rows(self.number_of(trace)?))
    }

    pub(super) fn dictionary_texts(
        &self,
        of: TextOf<'_>,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(&str),
    ) -> Result<bool, FindError> {
        let (tenant, slice) = (self.source.tenant, self.unit.slice);
        self.reader.dictionary_texts(tenant, slice, of, meter, visit).map_err(judged(self.source))
    }
}

/// What two lists of ranges, which ascend, have in common.
pub(super) fn in_both(ones: &[Range<u32>], others: &[Range<u32>]) -> Vec<Range<u32>> {
    let mut common = Vec::new();
    for one in ones {
        let first = others.partition_point(|other| other.end <= one.start);
        let touching = others[first..].iter().take_while(|other| other.start < one.end);
        common.extend(touching.map(|other| one.start.max(other.start)..one.end.min(other.end)));
    }
    common
}

/// Whether one of some ranges, which ascend, has a row in a piece.
fn touches(ranges: &[Range<u32>], piece: &Range<u32>) -> bool {
    let next = ranges.partition_point(|range| range.end <= piece.start);
    ranges.get(next).is_some_and(|range| range.start < piece.end)
}

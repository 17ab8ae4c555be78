//! Reads everything a tenant has: a row for each trace, or every span once.
//!
//! In: a snapshot and, if wanted, a range of time. Out, to a visitor: outside the split set what
//! the sources say each for itself; inside it the whole traces, duplicates removed. Slices and
//! traces outside the range are not read; live data is read trace by trace, in the order in which
//! traces came, so that chunks in scratch files are read about once. What could not be read is
//! named. In memory: a slice or a dozen chunks, the rows of a batch. This is the seed of the one
//! scan: predicates and projections will say here what need not be read.

mod live;
mod split;
mod unit;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use suyuan_block::TimeRange;
use suyuan_block::reader::ReadError;
use suyuan_block::traces::{TraceSummary, merged};
use suyuan_block::writer::TRACES;
use suyuan_ids::TraceId;
use suyuan_model::{TracePiece, TraceRows};

use crate::blocks::BlockError;
use crate::find::{FindError, Skipped};
use crate::snapshot::{BlockSource, LiveSource, Snapshot};
use crate::split::SplitSet;

pub(crate) use live::LiveReader;
pub use unit::{
    Assembled, AssembledPiece, OpenUnit, SpanStructure, TraceKey, TraceRef, Unit, UnitName,
    UnitPresence, structure_of,
};

/// What was read for an answer, and what is missing from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// The visitor wanted no more.
    pub is_stopped: bool,
    pub n_slices_read: u64,
    /// Outside the range of time.
    pub n_slices_skipped: u64,
    /// Traces of live data that were read.
    pub n_live_traces: u64,
    /// Traces that were put together from several sources.
    pub n_split_traces: u64,
    /// About how many shared traces were given as pieces, because the split set has no room.
    pub n_left_out: u64,
    /// Blocks of which something or everything is missing.
    pub skipped: Vec<Skipped>,
}

/// Whether a scan goes on.
type Flow = ControlFlow<()>;

impl Snapshot {
    /// One row for each trace that has a moment in the range of time; those of the newest sources
    /// come first, not otherwise ordered. Pieces of a trace that were received further apart than
    /// the horizon are rows of their own. Reads files.
    pub fn trace_rows(
        &self,
        range: Option<TimeRange>,
        mut visit: impl FnMut(TraceId, TraceSummary<'_>) -> ControlFlow<()>,
    ) -> Result<ScanReport, FindError> {
        let split = self.split()?;
        let mut report = self.report(&split);
        let mut visit = |id: TraceId, summary: TraceSummary<'_>| {
            if is_within(&summary, range) { visit(id, summary) } else { Flow::Continue(()) }
        };
        let flow = self.all_trace_rows(&split, range, &mut visit, &mut report)?;
        report.is_stopped = flow.is_break();
        Ok(report)
    }

    /// Every span once, in batches of whole traces; with a range of time, at least the traces that
    /// have a moment in it. Reads files.
    pub fn spans(
        &self,
        range: Option<TimeRange>,
        mut visit: impl FnMut(&[TracePiece]) -> ControlFlow<()>,
    ) -> Result<ScanReport, FindError> {
        let split = self.split()?;
        let mut report = self.report(&split);
        let flow = self.all_spans(&split, range, &mut visit, &mut report)?;
        report.is_stopped = flow.is_break();
        Ok(report)
    }

    fn report(&self, split: &SplitSet) -> ScanReport {
        let skipped = split.skipped().iter().chain(&self.unreadable).cloned().collect();
        ScanReport { n_left_out: split.n_left_out(), skipped, ..ScanReport::default() }
    }

    fn all_trace_rows(
        &self,
        split: &SplitSet,
        range: Option<TimeRange>,
        visit: &mut dyn FnMut(TraceId, TraceSummary<'_>) -> Flow,
        report: &mut ScanReport,
    ) -> Result<Flow, FindError> {
        for trace in split.iter() {
            report.n_split_traces += 1;
            if visit(trace.id(), trace.summary()).is_break() {
                return Ok(Flow::Break(()));
            }
        }
        for source in self.live.iter().rev() {
            let mut reader = LiveReader::new(self);
            for trace in live_traces(source, split) {
                let mut rows = TraceRows::default();
                let id = reader.rows(source.key(), trace, &mut rows)?;
                if source.erased.contains(&id) {
                    continue;
                }
                report.n_live_traces += 1;
                let Some(summary) = merged(&rows) else { continue };
                if visit(id, summary).is_break() {
                    return Ok(Flow::Break(()));
                }
            }
        }
        for source in self.served(split) {
            let mut slices = slices_of(source, range, report);
            while let Some(slice) = slices.pop() {
                match self.trace_rows_of_slice(source, slice, split, visit) {
                    Ok(Flow::Continue(())) => report.n_slices_read += 1,
                    Ok(Flow::Break(())) => return Ok(Flow::Break(())),
                    Err(error) => {
                        report.skipped.push(error.into());
                        break;
                    }
                }
            }
        }
        Ok(Flow::Continue(()))
    }

    fn trace_rows_of_slice(
        &self,
        source: &BlockSource,
        slice: u32,
        split: &SplitSet,
        visit: &mut dyn FnMut(TraceId, TraceSummary<'_>) -> Flow,
    ) -> Result<Flow, BlockError> {
        let judge = |error| source.block.judge(error);
        let reader = source.block.reader(&self.inner.options.objects, &self.inner.read_cache)?;
        let places = reader.trace_places(source.tenant, slice).map_err(judge)?;
        let table = reader.traces(source.tenant, slice).map_err(judge)?;
        if places.len() != table.len() {
            let problem = "it has not as many traces as the spans file";
            return Err(judge(ReadError::Mismatch { file: TRACES, problem }));
        }
        let mut elsewhere = split.rows_of(source.block.id, slice).iter().peekable();
        for (trace, (id, rows)) in places.into_iter().enumerate() {
            while elsewhere.next_if(|other| other.end <= rows.start).is_some() {}
            let is_split = elsewhere.peek().is_some_and(|other| other.start <= rows.start);
            let id = TraceId::from_bytes(id);
            if is_split || source.erased.contains(&id) {
                continue;
            }
            if visit(id, table.summary(trace)).is_break() {
                return Ok(Flow::Break(()));
            }
        }
        Ok(Flow::Continue(()))
    }

    fn all_spans(
        &self,
        split: &SplitSet,
        range: Option<TimeRange>,
        visit: &mut dyn FnMut(&[TracePiece]) -> Flow,
        report: &mut ScanReport,
    ) -> Result<Flow, FindError> {
        if self.split_spans(split, range, visit, report)?.is_break() {
            return Ok(Flow::Break(()));
        }
        for source in self.live.iter().rev() {
            let mut batch = live::Batch::default();
            let mut reader = LiveReader::new(self);
            for trace in live_traces(source, split) {
                let mut rows = TraceRows::default();
                let id = reader.rows(source.key(), trace, &mut rows)?;
                if source.erased.contains(&id) {
                    continue;
                }
                report.n_live_traces += 1;
                batch.add(&rows);
                if batch.is_full() && batch.visit(visit).is_break() {
                    return Ok(Flow::Break(()));
                }
            }
            if batch.visit(visit).is_break() {
                return Ok(Flow::Break(()));
            }
        }
        for source in self.served(split) {
            let mut slices = slices_of(source, range, report);
            while let Some(slice) = slices.pop() {
                match self.spans_of_slice(source, slice, split) {
                    Ok(piece) => {
                        report.n_slices_read += 1;
                        if !piece.rows.is_empty() && visit(&[piece]).is_break() {
                            return Ok(Flow::Break(()));
                        }
                    }
                    Err(error) => {
                        report.skipped.push(error.into());
                        break;
                    }
                }
            }
        }
        Ok(Flow::Continue(()))
    }

    fn spans_of_slice(
        &self,
        source: &BlockSource,
        slice: u32,
        split: &SplitSet,
    ) -> Result<TracePiece, BlockError> {
        let judge = |error| source.block.judge(error);
        let reader = source.block.reader(&self.inner.options.objects, &self.inner.read_cache)?;
        let within = reader.slice_rows(source.tenant, slice).map_err(judge)?;
        let chunk = reader.slice(source.tenant, slice).map_err(judge)?;
        let mut rows = rows_without(within, split.rows_of(source.block.id, slice));
        if !source.erased.is_empty() {
            rows.retain(|row| !source.erased.contains(&chunk.trace_id(*row)));
        }
        Ok(TracePiece { chunk: Arc::new(chunk), rows })
    }

    /// Blocks that the split set knows, newest first.
    fn served<'a>(&'a self, split: &'a SplitSet) -> impl Iterator<Item = &'a BlockSource> {
        let is_skipped = |source: &&BlockSource| {
            split.skipped().iter().any(|skipped| skipped.block == source.block.id)
        };
        self.blocks.iter().filter(move |source| !is_skipped(source))
    }
}

/// Traces of live data that lie nowhere else.
fn live_traces<'a>(source: &LiveSource, split: &'a SplitSet) -> impl Iterator<Item = u32> + 'a {
    let key = source.key();
    (0..source.n_traces).filter(move |trace| !split.has_live(key, *trace))
}

/// The slices to read, the newest last.
fn slices_of(source: &BlockSource, range: Option<TimeRange>, report: &mut ScanReport) -> Vec<u32> {
    let Some(meta) = source.block.meta() else { return Vec::new() };
    let Some(tenant) = meta.tenants.get(source.tenant as usize) else { return Vec::new() };
    let mut slices: Vec<u32> = tenant.ranges.iter().map(|range| range.slice).collect();
    let n_slices = slices.len() as u64;
    if let Some(range) = range {
        let may_have = |slice: &u32| {
            let slice = meta.slices.get(*slice as usize);
            slice.is_none_or(|slice| reaches(slice.span_time, slice.trace_start).overlaps(range))
        };
        slices.retain(may_have);
    }
    report.n_slices_skipped += n_slices - slices.len() as u64;
    slices
}

/// From the first to the last moment of traces, whose starts may lie after all ends.
fn reaches(spans: TimeRange, starts: TimeRange) -> TimeRange {
    let ends = [spans.min_unix_nanos, spans.max_unix_nanos];
    ends.into_iter().map(TimeRange::of).fold(starts, TimeRange::union)
}

/// A trace that ends before it starts has one moment: its start.
fn is_within(summary: &TraceSummary<'_>, range: Option<TimeRange>) -> bool {
    let start = summary.start_unix_nanos;
    let moments =
        TimeRange { min_unix_nanos: start, max_unix_nanos: summary.end_unix_nanos.max(start) };
    range.is_none_or(|range| moments.overlaps(range))
}

/// Rows counted from the first of a range, without those of other ranges; all ascend.
fn rows_without(within: Range<u32>, others: &[Range<u32>]) -> Vec<u32> {
    let mut rows = Vec::with_capacity(within.len());
    let mut next = within.start;
    for other in others {
        rows.extend(next.max(within.start)..other.start.clamp(next, within.end));
        next = next.max(other.end);
    }
    rows.extend(next..within.end.max(next));
    rows.iter_mut().for_each(|row| *row -= within.start);
    rows
}

#[cfg(test)]
mod tests;

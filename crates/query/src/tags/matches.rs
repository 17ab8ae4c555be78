//! Names and values of the spans that fulfil a filter.
//!
//! In: a filter, and what to gather of its spans. Out: it is gathered: unit by unit from the rows
//! that fulfil it there. Where the filter or the values ask for the trace of a row, traces of live
//! data and of several sources are put together first, as a search does.

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use suyuan_block::traces::TraceSummary;
use suyuan_ids::TraceId;
use suyuan_model::{AttributeTable, Batch, Chunk, Columns, Field};
use suyuan_store::{OpenUnit, TraceKey, TraceRef, Unit};
use suyuan_traceql::ast::FieldExpr;

use super::TagScope;
use super::names::{NameSets, scope_of};
use super::part::{Part, TracePart, n_of, n_of_scopes, numbers_of, side_rows};
use super::scan::{Done, TagScan, rows_of};
use super::values::{TagValue, ValueSet};
use crate::filter::{Filter, RowSet, SourceState, TraceNeeds};
use crate::search::QueryError;
use crate::search::ranges;
use crate::search::unit_rows::{
    RowsOfTrace, alone_fulfilling, fulfilling_whole, ruled_out, ruled_out_unread, traces_of,
};

/// Traces that are put together between two looks whether more is wanted.
const TRACES_AT_ONCE: usize = 1_024;

/// Rows that are likely to have most names: a few pages of each column.
const NAMED_FIRST_ROWS: u32 = 256;

/// What is gathered of spans.
pub(super) trait Gather {
    /// Whether more would change nothing.
    fn is_done(&self) -> bool;

    /// Whether rows of a unit may change anything, as far as keys say.
    fn may_gain(&self, unit: &Unit) -> bool;

    /// Which columns [`Self::add_rows`] looks at.
    fn columns(&self) -> Columns;

    fn add_rows(&mut self, batch: &Batch, rows: &RowSet);

    /// How many rows of a unit are looked at first, because fewer columns may be asked for after
    /// that.
    fn first_rows(&self) -> u32 {
        u32::MAX
    }

    /// What is gathered of traces as wholes; `None`: rows are looked at.
    fn of_traces(&self) -> Option<TracePart> {
        None
    }

    fn add_trace(&mut self, _id: TraceId, _summary: &TraceSummary<'_>) {}
}

impl TagScan<'_> {
    /// Gathers from all spans that fulfil the filter.
    pub(super) fn gather(
        &mut self,
        filter: &FieldExpr,
        into: &mut dyn Gather,
    ) -> Result<(), QueryError> {
        let expr = filter;
        let filter = &Filter::compile(expr)?;
        if filter.is_never() {
            return Ok(());
        }
        let mut shared = SharedTraces::default();
        self.for_each_unit(|scan, unit| {
            if into.is_done() {
                return Ok(ControlFlow::Break(()));
            }
            if !into.may_gain(unit) || ruled_out_unread(unit, filter).is_some() {
                return Ok(ControlFlow::Continue(Done::Skipped));
            }
            let is_read = scan.gather_unit(unit, filter, &mut shared, into)?;
            Ok(ControlFlow::Continue(if is_read { Done::Read } else { Done::Skipped }))
        })?;
        for traces in shared.traces.chunks(TRACES_AT_ONCE) {
            if into.is_done() {
                break;
            }
            let columns = into.columns();
            self.for_each_matched(
                expr,
                filter,
                traces,
                &columns,
                &mut |trace, summary, pieces| {
                    if into.of_traces().is_some() {
                        return into.add_trace(trace.id, summary);
                    }
                    pieces.for_each(|(batch, rows)| into.add_rows(batch, rows));
                },
            )?;
        }
        Ok(())
    }

    /// False: no row can fulfil the filter.
    fn gather_unit(
        &mut self,
        unit: &Unit,
        filter: &Filter,
        shared: &mut SharedTraces,
        into: &mut dyn Gather,
    ) -> Result<bool, QueryError> {
        let open = &unit.open(&self.meter)?;
        let mut source = SourceState::default();
        if ruled_out(unit, open, filter, &mut source, &self.meter)?.is_some() {
            return Ok(false);
        }
        let pieces = open.pieces();
        self.count_rows(ranges::n_rows(&pieces));
        let mut check = |_| self.check();
        let mut rows =
            alone_fulfilling(unit, open, filter, pieces, &mut source, &self.meter, &mut check)?;
        let needs_traces = filter.needs() != TraceNeeds::Nothing || into.of_traces().is_some();
        if (needs_traces || unit.has_erased()) && !rows.is_empty() {
            let found = ranges::rows(&rows);
            let mut groups = traces_of(open, &found, &self.meter)?;
            if needs_traces {
                groups.retain(|(trace, _)| trace.is_whole || !shared.add(trace));
            }
            let standing = match filter.needs() {
                TraceNeeds::Nothing => rows_of(&found, &groups),
                _ => fulfilling_whole(open, filter, &found, &groups, &mut source, &self.meter)?,
            };
            if into.of_traces().is_some() {
                add_whole(open, &found, &groups, &standing, into);
                return Ok(true);
            }
            rows = ranges::of_rows(&standing);
        }
        let (first, others) = split(rows, into.first_rows());
        for rows in [first, others] {
            if !rows.is_empty() && !into.is_done() {
                let batch = self.read(open, &rows, &into.columns())?;
                into.add_rows(&batch, &ranges::in_batch(&rows, &batch));
            }
        }
        Ok(true)
    }
}

/// The first `n` rows, and the others.
fn split(rows: Vec<Range<u32>>, n: u32) -> (Vec<Range<u32>>, Vec<Range<u32>>) {
    let (mut first, mut others) = (Vec::new(), Vec::new());
    let mut left = n;
    for range in rows {
        let middle = range.start + left.min(range.end - range.start);
        left -= middle - range.start;
        ranges::push(&mut first, range.start..middle);
        ranges::push(&mut others, middle..range.end);
    }
    (first, others)
}

/// Traces that are not whole in the unit in which they were met, each once.
#[derive(Default)]
struct SharedTraces {
    traces: Vec<TraceRef>,
    known: HashSet<TraceKey>,
}

impl SharedTraces {
    /// True, so that nobody else looks at it.
    fn add(&mut self, trace: &TraceRef) -> bool {
        if self.known.insert(trace.key()) {
            self.traces.push(*trace);
        }
        true
    }
}

/// Adds the traces that have one of the rows; all are whole here.
fn add_whole(
    open: &OpenUnit<'_>,
    found: &[u32],
    groups: &[RowsOfTrace],
    rows: &[u32],
    into: &mut dyn Gather,
) {
    for (trace, places) in groups {
        let is_matched = found[places.clone()].iter().any(|row| rows.binary_search(row).is_ok());
        if is_matched && let Some(summary) = open.summary(trace) {
            into.add_trace(trace.id, &summary);
        }
    }
}

/// Values of one part.
pub(super) struct GatherValues<'a> {
    pub(super) part: &'a Part,
    pub(super) values: &'a mut ValueSet,
}

impl Gather for GatherValues<'_> {
    fn is_done(&self) -> bool {
        self.values.is_cut()
    }

    fn may_gain(&self, unit: &Unit) -> bool {
        self.part.may_be_in(unit)
    }

    fn columns(&self) -> Columns {
        self.part.columns()
    }

    fn add_rows(&mut self, batch: &Batch, rows: &RowSet) {
        self.part.add_values(batch, rows, self.values);
    }

    fn of_traces(&self) -> Option<TracePart> {
        match self.part {
            Part::Trace(of) => Some(*of),
            _ => None,
        }
    }

    fn add_trace(&mut self, id: TraceId, summary: &TraceSummary<'_>) {
        let Part::Trace(of) = self.part else { return };
        if let Some(value) = of.value(id, summary) {
            self.values.add(value);
        }
    }
}

impl TracePart {
    /// `None`: the trace has no root, or that names no service.
    pub(super) fn value(self, id: TraceId, summary: &TraceSummary<'_>) -> Option<TagValue> {
        let text = match self {
            Self::Id => id.to_string().into(),
            Self::RootName => summary.root?.name.into(),
            Self::RootService => summary.root?.service?.into(),
        };
        Some(TagValue::String(text))
    }
}

/// Names of whatever the spans have, and their events, links, resources and scopes. A name that is
/// known is not looked for again, so that only the first units are read in full.
pub(super) struct GatherNames<'a> {
    pub(super) found: &'a mut NameSets,
    /// Names that there are and that are not known.
    pub(super) unknown: Vec<(TagScope, Arc<str>)>,
}

impl<'a> GatherNames<'a> {
    pub(super) fn new(
        keys: impl IntoIterator<Item = (TagScope, Arc<str>)>,
        found: &'a mut NameSets,
    ) -> Self {
        let is_wanted = |(scope, key): &(TagScope, Arc<str>)| found.wants(*scope, key);
        let unknown = keys.into_iter().filter(is_wanted).collect();
        Self { found, unknown }
    }
}

impl Gather for GatherNames<'_> {
    fn is_done(&self) -> bool {
        self.unknown.is_empty()
    }

    fn may_gain(&self, unit: &Unit) -> bool {
        let mut may_gain = false;
        let is_complete = unit.for_each_key(&mut |owner, key, _| {
            may_gain = may_gain || self.found.wants(scope_of(owner), key);
        });
        may_gain || !is_complete
    }

    fn columns(&self) -> Columns {
        let mut columns = Columns::default();
        for (scope, key) in &self.unknown {
            match scope {
                TagScope::Span => columns.add_span_key(key),
                TagScope::Event => columns.add_event_key(key),
                TagScope::Link => columns.add_link_key(key),
                TagScope::Resource => columns.add(Field::Resource),
                TagScope::Instrumentation => columns.add(Field::Scope),
                TagScope::Trace | TagScope::Intrinsic => {}
            }
        }
        columns
    }

    fn first_rows(&self) -> u32 {
        NAMED_FIRST_ROWS
    }

    fn add_rows(&mut self, batch: &Batch, rows: &RowSet) {
        let chunk = &*batch.chunk;
        let Chunk { attributes, events, links, resource, resources, scope, scopes, .. } = chunk;
        add_keys(attributes, TagScope::Span, rows, self.found);
        let of_rows = side_rows(events.span_row.values(), rows);
        add_keys(&events.attributes, TagScope::Event, &of_rows, self.found);
        let of_rows = side_rows(links.span_row.values(), rows);
        add_keys(&links.attributes, TagScope::Link, &of_rows, self.found);
        // Columns that were not asked for are empty.
        if !resource.is_empty() {
            let of_rows = numbers_of(resource.values(), rows, n_of(resources));
            add_keys(&resources.attributes, TagScope::Resource, &of_rows, self.found);
        }
        if !scope.is_empty() {
            let of_rows = numbers_of(scope.values(), rows, n_of_scopes(scopes));
            add_keys(&scopes.attributes, TagScope::Instrumentation, &of_rows, self.found);
        }
        self.unknown.retain(|(scope, key)| self.found.wants(*scope, key));
    }
}

fn add_keys(table: &AttributeTable, scope: TagScope, rows: &RowSet, found: &mut NameSets) {
    for column in &table.columns {
        if found.wants(scope, &column.key) && column.rows.iter().any(|row| rows.contains(*row)) {
            found.add(scope, &column.key);
        }
    }
}

//! Which rows of a unit fulfil a filter, as far as the unit alone can say.
//!
//! In: an open unit and a compiled filter. Out: why none can, or the rows that do: first what keys,
//! filters and bounds say, then each condition's columns for the rows that are left, then, of traces
//! that lie whole here, what conditions ask of the trace. Searches and questions about tags share
//! it. Never here: traces of live data and of several sources, of which a row may not stand.

use std::ops::Range;

use suyuan_model::{Batch, Columns, Field};
use suyuan_objects::ReadMeter;
use suyuan_store::{FindError, OpenUnit, SpanStructure, TraceRef, Unit, structure_of};

use super::QueryError;
use super::ranges;
use crate::filter::{Condition, Filter, SourceState, TraceContext, TraceFacts, TraceNeeds};

/// Rows whose traces are looked up at once.
const LOOKUP_ROWS: usize = 4_096;

/// Rows of one trace that stand beside each other, as places among the rows that were looked up.
pub(crate) type RowsOfTrace = (TraceRef, Range<usize>);

/// Why no row of a unit can fulfil the filter, if that is certain before anything is read.
pub(crate) fn ruled_out_unread(unit: &Unit, filter: &Filter) -> Option<String> {
    let why = |condition: &Condition| {
        condition.rules_out(unit).or_else(|| {
            let mut probes = condition.probes(unit).into_iter();
            let is_possible = probes.all(|any_of| any_of.iter().any(|one| unit.may_contain(one)))
                && condition.bounds(unit).iter().all(|bounds| unit.may_lie_between(bounds));
            (!is_possible).then(|| no_row_can_fulfil(condition))
        })
    };
    filter.conditions().iter().find_map(why)
}

fn no_row_can_fulfil(condition: &Condition) -> String {
    format!("no row can fulfil `{condition}`")
}

/// Why no row of an open unit can fulfil the filter, if that is certain.
pub(crate) fn ruled_out(
    unit: &Unit,
    open: &OpenUnit<'_>,
    filter: &Filter,
    source: &mut SourceState,
    meter: &ReadMeter,
) -> Result<Option<String>, FindError> {
    for condition in filter.conditions() {
        let ruled_out = condition.rules_out_sources(open.resources(), open.scopes(), source);
        if ruled_out.is_some() {
            return Ok(ruled_out);
        }
        for any_of in condition.probes(unit) {
            let mut is_possible = false;
            for probe in &any_of {
                is_possible = is_possible || open.may_contain(probe, meter)?;
            }
            if !is_possible {
                return Ok(Some(no_row_can_fulfil(condition)));
            }
        }
    }
    Ok(None)
}

/// Of some rows, those that fulfil the conditions which ask nothing of their traces.
/// `before_reading` is told how many rows are read next.
pub(crate) fn alone_fulfilling(
    unit: &Unit,
    open: &OpenUnit<'_>,
    filter: &Filter,
    rows: Vec<Range<u32>>,
    source: &mut SourceState,
    meter: &ReadMeter,
    before_reading: &mut dyn FnMut(u32) -> Result<(), QueryError>,
) -> Result<Vec<Range<u32>>, UnitError> {
    let mut alive = rows;
    for condition in filter.conditions() {
        if condition.needs() != TraceNeeds::Nothing || alive.is_empty() {
            continue;
        }
        for between in condition.bounds(unit) {
            alive = ranges::common(&alive, &open.candidates(&between, meter)?);
        }
        if alive.is_empty() {
            break;
        }
        before_reading(ranges::n_rows(&alive))?;
        let batch = open.read(&ranges::to_read(&alive), condition.columns(), meter)?;
        let rows = ranges::in_batch(&alive, &batch);
        let verdict = condition.evaluate(&rows, &batch, source, None);
        alive = ranges::of_set(&verdict.yes, &batch);
    }
    Ok(alive)
}

/// The traces of rows, which ascend. Rows that were erased are left out.
pub(crate) fn traces_of(
    open: &OpenUnit<'_>,
    rows: &[u32],
    meter: &ReadMeter,
) -> Result<Vec<RowsOfTrace>, FindError> {
    let mut groups: Vec<RowsOfTrace> = Vec::new();
    for (number, part) in rows.chunks(LOOKUP_ROWS).enumerate() {
        let traces = open.traces_of(part, meter)?;
        for (place, trace) in (number * LOOKUP_ROWS..).zip(traces) {
            let Some(trace) = trace else { continue };
            match groups.last_mut() {
                Some((last, places)) if places.end == place && last.key() == trace.key() => {
                    places.end += 1;
                }
                _ => groups.push((trace, place..place + 1)),
            }
        }
    }
    Ok(groups)
}

/// Of rows of traces that are whole here, those that fulfil the conditions about their traces.
/// `groups`: these traces, ascending, with their rows as places among `rows`.
pub(crate) fn fulfilling_whole(
    open: &OpenUnit<'_>,
    filter: &Filter,
    rows: &[u32],
    groups: &[RowsOfTrace],
    source: &mut SourceState,
    meter: &ReadMeter,
) -> Result<Vec<u32>, FindError> {
    let conditions = || {
        let conditions = filter.conditions().iter();
        conditions.filter(|condition| condition.needs() != TraceNeeds::Nothing)
    };
    let needs = filter.needs();
    let mut alive = Vec::new();
    let mut read = Vec::new();
    for (trace, places) in groups {
        for row in &rows[places.clone()] {
            ranges::push(&mut alive, *row..row + 1);
        }
        if needs >= TraceNeeds::Parents
            && let Some(rows) = open.rows_of(trace)
        {
            ranges::push(&mut read, rows);
        }
    }
    if needs < TraceNeeds::Parents {
        read.clone_from(&alive);
    }
    let mut columns =
        conditions().fold(Columns::default(), |all, one| all.union(&one.trace_columns()));
    if needs == TraceNeeds::Structure {
        columns = columns.with(Field::Depth).with(Field::ParentSpanId);
    }
    let batch = open.read(&read, &columns, meter)?;
    let context = WholeTraces::of(open, &batch, rows, groups, needs);
    let mut set = ranges::in_batch(&alive, &batch);
    for condition in conditions() {
        set = condition.evaluate(&set, &batch, source, Some(&context.context())).yes;
    }
    Ok(ranges::rows(&ranges::of_set(&set, &batch)))
}

/// What is known of the whole traces of a batch.
struct WholeTraces<'a> {
    trace_of_row: Vec<u32>,
    facts: Vec<TraceFacts<'a>>,
    structure: Option<Vec<SpanStructure>>,
}

impl<'a> WholeTraces<'a> {
    /// `groups`: all traces of the batch, in the order of their rows. If more than facts is needed the
    /// batch holds all of their rows.
    fn of(
        open: &'a OpenUnit<'_>,
        batch: &Batch,
        rows: &[u32],
        groups: &[RowsOfTrace],
        needs: TraceNeeds,
    ) -> Self {
        let mut trace_of_row = vec![0; batch.n_rows as usize];
        let mut facts = Vec::with_capacity(groups.len());
        let mut structure = (needs == TraceNeeds::Structure)
            .then(|| vec![SpanStructure::default(); batch.n_rows as usize]);
        let mut places = ranges::Places::new(batch);
        for ((trace, of_trace), number) in groups.iter().zip(0..) {
            let root = open.summary(trace).and_then(|summary| summary.root);
            facts.push(TraceFacts {
                root_name: root.map(|root| root.name),
                root_service: root.and_then(|root| root.service),
                duration_nanos: trace.end_unix_nanos.wrapping_sub(trace.start_unix_nanos),
            });
            if needs < TraceNeeds::Parents {
                let held = rows[of_trace.clone()].iter().filter_map(|row| places.find(*row));
                held.for_each(|row| trace_of_row[row as usize] = number);
                continue;
            }
            let Some(all) = open.rows_of(trace) else { continue };
            let Some(first) = places.find(all.start) else { continue };
            let held = first..first + (all.end - all.start);
            held.clone().for_each(|row| trace_of_row[row as usize] = number);
            if let Some(structure) = &mut structure {
                fill_structure(batch, held, structure);
            }
        }
        Self { trace_of_row, facts, structure }
    }

    fn context(&self) -> TraceContext<'_> {
        TraceContext {
            trace_of_row: &self.trace_of_row,
            facts: &self.facts,
            structure: self.structure.as_deref(),
        }
    }
}

/// Of the rows of one trace, in pre-order, which stand in a batch beside each other.
pub(super) fn fill_structure(batch: &Batch, rows: Range<u32>, structure: &mut [SpanStructure]) {
    let Some(depths) = &batch.depth else { return };
    let places = rows.start as usize..rows.end as usize;
    let names_parent =
        |row: usize| batch.chunk.parent_span_id((places.start + row) as u32).is_some();
    let found = structure_of(&depths[places.clone()], names_parent);
    structure[places].copy_from_slice(&found);
}

/// Why a unit was not read to its end.
pub(crate) enum UnitError {
    Read(FindError),
    Query(QueryError),
}

impl From<FindError> for UnitError {
    fn from(error: FindError) -> Self {
        Self::Read(error)
    }
}

impl From<QueryError> for UnitError {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl From<UnitError> for QueryError {
    fn from(error: UnitError) -> Self {
        match error {
            UnitError::Read(error) => Self::Read(error),
            UnitError::Query(error) => error,
        }
    }
}

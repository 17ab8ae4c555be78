//! Traces of live data and of several sources, looked at as wholes.
//!
//! In: such traces. Out: which of their spans fulfil the filter, each span once, and what an answer
//! shows of them. A row that repeats another one or was replaced by it counts for nothing, so
//! nothing is certain of these traces before they were put together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use suyuan_block::traces::TraceSummary;
use suyuan_model::{Batch, Columns, Field};
use suyuan_objects::ReadMeter;
use suyuan_store::{
    Assembled, AssembledPiece, Skipped, SpanStructure, TraceKey, TraceRef, UnitName,
};

use super::question::Question;
use super::{FoundTrace, QueryError, STATUS_ERROR, ServiceStats};
use crate::filter::{Condition, RowSet, SourceState, TraceContext, TraceFacts, TraceNeeds};

/// Traces are looked at together, since they share chunks: so many, or so many of their rows.
const GROUP_TRACES: usize = 1_024;
const GROUP_ROWS: usize = 65_536;
/// Chunks and slices of which something is remembered, and the memory that this keeps alive: a
/// chunk that is read again has other dictionaries.
const SOURCES_MAX: usize = 1_024;
const SOURCES_BYTES_MAX: usize = 16 << 20;

/// Puts traces together and looks at them. One for each thread.
pub(crate) struct Standing<'a> {
    question: &'a Question<'a>,
    /// Of chunks and slices that were met.
    sources: HashMap<UnitName, SourceState>,
    /// That the filter reads.
    columns: Columns,
}

/// Traces that were put together and not looked at yet.
#[derive(Default)]
struct Group {
    traces: Vec<Assembled>,
    n_rows: usize,
}

/// Rows of a group's traces in one batch.
struct OfBatch<'g> {
    unit: UnitName,
    batch: &'g Batch,
    /// First all that stand, then those that fulfil the filter.
    rows: RowSet,
    /// For each row of the batch a place in the group, if a condition needs it.
    trace_of_row: Vec<u32>,
    /// For each row of the batch, if it is needed.
    structure: Option<Vec<SpanStructure>>,
    /// Of each resource its number in [`Services`], once it was asked for.
    services: RefCell<Vec<Option<u32>>>,
}

/// What of a trace stands.
struct Whole<'g> {
    trace: TraceRef,
    pieces: &'g [AssembledPiece],
    summary: TraceSummary<'g>,
    /// For each piece.
    batches: Vec<&'g OfBatch<'g>>,
    /// Of each piece the rows that fulfil the filter.
    matched: Vec<Vec<u32>>,
}

/// Counts spans by service, one trace after another. Thousands of traces share a few services, so
/// each name is kept once, and rows are counted without a look at it.
#[derive(Default)]
struct Services {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    /// Spans and errors of the trace that is counted; of services that it has not, zeros.
    counts: Vec<(u32, u32)>,
    /// Those that it has.
    seen: Vec<u32>,
}

/// Called with a trace, what is known of it, its pieces, and the rows of each that fulfil the filter.
pub(crate) type WholeVisitor<'a> =
    dyn FnMut(&TraceRef, &TraceSummary<'_>, &[AssembledPiece], &[RowSet]) + 'a;

impl<'a> Standing<'a> {
    pub(crate) fn new(question: &'a Question<'a>) -> Self {
        let needs = question.filter.needs().max(question.shown.needs());
        let mut columns = question.filter.columns();
        if needs >= TraceNeeds::Parents {
            columns.add(Field::ParentSpanId);
        }
        Self { question, sources: HashMap::new(), columns }
    }

    /// Whether each trace has a span that stands and fulfils the filter. Of traces that cannot be
    /// read nothing is said.
    pub(super) fn judge(
        &mut self,
        traces: &[TraceRef],
        meter: &ReadMeter,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Vec<(TraceKey, bool)>, QueryError> {
        let columns = self.columns.clone();
        let mut verdicts = Vec::with_capacity(traces.len());
        self.for_each(traces, &columns, meter, skipped, &mut |whole| {
            verdicts.push((whole.trace.key(), whole.n_matched() > 0));
        })?;
        Ok(verdicts)
    }

    /// What an answer shows of each trace that has such a span.
    pub(super) fn found(
        &mut self,
        traces: &[TraceRef],
        meter: &ReadMeter,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Vec<FoundTrace>, QueryError> {
        let question = self.question;
        let columns = self.columns.clone().union(question.shown.columns());
        let mut found = Vec::with_capacity(traces.len());
        let mut is_small = Ok(());
        let mut services = Services::default();
        self.for_each(traces, &columns, meter, skipped, &mut |whole| {
            if whole.n_matched() > 0 && is_small.is_ok() {
                let trace = whole.found(question, &mut services);
                is_small = question.count_answer(std::slice::from_ref(&trace));
                found.push(trace);
            }
        })?;
        is_small?;
        Ok(found)
    }

    /// Visits each trace that has such a span: what is known of it, and its pieces with the rows of
    /// each that fulfil the filter. `columns`: which are read besides those of the filter.
    pub(crate) fn matched(
        &mut self,
        traces: &[TraceRef],
        columns: &Columns,
        meter: &ReadMeter,
        skipped: &mut Vec<Skipped>,
        visit: &mut WholeVisitor<'_>,
    ) -> Result<(), QueryError> {
        let columns = self.columns.clone().union(columns);
        self.for_each(traces, &columns, meter, skipped, &mut |whole| {
            if whole.n_matched() > 0 {
                let of_batch = |(piece, rows): (&AssembledPiece, &Vec<u32>)| {
                    RowSet::of(piece.batch.n_rows, rows.iter().copied())
                };
                let matched: Vec<RowSet> =
                    whole.pieces.iter().zip(&whole.matched).map(of_batch).collect();
                visit(&whole.trace, &whole.summary, whole.pieces, &matched);
            }
        })
    }

    fn for_each(
        &mut self,
        traces: &[TraceRef],
        columns: &Columns,
        meter: &ReadMeter,
        skipped: &mut Vec<Skipped>,
        visit: &mut dyn FnMut(&Whole<'_>),
    ) -> Result<(), QueryError> {
        let question = self.question;
        if traces.is_empty() {
            return Ok(());
        }
        let mut group = Group::default();
        let mut result = question.check();
        let mut gather = |assembled: Assembled| {
            group.n_rows += assembled.pieces.iter().map(|piece| piece.rows.len()).sum::<usize>();
            group.traces.push(assembled);
            if group.traces.len() >= GROUP_TRACES || group.n_rows >= GROUP_ROWS {
                self.look_at(&std::mem::take(&mut group).traces, visit);
            }
            result = question.check();
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let broken =
            question.snapshot.assemble(question.split, traces, columns, meter, &mut gather)?;
        broken.into_iter().for_each(|one| add_skipped(skipped, one));
        result?;
        self.look_at(&group.traces, visit);
        Ok(())
    }

    /// Looks at each batch once for all traces of a group.
    fn look_at(&mut self, traces: &[Assembled], visit: &mut dyn FnMut(&Whole<'_>)) {
        let question = self.question;
        let summaries: Vec<TraceSummary<'_>> = traces.iter().map(Assembled::summary).collect();
        let facts: Vec<TraceFacts<'_>> = summaries.iter().map(facts_of).collect();
        let needs = question.filter.needs().max(question.shown.needs());
        let (mut batches, places) = batches_of(traces, needs);
        let bytes: usize = self.sources.values().map(SourceState::bytes).sum();
        if self.sources.len() > SOURCES_MAX || bytes > SOURCES_BYTES_MAX {
            self.sources.clear();
        }
        for of_batch in &mut batches {
            let source = self.sources.entry(of_batch.unit).or_default();
            of_batch.keep_fulfilling(question.filter.conditions(), &facts, source);
        }
        for ((assembled, summary), places) in traces.iter().zip(summaries).zip(&places) {
            let batches: Vec<&OfBatch<'_>> = places.iter().map(|place| &batches[*place]).collect();
            let matched = assembled.pieces.iter().zip(&batches).map(|(piece, of_batch)| {
                piece.rows.iter().copied().filter(|row| of_batch.rows.contains(*row)).collect()
            });
            let matched = matched.collect();
            let pieces = &assembled.pieces;
            visit(&Whole { trace: assembled.trace, pieces, summary, batches, matched });
        }
    }
}

fn facts_of<'s>(summary: &TraceSummary<'s>) -> TraceFacts<'s> {
    TraceFacts {
        root_name: summary.root.map(|root| root.name),
        root_service: summary.root.and_then(|root| root.service),
        duration_nanos: summary.end_unix_nanos.wrapping_sub(summary.start_unix_nanos),
    }
}

/// The batches of a group, and for each of its traces, for each piece, which batch it is.
fn batches_of(traces: &[Assembled], needs: TraceNeeds) -> (Vec<OfBatch<'_>>, Vec<Vec<usize>>) {
    let mut batches: Vec<OfBatch<'_>> = Vec::new();
    let mut known: HashMap<*const Batch, usize> = HashMap::new();
    let mut places = Vec::with_capacity(traces.len());
    for (assembled, number) in traces.iter().zip(0..) {
        let structure = (needs == TraceNeeds::Structure).then(|| assembled.structure());
        let mut of_trace = Vec::with_capacity(assembled.pieces.len());
        for (place, piece) in assembled.pieces.iter().enumerate() {
            let next = batches.len();
            let at = *known.entry(Arc::as_ptr(&piece.batch)).or_insert(next);
            if at == next {
                batches.push(OfBatch::new(piece, needs));
            }
            let of_piece = structure.as_ref().map(|structure| &structure[place][..]);
            batches[at].add(piece, number, of_piece);
            of_trace.push(at);
        }
        places.push(of_trace);
    }
    (batches, places)
}

impl<'g> OfBatch<'g> {
    fn new(piece: &'g AssembledPiece, needs: TraceNeeds) -> Self {
        let n_rows = piece.batch.n_rows as usize;
        let is_needed = needs != TraceNeeds::Nothing;
        Self {
            unit: piece.unit,
            batch: &piece.batch,
            rows: RowSet::none(piece.batch.n_rows),
            trace_of_row: if is_needed { vec![0; n_rows] } else { Vec::new() },
            structure: (needs == TraceNeeds::Structure)
                .then(|| vec![SpanStructure::default(); n_rows]),
            services: RefCell::default(),
        }
    }

    fn add(&mut self, piece: &AssembledPiece, trace: u32, structure: Option<&[SpanStructure]>) {
        for row in &piece.rows {
            self.rows.insert(*row);
            if let Some(of_row) = self.trace_of_row.get_mut(*row as usize) {
                *of_row = trace;
            }
        }
        if let (Some(all), Some(structure)) = (&mut self.structure, structure) {
            for (row, of_row) in piece.rows.iter().zip(structure) {
                all[*row as usize] = *of_row;
            }
        }
    }

    fn keep_fulfilling(
        &mut self,
        conditions: &[Condition],
        facts: &[TraceFacts<'_>],
        source: &mut SourceState,
    ) {
        let context = TraceContext {
            trace_of_row: &self.trace_of_row,
            facts,
            structure: self.structure.as_deref(),
        };
        for condition in conditions {
            if self.rows.is_empty() {
                return;
            }
            let context = (condition.needs() != TraceNeeds::Nothing).then_some(&context);
            self.rows = condition.evaluate(&self.rows, self.batch, source, context).yes;
        }
    }
}

impl<'g> Whole<'g> {
    fn n_matched(&self) -> u64 {
        self.matched.iter().map(|rows| rows.len() as u64).sum()
    }

    fn found(&self, question: &Question<'_>, services: &mut Services) -> FoundTrace {
        let mut order: Vec<_> = Vec::new();
        for (number, (piece, rows)) in self.pieces.iter().zip(&self.matched).enumerate() {
            let chunk = &piece.batch.chunk;
            order.extend(rows.iter().map(|&row| {
                let at = row as usize;
                let start = chunk.start_unix_nanos.value(at);
                ((start, chunk.span_id.value(at), chunk.kind.value(at)), number, row)
            }));
        }
        order.sort_unstable();
        order.truncate(question.request.spans_per_set);
        let spans = order.into_iter().map(|(_, number, row)| {
            let structures = self.batches[number].structure.as_ref();
            let structure = structures.map(|structures| &structures[row as usize]);
            question.shown.span(&self.pieces[number].batch, row, structure)
        });
        FoundTrace {
            id: self.trace.id,
            root_service: self.summary.root.and_then(|root| root.service).map(Arc::from),
            root_name: self.summary.root.map(|root| root.name.into()),
            start_unix_nanos: self.summary.start_unix_nanos,
            end_unix_nanos: self.summary.end_unix_nanos,
            n_matched: self.n_matched(),
            spans: spans.collect(),
            services: self.services(services),
        }
    }

    fn services(&self, services: &mut Services) -> Vec<ServiceStats> {
        for (piece, of_batch) in self.pieces.iter().zip(&self.batches) {
            let chunk = &piece.batch.chunk;
            let mut numbers = of_batch.services.borrow_mut();
            for row in &piece.rows {
                let at = *row as usize;
                let resource = chunk.resource.value(at);
                if numbers.len() <= resource as usize {
                    numbers.resize(resource as usize + 1, None);
                }
                let name = || chunk.resources.service_name(resource).unwrap_or_default();
                let service =
                    *numbers[resource as usize].get_or_insert_with(|| services.number(name()));
                services.count(service, chunk.status_code.value(at) == STATUS_ERROR);
            }
        }
        services.take()
    }
}

impl Services {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let (name, number): (Arc<str>, _) = (name.into(), self.names.len() as u32);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        self.counts.push((0, 0));
        number
    }

    fn count(&mut self, service: u32, is_error: bool) {
        let counts = &mut self.counts[service as usize];
        if *counts == (0, 0) {
            self.seen.push(service);
        }
        counts.0 += 1;
        counts.1 += u32::from(is_error);
    }

    /// What was counted, by name. The next trace begins.
    fn take(&mut self) -> Vec<ServiceStats> {
        let (names, counts) = (&self.names, &mut self.counts);
        self.seen.sort_unstable_by(|one, other| names[*one as usize].cmp(&names[*other as usize]));
        let stats = |service: u32| {
            let (n_spans, n_errors) = std::mem::take(&mut counts[service as usize]);
            ServiceStats { service: names[service as usize].clone(), n_spans, n_errors }
        };
        self.seen.drain(..).map(stats).collect()
    }
}

/// Names a block of which something is missing, once.
pub(super) fn add_skipped(all: &mut Vec<Skipped>, skipped: Skipped) {
    if !all.contains(&skipped) {
        all.push(skipped);
    }
}

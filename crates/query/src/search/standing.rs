//! Traces of live data and of several sources, looked at as wholes.
//!
//! In: such traces. Out: which of their spans fulfil the filter, each span once, and what an answer
//! shows of them. A row that repeats another one or was replaced by it counts for nothing, so
//! nothing is certain of these traces before they were put together.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use suyuan_block::traces::TraceSummary;
use suyuan_model::{Columns, Field};
use suyuan_objects::ReadMeter;
use suyuan_store::{
    Assembled, AssembledPiece, Skipped, SpanStructure, TraceKey, TraceRef, UnitName,
};

use super::question::Question;
use super::{FoundTrace, QueryError, STATUS_ERROR, ServiceStats};
use crate::filter::{Condition, RowSet, SourceState, TraceContext, TraceFacts, TraceNeeds};

/// Traces that are put together at once, so that a cancelled question ends soon.
const TRACES_AT_ONCE: usize = 256;

/// Puts traces together and looks at them. One for each thread.
pub(crate) struct Standing<'a> {
    question: &'a Question<'a>,
    /// Of each chunk and slice that was met.
    sources: HashMap<UnitName, SourceState>,
    /// That the filter reads.
    columns: Columns,
    /// Zeros: a batch's rows that are looked at are of one trace.
    trace_of_row: Vec<u32>,
}

/// What of a trace stands.
struct Whole<'m> {
    trace: TraceRef,
    pieces: &'m [AssembledPiece],
    summary: TraceSummary<'m>,
    /// For each piece, for each row of its batch; of rows that are not the trace's, anything.
    structures: Option<Vec<Vec<SpanStructure>>>,
    /// For each piece.
    matched: Vec<RowSet>,
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
        Self { question, sources: HashMap::new(), columns, trace_of_row: Vec::new() }
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
        self.for_each(traces, &columns, meter, skipped, &mut |whole| {
            if whole.n_matched() > 0 {
                found.push(whole.found(question));
            }
        })?;
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
                visit(&whole.trace, &whole.summary, whole.pieces, &whole.matched);
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
        for group in traces.chunks(TRACES_AT_ONCE) {
            question.check()?;
            let mut look = |assembled: Assembled| {
                self.look_at(&assembled, visit);
                ControlFlow::Continue(())
            };
            let broken =
                question.snapshot.assemble(question.split, group, columns, meter, &mut look)?;
            broken.into_iter().for_each(|one| add_skipped(skipped, one));
        }
        Ok(())
    }

    fn look_at(&mut self, assembled: &Assembled, visit: &mut dyn FnMut(&Whole<'_>)) {
        let pieces = &assembled.pieces;
        if pieces.is_empty() {
            return;
        }
        let summary = assembled.summary();
        let question = self.question;
        let needs = question.filter.needs().max(question.shown.needs());
        let structures = (needs == TraceNeeds::Structure).then(|| structures(assembled));
        let duration_nanos = summary.end_unix_nanos.wrapping_sub(summary.start_unix_nanos);
        let facts = [TraceFacts {
            root_name: summary.root.map(|root| root.name),
            root_service: summary.root.and_then(|root| root.service),
            duration_nanos,
        }];
        let mut matched = Vec::with_capacity(pieces.len());
        for (number, piece) in pieces.iter().enumerate() {
            let n_rows = piece.batch.n_rows as usize;
            if self.trace_of_row.len() < n_rows {
                self.trace_of_row.resize(n_rows, 0);
            }
            let context = TraceContext {
                trace_of_row: &self.trace_of_row[..n_rows],
                facts: &facts,
                structure: structures.as_ref().map(|structures| &structures[number][..]),
            };
            let source = self.sources.entry(piece.unit).or_default();
            matched.push(fulfilling(question.filter.conditions(), piece, source, &context));
        }
        visit(&Whole { trace: assembled.trace, pieces, summary, structures, matched });
    }
}

/// Where each row stands in the tree of the trace, for each piece, for each row of its batch.
fn structures(assembled: &Assembled) -> Vec<Vec<SpanStructure>> {
    let of_rows = assembled.structure().into_iter();
    let pieces = assembled.pieces.iter().zip(of_rows).map(|(piece, of_rows)| {
        let mut structures = vec![SpanStructure::default(); piece.batch.n_rows as usize];
        for (row, structure) in piece.rows.iter().zip(of_rows) {
            structures[*row as usize] = structure;
        }
        structures
    });
    pieces.collect()
}

fn fulfilling(
    conditions: &[Condition],
    piece: &AssembledPiece,
    source: &mut SourceState,
    context: &TraceContext<'_>,
) -> RowSet {
    let mut rows = RowSet::of(piece.batch.n_rows, piece.rows.iter().copied());
    for condition in conditions {
        if rows.is_empty() {
            break;
        }
        rows = condition.evaluate(&rows, &piece.batch, source, Some(context)).yes;
    }
    rows
}

impl Whole<'_> {
    fn n_matched(&self) -> u64 {
        self.matched.iter().map(|rows| u64::from(rows.count())).sum()
    }

    fn found(&self, question: &Question<'_>) -> FoundTrace {
        let mut order: Vec<_> = Vec::new();
        for (number, (piece, rows)) in self.pieces.iter().zip(&self.matched).enumerate() {
            let chunk = &piece.batch.chunk;
            order.extend(rows.iter().map(|row| {
                let at = row as usize;
                let start = chunk.start_unix_nanos.value(at);
                ((start, chunk.span_id.value(at), chunk.kind.value(at)), number, row)
            }));
        }
        order.sort_unstable();
        order.truncate(question.request.spans_per_set);
        let spans = order.into_iter().map(|(_, number, row)| {
            let structure = self.structures.as_ref().map(|of| &of[number][row as usize]);
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
            services: self.services(),
        }
    }

    fn services(&self) -> Vec<ServiceStats> {
        let mut services: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for piece in self.pieces {
            let chunk = &piece.batch.chunk;
            for row in &piece.rows {
                let at = *row as usize;
                let service = chunk.resources.service_name(chunk.resource.value(at));
                let (n_spans, n_errors) = services.entry(service.unwrap_or_default()).or_default();
                *n_spans += 1;
                *n_errors += u32::from(chunk.status_code.value(at) == STATUS_ERROR);
            }
        }
        let stats = |(service, (n_spans, n_errors)): (&str, _)| ServiceStats {
            service: service.into(),
            n_spans,
            n_errors,
        };
        services.into_iter().map(stats).collect()
    }
}

/// Names a block of which something is missing, once.
pub(super) fn add_skipped(all: &mut Vec<Skipped>, skipped: Skipped) {
    if !all.contains(&skipped) {
        all.push(skipped);
    }
}

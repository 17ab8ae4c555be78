//! What an answer shows of traces that lie whole in blocks.
//!
//! In: those that have a place in the answer, with their rows that fulfil the filter. Out: the same
//! as answers have them. Each unit is opened once, each of its pages read once for all its traces:
//! first what services there are, then the spans that are shown.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use suyuan_model::{Batch, Columns, Field};
use suyuan_objects::ReadMeter;
use suyuan_store::{FindError, OpenUnit, SpanStructure, TraceRef};

use super::question::Question;
use super::ranges;
use super::standing::add_skipped;
use super::top::Candidate;
use super::unit_rows::fill_structure;
use super::{Accounting, FoundSpan, FoundTrace, QueryError, STATUS_ERROR, ServiceStats, gathered};
use crate::filter::TraceNeeds;
use crate::parallel::on_threads;

/// The traces of a unit.
struct OfUnit {
    unit: u32,
    /// By their rows.
    traces: Vec<Candidate>,
}

/// In no order. What was read is added to the accounting.
pub(super) fn found(
    question: &Question<'_>,
    winners: Vec<Candidate>,
    accounting: &mut Accounting,
) -> Result<Vec<FoundTrace>, QueryError> {
    let units = by_unit(winners);
    let next = AtomicUsize::new(0);
    let parts = on_threads(&question.budget.threads, units.len(), |help| {
        let meter = ReadMeter::default();
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        while let Some(of_unit) = units.get(next.fetch_add(1, Relaxed)) {
            question.check()?;
            // So many winners are known to take long enough.
            help.call_if(next.load(Relaxed) < units.len());
            match found_in_unit(question, of_unit, &meter) {
                Ok(traces) => {
                    question.count_answer(&traces)?;
                    found.extend(traces);
                }
                Err(FindError::Block(error)) => add_skipped(&mut skipped, error.into()),
                Err(error) => return Err(QueryError::Read(error)),
            }
        }
        Ok::<_, QueryError>((found, skipped, meter))
    })?;
    Ok(gathered(parts, accounting))
}

fn by_unit(mut winners: Vec<Candidate>) -> Vec<OfUnit> {
    let first_row = |candidate: &Candidate| candidate.rows.first().map_or(0, |rows| rows.start);
    winners.sort_unstable_by_key(|candidate| (candidate.unit, first_row(candidate)));
    let mut units: Vec<OfUnit> = Vec::new();
    for candidate in winners {
        match units.last_mut() {
            Some(last) if last.unit == candidate.unit => last.traces.push(candidate),
            _ => units.push(OfUnit { unit: candidate.unit, traces: vec![candidate] }),
        }
    }
    units
}

fn found_in_unit(
    question: &Question<'_>,
    of_unit: &OfUnit,
    meter: &ReadMeter,
) -> Result<Vec<FoundTrace>, FindError> {
    let open = question.units[of_unit.unit as usize].open(meter)?;
    // What is known of traces is loaded when a row of theirs is looked up.
    if let Some(rows) = of_unit.traces.first().and_then(|trace| trace.rows.first()) {
        open.traces_of(&[rows.start], meter)?;
    }
    let services = services(&open, &of_unit.traces, meter)?;
    let spans = spans(question, &open, &of_unit.traces, meter)?;
    let parts = of_unit.traces.iter().zip(services.into_iter().zip(spans));
    Ok(parts
        .map(|(candidate, (services, spans))| trace(&open, candidate, services, spans))
        .collect())
}

fn trace(
    open: &OpenUnit<'_>,
    candidate: &Candidate,
    services: Vec<ServiceStats>,
    spans: Vec<FoundSpan>,
) -> FoundTrace {
    let root = open.summary(&candidate.trace).and_then(|summary| summary.root);
    FoundTrace {
        id: candidate.trace.id,
        root_service: root.and_then(|root| root.service).map(Arc::from),
        root_name: root.map(|root| root.name.into()),
        start_unix_nanos: candidate.trace.start_unix_nanos,
        end_unix_nanos: candidate.trace.end_unix_nanos,
        n_matched: ranges::n_rows(&candidate.rows).into(),
        spans,
        services,
    }
}

/// Of each trace, all its spans by service.
fn services(
    open: &OpenUnit<'_>,
    traces: &[Candidate],
    meter: &ReadMeter,
) -> Result<Vec<Vec<ServiceStats>>, FindError> {
    let columns = Columns::default().with(Field::Resource).with(Field::StatusCode);
    let rows = all_rows(open, traces.iter().map(|candidate| &candidate.trace));
    let batch = open.read(&rows, &columns, meter)?;
    let chunk = &batch.chunk;
    let names = ServiceNames::of(&batch);
    let mut places = ranges::Places::new(&batch);
    let mut counts: Vec<(u32, u32)> = vec![(0, 0); names.sorted.len()];
    let mut services = Vec::with_capacity(traces.len());
    for candidate in traces {
        let mut n_services = 0;
        for row in open.rows_of(&candidate.trace).into_iter().flatten() {
            let Some(place) = places.find(row) else { continue };
            let resource = chunk.resource.value(place as usize);
            let counts = &mut counts[names.of_resource[resource as usize]];
            n_services += usize::from(*counts == (0, 0));
            counts.0 += 1;
            counts.1 += u32::from(chunk.status_code.value(place as usize) == STATUS_ERROR);
        }
        let mut of_trace = Vec::with_capacity(n_services);
        for (name, counts) in names.sorted.iter().zip(&mut counts) {
            let (n_spans, n_errors) = std::mem::take(counts);
            if n_spans > 0 {
                of_trace.push(ServiceStats { service: name.clone(), n_spans, n_errors });
            }
        }
        services.push(of_trace);
    }
    Ok(services)
}

/// Services by name, and which of them each resource is of.
struct ServiceNames {
    sorted: Vec<Arc<str>>,
    of_resource: Vec<usize>,
}

impl ServiceNames {
    /// Of the resources of the rows.
    fn of(batch: &Batch) -> Self {
        let resources = &batch.chunk.resources;
        let n_resources = batch.chunk.resource.values().iter().max().map_or(0, |last| last + 1);
        let name = |resource| resources.service_name(resource).unwrap_or_default();
        let names: Vec<&str> = (0..n_resources).map(name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let of_resource = names.iter().map(|name| sorted.partition_point(|other| other < name));
        let of_resource = of_resource.collect();
        Self { of_resource, sorted: sorted.into_iter().map(Arc::from).collect() }
    }
}

/// Of each trace, the spans that are shown.
fn spans(
    question: &Question<'_>,
    open: &OpenUnit<'_>,
    traces: &[Candidate],
    meter: &ReadMeter,
) -> Result<Vec<Vec<FoundSpan>>, FindError> {
    let chosen = chosen_rows(question.request.spans_per_set, open, traces, meter)?;
    let shown = question.shown;
    let mut columns = shown.columns().clone();
    let mut read = Vec::new();
    if shown.needs() >= TraceNeeds::Parents {
        let with_rows = traces.iter().zip(&chosen).filter(|(_, rows)| !rows.is_empty());
        read = all_rows(open, with_rows.map(|(candidate, _)| &candidate.trace));
    } else {
        let mut rows: Vec<u32> = chosen.iter().flatten().copied().collect();
        rows.sort_unstable();
        rows.iter().for_each(|row| ranges::push(&mut read, *row..row + 1));
    }
    if shown.needs() == TraceNeeds::Structure {
        columns = columns.with(Field::Depth).with(Field::ParentSpanId);
    }
    let batch = open.read(&read, &columns, meter)?;
    let mut structure = Vec::new();
    let mut places = ranges::Places::new(&batch);
    let mut all = Vec::with_capacity(traces.len());
    for (candidate, rows) in traces.iter().zip(chosen) {
        if shown.needs() == TraceNeeds::Structure {
            structure.resize(batch.n_rows as usize, SpanStructure::default());
            if let Some(rows) = open.rows_of(&candidate.trace)
                && let Some(first) = places.find(rows.start)
            {
                let held = first..first + (rows.end - rows.start);
                fill_structure(&batch, held, &mut structure);
            }
        }
        let mut span = |row: u32| {
            let place = places.find(row)?;
            Some((row, shown.span(&batch, place, structure.get(place as usize))))
        };
        let spans = rows.into_iter().filter_map(&mut span).collect();
        all.push(in_order(open, spans, meter)?);
    }
    Ok(all)
}

/// Of each trace the first rows that fulfil the filter, by (start, id, kind) of their spans; in this
/// order only where there are more than are shown.
fn chosen_rows(
    n_spans_max: usize,
    open: &OpenUnit<'_>,
    traces: &[Candidate],
    meter: &ReadMeter,
) -> Result<Vec<Vec<u32>>, FindError> {
    let has_choice = |candidate: &Candidate| ranges::n_rows(&candidate.rows) as usize > n_spans_max;
    let mut read = Vec::new();
    if n_spans_max > 0 {
        let candidates = traces.iter().filter(|candidate| has_choice(candidate));
        for range in candidates.flat_map(|candidate| &candidate.rows) {
            ranges::push(&mut read, range.clone());
        }
    }
    let columns = Columns::default().with(Field::Start).with(Field::SpanId).with(Field::Kind);
    let batch = open.read(&read, &columns, meter)?;
    let chunk = &batch.chunk;
    let mut places = ranges::Places::new(&batch);
    let mut chosen = Vec::with_capacity(traces.len());
    for candidate in traces {
        let mut rows = ranges::rows(&candidate.rows);
        if has_choice(candidate) && n_spans_max > 0 {
            rows.sort_by_cached_key(|row| {
                let place = places.find(*row).map_or(0, |place| place as usize);
                let start = chunk.start_unix_nanos.value(place);
                (start, chunk.span_id.value(place), chunk.kind.value(place))
            });
        }
        rows.truncate(n_spans_max);
        chosen.push(rows);
    }
    Ok(chosen)
}

/// Spans of one trace in the order of answers. Which of two that share start and id goes first is
/// for their kinds to say, which are read for such alone.
fn in_order(
    open: &OpenUnit<'_>,
    mut spans: Vec<(u32, FoundSpan)>,
    meter: &ReadMeter,
) -> Result<Vec<FoundSpan>, FindError> {
    let key = |span: &(u32, FoundSpan)| (span.1.start_unix_nanos, span.1.id);
    spans.sort_by_key(key);
    if spans.windows(2).any(|pair| key(&pair[0]) == key(&pair[1])) {
        let mut rows: Vec<u32> = spans.iter().map(|(row, _)| *row).collect();
        rows.sort_unstable();
        let batch =
            open.read(&ranges::of_rows(&rows), &Columns::default().with(Field::Kind), meter)?;
        let kind = |row: u32| batch.row_of(row).map(|place| batch.chunk.kind.value(place as usize));
        spans.sort_by_key(|span| (key(span), kind(span.0)));
    }
    Ok(spans.into_iter().map(|(_, span)| span).collect())
}

/// All rows of traces, which stand in the order of their rows.
fn all_rows<'a>(
    open: &OpenUnit<'_>,
    traces: impl Iterator<Item = &'a TraceRef>,
) -> Vec<Range<u32>> {
    let mut rows = Vec::new();
    for range in traces.filter_map(|trace| open.rows_of(trace)) {
        ranges::push(&mut rows, range);
    }
    rows
}

//! Makes a failure smaller, as long as it fails: fewer spans, less in them, a shorter filter.

use std::time::{Duration, Instant};

use suyuan_testkit::traceql::search::{RefQuestion, RefTraces};
use suyuan_testkit::traceql::span::RefSpan;
use suyuan_traceql::ast::{FieldExpr, FieldKind};

use super::sample::{End, Sample, Stage};
use super::{Failure, N_SPANS_SHOWN, answer_of, parsed};
use crate::harness::LiveData;

/// Stores that are built at most, and how long that may take.
const N_TRIES_MAX: usize = 1_500;
const TIME_MAX: Duration = Duration::from_secs(60);

pub(super) fn smaller(mut failure: Failure) -> Failure {
    let mut n_tries = 0;
    let until = Instant::now() + TIME_MAX;
    while Instant::now() < until
        && let Some(smaller) = one_step(&failure, &mut n_tries, until)
    {
        failure = smaller;
    }
    failure
}

/// The first smaller one that fails.
fn one_step(failure: &Failure, n_tries: &mut usize, until: Instant) -> Option<Failure> {
    let samples = parts_of(failure).into_iter().chain(smaller_samples(failure));
    let mut candidates = samples.chain(smaller_questions(failure));
    candidates.find(|candidate| {
        *n_tries += 1;
        *n_tries < N_TRIES_MAX && Instant::now() < until && fails(candidate)
    })
}

fn fails(failure: &Failure) -> bool {
    let store = failure.stage.reach_from(failure.sample.store(), Stage::AsSent);
    let sent = failure.sample.sent();
    answer_of(&store, &failure.question) != RefTraces::of(&sent).search(&failure.question)
}

fn smaller_questions(failure: &Failure) -> Vec<Failure> {
    let question = &failure.question;
    let mut questions = Vec::new();
    for filter in smaller_filters(&question.filter) {
        questions.extend(parsed(&filter).map(|filter| RefQuestion { filter, ..question.clone() }));
    }
    let plain = RefQuestion {
        range_unix_nanos: None,
        duration_nanos_min: None,
        duration_nanos_max: None,
        ..question.clone()
    };
    if (question.range_unix_nanos, question.duration_nanos_min, question.duration_nanos_max)
        != (None, None, None)
    {
        questions.push(plain);
    }
    if question.limit < 1_000 {
        questions.push(RefQuestion { limit: 1_000, ..question.clone() });
    }
    if question.spans_per_set < 100 {
        questions.push(RefQuestion { spans_per_set: 100, ..question.clone() });
    }
    let with = |question| Failure { question, sample: failure.sample.clone(), ..*failure };
    questions.into_iter().map(with).collect()
}

/// A part instead of the whole, somewhere.
fn smaller_filters(filter: &FieldExpr) -> Vec<FieldExpr> {
    let with = |kind| FieldExpr { kind, place: filter.place };
    match &filter.kind {
        FieldKind::Literal(_) | FieldKind::Attribute(_) => Vec::new(),
        FieldKind::Unary { op, expr } => {
            let inside = smaller_filters(expr).into_iter();
            let rebuilt =
                inside.map(|expr| with(FieldKind::Unary { op: *op, expr: Box::new(expr) }));
            [(**expr).clone()].into_iter().chain(rebuilt).collect()
        }
        FieldKind::Binary { op, left, right } => {
            let mut filters = vec![(**left).clone(), (**right).clone()];
            filters.extend(smaller_filters(left).into_iter().map(|left| {
                with(FieldKind::Binary { op: *op, left: Box::new(left), right: right.clone() })
            }));
            filters.extend(smaller_filters(right).into_iter().map(|right| {
                with(FieldKind::Binary { op: *op, left: left.clone(), right: Box::new(right) })
            }));
            filters
        }
    }
}

/// Without a half of the traces, without a quarter, and so on.
fn parts_of(failure: &Failure) -> Vec<Failure> {
    let ids = trace_ids(&failure.sample);
    let mut failures = Vec::new();
    for n_parts in [2, 4, 8, 16, 32] {
        if ids.len() < 2 * n_parts {
            break;
        }
        for part in ids.chunks(ids.len().div_ceil(n_parts)) {
            let mut sample = failure.sample.clone();
            sample.spans.retain(|placed| part.binary_search(&placed.span.trace_id).is_err());
            failures.push(Failure { sample, question: failure.question.clone(), ..*failure });
        }
    }
    failures
}

fn trace_ids(sample: &Sample) -> Vec<u128> {
    let mut ids: Vec<u128> = sample.spans.iter().map(|placed| placed.span.trace_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn smaller_samples(failure: &Failure) -> Vec<Failure> {
    let sample = &failure.sample;
    let mut samples = Vec::new();
    let ids = trace_ids(sample);
    if ids.len() > N_SPANS_SHOWN {
        // Halves of it failed no more: one by one would take too long.
        return Vec::new();
    }
    if ids.len() > 1 {
        samples.extend(ids.into_iter().map(|id| {
            let mut sample = sample.clone();
            sample.spans.retain(|placed| placed.span.trace_id != id);
            sample
        }));
    }
    for n in 0..sample.spans.len() {
        let mut without = sample.clone();
        without.spans.remove(n);
        samples.push(without);
    }
    samples.extend(simpler_plans(sample));
    for (n, placed) in sample.spans.iter().enumerate() {
        samples.extend(simpler_spans(&placed.span).into_iter().map(|span| {
            let mut sample = sample.clone();
            sample.spans[n].span = span;
            sample
        }));
    }
    let with = |sample| Failure { sample, question: failure.question.clone(), ..*failure };
    samples.into_iter().map(with).collect()
}

fn simpler_plans(sample: &Sample) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut change = |is_simpler: bool, change: &dyn Fn(&mut Sample)| {
        if is_simpler {
            let mut sample = sample.clone();
            change(&mut sample);
            samples.push(sample);
        }
    };
    change(sample.erased.is_some(), &|sample| sample.erased = None);
    change(sample.has_neighbour, &|sample| sample.has_neighbour = false);
    change(sample.has_unseen_rows, &|sample| sample.has_unseen_rows = false);
    change(sample.live_data == LiveData::InFiles, &|sample| {
        sample.live_data = LiveData::InMemory;
    });
    for n in 0..sample.sources.len() {
        change(sample.sources[n].end != End::None, &|sample| sample.sources[n].end = End::None);
        change(sample.sources[n].n_chunks > 1, &|sample| sample.sources[n].n_chunks = 1);
    }
    samples
}

fn simpler_spans(span: &RefSpan) -> Vec<RefSpan> {
    let mut spans = Vec::new();
    let mut change = |change: &dyn Fn(&mut RefSpan)| {
        let mut simpler = span.clone();
        change(&mut simpler);
        if simpler != *span {
            spans.push(simpler);
        }
    };
    for n in 0..span.attributes.len() {
        change(&|span| _ = span.attributes.remove(n));
    }
    change(&|span| span.resource.clear());
    for n in 0..span.events.len() {
        change(&|span| _ = span.events.remove(n));
    }
    for n in 0..span.links.len() {
        change(&|span| _ = span.links.remove(n));
    }
    change(&|span| {
        span.scope_name.clear();
        span.scope_version.clear();
        span.scope_attributes.clear();
    });
    change(&|span| span.status_message.clear());
    change(&|span| span.parent_span_id = None);
    change(&|span| span.kind = 0);
    change(&|span| span.status_code = 0);
    spans
}

//! The answer of a search, the obvious way.
//!
//! In: every span that was sent, however often. Out: the traces, the newest first, that have a
//! moment in the range and a span that is asked for.

use std::collections::BTreeMap;

use suyuan_traceql::ast::FieldExpr;

use super::evaluate::{RefFilter, Subject};
use super::shown::{Reads, RefShown, make_uniform};
use super::span::{RefSpan, STATUS_ERROR};
use super::structure::{TraceFacts, sort_key};
use super::table::content_hash;

/// What is asked.
#[derive(Clone, Debug)]
pub struct RefQuestion {
    pub filter: FieldExpr,
    /// First and last moment, both included.
    pub range_unix_nanos: Option<(i64, i64)>,
    /// Of the trace; both included.
    pub duration_nanos_min: Option<u64>,
    pub duration_nanos_max: Option<u64>,
    pub limit: usize,
    pub spans_per_set: usize,
}

/// A trace that is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct RefFound {
    pub trace_id: u128,
    pub root_service: Option<String>,
    pub root_name: Option<String>,
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    pub n_matched: u64,
    pub spans: Vec<RefFoundSpan>,
    /// Name, spans, errors; by name.
    pub services: Vec<(String, u32, u32)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RefFoundSpan {
    pub span_id: u64,
    /// If the filter reads names.
    pub name: Option<String>,
    pub start_unix_nanos: i64,
    pub duration_nanos: i64,
    /// What the filter reads, by key.
    pub attributes: Vec<(String, RefShown)>,
}

/// All traces, put together.
pub struct RefTraces<'a>(Vec<RefTrace<'a>>);

struct RefTrace<'a> {
    id: u128,
    spans: Vec<&'a RefSpan>,
    facts: TraceFacts,
}

impl<'a> RefTraces<'a> {
    /// Of copies of a span, equal in trace, id, kind and start, the one that ends last stands.
    pub fn of(sent: &'a [RefSpan]) -> Self {
        let mut traces: BTreeMap<u128, BTreeMap<(i64, u64, i32), &RefSpan>> = BTreeMap::new();
        for span in sent {
            let standing = traces.entry(span.trace_id).or_default();
            let copy = standing.entry(sort_key(span)).or_insert(span);
            if replaces(span, copy) {
                *copy = span;
            }
        }
        let trace = |(id, spans): (u128, BTreeMap<_, &'a RefSpan>)| {
            let spans: Vec<&RefSpan> = spans.into_values().collect();
            let facts = TraceFacts::of(&spans);
            RefTrace { id, spans, facts }
        };
        Self(traces.into_iter().map(trace).collect())
    }

    /// How many traces there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When one of the traces starts and ends.
    pub fn moments(&self, trace: usize) -> (i64, i64) {
        let facts = &self.0[trace].facts;
        (facts.start_unix_nanos, facts.end_unix_nanos)
    }

    /// The answer; an error if a regular expression is none.
    pub fn search(&self, question: &RefQuestion) -> Result<Vec<RefFound>, String> {
        let filter = RefFilter::new(&question.filter)?;
        let reads = Reads::of(&question.filter);
        let asked = self.0.iter().filter(|trace| trace.is_asked(question));
        let mut found: Vec<RefFound> = asked
            .filter_map(|trace| trace.found(&filter, &reads, question.spans_per_set))
            .collect();
        found.sort_by_key(|trace| (std::cmp::Reverse(trace.start_unix_nanos), trace.trace_id));
        found.truncate(question.limit);
        let spans = found.iter_mut().flat_map(|trace| &mut trace.spans);
        make_uniform(spans.map(|span| &mut span.attributes));
        Ok(found)
    }
}

fn replaces(span: &RefSpan, standing: &RefSpan) -> bool {
    if span.end_unix_nanos != standing.end_unix_nanos {
        return span.end_unix_nanos > standing.end_unix_nanos;
    }
    span != standing && content_hash(span) > content_hash(standing)
}

impl RefTrace<'_> {
    fn is_asked(&self, question: &RefQuestion) -> bool {
        let (start, end) = (self.facts.start_unix_nanos, self.facts.end_unix_nanos);
        // A trace that ends before it starts has one moment: its start.
        let is_within = |(first, last): (i64, i64)| start <= last && end.max(start) >= first;
        let duration_nanos = i128::from(end) - i128::from(start);
        question.range_unix_nanos.is_none_or(is_within)
            && question.duration_nanos_min.is_none_or(|min| duration_nanos >= i128::from(min))
            && question.duration_nanos_max.is_none_or(|max| duration_nanos <= i128::from(max))
    }

    fn found(
        &self,
        filter: &RefFilter<'_>,
        reads: &Reads<'_>,
        spans_per_set: usize,
    ) -> Option<RefFound> {
        let subject = |number| Subject { spans: &self.spans, facts: &self.facts, number };
        let matched: Vec<Subject<'_>> =
            (0..self.spans.len()).map(subject).filter(|subject| filter.holds(*subject)).collect();
        if matched.is_empty() {
            return None;
        }
        let root = self.facts.root.map(|root| self.spans[root]);
        let shown = matched.iter().take(spans_per_set);
        Some(RefFound {
            trace_id: self.id,
            root_service: root.and_then(RefSpan::service_name).map(str::to_owned),
            root_name: root.map(|root| root.name.clone()),
            start_unix_nanos: self.facts.start_unix_nanos,
            end_unix_nanos: self.facts.end_unix_nanos,
            n_matched: matched.len() as u64,
            spans: shown.map(|subject| found_span(subject, reads)).collect(),
            services: self.services(),
        })
    }

    fn services(&self) -> Vec<(String, u32, u32)> {
        let mut services: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for span in &self.spans {
            let service = span.service_name().unwrap_or_default();
            let (n_spans, n_errors) = services.entry(service.to_owned()).or_default();
            *n_spans += 1;
            *n_errors += u32::from(span.status_code == STATUS_ERROR);
        }
        services.into_iter().map(|(name, (spans, errors))| (name, spans, errors)).collect()
    }
}

fn found_span(subject: &Subject<'_>, reads: &Reads<'_>) -> RefFoundSpan {
    let span = subject.spans[subject.number];
    RefFoundSpan {
        span_id: span.span_id,
        name: reads.name().then(|| span.name.clone()),
        start_unix_nanos: span.start_unix_nanos,
        duration_nanos: span.duration_nanos(),
        attributes: reads.shown(*subject),
    }
}

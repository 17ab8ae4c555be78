//! Random spans, and what may be asked of them besides a filter.

use suyuan_traceql::ast::FieldExpr;

use super::{
    DOUBLES, DURATIONS_NANOS, INTS, KEYS, N_RARE_KEYS, NAMES, SEQUENCE, SERVICES, TEXTS, UID,
    rare_key,
};
use crate::random::Random;
use crate::traceql::drawing::trace_id;
use crate::traceql::search::{RefQuestion, RefTraces};
use crate::traceql::span::{RefAttributes, RefEvent, RefLink, RefSpan, RefValue};

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub n_traces_min: u64,
    pub n_traces_max: u64,
    pub n_spans_max: u64,
    pub n_resources: u64,
    /// Moments, half a second apart, at which most traces start.
    pub n_starts: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { n_traces_min: 1, n_traces_max: 12, n_spans_max: 8, n_resources: 4, n_starts: 8 }
    }
}

/// Spans in the order in which they are sent.
pub struct RandomSpans {
    pub sent: Vec<RefSpan>,
}

/// Most traces start within a few seconds of this: 2026-01-02 10:00.
const NOW_UNIX_NANOS: i64 = 1_767_348_000_000_000_000;
/// In 2106.
const LATE_UNIX_NANOS: i64 = 4_294_967_295_000_000_000;

impl RandomSpans {
    pub fn new(random: &mut Random, shape: Shape) -> Self {
        let resources: Vec<RefAttributes> =
            (0..shape.n_resources).map(|_| resource(random)).collect();
        let scopes: Vec<(String, String, RefAttributes)> = (0..3).map(|_| scope(random)).collect();
        let mut sent = Vec::new();
        let n_traces_more = random.below(shape.n_traces_max - shape.n_traces_min + 1);
        for number in 0..shape.n_traces_min + n_traces_more {
            let id = match random.below(6) {
                0 => u128::from(number) + 1,
                _ => trace_id(number),
            };
            let base = match random.below(10) {
                0 => 0,
                1 => LATE_UNIX_NANOS,
                _ => NOW_UNIX_NANOS + random.below(shape.n_starts) as i64 * 500_000_000,
            };
            let first = sent.len();
            for n in 0..1 + random.below(shape.n_spans_max) {
                let mut span = span(random, id, n + 1, base);
                span.parent_span_id = parent(random, n + 1);
                if !random.one_in(4) {
                    let uid = RefValue::Text(format!("u{number}-{n}"));
                    span.attributes.push((UID.to_owned(), uid));
                    span.attributes.push((SEQUENCE.to_owned(), RefValue::Int(number as i64)));
                }
                span.resource = random.pick(&resources);
                (span.scope_name, span.scope_version, span.scope_attributes) = random.pick(&scopes);
                sent.push(span);
                if random.one_in(10) {
                    let copied = first + random.below((sent.len() - first) as u64) as usize;
                    let copy = sent[copied].clone();
                    sent.push(copy_of(random, copy));
                }
            }
        }
        Self { sent }
    }
}

/// Sent again as it was, or with news.
fn copy_of(random: &mut Random, mut span: RefSpan) -> RefSpan {
    match random.below(4) {
        0 => {}
        1 => span.attributes = attributes(random, 4),
        2 => span.end_unix_nanos += 1,
        _ => {
            span.end_unix_nanos += random.pick(&[1_000, 10_000_000, -1_000]);
            span.name = text_of(random, &NAMES);
            span.status_code = random.pick(&[0, 2]);
            span.attributes = attributes(random, 4);
        }
    }
    span
}

fn span(random: &mut Random, trace_id: u128, number: u64, base: i64) -> RefSpan {
    let start = base + random.pick(&[0, 0, 1, 1_000, 5_000_000, 300_000_000]);
    let end = start.wrapping_add(random.pick(&DURATIONS_NANOS));
    // Some ids are used twice.
    let id = if random.one_in(12) { 1 } else { number };
    let mut span = RefSpan::plain(trace_id, id, start, end.max(0));
    span.name = text_of(random, &NAMES);
    span.kind = random.pick(&[0, 1, 2, 2, 3, 3, 4, 5, 7, -1]);
    span.status_code = random.pick(&[0, 0, 0, 1, 2, 2, 3]);
    if random.one_in(3) {
        span.status_message = text_of(random, &TEXTS);
    }
    span.attributes = attributes(random, 5);
    if random.one_in(3) {
        span.events = random.list(4, |random| event(random, start));
    }
    if random.one_in(4) {
        span.links = random.list(3, link);
    }
    span
}

fn parent(random: &mut Random, number: u64) -> Option<u64> {
    match random.below(10) {
        // Another root, nobody, itself, perhaps a cycle.
        0 => None,
        1 => Some(77),
        2 => Some(number),
        3 => Some(number + 1),
        _ if number == 1 => None,
        _ => Some(1 + random.below(number - 1)),
    }
}

fn event(random: &mut Random, start: i64) -> RefEvent {
    RefEvent {
        time_unix_nanos: start.wrapping_add(random.pick(&DURATIONS_NANOS)).max(0) as u64,
        name: text_of(random, &NAMES),
        attributes: attributes(random, 3),
    }
}

fn link(random: &mut Random) -> RefLink {
    let id = trace_id(random.below(3)).to_be_bytes().to_vec();
    RefLink {
        trace_id: random.pick(&[id, vec![0; 16], vec![0xab; 16]]),
        span_id: random.pick(&[vec![0, 0, 0, 0, 0, 0, 0, 0x1a], vec![9; 8], Vec::new()]),
        attributes: attributes(random, 3),
    }
}

fn resource(random: &mut Random) -> RefAttributes {
    let mut resource = RefAttributes::new();
    if !random.one_in(5) {
        let name = RefValue::Text(text_of(random, &SERVICES));
        resource.push(("service.name".to_owned(), name));
    }
    for (key, value) in attributes(random, 4) {
        // Which of two names counts is nobody's question.
        if key != "service.name" {
            resource.push((key, value));
        }
    }
    resource
}

fn scope(random: &mut Random) -> (String, String, RefAttributes) {
    (text_of(random, &["", "lib", "x"]), text_of(random, &["", "1.2"]), attributes(random, 3))
}

/// Most keys once: senders must not repeat one, but some do.
fn attributes(random: &mut Random, n_max: u64) -> RefAttributes {
    let mut attributes = RefAttributes::new();
    for _ in 0..random.below(n_max) {
        let key = random.pick(&KEYS);
        if attributes.iter().all(|(other, _)| other != key) || random.one_in(4) {
            let value = value_of(random, key);
            attributes.push((key.to_owned(), value));
        }
    }
    if random.one_in(6) {
        let value = any_value(random);
        attributes.push((rare_key(random.below(N_RARE_KEYS)), value));
    }
    attributes
}

/// Keys have a type that most senders agree on.
fn value_of(random: &mut Random, key: &str) -> RefValue {
    if random.one_in(8) {
        return any_value(random);
    }
    match key {
        "n" if random.one_in(2) => RefValue::Double(random.pick(&DOUBLES)),
        "n" | "b" => RefValue::Int(random.pick(&INTS)),
        "flag" => RefValue::Bool(random.one_in(2)),
        "tags" => list(random),
        _ => RefValue::Text(text_of(random, &TEXTS)),
    }
}

fn any_value(random: &mut Random) -> RefValue {
    match random.below(10) {
        9 => RefValue::Empty,
        0 => RefValue::Bytes(vec![1, 2]),
        1 => RefValue::Map(vec![("a".to_owned(), RefValue::Int(1))]),
        2 => RefValue::Array(vec![RefValue::Int(1), RefValue::Text("x".to_owned())]),
        3 => RefValue::Array(vec![RefValue::Array(Vec::new())]),
        4 => RefValue::Bool(random.one_in(2)),
        5 => RefValue::Int(random.pick(&INTS)),
        6 => RefValue::Double(random.pick(&DOUBLES)),
        7 => list(random),
        _ => RefValue::Text(text_of(random, &TEXTS)),
    }
}

/// Of one type, sometimes empty.
fn list(random: &mut Random) -> RefValue {
    let values = match random.below(4) {
        0 => random.list(4, |random| RefValue::Int(random.pick(&INTS))),
        1 => random.list(3, |random| RefValue::Double(random.pick(&DOUBLES))),
        2 => random.list(3, |random| RefValue::Bool(random.one_in(2))),
        _ => random.list(4, |random| RefValue::Text(text_of(random, &TEXTS))),
    };
    RefValue::Array(values)
}

fn text_of(random: &mut Random, texts: &[&str]) -> String {
    (*random.pick(&texts.iter().collect::<Vec<_>>())).to_string()
}

/// What is asked besides the filter: ranges begin and end where traces do, or just beside.
pub fn question(random: &mut Random, filter: FieldExpr, traces: &RefTraces<'_>) -> RefQuestion {
    let moment = |random: &mut Random| {
        let (start, end) = traces.moments(random.below(traces.len() as u64) as usize);
        let at = if random.one_in(2) { start } else { end };
        at.saturating_add(random.pick(&[0, 0, 1, -1, 1_000_000_000]))
    };
    let range_unix_nanos = random.one_in(3).then(|| {
        let (one, other) = (moment(random), moment(random));
        (one.min(other), one.max(other))
    });
    let bound = |random: &mut Random| {
        let nanos = random.pick(&[0u64, 1, 5_000_000, 10_000_000, 310_000_000, 2_000_000_000]);
        random.one_in(12).then_some(nanos)
    };
    RefQuestion {
        filter,
        range_unix_nanos,
        duration_nanos_min: bound(random),
        duration_nanos_max: bound(random),
        limit: random.pick(&[1, 1, 2, 3, 5, 20, 1_000]),
        spans_per_set: random.pick(&[1, 2, 3, 3, 100]),
    }
}

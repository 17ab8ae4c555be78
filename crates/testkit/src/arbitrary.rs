//! Requests of every shape that OTLP allows, from a seed.
//!
//! In: a seed. Out: requests in which ids, times and texts come from small sets, so that spans
//! meet: they share ids, are their own ancestors, come twice, end before they start. All of it is
//! valid, within the default limits, and no two different spans have an equal end: who wins
//! between those is decided by a hash that the oracle does not know.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::random::Random;
use crate::sample::{span_id, trace_id};

const TEXTS: &[&str] = &[
    "",
    "a",
    "payment",
    "GET /",
    "溯源",
    "é",
    "\u{1f600}",
    "\0",
    "\"\\\n\t\u{7f}",
    "\u{2028}<&>",
    "NaN",
    "service.name",
    "-0",
    "null",
];

const DOUBLES: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.1,
    1e21,
    1e-7,
    123_456_789.125,
    f64::MIN_POSITIVE,
    5e-324,
    f64::MAX,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

const INTS: &[i64] = &[0, 1, -1, 502, i64::MAX, i64::MIN, (1 << 53) + 1];

/// Values nest no deeper than this.
const DEPTH_MAX: u32 = 4;

/// Ids are drawn from so few that spans meet.
const N_TRACES: u64 = 8;
const N_SPANS: u64 = 12;

/// A source of requests.
pub struct Arbitrary {
    random: Random,
    n_spans: u64,
    earlier: Vec<ResourceSpans>,
}

impl Arbitrary {
    /// The requests of a seed.
    pub fn new(seed: u64) -> Arbitrary {
        Arbitrary { random: Random::new(seed), n_spans: 0, earlier: Vec::new() }
    }

    /// The next request; some groups of it were in an earlier one, word for word.
    pub fn request(&mut self) -> ExportTraceServiceRequest {
        let n_groups = self.random.below(4);
        let resource_spans = (0..n_groups).map(|_| self.resource_spans()).collect();
        ExportTraceServiceRequest { resource_spans }
    }

    fn resource_spans(&mut self) -> ResourceSpans {
        if !self.earlier.is_empty() && self.random.one_in(8) {
            return self.random.pick(&self.earlier);
        }
        let resource = (!self.random.one_in(6)).then(|| Resource {
            attributes: attributes(&mut self.random, 0),
            dropped_attributes_count: number(&mut self.random),
            entity_refs: Vec::new(),
        });
        let n_scopes = self.random.below(3);
        let scope_spans = (0..n_scopes).map(|_| self.scope_spans()).collect();
        let group = ResourceSpans { resource, scope_spans, schema_url: text(&mut self.random) };
        self.earlier.push(group.clone());
        group
    }

    fn scope_spans(&mut self) -> ScopeSpans {
        let scope = (!self.random.one_in(4)).then(|| InstrumentationScope {
            name: text(&mut self.random),
            version: text(&mut self.random),
            attributes: attributes(&mut self.random, 2),
            dropped_attributes_count: number(&mut self.random),
        });
        let n_spans = self.random.below(6);
        let spans = (0..n_spans).map(|_| self.span()).collect();
        ScopeSpans { scope, spans, schema_url: text(&mut self.random) }
    }

    fn span(&mut self) -> Span {
        self.n_spans += 1;
        let random = &mut self.random;
        let start_time_unix_nano = random.pick(&[0, 1, 1_000, 1_767_323_045_000_000_000]);
        let end = random.pick(&[0, 1_000, 1_767_323_045_000_000_000, i64::MAX as u64 / 2]);
        Span {
            trace_id: trace_id(random.below(N_TRACES)),
            span_id: span_id(1 + random.below(N_SPANS)),
            trace_state: text(random),
            parent_span_id: parent_id(random),
            flags: number(random),
            name: text(random),
            kind: random.pick(&[0, 1, 2, 2, 3, 3, 4, 5, 6, 200, -1, i32::MAX, i32::MIN]),
            start_time_unix_nano,
            end_time_unix_nano: end + self.n_spans,
            attributes: attributes(random, 0),
            dropped_attributes_count: number(random),
            events: random.list(4, event),
            dropped_events_count: number(random),
            links: random.list(3, link),
            dropped_links_count: number(random),
            status: status(random),
        }
    }
}

fn parent_id(random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => Vec::new(),
        1 => vec![0; 8],
        _ => span_id(1 + random.below(N_SPANS)),
    }
}

fn event(random: &mut Random) -> Event {
    Event {
        time_unix_nano: random.pick(&[0, 1, 1_767_323_045_000_000_007, u64::MAX]),
        name: text(random),
        attributes: attributes(random, 1),
        dropped_attributes_count: number(random),
    }
}

/// Ids of links may have any length: they are what the sender says of another trace.
fn link(random: &mut Random) -> Link {
    Link {
        trace_id: random.pick(&[trace_id(3), vec![0; 16], vec![1, 2, 3], Vec::new()]),
        span_id: random.pick(&[span_id(3), vec![0; 8], vec![9; 9], Vec::new()]),
        trace_state: text(random),
        attributes: attributes(random, 1),
        dropped_attributes_count: number(random),
        flags: number(random),
    }
}

fn status(random: &mut Random) -> Option<Status> {
    let code = random.pick(&[0, 1, 2, 3, -7]);
    (!random.one_in(3)).then(|| Status { message: text(random), code })
}

fn attributes(random: &mut Random, depth: u32) -> Vec<KeyValue> {
    random.list(5, |random| {
        let key = random.pick(&["", "a", "b", "http.status", "service.name", "键"]);
        let value = (!random.one_in(12)).then(|| any_value(random, depth));
        KeyValue { key: key.to_owned(), value, key_strindex: 0 }
    })
}

fn any_value(random: &mut Random, depth: u32) -> AnyValue {
    let n_kinds = if depth < DEPTH_MAX { 8 } else { 6 };
    let value = match random.below(n_kinds) {
        0 => return AnyValue { value: None },
        1 => Value::StringValue(text(random)),
        2 => Value::BoolValue(random.one_in(2)),
        3 => Value::IntValue(random.pick(INTS)),
        4 if random.one_in(3) => Value::DoubleValue(f64::from_bits(random.bits())),
        4 => Value::DoubleValue(random.pick(DOUBLES)),
        5 => Value::BytesValue(random.list(9, |random| random.bits() as u8)),
        6 => {
            let values = random.list(4, |random| any_value(random, depth + 1));
            Value::ArrayValue(ArrayValue { values })
        }
        _ => Value::KvlistValue(KeyValueList { values: attributes(random, depth + 1) }),
    };
    AnyValue { value: Some(value) }
}

fn text(random: &mut Random) -> String {
    match random.below(20) {
        0 => random.pick(TEXTS).repeat(random.below(600) as usize),
        1 => format!("{}{}", random.pick(TEXTS), random.below(1_000)),
        _ => random.pick(TEXTS).to_owned(),
    }
}

fn number(random: &mut Random) -> u32 {
    random.pick(&[0, 0, 0, 1, 0x301, u32::MAX])
}

//! The walk and `opentelemetry-proto` must agree on every request, mutilated ones included.

#[path = "differential/judge.rs"]
mod judge;

use judge::judge;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use suyuan_wire::protobuf::Writer;

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, v: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value(v)), ..KeyValue::default() }
}

/// One of everything that OTLP can say.
fn rich_request() -> ExportTraceServiceRequest {
    let array = ArrayValue {
        values: vec![
            value(Value::IntValue(-1)),
            value(Value::StringValue("x".into())),
            AnyValue { value: None },
        ],
    };
    let map = KeyValueList {
        values: vec![
            attribute("inner", Value::ArrayValue(array.clone())),
            attribute("", Value::BoolValue(true)),
        ],
    };
    let attributes = vec![
        attribute("text", Value::StringValue("süß".into())),
        attribute("int", Value::IntValue(i64::MIN)),
        attribute("int", Value::IntValue(7)),
        attribute("int", Value::StringValue("another type".into())),
        attribute("double", Value::DoubleValue(f64::NAN)),
        attribute("bool", Value::BoolValue(false)),
        attribute("bytes", Value::BytesValue(vec![0, 255])),
        attribute("array", Value::ArrayValue(array)),
        attribute("map", Value::KvlistValue(map)),
        KeyValue { key: "none".into(), ..KeyValue::default() },
        attribute(&"long key ".repeat(30), Value::StringValue("long value ".repeat(2_000))),
    ];
    let span = Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        trace_state: "a=b,c=d".into(),
        parent_span_id: (2..=9).collect(),
        flags: 0x301,
        name: "GET /".into(),
        kind: 2,
        start_time_unix_nano: 1_741_392_000_000_000_000,
        end_time_unix_nano: i64::MAX as u64,
        attributes: attributes.clone(),
        dropped_attributes_count: 1,
        events: vec![
            Event {
                time_unix_nano: u64::MAX,
                name: "e".into(),
                attributes: attributes.clone(),
                dropped_attributes_count: 2,
            },
            Event::default(),
        ],
        dropped_events_count: 3,
        links: vec![
            Link {
                trace_id: vec![1; 16],
                span_id: vec![2; 8],
                trace_state: "l".into(),
                attributes: attributes.clone(),
                dropped_attributes_count: 4,
                flags: 5,
            },
            Link::default(),
        ],
        dropped_links_count: 6,
        status: Some(Status { message: "no".into(), code: 2 }),
    };
    let plain = |n: u8| Span { trace_id: vec![n; 16], span_id: vec![n; 8], ..Span::default() };
    let entity = EntityRef {
        schema_url: "s".into(),
        r#type: "host".into(),
        id_keys: vec!["host.id".into()],
        description_keys: vec![],
    };
    let scope = InstrumentationScope {
        name: "lib".into(),
        version: "1".into(),
        attributes: attributes.clone(),
        dropped_attributes_count: 8,
    };
    ExportTraceServiceRequest {
        resource_spans: vec![
            ResourceSpans {
                resource: Some(Resource {
                    attributes,
                    dropped_attributes_count: 7,
                    entity_refs: vec![entity],
                }),
                scope_spans: vec![
                    ScopeSpans {
                        scope: Some(scope),
                        spans: vec![span, plain(1)],
                        schema_url: "scope".into(),
                    },
                    ScopeSpans { spans: vec![plain(2), plain(0)], ..ScopeSpans::default() },
                ],
                schema_url: "resource".into(),
            },
            ResourceSpans {
                scope_spans: vec![ScopeSpans { spans: vec![plain(3)], ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            },
        ],
    }
}

#[test]
fn one_of_everything() {
    assert_eq!(judge(&rich_request().encode_to_vec()), Ok(()));
}

/// Lengths of five bytes, as our own JSON reader and some encoders write them.
#[test]
fn lengths_that_are_longer_than_need_be() {
    let span = Span { trace_id: vec![1; 16], span_id: vec![1; 8], ..Span::default() };
    let mut writer = Writer::new();
    writer.message(1, |w| {
        w.message(2, |w| {
            w.message(2, |w| {
                w.raw_fields(&span.encode_to_vec());
                w.message(9, |w| {
                    w.message(2, |w| w.bytes(1, b"value first"));
                    w.bytes(1, b"key");
                });
            });
        });
    });
    assert_eq!(judge(writer.as_bytes()), Ok(()));
}

/// Bytes are flipped, cut, doubled and moved; the seed of a failure is printed.
#[test]
fn mutilated_requests() {
    let whole = rich_request().encode_to_vec();
    let small = {
        let mut request = rich_request();
        request.resource_spans[0].scope_spans[0].spans[0].attributes.truncate(10);
        request.resource_spans[0].scope_spans[0].spans[0].events.clear();
        request.encode_to_vec()
    };
    let mut n_accepted_by_prost = 0;
    for seed in 0..15_000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut body = if seed % 4 == 0 { whole.clone() } else { small.clone() };
        for _ in 0..=random.below(3) {
            mutilate(&mut body, &mut random);
        }
        n_accepted_by_prost += u32::from(ExportTraceServiceRequest::decode(&body[..]).is_ok());
        if let Err(difference) = judge(&body) {
            panic!("seed {seed}: {difference}\n{body:02x?}");
        }
    }
    assert!(n_accepted_by_prost > 1_000, "the mutations are too wild: {n_accepted_by_prost}");
}

fn mutilate(body: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(body.len() as u64) as usize;
    match random.below(4) {
        0 => body[at] = random.below(256) as u8,
        1 => body[at] ^= 1 << random.below(8),
        2 => {
            let end = (at + random.below(20) as usize).min(body.len());
            let piece = body[at..end].to_vec();
            let to = random.below(body.len() as u64) as usize;
            body.splice(to..to, piece);
        }
        _ => {
            let end = (at + random.below(8) as usize).min(body.len());
            body.drain(at..end);
        }
    }
    if body.is_empty() {
        body.push(0);
    }
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// What the fuzzer starts from, what it once found among it.
#[test]
fn the_kept_corpus() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/otlp_protobuf");
    let mut n_bodies = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus is part of the checkout") {
        let path = entry.expect("readable").path();
        let body = std::fs::read(&path).expect("readable");
        assert_eq!(judge(&body), Ok(()), "{}", path.display());
        n_bodies += 1;
    }
    assert!(n_bodies >= 2, "the corpus holds {n_bodies} bodies");
}

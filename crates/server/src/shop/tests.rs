//! The shop keeps its promises: the same for the same seed, whole, and in order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use expect_test::{Expect, expect};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Wrapped, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as SentSpan;
use prost::Message;

use super::operation::Step;
use super::*;

/// Noon of some day in 2025, UTC.
const START: u64 = 1_764_072_000_000_000_000;
const BATCHING: Batching = Batching { spans_max: 512, wait_nanos_max: u64::MAX };

fn pace(spans_max: u64) -> Pace {
    Pace {
        start_unix_nanos: START,
        spans_per_second: 5_000.0,
        spans_max: Some(spans_max),
        duration_nanos_max: None,
    }
}

/// One after the other: 20,000 of them would fill 250 MB.
fn traces(seed: u64, n_traces: u64) -> impl Iterator<Item = Trace> {
    let mut shop = Shop::new(seed);
    (0..n_traces).map(move |i| shop.trace(START + i * 3_000_000))
}

/// Requests as they are sent, and what is true about them.
fn requests(seed: u64, spans_max: u64) -> (Vec<Vec<u8>>, Truth) {
    let shop = Shop::new(seed);
    let (encoder, instances) = (ProtobufEncoder::new(&shop), shop.instances().to_vec());
    let mut truth = Truth::new(START, START);
    let mut departures = Departures::new(shop, pace(spans_max));
    let mut requests = Vec::new();
    while let Some(batch) = departures.next_batch(BATCHING, |trace| truth.add(&instances, trace)) {
        requests.push(encoder.request(&batch.spans));
        truth.add_request(requests[requests.len() - 1].len());
    }
    truth.finish();
    (requests, truth)
}

/// FNV-1a.
fn fingerprint(requests: &[Vec<u8>]) -> u64 {
    requests.iter().flatten().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Spans as a receiver sees them, with the service that sent them.
fn received(requests: &[Vec<u8>]) -> Vec<(String, SentSpan)> {
    let mut spans = Vec::new();
    for request in requests {
        let request = ExportTraceServiceRequest::decode(&request[..]).expect("an OTLP request");
        for resource_spans in request.resource_spans {
            let resource = resource_spans.resource.expect("a resource");
            let service = text(find(&resource.attributes, "service.name")).to_owned();
            for scope_spans in resource_spans.scope_spans {
                assert!(!scope_spans.scope.expect("a scope").name.is_empty());
                spans.extend(scope_spans.spans.into_iter().map(|span| (service.clone(), span)));
            }
        }
    }
    spans
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a AnyValue> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    attribute.value.as_ref()?.value.as_ref()
}

fn text(value: Option<&AnyValue>) -> &str {
    match value {
        Some(AnyValue::StringValue(text)) => text,
        other => panic!("{other:?} is not a text"),
    }
}

#[test]
fn one_seed_writes_the_same_bytes_on_every_machine() {
    let check = |seed: u64, expected: Expect| {
        expected.assert_eq(&format!("{:016x}", fingerprint(&requests(seed, 20_000).0)));
    };
    check(7, expect!["1cf8fe78354e26cf"]);
    check(8, expect!["f7075b7a09be03ee"]);
}

#[test]
fn ids_are_new_when_the_shop_opens_again() {
    let ids = |start: u64| {
        let trace = Shop::new(7).trace(start);
        (trace.trace_id, trace.spans.len())
    };
    let (first, again, later) = (ids(START), ids(START), ids(START + 1));
    assert_eq!(first, again);
    assert_ne!(first.0, later.0);
    assert_eq!(first.1, later.1);
}

#[test]
fn traces_are_whole_trees() {
    let (mut n_traces, mut n_spans) = (0, 0);
    for trace in traces(7, 10_000) {
        n_traces += 1;
        n_spans += trace.spans.len();
        check_tree(&trace);
    }
    let mean = f64::from(n_traces).recip() * n_spans as f64;
    assert!((mean / SPANS_PER_TRACE - 1.0).abs() < 0.1, "{mean} spans per trace");
}

/// One root; every parent is there; children lie inside their parents, except what a message set off.
fn check_tree(trace: &Trace) {
    let by_id: HashMap<_, _> = trace.spans.iter().map(|span| (span.span_id, span)).collect();
    assert_eq!(by_id.len(), trace.spans.len(), "{}: a span id occurs twice", trace.trace_id);
    let n_roots = trace.spans.iter().filter(|span| span.parent_span_id.is_none()).count();
    assert_eq!(n_roots, 1, "{}: roots", trace.trace_id);
    let root = &trace.spans[0];
    assert_eq!(root.parent_span_id, None);
    for span in &trace.spans {
        assert_eq!(span.trace_id, trace.trace_id);
        assert!(span.start_unix_nanos <= span.end_unix_nanos, "{span:?}");
        assert!(span.end_unix_nanos <= root.start_unix_nanos + TRACE_DURATION_NANOS_MAX);
        for event in &span.events {
            let lasts = span.start_unix_nanos..=span.end_unix_nanos;
            assert!(lasts.contains(&event.time_unix_nanos), "{event:?} outside {span:?}");
        }
        let Some(parent_id) = span.parent_span_id else { continue };
        let parent = by_id.get(&parent_id).expect("the parent is in the trace");
        assert!(parent.start_unix_nanos <= span.start_unix_nanos);
        if span.kind == Kind::Consumer {
            assert_eq!(parent.kind, Kind::Producer);
            assert!(parent.end_unix_nanos < span.start_unix_nanos);
        } else {
            assert!(span.end_unix_nanos <= parent.end_unix_nanos, "{span:?} outside {parent:?}");
        }
    }
}

#[test]
fn everything_that_makes_traces_interesting_occurs() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut n_spans = 0;
    for trace in traces(7, 20_000) {
        assert!(trace.spans.len() <= stage::SPANS_MAX + 50, "a monster");
        n_spans += trace.spans.len();
        *seen.entry("giant").or_default() += usize::from(trace.spans.len() > 2_000);
        for span in &trace.spans {
            for what in interesting(span) {
                *seen.entry(what).or_default() += 1;
            }
        }
    }
    for what in [
        "giant",
        "trace state",
        "batch of messages",
        "stack trace",
        "retry",
        "internal",
        "server",
        "client",
        "producer",
        "consumer",
        "ok",
        "error",
        "text",
        "int",
        "double",
        "bool",
        "texts",
    ] {
        assert!(seen.get(what).is_some_and(|n| *n > 0), "no {what} in {seen:?}");
    }
    let share = seen["error"] as f64 / n_spans as f64;
    assert!((0.001..0.02).contains(&share), "{share} of all spans are errors");
}

fn interesting(span: &Span) -> Vec<&'static str> {
    let mut seen = vec![match span.kind {
        Kind::Internal => "internal",
        Kind::Server => "server",
        Kind::Client => "client",
        Kind::Producer => "producer",
        Kind::Consumer => "consumer",
    }];
    match &span.status {
        Status::Unset => {}
        Status::Ok => seen.push("ok"),
        Status::Error(why) => {
            assert!(!why.is_empty(), "{span:?}");
            seen.push("error");
        }
    }
    seen.extend((!span.trace_state.is_empty()).then_some("trace state"));
    seen.extend((span.links.len() > 1).then_some("batch of messages"));
    let of_events = span.events.iter().flat_map(|event| &event.attributes);
    seen.extend(of_events.filter(|a| a.key == "exception.stacktrace").map(|_| "stack trace"));
    for attribute in &span.attributes {
        seen.extend((attribute.key == "http.request.resend_count").then_some("retry"));
        seen.push(match attribute.value {
            Value::Text(_) => "text",
            Value::Int(_) => "int",
            Value::Double(_) => "double",
            Value::Bool(_) => "bool",
            Value::Texts(_) => "texts",
        });
    }
    seen
}

#[test]
fn links_lead_to_a_producer_that_was_there_before() {
    let mut producers = HashMap::new();
    let mut n_links = 0;
    for trace in traces(7, 10_000) {
        for span in &trace.spans {
            if span.kind == Kind::Producer {
                producers.insert((span.trace_id, span.span_id), span.end_unix_nanos);
            }
            for link in &span.links {
                let sent = producers.get(&(link.trace_id, link.span_id)).expect("a producer");
                assert!(*sent < span.start_unix_nanos, "{link:?} is read before it is sent");
                n_links += 1;
            }
        }
    }
    assert!(n_links > 500, "{n_links} links");
}

#[test]
fn spans_leave_once_in_the_order_of_their_ends() {
    let mut made = HashSet::new();
    let (mut left, mut last_end, mut last_due) = (HashSet::new(), 0, 0);
    let mut departures = Departures::new(Shop::new(7), pace(30_000));
    let batching = Batching { spans_max: 300, wait_nanos_max: 200_000_000 };
    let mut n_short = 0;
    while let Some(batch) = departures.next_batch(batching, |trace| {
        made.extend(trace.spans.iter().map(|span| (span.trace_id, span.span_id)));
    }) {
        assert!(batch.spans.len() <= batching.spans_max);
        n_short += usize::from(batch.spans.len() < batching.spans_max);
        assert!(batch.due_unix_nanos >= last_due);
        last_due = batch.due_unix_nanos;
        let first_end = batch.spans[0].end_unix_nanos;
        assert!(batch.due_unix_nanos - first_end <= batching.wait_nanos_max);
        for span in &batch.spans {
            assert!(span.end_unix_nanos >= last_end);
            assert!(span.end_unix_nanos <= batch.due_unix_nanos, "nothing leaves before it ends");
            last_end = span.end_unix_nanos;
            assert!(left.insert((span.trace_id, span.span_id)), "{span:?} leaves twice");
        }
    }
    assert_eq!(left, made);
    assert!(n_short > 0, "some batches leave because they waited long enough");
}

#[test]
fn the_rate_is_kept() {
    let mut departures = Departures::new(
        Shop::new(3),
        Pace {
            start_unix_nanos: START,
            spans_per_second: 2_000.0,
            spans_max: None,
            duration_nanos_max: Some(60_000_000_000),
        },
    );
    let mut n_spans = 0;
    while let Some(batch) = departures.next_batch(BATCHING, |_| {}) {
        n_spans += batch.spans.len();
    }
    assert!((114_000..=126_000).contains(&n_spans), "{n_spans} instead of 120,000");
}

#[test]
fn truth_is_what_a_plain_count_finds() {
    let (requests, truth) = requests(7, 60_000);
    let spans = received(&requests);
    let status_500 = |span: &SentSpan| {
        find(&span.attributes, "http.response.status_code") == Some(&AnyValue::IntValue(500))
    };
    let is_error = |span: &SentSpan| span.status.as_ref().is_some_and(|status| status.code == 2);
    let count = |matches: &dyn Fn(&str, &SentSpan) -> bool| {
        spans.iter().filter(|(service, span)| matches(service, span)).count() as u64
    };

    let mut by_service: BTreeMap<&str, u64> = BTreeMap::new();
    let mut sizes: HashMap<&[u8], usize> = HashMap::new();
    for (service, span) in &spans {
        *by_service.entry(service).or_default() += 1;
        *sizes.entry(&span.trace_id).or_default() += 1;
    }
    assert_eq!(truth.spans, spans.len() as u64);
    assert_eq!(truth.traces, sizes.len() as u64);
    assert_eq!(truth.requests, requests.len() as u64);
    assert_eq!(truth.bytes, requests.iter().map(Vec::len).sum::<usize>() as u64);
    assert_eq!(truth.by_service, by_service);
    assert_eq!(truth.errors, count(&|_, span| is_error(span)));
    assert_eq!(truth.status_500, count(&|_, span| status_500(span)));
    assert_eq!(truth.end_ns, spans.iter().map(|(_, span)| span.end_time_unix_nano).max().unwrap());
    assert_eq!(truth.biggest.1, *sizes.values().max().unwrap());
    for (trace_id, n_spans) in truth.sample_traces.iter().chain(&truth.trace_of_46) {
        let trace_id = TraceId::parse(trace_id).expect("a trace id");
        assert_eq!(sizes.get(&trace_id.as_bytes()[..]), Some(n_spans));
    }

    let answers = &truth.answers;
    assert!(answers.svc_and_500.1 > 0, "{answers:?}");
    assert_eq!(
        answers.svc_and_500.1,
        count(&|service, span| service == "payment" && status_500(span))
    );
    assert_eq!(answers.all_500_l10000.1, truth.status_500);
    assert_eq!(answers.roots, count(&|_, span| span.parent_span_id.is_empty()));
    assert_eq!(answers.count, truth.spans);
    let user = AnyValue::IntValue(answers.needle_user);
    let is_needle = |span: &SentSpan| find(&span.attributes, "shop.user.id") == Some(&user);
    assert_eq!(answers.needle_int.1, count(&|_, span| is_needle(span)));
    let needle_traces: HashSet<&[u8]> =
        spans.iter().filter(|(_, span)| is_needle(span)).map(|(_, s)| &s.trace_id[..]).collect();
    assert_eq!(answers.needle_int.0, needle_traces.len() as u64);
    assert_eq!(
        answers.regex_name_dur.1,
        count(&|_, span| span.name.starts_with("GET /product/")
            && span.end_time_unix_nano - span.start_time_unix_nano > 50_000_000)
    );
    let keys: BTreeSet<&str> =
        spans.iter().flat_map(|(_, span)| &span.attributes).map(|a| a.key.as_str()).collect();
    assert_eq!(answers.span_keys, keys);
}

#[test]
fn json_says_what_protobuf_says() {
    let mut shop = Shop::new(7);
    let (json, protobuf) = (JsonEncoder::new(&shop), ProtobufEncoder::new(&shop));
    let spans: Vec<Span> =
        (0..3_000).flat_map(|i| shop.trace(START + i * 3_000_000).spans).collect();
    assert!(spans.iter().any(|span| !span.links.is_empty()));
    for batch in spans.chunks(1_000) {
        let read = suyuan_wire::otlp::json::to_protobuf(&json.request(batch)).expect("OTLP JSON");
        let read = ExportTraceServiceRequest::decode(&read[..]).expect("an OTLP request");
        let sent = protobuf.request(batch);
        let sent = ExportTraceServiceRequest::decode(&sent[..]).expect("an OTLP request");
        assert_eq!(read.resource_spans.len(), sent.resource_spans.len());
        for (read, sent) in read.resource_spans.iter().zip(&sent.resource_spans) {
            assert_eq!(read, sent);
        }
    }
}

#[test]
fn what_is_encoded_is_what_was_made() {
    let mut shop = Shop::new(11);
    let encoder = ProtobufEncoder::new(&shop);
    let trace = (0..).map(|i| shop.trace(START + i)).find(|trace| trace.spans.len() > 20).unwrap();
    let sent = received(&[encoder.request(&trace.spans)]);
    assert_eq!(sent.len(), trace.spans.len());
    for (service, sent) in &sent {
        let made = trace.spans.iter().find(|span| span.span_id.as_bytes()[..] == sent.span_id);
        let made = made.expect("a span that was made");
        assert_eq!(shop.instances()[usize::from(made.instance)].service_name, service);
        let parent = made.parent_span_id.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        assert_eq!(sent.parent_span_id, parent);
        assert_eq!(sent.trace_id, made.trace_id.as_bytes());
        assert_eq!((sent.name.as_str(), sent.kind), (made.name.as_ref(), made.kind as i32));
        assert_eq!(sent.start_time_unix_nano, made.start_unix_nanos);
        assert_eq!(sent.end_time_unix_nano, made.end_unix_nanos);
        assert_eq!((sent.flags, sent.trace_state.as_str()), (made.flags, made.trace_state));
        let sent: Vec<_> =
            sent.attributes.iter().map(|a| (a.key.as_str(), value(&a.value))).collect();
        let made: Vec<_> = made.attributes.iter().map(|a| (a.key, a.value.clone())).collect();
        assert_eq!(sent, made);
    }
}

fn value(value: &Option<Wrapped>) -> Value {
    match value.as_ref().and_then(|value| value.value.as_ref()).expect("a value") {
        AnyValue::StringValue(text) => Value::from(text.clone()),
        AnyValue::IntValue(integer) => Value::Int(*integer),
        AnyValue::DoubleValue(double) => Value::Double(*double),
        AnyValue::BoolValue(truth) => Value::Bool(*truth),
        AnyValue::ArrayValue(array) => Value::Texts(
            array
                .values
                .iter()
                .map(|item| Text::from(text(item.value.as_ref()).to_owned()))
                .collect(),
        ),
        other => panic!("the shop makes no {other:?}"),
    }
}

#[test]
fn the_tables_are_in_order() {
    let total: u32 = JOURNEYS.iter().map(|journey| journey.weight).sum();
    assert_eq!(total, WEIGHT_TOTAL);
    for (place, facts) in FACTS.iter().enumerate() {
        assert_eq!(facts.service as usize, place, "{}", facts.name);
    }
    let shop = Shop::new(7);
    for facts in &FACTS {
        let (first, n) = facts.service.instances();
        for instance in &shop.instances()[usize::from(first)..usize::from(first + n)] {
            assert_eq!(instance.service_name, facts.name);
        }
    }
}

/// A text that nobody fills in would show its braces to everybody.
#[test]
fn every_brace_is_filled() {
    let mut n_texts = 0;
    for trace in traces(7, 5_000) {
        for span in &trace.spans {
            for attribute in &span.attributes {
                let Value::Text(text) = &attribute.value else { continue };
                if matches!(attribute.key, "url.path" | "url.full" | "url.query" | "db.query.text")
                    && !text.starts_with("{\"query\"")
                {
                    assert!(!text.contains(['{', '}']), "{} {text}", attribute.key);
                    n_texts += 1;
                }
            }
        }
    }
    assert!(n_texts > 1_000);
}

/// The table names nothing that cannot happen.
#[test]
fn steps_are_possible() {
    fn walk(steps: &[Step], visit: &mut dyn FnMut(&Step)) {
        for step in steps {
            visit(step);
            match step {
                Step::Cache { on_miss: steps, .. }
                | Step::Together(steps)
                | Step::Sometimes { steps, .. }
                | Step::Repeat { steps, .. }
                | Step::Lanes { steps, .. } => walk(steps, visit),
                Step::Call { to, .. } => walk(to.steps, visit),
                _ => {}
            }
        }
    }
    for journey in &JOURNEYS {
        let door = &journey.operation.door;
        assert!(
            match journey.begins {
                Begins::Outside { .. } | Begins::AtTheGateway => matches!(door, Door::Http { .. }),
                Begins::Job => matches!(door, Door::Job { .. }),
                Begins::Messages => matches!(door, Door::Consume { .. }),
            },
            "{journey:?} cannot begin"
        );
        walk(journey.operation.steps, &mut |step| match step {
            Step::Call { to, .. } => assert!(
                matches!(to.door, Door::Http { .. } | Door::Rpc { .. }),
                "{to:?} cannot be called"
            ),
            Step::Publish { topic } => {
                for operation in topic.followers.iter().chain(topic.readers) {
                    assert!(matches!(operation.door, Door::Consume { .. }), "{operation:?}");
                }
            }
            _ => {}
        });
    }
}

//! Each rule of equality: what it lets pass, and the difference it must not let pass.

use super::*;
use crate::sample::{attribute, full_span, plain_span, request, span_id, text, traces_data, value};

fn trace_of(spans: Vec<Span>) -> TracesData {
    traces_data(request("shop", spans))
}

#[track_caller]
fn equal(sent: &TracesData, found: &TracesData) {
    compare(sent, found).unwrap();
}

/// The two differ, and the text about it holds each of `words`.
#[track_caller]
fn different(sent: &TracesData, found: &TracesData, words: &[&str]) {
    let told = compare(sent, found).expect_err("the difference must be seen");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in:\n{told}");
    }
}

#[test]
fn groups_and_order_of_spans_do_not_matter() {
    let sent = trace_of(vec![full_span(1, 1, 9), full_span(1, 2, 1)]);
    let mut found = trace_of(vec![full_span(1, 2, 1)]);
    found.resource_spans.extend(trace_of(vec![full_span(1, 1, 9)]).resource_spans);
    found.resource_spans.push(Default::default());
    equal(&sent, &found);
    found.resource_spans[1].scope_spans[0].schema_url.push('x');
    different(&sent, &found, &["0000000000000001", "scope.schema_url"]);
}

#[test]
fn spans_are_counted() {
    let sent = trace_of(vec![plain_span(1, 1)]);
    let twice = trace_of(vec![plain_span(1, 1), plain_span(1, 1)]);
    different(&sent, &twice, &["sent 1 times, found 2 times"]);
    different(&twice, &sent, &["sent 2 times, found 1 times"]);
    different(&sent, &TracesData::default(), &["not found"]);
    different(&TracesData::default(), &sent, &["never sent"]);
}

#[test]
fn every_field_counts() {
    let sent = trace_of(vec![full_span(1, 1, 9)]);
    type Change = fn(&mut Span);
    let changes: [(&str, Change); 19] = [
        ("not found", |span| span.trace_id[0] ^= 1),
        ("not found", |span| span.span_id[0] ^= 1),
        ("not found", |span| span.kind = 5),
        ("not found", |span| span.start_time_unix_nano += 1),
        ("parent", |span| span.parent_span_id[0] ^= 1),
        ("end", |span| span.end_time_unix_nano += 1),
        ("name", |span| span.name.push(' ')),
        ("trace_state", |span| span.trace_state.clear()),
        ("flags", |span| span.flags = 0),
        ("span.dropped_attributes", |span| span.dropped_attributes_count += 1),
        ("dropped_events", |span| span.dropped_events_count += 1),
        ("dropped_links", |span| span.dropped_links_count += 1),
        ("events[0]", |span| span.events.swap(0, 1)),
        ("events[0].attributes[0]", |span| span.events[0].attributes.swap(0, 1)),
        ("events[0].dropped_attributes", |span| span.events[0].dropped_attributes_count = 0),
        ("links[0].flags", |span| span.links[0].flags = 0),
        ("links[0].trace_state", |span| span.links[0].trace_state.clear()),
        ("links[0]", |span| span.links.clear()),
        ("status.code", |span| span.status.as_mut().unwrap().code = 1),
    ];
    for (word, change) in changes {
        let mut span = full_span(1, 1, 9);
        change(&mut span);
        different(&sent, &trace_of(vec![span]), &[word]);
    }
}

#[test]
fn attributes_keep_order_repetition_and_type() {
    let with = |attributes: Vec<KeyValue>| trace_of(vec![Span { attributes, ..plain_span(1, 1) }]);
    let (a, b) = (attribute("a", text("1")), attribute("b", text("1")));
    different(&with(vec![a.clone(), b.clone()]), &with(vec![b.clone(), a.clone()]), &["[0] a"]);
    different(&with(vec![a.clone(), a.clone()]), &with(vec![a.clone()]), &["[1] a"]);
    let number = attribute("a", value(Value::IntValue(1)));
    different(&with(vec![a]), &with(vec![number]), &["int 1", "\"1\""]);
    let zero = |zero| attribute("z", value(Value::DoubleValue(zero)));
    different(&with(vec![zero(0.0)]), &with(vec![zero(-0.0)]), &["double -0.0"]);
    let nan = f64::from_bits(f64::NAN.to_bits() ^ 1);
    equal(&with(vec![zero(nan)]), &with(vec![zero(f64::NAN)]));
}

#[test]
fn absent_equals_empty() {
    let mut sent = trace_of(vec![plain_span(1, 1)]);
    sent.resource_spans[0].scope_spans[0].scope = None;
    let mut found = sent.clone();
    found.resource_spans[0].scope_spans[0].scope = Some(InstrumentationScope::default());
    let span = &mut found.resource_spans[0].scope_spans[0].spans[0];
    span.status = Some(Status::default());
    span.parent_span_id = vec![0; 8];
    equal(&sent, &found);
}

#[test]
fn a_resource_without_attributes_is_answered_with_a_name() {
    let mut sent = trace_of(vec![plain_span(1, 1)]);
    let mut found = sent.clone();
    let named = vec![attribute("service.name", text(UNKNOWN_SERVICE))];
    sent.resource_spans[0].resource = None;
    found.resource_spans[0].resource = Some(Resource { attributes: named, ..Resource::default() });
    equal(&sent, &found);
    let other = vec![attribute("service.name", text("other"))];
    found.resource_spans[0].resource = Some(Resource { attributes: other, ..Resource::default() });
    different(&sent, &found, &["unknown_service", "other"]);
}

/// A client span 5, the server span with the same id, and a child of that server.
fn shared_id_trace() -> TracesData {
    let client = Span { kind: 3, parent_span_id: span_id(4), ..plain_span(1, 5) };
    let server = Span { kind: 2, ..client.clone() };
    let child = Span { parent_span_id: span_id(5), ..plain_span(1, 6) };
    trace_of(vec![client, server, child])
}

#[test]
fn an_id_shared_by_client_and_server_is_answered_with_a_new_one() {
    let sent = shared_id_trace();
    equal(&sent, &sent);
    let mut found = sent.clone();
    let spans = &mut found.resource_spans[0].scope_spans[0].spans;
    spans[1].parent_span_id = span_id(5);
    spans[1].span_id = span_id(1);
    spans[2].parent_span_id = span_id(1);
    equal(&sent, &found);
    let mut wrong = found.clone();
    wrong.resource_spans[0].scope_spans[0].spans[2].parent_span_id = span_id(7);
    different(&sent, &wrong, &["0000000000000006", "parent"]);
    found.resource_spans[0].scope_spans[0].spans.remove(1);
    different(&sent, &found, &["kind 2", "not found"]);
}

#[test]
fn an_end_before_the_start_is_answered_with_the_raw_end_beside_it() {
    let backwards = Span { end_time_unix_nano: 17, ..plain_span(1, 1) };
    let mut shown =
        Span { end_time_unix_nano: backwards.start_time_unix_nano, ..backwards.clone() };
    let without_raw_end = trace_of(vec![shown.clone()]);
    shown.attributes.push(attribute(RAW_END_KEY, value(Value::IntValue(17))));
    let sent = trace_of(vec![backwards]);
    equal(&sent, &trace_of(vec![shown]));
    different(&sent, &without_raw_end, &["end = 17"]);
}

#[test]
fn what_grafana_needs_must_be_there() {
    let whole = trace_of(vec![full_span(1, 1, 9)]);
    missing_for_grafana(&whole).unwrap();
    let changes: [fn(&mut TracesData); 5] = [
        |trace| trace.resource_spans[0].resource = None,
        |trace| trace.resource_spans[0].resource = Some(Resource::default()),
        |trace| trace.resource_spans[0].scope_spans[0].scope = None,
        |trace| trace.resource_spans[0].scope_spans[0].spans[0].status = None,
        |trace| trace.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano = 0,
    ];
    for change in changes {
        let mut trace = whole.clone();
        change(&mut trace);
        missing_for_grafana(&trace).expect_err("must be missed");
    }
    let mut shared = shared_id_trace();
    for span in &mut shared.resource_spans[0].scope_spans[0].spans {
        span.status = Some(Status::default());
    }
    missing_for_grafana(&shared).expect_err("a shared id must be told");
}

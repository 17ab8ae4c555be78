//! When two traces are equal: the one function that decides it, and its rules.
//!
//! In: what was sent and what was found, as protobuf messages. Out: nothing if they are equal, or
//! the differences as text that names span and field. Every test that compares traces uses it.
//!
//! The rules:
//!
//! 1. **Groups have no identity.** A span belongs to the *values* of its resource, its scope and
//!    their schema URLs; how spans are laid into `ResourceSpans` and `ScopeSpans` does not matter,
//!    nor does an empty group.
//! 2. **Spans have no order**, but they are counted: a span found twice is a difference.
//! 3. **Attributes keep the order received**, in resources, scopes, spans, events, links and maps;
//!    a key that stands there twice stands there twice. Values keep their type.
//! 4. **Events and links keep their order.**
//! 5. An absent sub-message equals an empty one; so does an absent attribute value. A parent id of
//!    zeros is no parent. Doubles are equal bit by bit, except that every NaN is one NaN.
//! 6. **What only answers add** is known and taken back before comparing (`grafana.md 1.3`):
//!    - a resource without attributes is answered with `service.name` = `unknown_service`;
//!    - a server span that shares its id with a client span (Zipkin's way) is answered with a new
//!      id and the shared id as its parent, and children of the shared id point to the new one
//!      (`tempo.md 1.1`), so the parent that such a server span was sent with is not compared;
//!    - a span that ends before it starts is answered with end = start, the end that was sent
//!      standing in a last attribute, [`RAW_END_KEY`].
//!
//! What Grafana needs to *be* there in an answer is another question: [`missing_for_grafana`].

use std::collections::{BTreeMap, HashMap, HashSet};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, TracesData};

/// The attribute in which an answer keeps an end that lies before the start.
pub const RAW_END_KEY: &str = "suyuan.raw_end_time_unix_nano";

/// The name under which an answer shows a resource that has no attributes.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// No more differing spans than this are written out.
const SPANS_TOLD_MAX: usize = 10;

/// Compares two traces by the rules above; the text says what differs, span by span.
pub fn compare(sent: &TracesData, found: &TracesData) -> Result<(), String> {
    let new_ids = NewIds::between(sent, found);
    let mut sent = described(sent, |span| new_ids.as_sent(span));
    let found = described(found, |span| new_ids.taken_back(span));
    let mut told = Vec::new();
    let mut n_differing = 0;
    let mut tell = |text: String| {
        n_differing += 1;
        if told.len() < SPANS_TOLD_MAX {
            told.push(text);
        }
    };
    for (name, found) in found {
        let Some(sent) = sent.remove(&name) else {
            tell(format!("{name}: found {} times, never sent", found.len()));
            continue;
        };
        if sent.len() != found.len() {
            tell(format!("{name}: sent {} times, found {} times", sent.len(), found.len()));
        }
        for (sent, found) in sent.iter().zip(&found) {
            if sent != found {
                tell(differing_lines(&name, sent, found));
            }
        }
    }
    for name in sent.keys() {
        tell(format!("{name}: not found"));
    }
    if n_differing == 0 {
        return Ok(());
    }
    Err(format!("{n_differing} spans differ, among them:\n{}", told.join("\n")))
}

/// What Grafana's readers need in a protobuf answer and do not find there (`grafana.md 1.3`,
/// traps 2 and 3): each sub-message present, each resource with an attribute, no id shared by a
/// client and a server span, no span that ends before it starts.
pub fn missing_for_grafana(answer: &TracesData) -> Result<(), String> {
    for group in &answer.resource_spans {
        if group.resource.as_ref().is_none_or(|resource| resource.attributes.is_empty()) {
            return Err("a resource without attributes: its spans vanish".to_owned());
        }
        for scope_spans in &group.scope_spans {
            if scope_spans.scope.is_none() {
                return Err("no scope".to_owned());
            }
            for span in &scope_spans.spans {
                if span.status.is_none() {
                    return Err(format!("{}: no status", name_of(span)));
                }
                if span.end_time_unix_nano < span.start_time_unix_nano {
                    return Err(format!("{}: ends before it starts", name_of(span)));
                }
            }
        }
    }
    match shared_ids(answer).into_iter().next() {
        Some(id) => Err(format!("a client and a server span share the id {}", hex(&id))),
        None => Ok(()),
    }
}

/// The ids that an answer may have replaced, and by which.
struct NewIds {
    shared: HashSet<Vec<u8>>,
    shared_of_new: HashMap<Vec<u8>, Vec<u8>>,
}

impl NewIds {
    /// Server spans in `found` with an id that nobody sent and a parent that a client and a
    /// server span were sent with.
    fn between(sent: &TracesData, found: &TracesData) -> NewIds {
        let sent_ids: HashSet<&[u8]> = spans(sent).map(|span| span.span_id.as_slice()).collect();
        let mut shared = shared_ids(sent);
        // Spans that were read without the answer's additions still share their ids.
        let still_shared = shared_ids(found);
        shared.retain(|id| !still_shared.contains(id));
        let shared_of_new = spans(found)
            .filter(|span| span.kind == SpanKind::Server as i32)
            .filter(|span| shared.contains(&span.parent_span_id))
            .filter(|span| !sent_ids.contains(span.span_id.as_slice()))
            .map(|span| (span.span_id.clone(), span.parent_span_id.clone()))
            .collect();
        NewIds { shared, shared_of_new }
    }

    fn as_sent(&self, span: &mut Span) {
        if span.kind == SpanKind::Server as i32 && self.shared.contains(&span.span_id) {
            span.parent_span_id = span.span_id.clone();
        }
    }

    fn taken_back(&self, span: &mut Span) {
        if let Some(shared) = self.shared_of_new.get(&span.span_id) {
            span.span_id = shared.clone();
        } else if let Some(shared) = self.shared_of_new.get(&span.parent_span_id) {
            span.parent_span_id = shared.clone();
        }
        take_back_raw_end(span);
    }
}

fn take_back_raw_end(span: &mut Span) {
    let Some(last) = span.attributes.last() else { return };
    let value = last.value.as_ref().and_then(|value| value.value.as_ref());
    if last.key == RAW_END_KEY
        && span.end_time_unix_nano == span.start_time_unix_nano
        && let Some(Value::IntValue(end)) = value
        && let Ok(end) = u64::try_from(*end)
    {
        span.end_time_unix_nano = end;
        span.attributes.pop();
    }
}

fn shared_ids(traces: &TracesData) -> HashSet<Vec<u8>> {
    let ids_of = |kind: SpanKind| -> HashSet<Vec<u8>> {
        let of_kind = spans(traces).filter(|span| span.kind == kind as i32);
        of_kind.map(|span| span.span_id.clone()).collect()
    };
    let servers = ids_of(SpanKind::Server);
    ids_of(SpanKind::Client).into_iter().filter(|id| servers.contains(id)).collect()
}

/// Every span of a trace, whatever its group.
pub fn spans(traces: &TracesData) -> impl Iterator<Item = &Span> {
    traces.resource_spans.iter().flat_map(|group| &group.scope_spans).flat_map(|group| &group.spans)
}

/// Spans as lines of text, by what tells one span from another; equal lines are equal spans.
fn described(
    traces: &TracesData,
    adjust: impl Fn(&mut Span),
) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut out: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for group in &traces.resource_spans {
        let mut resource_lines = Vec::new();
        describe_resource(group.resource.as_ref(), &group.schema_url, &mut resource_lines);
        for scope_spans in &group.scope_spans {
            let mut scope_lines = resource_lines.clone();
            describe_scope(scope_spans.scope.as_ref(), &scope_spans.schema_url, &mut scope_lines);
            for span in &scope_spans.spans {
                let mut span = span.clone();
                adjust(&mut span);
                let mut lines = scope_lines.clone();
                describe_span(&span, &mut lines);
                out.entry(name_of(&span)).or_default().push(lines);
            }
        }
    }
    out.values_mut().for_each(|spans| spans.sort_unstable());
    out
}

fn name_of(span: &Span) -> String {
    format!(
        "trace {} span {} kind {} start {}",
        hex(&span.trace_id),
        hex(&span.span_id),
        span.kind,
        span.start_time_unix_nano
    )
}

fn describe_resource(resource: Option<&Resource>, schema_url: &str, lines: &mut Vec<String>) {
    let resource = resource.cloned().unwrap_or_default();
    if resource.attributes.is_empty() {
        lines.push(format!("resource.attributes[0] service.name = {UNKNOWN_SERVICE:?}"));
    }
    describe_attributes("resource", &resource.attributes, lines);
    describe_number("resource.dropped_attributes", resource.dropped_attributes_count, lines);
    describe_text("resource.schema_url", schema_url, lines);
    for (at, entity) in resource.entity_refs.iter().enumerate() {
        lines.push(format!("resource.entity_refs[{at}] = {entity:?}"));
    }
}

fn describe_scope(scope: Option<&InstrumentationScope>, schema_url: &str, lines: &mut Vec<String>) {
    let scope = scope.cloned().unwrap_or_default();
    describe_text("scope.name", &scope.name, lines);
    describe_text("scope.version", &scope.version, lines);
    describe_attributes("scope", &scope.attributes, lines);
    describe_number("scope.dropped_attributes", scope.dropped_attributes_count, lines);
    describe_text("scope.schema_url", schema_url, lines);
}

fn describe_span(span: &Span, lines: &mut Vec<String>) {
    let has_parent = span.parent_span_id.iter().any(|byte| *byte != 0);
    let parent = if has_parent { hex(&span.parent_span_id) } else { String::new() };
    describe_text("parent", &parent, lines);
    describe_text("name", &span.name, lines);
    describe_text("trace_state", &span.trace_state, lines);
    describe_number("flags", span.flags, lines);
    lines.push(format!("end = {}", span.end_time_unix_nano));
    describe_attributes("span", &span.attributes, lines);
    describe_number("span.dropped_attributes", span.dropped_attributes_count, lines);
    for (at, event) in span.events.iter().enumerate() {
        describe_event(&format!("events[{at}]"), event, lines);
    }
    describe_number("dropped_events", span.dropped_events_count, lines);
    for (at, link) in span.links.iter().enumerate() {
        describe_link(&format!("links[{at}]"), link, lines);
    }
    describe_number("dropped_links", span.dropped_links_count, lines);
    let Status { message, code } = span.status.clone().unwrap_or_default();
    describe_number("status.code", code, lines);
    describe_text("status.message", &message, lines);
}

fn describe_event(place: &str, event: &Event, lines: &mut Vec<String>) {
    lines.push(format!("{place} = {:?} at {}", event.name, event.time_unix_nano));
    describe_attributes(place, &event.attributes, lines);
    describe_number(&format!("{place}.dropped_attributes"), event.dropped_attributes_count, lines);
}

fn describe_link(place: &str, link: &Link, lines: &mut Vec<String>) {
    lines.push(format!("{place} = {} {}", hex(&link.trace_id), hex(&link.span_id)));
    describe_text(&format!("{place}.trace_state"), &link.trace_state, lines);
    describe_number(&format!("{place}.flags"), link.flags, lines);
    describe_attributes(place, &link.attributes, lines);
    describe_number(&format!("{place}.dropped_attributes"), link.dropped_attributes_count, lines);
}

fn describe_attributes(place: &str, attributes: &[KeyValue], lines: &mut Vec<String>) {
    for (at, attribute) in attributes.iter().enumerate() {
        let value = value_text(attribute.value.as_ref());
        lines.push(format!("{place}.attributes[{at}] {} = {value}", attribute.key));
    }
}

fn describe_text(place: &str, text: &str, lines: &mut Vec<String>) {
    if !text.is_empty() {
        lines.push(format!("{place} = {text:?}"));
    }
}

fn describe_number(place: &str, number: impl Into<i64>, lines: &mut Vec<String>) {
    let number = number.into();
    if number != 0 {
        lines.push(format!("{place} = {number}"));
    }
}

/// A value with its type, so that two values with the same text are the same value.
pub fn value_text(value: Option<&AnyValue>) -> String {
    let Some(value) = value.and_then(|value| value.value.as_ref()) else {
        return "nothing".to_owned();
    };
    match value {
        Value::StringValue(text) => format!("{text:?}"),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(number) => format!("int {number}"),
        Value::DoubleValue(number) => format!("double {number:?}"),
        Value::BytesValue(bytes) => format!("bytes {}", hex(bytes)),
        Value::ArrayValue(array) => {
            let values: Vec<_> = array.values.iter().map(|value| value_text(Some(value))).collect();
            format!("[{}]", values.join(", "))
        }
        Value::KvlistValue(map) => {
            let pair =
                |pair: &KeyValue| format!("{:?}: {}", pair.key, value_text(pair.value.as_ref()));
            format!("{{{}}}", map.values.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Value::StringValueStrindex(index) => format!("profile string {index}"),
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn differing_lines(name: &str, sent: &[String], found: &[String]) -> String {
    let mut out = format!("{name}:");
    for line in sent.iter().filter(|line| !found.contains(line)) {
        out.push_str(&format!("\n    sent   {line}"));
    }
    for line in found.iter().filter(|line| !sent.contains(line)) {
        out.push_str(&format!("\n    found  {line}"));
    }
    out
}

#[cfg(test)]
mod tests;

//! Holds what the walk makes of a request's bytes against what `opentelemetry-proto` makes of them.
//!
//! In: any bytes. Out: nothing, or what differs. Where prost refuses a whole request the walk may
//! refuse it too or keep its good spans, but must not panic; where prost accepts, every span that
//! OTLP allows must come out equal, in order, and every other one must be refused.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message as _;
use suyuan_model::{AttributeTable, Chunk, TableBuilder, ValueRef};
use suyuan_wire::otlp::{self, Decoded, RefusedReason, Verdicts};
use suyuan_wire::protobuf::{Malformed, Reader};
use suyuan_wire::record::{Format, Limits};

const NO_LIMITS: Limits = Limits {
    attribute_value_bytes_max: u32::MAX,
    attributes_max: u32::MAX,
    events_max: u32::MAX,
    links_max: u32::MAX,
    spans_per_trace_max: u32::MAX,
};

/// What a request says of one span.
#[derive(Debug, PartialEq)]
struct Row {
    resource: Vec<u8>,
    resource_schema_url: String,
    scope: Vec<u8>,
    scope_schema_url: String,
    span: Vec<u8>,
}

/// Returns what differs between the two decoders.
pub(crate) fn judge(body: &[u8]) -> Result<(), String> {
    let mut table = TableBuilder::default();
    let ours = otlp::decode(Format::OtlpProtobuf, body, &NO_LIMITS, Verdicts::Judge, &mut table);
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return Ok(()) };
    if has_old_scope_spans(body) || has_string_index(&request) {
        return Ok(());
    }
    let decoded = ours.map_err(|error| format!("prost accepts what we refuse: {error}"))?;
    if decoded.refused.iter().any(|r| r.reason == RefusedReason::Malformed(Malformed::TooDeep)) {
        return Ok(());
    }
    let chunk = table.freeze();
    let found: Vec<Row> = (0..chunk.n_rows() as u32).map(|row| row_of(&chunk, row)).collect();
    let expected = expected_rows(&request, &decoded)?;
    if found.len() != expected.len() {
        return Err(format!("{} rows instead of {}", found.len(), expected.len()));
    }
    for (found, expected) in found.iter().zip(&expected) {
        if found != expected {
            let span = |row: &Row| Span::decode(&row.span[..]);
            return Err(format!(
                "found {found:?}\n{:?}\nexpected {expected:?}\n{:?}",
                span(found),
                span(expected)
            ));
        }
    }
    Ok(())
}

/// The spans of a request that must come out; those refused must deserve it.
fn expected_rows(request: &ExportTraceServiceRequest, ours: &Decoded) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut place = 0;
    for resource_spans in &request.resource_spans {
        for scope_spans in &resource_spans.scope_spans {
            for span in &scope_spans.spans {
                let is_refused = ours.refused.iter().any(|refused| refused.place == place);
                if is_refused == is_valid(span) {
                    return Err(format!("span {place}: refused: {is_refused}: {span:?}"));
                }
                place += 1;
                if !is_refused {
                    rows.push(Row {
                        resource: resource_bytes(&resource_spans.resource),
                        resource_schema_url: resource_spans.schema_url.clone(),
                        scope: scope_bytes(&scope_spans.scope),
                        scope_schema_url: scope_spans.schema_url.clone(),
                        span: span_bytes(span.clone()),
                    });
                }
            }
        }
    }
    Ok(rows)
}

fn is_valid(span: &Span) -> bool {
    let is_id = |id: &[u8], len| id.len() == len && id.iter().any(|byte| *byte != 0);
    is_id(&span.trace_id, 16)
        && is_id(&span.span_id, 8)
        && matches!(span.parent_span_id.len(), 0 | 8)
        && i64::try_from(span.start_time_unix_nano).is_ok()
        && i64::try_from(span.end_time_unix_nano).is_ok()
}

/// Messages are compared by their bytes, so that NaN equals NaN; an absent message equals an
/// empty one.
fn span_bytes(mut span: Span) -> Vec<u8> {
    normalize(&mut span.attributes);
    for event in &mut span.events {
        normalize(&mut event.attributes);
    }
    for link in &mut span.links {
        normalize(&mut link.attributes);
    }
    span.status.get_or_insert_default();
    span.encode_to_vec()
}

fn resource_bytes(resource: &Option<Resource>) -> Vec<u8> {
    let mut resource = resource.clone().unwrap_or_default();
    normalize(&mut resource.attributes);
    resource.encode_to_vec()
}

fn scope_bytes(scope: &Option<InstrumentationScope>) -> Vec<u8> {
    let mut scope = scope.clone().unwrap_or_default();
    normalize(&mut scope.attributes);
    scope.encode_to_vec()
}

fn normalize(attributes: &mut [KeyValue]) {
    for attribute in attributes {
        attribute.value.get_or_insert_default();
    }
}

fn row_of(chunk: &Chunk, row: u32) -> Row {
    let resource = chunk.resource.value(row as usize);
    let scope = chunk.scope.value(row as usize);
    let (resources, scopes) = (&chunk.resources, &chunk.scopes);
    let entity_refs = resources.entity_refs.value(resource as usize);
    Row {
        resource: Resource {
            attributes: key_values(&resources.attributes, resource),
            dropped_attributes_count: resources.dropped_attributes.value(resource),
            entity_refs: Resource::decode(entity_refs).expect("checked by prost").entity_refs,
        }
        .encode_to_vec(),
        resource_schema_url: resources.schema_url.value(resource as usize).to_owned(),
        scope: InstrumentationScope {
            name: scopes.name.value(scope as usize).to_owned(),
            version: scopes.version.value(scope as usize).to_owned(),
            attributes: key_values(&scopes.attributes, scope),
            dropped_attributes_count: scopes.dropped_attributes.value(scope),
        }
        .encode_to_vec(),
        scope_schema_url: scopes.schema_url.value(scope as usize).to_owned(),
        span: span_of(chunk, row).encode_to_vec(),
    }
}

fn span_of(chunk: &Chunk, row: u32) -> Span {
    let at = row as usize;
    Span {
        trace_id: chunk.trace_id(row).as_bytes().to_vec(),
        span_id: chunk.span_id(row).as_bytes().to_vec(),
        trace_state: chunk.trace_state.value(row).to_owned(),
        parent_span_id: chunk.parent_span_id(row).map(Vec::from).unwrap_or_default(),
        flags: chunk.flags.value(row),
        name: chunk.name.value(at).to_owned(),
        kind: chunk.kind.value(at),
        start_time_unix_nano: chunk.start_unix_nanos.value(at) as u64,
        end_time_unix_nano: chunk.end_unix_nanos.value(at) as u64,
        attributes: key_values(&chunk.attributes, row),
        dropped_attributes_count: chunk.dropped_attributes.value(row),
        events: chunk.events_of(row).map(|event| event_of(chunk, event)).collect(),
        dropped_events_count: chunk.dropped_events.value(row),
        links: chunk.links_of(row).map(|link| link_of(chunk, link)).collect(),
        dropped_links_count: chunk.dropped_links.value(row),
        status: Some(Status {
            message: chunk.status_message.value(row).to_owned(),
            code: chunk.status_code.value(at),
        }),
    }
}

fn event_of(chunk: &Chunk, event: u32) -> Event {
    let events = &chunk.events;
    Event {
        time_unix_nano: events.time_unix_nanos.value(event as usize),
        name: events.name.value(event as usize).to_owned(),
        attributes: key_values(&events.attributes, event),
        dropped_attributes_count: events.dropped_attributes.value(event),
    }
}

fn link_of(chunk: &Chunk, link: u32) -> Link {
    let links = &chunk.links;
    Link {
        trace_id: links.trace_id.value(link as usize).to_vec(),
        span_id: links.span_id.value(link as usize).to_vec(),
        trace_state: links.trace_state.value(link).to_owned(),
        attributes: key_values(&links.attributes, link),
        dropped_attributes_count: links.dropped_attributes.value(link),
        flags: links.flags.value(link),
    }
}

fn key_values(table: &AttributeTable, row: u32) -> Vec<KeyValue> {
    let key_value = |(key, value): (&str, ValueRef<'_>)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: any_value(value) }),
        ..KeyValue::default()
    };
    table.row(row).map(key_value).collect()
}

fn any_value(value: ValueRef<'_>) -> Option<any_value::Value> {
    use any_value::Value;
    Some(match value {
        ValueRef::Empty => return None,
        ValueRef::String(text) => Value::StringValue(text.to_owned()),
        ValueRef::Bool(value) => Value::BoolValue(value),
        ValueRef::Int(value) => Value::IntValue(value),
        ValueRef::Double(value) => Value::DoubleValue(value),
        ValueRef::Bytes(bytes) => Value::BytesValue(bytes.to_vec()),
        ValueRef::Array(message) => {
            Value::ArrayValue(ArrayValue::decode(message).expect("checked by the walk"))
        }
        ValueRef::Map(message) => {
            Value::KvlistValue(KeyValueList::decode(message).expect("checked by the walk"))
        }
    })
}

/// We read `instrumentation_library_spans` of OTLP 0.15 to 0.18, prost does not know it.
fn has_old_scope_spans(body: &[u8]) -> bool {
    let mut found = false;
    let mut request = Reader::new(body);
    while let Ok(Some(field)) = request.next_field() {
        let Ok(message) = field.bytes() else { continue };
        let mut resource_spans = Reader::new(message);
        while let Ok(Some(field)) = resource_spans.next_field() {
            found |= field.number == 1000;
        }
    }
    found
}

/// Indexes into a table of strings belong to profiles; in a span they mean nothing to us.
fn has_string_index(request: &ExportTraceServiceRequest) -> bool {
    let shown = format!("{request:?}").replace("key_strindex: 0", "");
    shown.contains("StringValueStrindex") || shown.contains("key_strindex: ")
}

//! Answers in JSON: Tempo's shapes as gogo's jsonpb prints them (`tempo.md 1.0`).
//!
//! In: resources, scopes and spans in order. Out: members of the list of `ResourceSpans`. Members
//! stand in the order of the proto files; zeros, empty texts and empty lists are left out;
//! `resource`, `scope` and `status` are always there, if empty.

use suyuan_model::{AttributeTable, Chunk, ValueRef};

use super::json_value;
use super::json_writer::JsonWriter;
use super::plan::Group;
use super::protobuf::UNKNOWN_SERVICE;
use super::shown::ShownSpan;
use super::{Shape, Sink};
use crate::protobuf::{Malformed, Reader};

/// The whole answer for a trace that nobody knows.
pub(super) fn empty(shape: Shape, missing: Option<&str>) -> Vec<u8> {
    match shape {
        Shape::Trace => b"{}".to_vec(),
        Shape::TraceById => closed(br#"{"trace":{},"metrics":{}"#, missing),
    }
}

/// Everything before the first `ResourceSpans`.
pub(super) fn head(shape: Shape) -> &'static [u8] {
    match shape {
        Shape::Trace => br#"{"batches":["#,
        Shape::TraceById => br#"{"trace":{"resourceSpans":["#,
    }
}

/// Everything behind the last one.
pub(super) fn tail(shape: Shape, missing: Option<&str>) -> Vec<u8> {
    match shape {
        Shape::Trace => b"]}".to_vec(),
        Shape::TraceById => closed(br#"]},"metrics":{}"#, missing),
    }
}

/// The end of a v2 answer, which says what is missing.
fn closed(text: &[u8], missing: Option<&str>) -> Vec<u8> {
    let Some(missing) = missing else { return [text, b"}"].concat() };
    let head = [text, br#","status":"PARTIAL","message":"#].concat();
    let mut json = JsonWriter::begin(&head);
    json.text(missing);
    let mut bytes = json.into_bytes();
    bytes.push(b'}');
    bytes
}

pub(super) struct JsonSink {
    json: JsonWriter,
    /// Those of the open resource and scope: they stand behind the spans.
    resource_schema_url: String,
    scope_schema_url: String,
}

impl JsonSink {
    /// Goes on behind `head`.
    pub(super) fn begin(head: &[u8]) -> Self {
        Self {
            json: JsonWriter::begin(head),
            resource_schema_url: String::new(),
            scope_schema_url: String::new(),
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.json.into_bytes()
    }
}

impl Sink for JsonSink {
    fn open_resource(&mut self, group: &Group) {
        let resources = &group.chunk.resources;
        self.resource_schema_url = resources.schema_url.value(group.row as usize).to_owned();
        let json = &mut self.json;
        json.open_object();
        json.key("resource");
        write_resource(json, &group.chunk, group.row);
        json.key("scopeSpans");
        json.open_list();
    }

    fn open_scope(&mut self, group: &Group) {
        let scopes = &group.chunk.scopes;
        self.scope_schema_url = scopes.schema_url.value(group.row as usize).to_owned();
        let json = &mut self.json;
        json.open_object();
        json.key("scope");
        write_scope(json, &group.chunk, group.row);
        json.key("spans");
        json.open_list();
    }

    fn span(&mut self, span: &ShownSpan<'_>) {
        write_span(&mut self.json, span);
    }

    fn close_scope(&mut self) {
        self.json.close_list();
        text(&mut self.json, "schemaUrl", &self.scope_schema_url);
        self.json.close_object();
    }

    fn close_resource(&mut self) {
        self.json.close_list();
        text(&mut self.json, "schemaUrl", &self.resource_schema_url);
        self.json.close_object();
    }

    fn n_bytes(&self) -> usize {
        self.json.n_bytes()
    }
}

fn write_resource(json: &mut JsonWriter, chunk: &Chunk, row: u32) {
    let resources = &chunk.resources;
    json.open_object();
    if resources.attributes.shape(row).is_empty() {
        attributes(json, [UNKNOWN_SERVICE].into_iter());
    }
    attributes_of(json, &resources.attributes, row);
    json.narrow_unless_zero("droppedAttributesCount", resources.dropped_attributes.value(row));
    write_entity_refs(json, resources.entity_refs.value(row as usize));
    json.close_object();
}

/// `fields`: `entity_refs` fields as received, tags included. What cannot be read is left out.
fn write_entity_refs(json: &mut JsonWriter, fields: &[u8]) {
    if fields.is_empty() {
        return;
    }
    let mark = json.mark();
    json.key("entityRefs");
    json.open_list();
    let mut reader = Reader::new(fields);
    let mut write_all = || -> Result<(), Malformed> {
        while let Some(field) = reader.next_field()? {
            write_entity_ref(json, field.bytes()?)?;
        }
        Ok(())
    };
    match write_all() {
        Ok(()) => json.close_list(),
        Err(_) => json.rewind(mark),
    }
}

fn write_entity_ref(json: &mut JsonWriter, message: &[u8]) -> Result<(), Malformed> {
    let mut members: [Vec<String>; 4] = Default::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        if let Some(member) = members.get_mut((field.number - 1) as usize) {
            member.push(String::from_utf8_lossy(field.bytes()?).into_owned());
        }
    }
    let [schema_url, entity_type, id_keys, description_keys] = members;
    json.open_object();
    text(json, "schemaUrl", schema_url.last().map_or("", String::as_str));
    text(json, "type", entity_type.last().map_or("", String::as_str));
    texts(json, "idKeys", &id_keys);
    texts(json, "descriptionKeys", &description_keys);
    json.close_object();
    Ok(())
}

fn write_scope(json: &mut JsonWriter, chunk: &Chunk, row: u32) {
    let scopes = &chunk.scopes;
    json.open_object();
    text(json, "name", scopes.name.value(row as usize));
    text(json, "version", scopes.version.value(row as usize));
    attributes_of(json, &scopes.attributes, row);
    json.narrow_unless_zero("droppedAttributesCount", scopes.dropped_attributes.value(row));
    json.close_object();
}

fn write_span(json: &mut JsonWriter, span: &ShownSpan<'_>) {
    let (chunk, row) = (span.chunk, span.row);
    json.open_object();
    bytes(json, "traceId", chunk.trace_id(row).as_bytes());
    bytes(json, "spanId", &span.span_id.to_be_bytes());
    text(json, "traceState", chunk.trace_state.value(row));
    if let Some(parent) = span.parent_span_id {
        bytes(json, "parentSpanId", &parent.to_be_bytes());
    }
    json.narrow_unless_zero("flags", chunk.flags.value(row));
    text(json, "name", chunk.name.value(row as usize));
    name_of_number(json, "kind", chunk.kind.value(row as usize), &KIND_NAMES);
    json.wide_unless_zero("startTimeUnixNano", span.start_unix_nanos as u64);
    json.wide_unless_zero("endTimeUnixNano", span.end_unix_nanos as u64);
    attributes(json, span.attributes());
    json.narrow_unless_zero("droppedAttributesCount", chunk.dropped_attributes.value(row));
    let events = chunk.events_of(row);
    if !events.is_empty() {
        json.key("events");
        json.open_list();
        events.for_each(|event| write_event(json, chunk, event));
        json.close_list();
    }
    json.narrow_unless_zero("droppedEventsCount", chunk.dropped_events.value(row));
    let links = chunk.links_of(row);
    if !links.is_empty() {
        json.key("links");
        json.open_list();
        links.for_each(|link| write_link(json, chunk, link));
        json.close_list();
    }
    json.narrow_unless_zero("droppedLinksCount", chunk.dropped_links.value(row));
    json.key("status");
    json.open_object();
    text(json, "message", chunk.status_message.value(row));
    name_of_number(json, "code", chunk.status_code.value(row as usize), &STATUS_CODE_NAMES);
    json.close_object();
    json.close_object();
}

fn write_event(json: &mut JsonWriter, chunk: &Chunk, row: u32) {
    let events = &chunk.events;
    json.open_object();
    json.wide_unless_zero("timeUnixNano", events.time_unix_nanos.value(row as usize));
    text(json, "name", events.name.value(row as usize));
    attributes_of(json, &events.attributes, row);
    json.narrow_unless_zero("droppedAttributesCount", events.dropped_attributes.value(row));
    json.close_object();
}

fn write_link(json: &mut JsonWriter, chunk: &Chunk, row: u32) {
    let links = &chunk.links;
    json.open_object();
    bytes(json, "traceId", links.trace_id.value(row as usize));
    bytes(json, "spanId", links.span_id.value(row as usize));
    text(json, "traceState", links.trace_state.value(row));
    attributes_of(json, &links.attributes, row);
    json.narrow_unless_zero("droppedAttributesCount", links.dropped_attributes.value(row));
    json.narrow_unless_zero("flags", links.flags.value(row));
    json.close_object();
}

/// By number; 0 is never written.
const KIND_NAMES: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUS_CODE_NAMES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

/// An enum by name; a number without a name as the number.
fn name_of_number(json: &mut JsonWriter, key: &str, number: i32, names: &[&str]) {
    if number == 0 {
        return;
    }
    json.key(key);
    match usize::try_from(number).ok().and_then(|number| names.get(number)) {
        Some(name) => json.text(name),
        None => json.narrow(number.into()),
    }
}

fn attributes_of(json: &mut JsonWriter, table: &AttributeTable, row: u32) {
    attributes(json, table.row(row));
}

fn attributes<'a>(json: &mut JsonWriter, all: impl Iterator<Item = (&'a str, ValueRef<'a>)>) {
    let mut all = all.peekable();
    if all.peek().is_none() {
        return;
    }
    json.key("attributes");
    json.open_list();
    for (key, value) in all {
        json.open_object();
        text(json, "key", key);
        json.key("value");
        json_value::write(json, value);
        json.close_object();
    }
    json.close_list();
}

fn text(json: &mut JsonWriter, key: &str, text: &str) {
    if !text.is_empty() {
        json.key(key);
        json.text(text);
    }
}

fn texts(json: &mut JsonWriter, key: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    json.key(key);
    json.open_list();
    texts.iter().for_each(|text| json.text(text));
    json.close_list();
}

fn bytes(json: &mut JsonWriter, key: &str, bytes: &[u8]) {
    if !bytes.is_empty() {
        json.key(key);
        json.base64(bytes);
    }
}

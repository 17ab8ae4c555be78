//! Answers in protobuf: OTLP's `ResourceSpans`, out of columns.
//!
//! In: resources, scopes and spans in order. Out: their bytes. Lengths of attributes are known
//! before they are written and take the bytes they need; those of larger messages are padded to
//! five bytes, which every reader takes, and are filled in afterwards.

use suyuan_model::{AttributeTable, Chunk, ValueRef};

use super::Sink;
use super::plan::Group;
use super::shown::ShownSpan;
use crate::key_value;
use crate::protobuf::Writer;

/// What Grafana is told as the service of a resource without attributes: it drops all spans of
/// such a resource (`grafana.md 1.3`).
pub(super) const UNKNOWN_SERVICE: (&str, ValueRef<'static>) =
    ("service.name", ValueRef::String("unknown_service"));

/// The head of `TraceByIDResponse.trace`, whose content has `len` bytes.
pub(super) fn trace_head(len: u64) -> Vec<u8> {
    let mut head = vec![1 << 3 | 2];
    append_varint(&mut head, len);
    head
}

/// `TraceByIDResponse.metrics`, present and empty: what was scanned is said in headers.
pub(super) fn append_empty_metrics(message: &mut Vec<u8>) {
    message.extend_from_slice(&[2 << 3 | 2, 0]);
}

/// `TraceByIDResponse.status` and `message`: a part of the trace is missing.
pub(super) fn append_partial(message: &mut Vec<u8>, missing: &str) {
    const PARTIAL: u8 = 1;
    message.extend_from_slice(&[3 << 3, PARTIAL, 4 << 3 | 2]);
    append_varint(message, missing.len() as u64);
    message.extend_from_slice(missing.as_bytes());
}

/// A `ResourceSpans` without its spans.
pub(super) fn resource_fields(chunk: &Chunk, row: u32) -> Vec<u8> {
    let resources = &chunk.resources;
    let mut writer = Writer::new();
    writer.message(1, |w| {
        if resources.attributes.shape(row).is_empty() {
            let (key, value) = UNKNOWN_SERVICE;
            key_value::append(w, 1, key, value);
        }
        attributes(w, 1, &resources.attributes, row);
        count(w, 2, resources.dropped_attributes.value(row));
        w.raw_fields(resources.entity_refs.value(row as usize));
    });
    text(&mut writer, 3, resources.schema_url.value(row as usize));
    writer.into_bytes()
}

/// A `ScopeSpans` without its spans.
pub(super) fn scope_fields(chunk: &Chunk, row: u32) -> Vec<u8> {
    let scopes = &chunk.scopes;
    let mut writer = Writer::new();
    writer.message(1, |w| {
        text(w, 1, scopes.name.value(row as usize));
        text(w, 2, scopes.version.value(row as usize));
        attributes(w, 3, &scopes.attributes, row);
        count(w, 4, scopes.dropped_attributes.value(row));
    });
    text(&mut writer, 3, scopes.schema_url.value(row as usize));
    writer.into_bytes()
}

/// Appends `ResourceSpans` fields with number 1, as `TracesData` has them.
pub(super) struct ProtobufSink {
    writer: Writer,
    resource_body_start: usize,
    scope_body_start: usize,
}

impl ProtobufSink {
    pub(super) fn append_to(buffer: Vec<u8>) -> Self {
        Self { writer: Writer::append_to(buffer), resource_body_start: 0, scope_body_start: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.writer.clear();
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.writer.into_bytes()
    }
}

impl Sink for ProtobufSink {
    fn open_resource(&mut self, group: &Group) {
        self.resource_body_start = self.writer.start_message(1);
        self.writer.raw_fields(&group.message);
    }

    fn open_scope(&mut self, group: &Group) {
        self.scope_body_start = self.writer.start_message(2);
        self.writer.raw_fields(&group.message);
    }

    fn span(&mut self, span: &ShownSpan<'_>) {
        self.writer.message(2, |w| write_span(w, span));
    }

    fn close_scope(&mut self) {
        self.writer.finish_message(self.scope_body_start);
    }

    fn close_resource(&mut self) {
        self.writer.finish_message(self.resource_body_start);
    }

    fn n_bytes(&self) -> usize {
        self.writer.as_bytes().len()
    }
}

fn write_span(writer: &mut Writer, span: &ShownSpan<'_>) {
    let (chunk, row) = (span.chunk, span.row);
    writer.bytes(1, chunk.trace_id(row).as_bytes());
    writer.bytes(2, &span.span_id.to_be_bytes());
    text(writer, 3, chunk.trace_state.value(row));
    if let Some(parent) = span.parent_span_id {
        writer.bytes(4, &parent.to_be_bytes());
    }
    text(writer, 5, chunk.name.value(row as usize));
    number(writer, 6, chunk.kind.value(row as usize));
    writer.fixed64(7, span.start_unix_nanos as u64);
    writer.fixed64(8, span.end_unix_nanos as u64);
    for (key, value) in span.attributes() {
        key_value::append(writer, 9, key, value);
    }
    count(writer, 10, chunk.dropped_attributes.value(row));
    for event in chunk.events_of(row) {
        writer.message(11, |w| write_event(w, chunk, event));
    }
    count(writer, 12, chunk.dropped_events.value(row));
    for link in chunk.links_of(row) {
        writer.message(13, |w| write_link(w, chunk, link));
    }
    count(writer, 14, chunk.dropped_links.value(row));
    write_status(writer, chunk, row);
    flags(writer, 16, chunk.flags.value(row));
}

fn write_event(writer: &mut Writer, chunk: &Chunk, row: u32) {
    let events = &chunk.events;
    writer.fixed64(1, events.time_unix_nanos.value(row as usize));
    text(writer, 2, events.name.value(row as usize));
    attributes(writer, 3, &events.attributes, row);
    count(writer, 4, events.dropped_attributes.value(row));
}

fn write_link(writer: &mut Writer, chunk: &Chunk, row: u32) {
    let links = &chunk.links;
    writer.bytes(1, links.trace_id.value(row as usize));
    writer.bytes(2, links.span_id.value(row as usize));
    text(writer, 3, links.trace_state.value(row));
    attributes(writer, 4, &links.attributes, row);
    count(writer, 5, links.dropped_attributes.value(row));
    flags(writer, 6, links.flags.value(row));
}

/// Always present: Grafana's reader looks into it without asking (`grafana.md 1.3`).
fn write_status(writer: &mut Writer, chunk: &Chunk, row: u32) {
    let message = chunk.status_message.value(row);
    let code = chunk.status_code.value(row as usize);
    if message.is_empty() && code == 0 {
        writer.bytes(15, &[]);
        return;
    }
    writer.message(15, |w| {
        text(w, 2, message);
        number(w, 3, code);
    });
}

fn attributes(writer: &mut Writer, field: u32, table: &AttributeTable, row: u32) {
    for (key, value) in table.row(row) {
        key_value::append(writer, field, key, value);
    }
}

fn append_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn text(writer: &mut Writer, field: u32, text: &str) {
    if !text.is_empty() {
        writer.bytes(field, text.as_bytes());
    }
}

fn count(writer: &mut Writer, field: u32, value: u32) {
    if value != 0 {
        writer.varint(field, value.into());
    }
}

/// An enum; negative numbers take ten bytes, as protobuf has it.
fn number(writer: &mut Writer, field: u32, value: i32) {
    if value != 0 {
        writer.varint(field, i64::from(value) as u64);
    }
}

fn flags(writer: &mut Writer, field: u32, value: u32) {
    if value != 0 {
        writer.fixed32(field, value);
    }
}

//! Builds chunks, row by row, from what a decoder finds.
//!
//! In: calls in any order of a span's parts (attributes may come before ids), ended by
//! [`TableBuilder::finish_span`]. Out: [`Chunk`]s. What is half written can be abandoned, and
//! finished rows can be taken back to a [`Mark`]: a malformed request, a failed log write and a
//! refused span leave no trace in the table. One copy is made per chunk, into arrays of exact
//! size; the builder keeps its warm buffers (a fresh process pays 0.5 CPU seconds per million
//! spans in page faults otherwise, `storage-probe B`).

mod parts;

use arrow_array::{FixedSizeBinaryArray, UInt64Array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};

use self::parts::{EventsBuilder, LinksBuilder, ResourcesBuilder, ScopesBuilder, push_binary};
use crate::attributes::AttributesBuilder;
use crate::chunk::Chunk;
use crate::columns::{SparseCountsBuilder, SparseStringsBuilder};
use crate::strings::StringsBuilder;
use crate::value::ValueRef;

/// The parts of a span that occur once.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanHead<'a> {
    pub trace_id: [u8; 16],
    pub span_id: u64,
    pub parent_span_id: Option<u64>,
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    pub name: &'a [u8],
    pub kind: i32,
    pub status_code: i32,
    pub status_message: &'a [u8],
    pub trace_state: &'a [u8],
    pub flags: u32,
    pub dropped_attributes: u32,
    pub dropped_events: u32,
    pub dropped_links: u32,
    pub cut_values: u32,
    /// From [`TableBuilder::resource`].
    pub resource: u32,
    /// From [`TableBuilder::scope`].
    pub scope: u32,
}

/// The parts of an event that occur once.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventHead<'a> {
    pub time_unix_nanos: u64,
    pub name: &'a [u8],
    pub dropped_attributes: u32,
}

/// The parts of a link that occur once.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkHead<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub trace_state: &'a [u8],
    pub flags: u32,
    pub dropped_attributes: u32,
}

/// What an attribute belongs to; events, links, resources and scopes are those being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeOwner {
    Span,
    Event,
    Link,
    Resource,
    Scope,
}

/// A place in the table to which it can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Mark {
    rows: u32,
    events: u32,
    links: u32,
}

impl Mark {
    /// How many rows stand before it.
    pub fn rows(&self) -> u32 {
        self.rows
    }
}

#[derive(Debug, Default)]
pub struct TableBuilder {
    trace_id: Vec<[u8; 16]>,
    span_id: Vec<u64>,
    parent_span_id: Vec<u64>,
    has_parent: Vec<bool>,
    start_unix_nanos: Vec<i64>,
    end_unix_nanos: Vec<i64>,
    name: StringsBuilder,
    kind: Vec<i32>,
    status_code: Vec<i32>,
    status_message: SparseStringsBuilder,
    trace_state: SparseStringsBuilder,
    flags: SparseCountsBuilder,
    dropped_attributes: SparseCountsBuilder,
    dropped_events: SparseCountsBuilder,
    dropped_links: SparseCountsBuilder,
    cut_values: SparseCountsBuilder,
    resource: Vec<u32>,
    scope: Vec<u32>,
    attributes: AttributesBuilder,
    events: EventsBuilder,
    links: LinksBuilder,
    resources: ResourcesBuilder,
    scopes: ScopesBuilder,
    /// Bytes of text and binary values pushed since the last clear; taken back rows included.
    value_bytes: usize,
    /// Columns whose memory is part of `value_bytes`, or was there before this chunk.
    n_columns_counted: usize,
    repaired_texts: u64,
}

impl TableBuilder {
    pub fn n_rows(&self) -> u32 {
        self.span_id.len() as u32
    }

    /// The trace of each finished row.
    pub fn trace_ids(&self) -> &[[u8; 16]] {
        &self.trace_id
    }

    /// A measure of the memory taken: text and binary values, and a flat sum per row.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// How many attributes and other texts were not UTF-8 and had to be repaired, since this was
    /// last asked.
    pub fn take_repaired_texts(&mut self) -> u64 {
        std::mem::take(&mut self.repaired_texts)
    }

    /// The place up to which everything is finished.
    pub fn mark(&self) -> Mark {
        Mark {
            rows: self.n_rows(),
            events: self.events.span_row.len() as u32,
            links: self.links.span_row.len() as u32,
        }
    }

    /// The row of a resource that was written before in this chunk, by its bytes as received.
    pub fn find_resource(&self, message: &[u8], schema_url: &[u8]) -> Option<u32> {
        self.resources.interned.find(message, schema_url)
    }

    /// Ends a resource whose attributes were pushed with [`AttributeOwner::Resource`].
    pub fn finish_resource(
        &mut self,
        message: &[u8],
        schema_url: &[u8],
        dropped_attributes: u32,
        entity_refs: &[u8],
    ) -> u32 {
        let resources = &mut self.resources;
        let row = resources.interned.add(message, schema_url);
        self.value_bytes += message.len() + SHARED_BYTES;
        let is_valid = resources.schema_url.push(schema_url);
        resources.dropped_attributes.push(row, dropped_attributes);
        push_binary(&mut resources.entity_refs, entity_refs);
        resources.attributes.finish_row();
        self.count_repair(is_valid);
        row
    }

    /// The row of a scope that was written before in this chunk, by its bytes as received.
    pub fn find_scope(&self, message: &[u8], schema_url: &[u8]) -> Option<u32> {
        self.scopes.interned.find(message, schema_url)
    }

    /// Ends a scope whose attributes were pushed with [`AttributeOwner::Scope`].
    pub fn finish_scope(
        &mut self,
        message: &[u8],
        schema_url: &[u8],
        name: &[u8],
        version: &[u8],
        dropped_attributes: u32,
    ) -> u32 {
        let scopes = &mut self.scopes;
        let row = scopes.interned.add(message, schema_url);
        self.value_bytes += message.len() + SHARED_BYTES;
        let valid = [
            scopes.name.push(name),
            scopes.version.push(version),
            scopes.schema_url.push(schema_url),
        ];
        scopes.dropped_attributes.push(row, dropped_attributes);
        scopes.attributes.finish_row();
        for is_valid in valid {
            self.count_repair(is_valid);
        }
        row
    }

    /// Forgets that resources and scopes were written, not the rows themselves: what comes next is
    /// judged by other limits, so equal bytes may give other rows.
    pub fn forget_shared(&mut self) {
        self.resources.interned.forget();
        self.scopes.interned.forget();
    }

    /// Takes back a resource or scope that turned out to be malformed half-way.
    pub fn abandon(&mut self, owner: AttributeOwner) {
        self.attributes_of(owner).0.abandon_row();
    }

    pub fn push_string(&mut self, owner: AttributeOwner, key: &[u8], text: &[u8]) {
        self.value_bytes += text.len() + ATTRIBUTE_BYTES;
        let (attributes, row) = self.attributes_of(owner);
        let is_valid = attributes.push_string(row, key, text);
        self.count_repair(is_valid);
    }

    pub fn push_bool(&mut self, owner: AttributeOwner, key: &[u8], value: bool) {
        self.push(owner, key, ValueRef::Bool(value));
    }

    pub fn push_int(&mut self, owner: AttributeOwner, key: &[u8], value: i64) {
        self.push(owner, key, ValueRef::Int(value));
    }

    pub fn push_double(&mut self, owner: AttributeOwner, key: &[u8], value: f64) {
        self.push(owner, key, ValueRef::Double(value));
    }

    pub fn push_bytes(&mut self, owner: AttributeOwner, key: &[u8], bytes: &[u8]) {
        self.value_bytes += bytes.len();
        self.push(owner, key, ValueRef::Bytes(bytes));
    }

    /// `message`: an encoded `ArrayValue`.
    pub fn push_array(&mut self, owner: AttributeOwner, key: &[u8], message: &[u8]) {
        self.value_bytes += message.len();
        self.push(owner, key, ValueRef::Array(message));
    }

    /// `message`: an encoded `KeyValueList`.
    pub fn push_map(&mut self, owner: AttributeOwner, key: &[u8], message: &[u8]) {
        self.value_bytes += message.len();
        self.push(owner, key, ValueRef::Map(message));
    }

    pub fn push_empty(&mut self, owner: AttributeOwner, key: &[u8]) {
        self.push(owner, key, ValueRef::Empty);
    }

    /// How many attributes were pushed to what is being written.
    #[inline]
    pub fn attributes_len(&mut self, owner: AttributeOwner) -> usize {
        self.attributes_of(owner).0.current_len()
    }

    /// How many events the span being written has so far.
    pub fn events_len(&self) -> usize {
        let row = self.n_rows();
        self.events.span_row.len() - self.events.span_row.partition_point(|r| *r < row)
    }

    /// How many links the span being written has so far.
    pub fn links_len(&self) -> usize {
        let row = self.n_rows();
        self.links.span_row.len() - self.links.span_row.partition_point(|r| *r < row)
    }

    /// Ends an event of the span being written.
    pub fn finish_event(&mut self, head: EventHead<'_>) {
        let row = self.n_rows();
        let events = &mut self.events;
        let event_row = events.span_row.len() as u32;
        events.span_row.push(row);
        events.time_unix_nanos.push(head.time_unix_nanos);
        let is_valid = events.name.push(head.name);
        events.dropped_attributes.push(event_row, head.dropped_attributes);
        events.attributes.finish_row();
        self.value_bytes += head.name.len() + EVENT_BYTES;
        self.count_repair(is_valid);
    }

    /// Ends a link of the span being written.
    pub fn finish_link(&mut self, head: LinkHead<'_>) {
        let row = self.n_rows();
        let links = &mut self.links;
        let link_row = links.span_row.len() as u32;
        links.span_row.push(row);
        push_binary(&mut links.ids.trace_id, head.trace_id);
        push_binary(&mut links.ids.span_id, head.span_id);
        let is_valid = links.trace_state.push(link_row, head.trace_state);
        links.flags.push(link_row, head.flags);
        links.dropped_attributes.push(link_row, head.dropped_attributes);
        links.attributes.finish_row();
        self.value_bytes += head.trace_state.len() + LINK_BYTES;
        self.count_repair(is_valid);
    }

    /// Ends the span being written; it is the row `n_rows() - 1` now.
    pub fn finish_span(&mut self, head: &SpanHead<'_>) {
        let row = self.n_rows();
        let valid = [
            self.name.push(head.name),
            self.status_message.push(row, head.status_message),
            self.trace_state.push(row, head.trace_state),
        ];
        self.trace_id.push(head.trace_id);
        self.span_id.push(head.span_id);
        self.parent_span_id.push(head.parent_span_id.unwrap_or_default());
        self.has_parent.push(head.parent_span_id.is_some());
        self.start_unix_nanos.push(head.start_unix_nanos);
        self.end_unix_nanos.push(head.end_unix_nanos);
        self.kind.push(head.kind);
        self.status_code.push(head.status_code);
        self.flags.push(row, head.flags);
        self.dropped_attributes.push(row, head.dropped_attributes);
        self.dropped_events.push(row, head.dropped_events);
        self.dropped_links.push(row, head.dropped_links);
        self.cut_values.push(row, head.cut_values);
        self.resource.push(head.resource);
        self.scope.push(head.scope);
        self.attributes.finish_row();
        self.value_bytes += head.name.len() + head.status_message.len() + SPAN_BYTES;
        let n_columns = self.n_columns();
        self.value_bytes += n_columns.saturating_sub(self.n_columns_counted) * COLUMN_BYTES;
        self.n_columns_counted = n_columns;
        for is_valid in valid {
            self.count_repair(is_valid);
        }
    }

    /// Takes back the span being written.
    pub fn abandon_span(&mut self) {
        for owner in [AttributeOwner::Span, AttributeOwner::Event, AttributeOwner::Link] {
            self.abandon(owner);
        }
        let row = self.n_rows();
        let events = self.events.span_row.partition_point(|r| *r < row);
        let links = self.links.span_row.partition_point(|r| *r < row);
        self.events.truncate(events);
        self.links.truncate(links);
    }

    /// Takes back every row after the mark. Resources, scopes and dictionaries keep what they
    /// learnt; no row names it.
    pub fn truncate(&mut self, mark: Mark) {
        self.abandon_span();
        self.abandon(AttributeOwner::Resource);
        self.abandon(AttributeOwner::Scope);
        let rows = mark.rows as usize;
        self.trace_id.truncate(rows);
        self.span_id.truncate(rows);
        self.parent_span_id.truncate(rows);
        self.has_parent.truncate(rows);
        self.start_unix_nanos.truncate(rows);
        self.end_unix_nanos.truncate(rows);
        self.name.truncate(rows);
        self.kind.truncate(rows);
        self.status_code.truncate(rows);
        self.status_message.truncate(mark.rows);
        self.trace_state.truncate(mark.rows);
        self.flags.truncate(mark.rows);
        self.dropped_attributes.truncate(mark.rows);
        self.dropped_events.truncate(mark.rows);
        self.dropped_links.truncate(mark.rows);
        self.cut_values.truncate(mark.rows);
        self.resource.truncate(rows);
        self.scope.truncate(rows);
        self.attributes.truncate(rows);
        self.events.truncate(mark.events as usize);
        self.links.truncate(mark.links as usize);
        self.repaired_texts = 0;
    }

    /// Empties the table for the next chunk and keeps its buffers, keys and experience.
    pub fn clear(&mut self) {
        self.abandon_span();
        self.attributes.clear();
        self.events.attributes.clear();
        self.links.attributes.clear();
        self.truncate(Mark::default());
        self.name.clear();
        self.status_message.clear();
        self.trace_state.clear();
        self.events.name.clear();
        self.links.trace_state.clear();
        self.resources.clear();
        self.scopes.clear();
        self.value_bytes = 0;
        self.n_columns_counted = self.n_columns();
    }

    fn n_columns(&self) -> usize {
        self.attributes.n_columns()
            + self.events.attributes.n_columns()
            + self.links.attributes.n_columns()
    }

    /// Copies all finished rows into an immutable table.
    pub fn freeze(&self) -> Chunk {
        let ids = Buffer::from_slice_ref(self.trace_id.as_flattened());
        let parents = BooleanBuffer::from(self.has_parent.as_slice());
        Chunk {
            trace_id: FixedSizeBinaryArray::new(16, ids, None),
            span_id: self.span_id.clone().into(),
            parent_span_id: UInt64Array::new(
                ScalarBuffer::from(self.parent_span_id.clone()),
                Some(NullBuffer::new(parents)),
            ),
            start_unix_nanos: self.start_unix_nanos.clone().into(),
            end_unix_nanos: self.end_unix_nanos.clone().into(),
            name: self.name.freeze(),
            kind: self.kind.clone().into(),
            status_code: self.status_code.clone().into(),
            status_message: self.status_message.freeze(),
            trace_state: self.trace_state.freeze(),
            flags: self.flags.freeze(),
            dropped_attributes: self.dropped_attributes.freeze(),
            dropped_events: self.dropped_events.freeze(),
            dropped_links: self.dropped_links.freeze(),
            cut_values: self.cut_values.freeze(),
            resource: self.resource.clone().into(),
            scope: self.scope.clone().into(),
            attributes: self.attributes.freeze(),
            events: self.events.freeze(),
            links: self.links.freeze(),
            resources: self.resources.freeze(),
            scopes: self.scopes.freeze(),
        }
    }

    fn push(&mut self, owner: AttributeOwner, key: &[u8], value: ValueRef<'_>) {
        let (attributes, row) = self.attributes_of(owner);
        let is_valid = attributes.push(row, key, value);
        self.value_bytes += ATTRIBUTE_BYTES;
        self.count_repair(is_valid);
    }

    /// The attributes of an owner, and the row of it that is being written.
    #[inline]
    fn attributes_of(&mut self, owner: AttributeOwner) -> (&mut AttributesBuilder, u32) {
        match owner {
            AttributeOwner::Span => {
                let row = self.span_id.len() as u32;
                (&mut self.attributes, row)
            }
            AttributeOwner::Event => {
                let row = self.events.span_row.len() as u32;
                (&mut self.events.attributes, row)
            }
            AttributeOwner::Link => {
                let row = self.links.span_row.len() as u32;
                (&mut self.links.attributes, row)
            }
            AttributeOwner::Resource => {
                let row = self.resources.interned.messages.len() as u32;
                (&mut self.resources.attributes, row)
            }
            AttributeOwner::Scope => {
                let row = self.scopes.interned.messages.len() as u32;
                (&mut self.scopes.attributes, row)
            }
        }
    }

    fn count_repair(&mut self, is_valid: bool) {
        self.repaired_texts += u64::from(!is_valid);
    }
}

/// What a row of each table takes beside its texts, for [`TableBuilder::value_bytes`].
const SPAN_BYTES: usize = 80;
const EVENT_BYTES: usize = 24;
const LINK_BYTES: usize = 40;
const ATTRIBUTE_BYTES: usize = 8;
/// A resource or scope, which is kept twice: as received and as a row.
const SHARED_BYTES: usize = 256;
/// What a key of its own takes before it has values.
const COLUMN_BYTES: usize = 512;

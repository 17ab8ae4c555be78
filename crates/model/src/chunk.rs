//! A chunk: about 16,000 spans of one tenant as Arrow arrays, immutable.
//!
//! Rows stand in the order of the log. Resources and scopes are tables of their own, interned by
//! their bytes as received; events and links are tables that name their span's row.

use std::ops::Range;

use arrow_array::{
    Array, BinaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, UInt32Array, UInt64Array,
};
use suyuan_ids::{SpanId, TraceId};

use crate::attributes::AttributeTable;
use crate::columns::Sparse;
use crate::strings::Strings;
use crate::value::{ValueRef, ValueType};

/// One table of spans. All dense columns have [`Chunk::n_rows`] rows.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// 16 bytes each.
    pub trace_id: FixedSizeBinaryArray,
    /// The 8 bytes read as a big-endian number.
    pub span_id: UInt64Array,
    /// Null where no parent was sent.
    pub parent_span_id: UInt64Array,
    /// Nanoseconds since 1970; before 1970 cannot be said in OTLP.
    pub start_unix_nanos: Int64Array,
    /// May lie before the start: wrong clocks are data.
    pub end_unix_nanos: Int64Array,
    pub name: Strings,
    /// OTLP's `SpanKind`, unknown numbers included.
    pub kind: Int32Array,
    /// OTLP's `StatusCode`, unknown numbers included.
    pub status_code: Int32Array,
    pub status_message: Sparse<Strings>,
    pub trace_state: Sparse<Strings>,
    pub flags: Sparse<UInt32Array>,
    pub dropped_attributes: Sparse<UInt32Array>,
    pub dropped_events: Sparse<UInt32Array>,
    pub dropped_links: Sparse<UInt32Array>,
    /// How many values of the span (its events and links included) were cut to the limit.
    pub cut_values: Sparse<UInt32Array>,
    /// Row in `resources`.
    pub resource: UInt32Array,
    /// Row in `scopes`.
    pub scope: UInt32Array,
    pub attributes: AttributeTable,
    pub events: Events,
    pub links: Links,
    pub resources: Resources,
    pub scopes: Scopes,
}

/// Events in the order received, all events of a span together.
#[derive(Clone, Debug)]
pub struct Events {
    /// Row of the span; ascending.
    pub span_row: UInt32Array,
    pub time_unix_nanos: UInt64Array,
    pub name: Strings,
    pub dropped_attributes: Sparse<UInt32Array>,
    pub attributes: AttributeTable,
}

/// Links in the order received, all links of a span together.
#[derive(Clone, Debug)]
pub struct Links {
    /// Row of the span; ascending.
    pub span_row: UInt32Array,
    /// As sent, of whatever length: a link to a nonsense id is still what the sender said.
    pub trace_id: BinaryArray,
    pub span_id: BinaryArray,
    pub trace_state: Sparse<Strings>,
    pub flags: Sparse<UInt32Array>,
    pub dropped_attributes: Sparse<UInt32Array>,
    pub attributes: AttributeTable,
}

/// What OTLP says once for many spans: `ResourceSpans` without its spans.
#[derive(Clone, Debug)]
pub struct Resources {
    pub schema_url: Strings,
    pub dropped_attributes: Sparse<UInt32Array>,
    /// The `entity_refs` fields of the resource as received, tags included; empty for most.
    pub entity_refs: BinaryArray,
    pub attributes: AttributeTable,
}

/// `ScopeSpans` without its spans.
#[derive(Clone, Debug)]
pub struct Scopes {
    pub name: Strings,
    pub version: Strings,
    pub schema_url: Strings,
    pub dropped_attributes: Sparse<UInt32Array>,
    pub attributes: AttributeTable,
}

impl Chunk {
    /// The same spans with these attributes of theirs.
    pub fn with_attributes(&self, attributes: AttributeTable) -> Self {
        Self {
            trace_id: self.trace_id.clone(),
            span_id: self.span_id.clone(),
            parent_span_id: self.parent_span_id.clone(),
            start_unix_nanos: self.start_unix_nanos.clone(),
            end_unix_nanos: self.end_unix_nanos.clone(),
            name: self.name.clone(),
            kind: self.kind.clone(),
            status_code: self.status_code.clone(),
            status_message: self.status_message.clone(),
            trace_state: self.trace_state.clone(),
            flags: self.flags.clone(),
            dropped_attributes: self.dropped_attributes.clone(),
            dropped_events: self.dropped_events.clone(),
            dropped_links: self.dropped_links.clone(),
            cut_values: self.cut_values.clone(),
            resource: self.resource.clone(),
            scope: self.scope.clone(),
            attributes,
            events: self.events.clone(),
            links: self.links.clone(),
            resources: self.resources.clone(),
            scopes: self.scopes.clone(),
        }
    }

    pub fn n_rows(&self) -> usize {
        self.span_id.len()
    }

    pub fn trace_id(&self, row: u32) -> TraceId {
        let bytes = self.trace_id.value(row as usize);
        TraceId::from_bytes(bytes.try_into().expect("the array's values have 16 bytes"))
    }

    pub fn span_id(&self, row: u32) -> SpanId {
        SpanId::from_bytes(self.span_id.value(row as usize).to_be_bytes())
    }

    /// What was sent as parent, if anything was.
    pub fn parent_span_id(&self, row: u32) -> Option<[u8; 8]> {
        let row = row as usize;
        self.parent_span_id.is_valid(row).then(|| self.parent_span_id.value(row).to_be_bytes())
    }

    /// The rows of `events` that belong to a span.
    pub fn events_of(&self, row: u32) -> Range<u32> {
        range_of(&self.events.span_row, row)
    }

    /// The rows of `links` that belong to a span.
    pub fn links_of(&self, row: u32) -> Range<u32> {
        range_of(&self.links.span_row, row)
    }
}

impl Resources {
    /// The `service.name` of a resource: its first one that is a text; an empty one names none.
    pub fn service_name(&self, row: u32) -> Option<&str> {
        let column = self.attributes.column("service.name", ValueType::String)?;
        let position = column.rows.partition_point(|r| *r < row);
        if column.rows.get(position) != Some(&row) {
            return None;
        }
        match column.value(position) {
            ValueRef::String(name) if !name.is_empty() => Some(name),
            _ => None,
        }
    }
}

fn range_of(span_rows: &UInt32Array, row: u32) -> Range<u32> {
    let rows = span_rows.values();
    let start = rows.partition_point(|r| *r < row);
    let end = start + rows[start..].partition_point(|r| *r == row);
    start as u32..end as u32
}

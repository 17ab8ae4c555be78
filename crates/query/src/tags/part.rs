//! Where the values of an attribute lie in a batch, and reading them there.
//!
//! In: an attribute; then rows of batches that have the columns asked for. Out: the rows' values.
//! Of an array the elements count, if it is one that queries can look into: all of one type. Never
//! here: which rows are asked about.

use std::sync::Arc;

use arrow_array::{Array, BinaryArray};
use suyuan_model::{
    AttributeColumn, AttributeTable, Batch, Chunk, Columns, Field, Resources, Scopes, Sparse,
    Strings, ValueType, Values,
};
use suyuan_traceql::ast::{Attribute, AttributeScope, Intrinsic};

use super::array::elements;
use super::values::{TagValue, ValueSet};
use crate::filter::RowSet;

/// One kind of place that values of an attribute have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Span(Arc<str>),
    Event(Arc<str>),
    Link(Arc<str>),
    Resource(Arc<str>),
    Scope(Arc<str>),
    Name,
    StatusMessage,
    SpanId,
    ParentSpanId,
    EventName,
    EventTimeSinceStart,
    LinkTraceId,
    LinkSpanId,
    ScopeName,
    ScopeVersion,
    Trace(TracePart),
}

/// What is known of a trace as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TracePart {
    Id,
    RootName,
    RootService,
}

impl Part {
    /// None: the attribute has a fixed list of values, or nothing worth offering, such as durations.
    pub(super) fn all_of(attribute: &Attribute) -> Vec<Self> {
        match attribute {
            Attribute::Named { scope, name } => {
                let name = name.clone();
                match scope {
                    AttributeScope::Any => vec![Self::Span(name.clone()), Self::Resource(name)],
                    AttributeScope::Span => vec![Self::Span(name)],
                    AttributeScope::Resource => vec![Self::Resource(name)],
                    AttributeScope::Event => vec![Self::Event(name)],
                    AttributeScope::Link => vec![Self::Link(name)],
                    AttributeScope::Instrumentation => vec![Self::Scope(name)],
                }
            }
            Attribute::Parent { .. } => Vec::new(),
            Attribute::Intrinsic(intrinsic) => Self::of_intrinsic(*intrinsic).into_iter().collect(),
        }
    }

    fn of_intrinsic(intrinsic: Intrinsic) -> Option<Self> {
        Some(match intrinsic {
            Intrinsic::Name => Self::Name,
            Intrinsic::StatusMessage => Self::StatusMessage,
            Intrinsic::SpanId => Self::SpanId,
            Intrinsic::ParentId => Self::ParentSpanId,
            Intrinsic::EventName => Self::EventName,
            Intrinsic::EventTimeSinceStart => Self::EventTimeSinceStart,
            Intrinsic::LinkTraceId => Self::LinkTraceId,
            Intrinsic::LinkSpanId => Self::LinkSpanId,
            Intrinsic::InstrumentationName => Self::ScopeName,
            Intrinsic::InstrumentationVersion => Self::ScopeVersion,
            Intrinsic::TraceId => Self::Trace(TracePart::Id),
            Intrinsic::TraceRootName => Self::Trace(TracePart::RootName),
            Intrinsic::TraceRootService => Self::Trace(TracePart::RootService),
            Intrinsic::TraceDuration
            | Intrinsic::Duration
            | Intrinsic::Kind
            | Intrinsic::Status
            | Intrinsic::ChildCount
            | Intrinsic::NestedSetLeft
            | Intrinsic::NestedSetRight
            | Intrinsic::NestedSetParent
            | Intrinsic::Parent => return None,
        })
    }

    /// What [`Self::add_values`] reads.
    pub(super) fn columns(&self) -> Columns {
        let mut columns = Columns::default();
        match self {
            Self::Span(key) => columns.add_span_key(key),
            Self::Event(key) => columns.add_event_key(key),
            Self::Link(key) => columns.add_link_key(key),
            Self::Resource(_) => columns.add(Field::Resource),
            Self::Scope(_) | Self::ScopeName | Self::ScopeVersion => columns.add(Field::Scope),
            Self::Name => columns.add(Field::Name),
            Self::StatusMessage => columns.add(Field::StatusMessage),
            Self::SpanId => columns.add(Field::SpanId),
            Self::ParentSpanId => columns.add(Field::ParentSpanId),
            Self::EventName => columns.add(Field::EventName),
            Self::EventTimeSinceStart => {
                columns.add(Field::EventTime);
                columns.add(Field::Start);
            }
            Self::LinkTraceId | Self::LinkSpanId => columns.add(Field::LinkIds),
            Self::Trace(_) => {}
        }
        columns
    }

    /// Adds the values of some rows. What is known of whole traces is not in a batch.
    pub(super) fn add_values(&self, batch: &Batch, rows: &RowSet, values: &mut ValueSet) {
        let chunk = &*batch.chunk;
        match self {
            Self::Span(key) => add_key(&chunk.attributes, key, rows, values),
            Self::Event(key) => {
                let events = side_rows(chunk.events.span_row.values(), rows);
                add_key(&chunk.events.attributes, key, &events, values);
            }
            Self::Link(key) => {
                let links = side_rows(chunk.links.span_row.values(), rows);
                add_key(&chunk.links.attributes, key, &links, values);
            }
            Self::Resource(key) => {
                let resources = numbers_of(chunk.resource.values(), rows, n_of(&chunk.resources));
                add_key(&chunk.resources.attributes, key, &resources, values);
            }
            Self::Scope(key) => {
                add_key(&chunk.scopes.attributes, key, &scopes_of(chunk, rows), values);
            }
            Self::ScopeName => {
                add_given(&chunk.scopes.name, &scopes_of(chunk, rows), values);
            }
            Self::ScopeVersion => {
                add_given(&chunk.scopes.version, &scopes_of(chunk, rows), values);
            }
            Self::Name => add_texts(&chunk.name, rows.iter(), values),
            Self::StatusMessage => add_sparse(&chunk.status_message, rows, values),
            Self::SpanId => rows.iter().for_each(|row| {
                values.add_text(&format!("{:016x}", chunk.span_id.value(row as usize)));
            }),
            Self::ParentSpanId => {
                let parents = &chunk.parent_span_id;
                let named =
                    rows.iter().map(|row| row as usize).filter(|row| parents.is_valid(*row));
                named.for_each(|row| values.add_text(&format!("{:016x}", parents.value(row))));
            }
            Self::EventName => {
                let events = side_rows(chunk.events.span_row.values(), rows);
                add_texts(&chunk.events.name, events.iter(), values);
            }
            Self::EventTimeSinceStart => add_event_times(chunk, rows, values),
            Self::LinkTraceId => add_ids(chunk, &chunk.links.trace_id, rows, values),
            Self::LinkSpanId => add_ids(chunk, &chunk.links.span_id, rows, values),
            Self::Trace(_) => {}
        }
    }
}

/// How many resources there are.
pub(super) fn n_of(resources: &Resources) -> u32 {
    resources.schema_url.len() as u32
}

/// How many scopes there are.
pub(super) fn n_of_scopes(scopes: &Scopes) -> u32 {
    scopes.name.len() as u32
}

fn scopes_of(chunk: &Chunk, rows: &RowSet) -> RowSet {
    numbers_of(chunk.scope.values(), rows, n_of_scopes(&chunk.scopes))
}

/// Which of `n` resources or scopes the rows have.
pub(super) fn numbers_of(numbers: &[u32], rows: &RowSet, n: u32) -> RowSet {
    RowSet::of(n, rows.iter().map(|row| numbers[row as usize]))
}

/// The events or links of rows.
pub(super) fn side_rows(span_rows: &[u32], rows: &RowSet) -> RowSet {
    let events = span_rows.iter().zip(0..).filter(|(row, _)| rows.contains(**row));
    RowSet::of(span_rows.len() as u32, events.map(|(_, event)| event))
}

/// The values of a key of some rows of a table.
pub(super) fn add_key(table: &AttributeTable, key: &str, rows: &RowSet, values: &mut ValueSet) {
    for column in table.columns.iter().filter(|column| &*column.key == key) {
        add_column(column, rows, values);
    }
}

fn add_column(column: &AttributeColumn, rows: &RowSet, values: &mut ValueSet) {
    let of_rows = &column.rows;
    // Of a key that a row has twice the first value counts, as in queries.
    let is_asked = |place: &u32| {
        let place = *place as usize;
        rows.contains(of_rows[place]) && (place == 0 || of_rows[place - 1] != of_rows[place])
    };
    let mut places = (0..of_rows.len() as u32).filter(is_asked);
    match &column.values {
        Values::Empty => {}
        Values::String(texts) => add_texts(texts, places, values),
        Values::Bool(array) => {
            places.for_each(|place| values.add(TagValue::Bool(array.value(place as usize))));
        }
        Values::Int(array) => {
            places.for_each(|place| values.add(TagValue::Int(array.value(place as usize))));
        }
        Values::Double(array) => {
            places.for_each(|place| values.add(TagValue::Float(array.value(place as usize))));
        }
        Values::Binary(arrays) if column.value_type == ValueType::Array => {
            while let Some(place) = places.next()
                && !values.is_cut()
            {
                let array = arrays.value(place as usize);
                elements(array).into_iter().flatten().for_each(|value| values.add(value));
            }
        }
        Values::Binary(_) => {}
    }
}

fn add_texts(texts: &Strings, places: impl Iterator<Item = u32>, values: &mut ValueSet) {
    match texts {
        Strings::Dictionary { codes, values: distinct } => {
            let seen = RowSet::of(distinct.len() as u32, places.map(|place| codes[place as usize]));
            seen.iter().for_each(|code| values.add_text(distinct.value(code as usize)));
        }
        Strings::Plain(texts) => {
            places.for_each(|place| values.add_text(texts.value(place as usize)));
        }
    }
}

/// Texts of scopes that are given: an empty one says that nothing was sent.
pub(super) fn add_given(texts: &Strings, scopes: &RowSet, values: &mut ValueSet) {
    let given = scopes.iter().filter(|scope| !texts.value(*scope as usize).is_empty());
    add_texts(texts, given, values);
}

fn add_sparse(texts: &Sparse<Strings>, rows: &RowSet, values: &mut ValueSet) {
    let asked = texts.rows.iter().zip(0..).filter(|(row, _)| rows.contains(**row));
    add_texts(&texts.values, asked.map(|(_, place)| place), values);
}

fn add_event_times(chunk: &Chunk, rows: &RowSet, values: &mut ValueSet) {
    let events = &chunk.events;
    for (row, time) in events.span_row.values().iter().zip(events.time_unix_nanos.values()) {
        if rows.contains(*row) {
            let start = chunk.start_unix_nanos.value(*row as usize);
            values.add(TagValue::DurationNanos((*time as i64).wrapping_sub(start)));
        }
    }
}

fn add_ids(chunk: &Chunk, ids: &BinaryArray, rows: &RowSet, values: &mut ValueSet) {
    for link in side_rows(chunk.links.span_row.values(), rows).iter() {
        values.add_text(&hex(ids.value(link as usize)));
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

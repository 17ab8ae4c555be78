//! What an answer shows of a span: the attributes that the query reads.
//!
//! In: what is read, and rows of batches. Out: values by key. The key is the bare name, whatever the
//! attribute belongs to; of two that share one the first that the span has is shown. Names, times,
//! root names and the span's and trace's ids are no attributes: they have places of their own
//! (`tempo.md` 2.7). What a span has not is left out.

use std::sync::Arc;

use suyuan_model::{AttributeTable, Batch, Columns, Field, ValueRef};
use suyuan_store::SpanStructure;
use suyuan_traceql::ast::{Attribute, AttributeScope, Intrinsic, Kind, Status, Value};
use suyuan_traceql::print;

use super::json_text::json_text;
use super::{AnswerValue, FoundSpan};
use crate::filter::TraceNeeds;

const SERVICE_NAME: &str = "service.name";

/// What is shown of every span.
#[derive(Debug)]
pub(crate) struct Shown {
    shows_name: bool,
    /// By key.
    attributes: Vec<(Arc<str>, Attribute)>,
    columns: Columns,
    needs: TraceNeeds,
}

impl Shown {
    pub(crate) fn new<'a>(read: impl Iterator<Item = &'a Attribute>) -> Self {
        let columns =
            Columns::default().with(Field::SpanId).with(Field::Start).with(Field::Duration);
        let mut shown =
            Self { shows_name: false, attributes: Vec::new(), columns, needs: TraceNeeds::Nothing };
        read.for_each(|attribute| shown.add(attribute));
        // Stable: of those that share a key the first read goes before.
        shown.attributes.sort_by(|one, other| one.0.cmp(&other.0));
        shown
    }

    /// Columns of the rows shown; those of a block also say what a row's place in its trace is.
    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(super) fn needs(&self) -> TraceNeeds {
        self.needs
    }

    fn add(&mut self, attribute: &Attribute) {
        let is_known = |known: &(Arc<str>, Attribute)| known.1 == *attribute;
        if self.attributes.iter().any(is_known) {
            return;
        }
        let key = match attribute {
            Attribute::Parent { .. } => return,
            Attribute::Named { scope, name } => {
                self.add_columns(*scope, name);
                name.clone()
            }
            Attribute::Intrinsic(intrinsic) => {
                if !self.add_intrinsic(*intrinsic) {
                    return;
                }
                print::attribute(attribute).into()
            }
        };
        self.attributes.push((key, attribute.clone()));
    }

    fn add_columns(&mut self, scope: AttributeScope, name: &Arc<str>) {
        match scope {
            AttributeScope::Any => {
                self.columns.add_span_key(name);
                self.columns.add(Field::Resource);
            }
            AttributeScope::Span => self.columns.add_span_key(name),
            AttributeScope::Resource => self.columns.add(Field::Resource),
            AttributeScope::Event => self.columns.add_event_key(name),
            AttributeScope::Link => self.columns.add_link_key(name),
            AttributeScope::Instrumentation => self.columns.add(Field::Scope),
        }
    }

    /// Whether it is shown as an attribute.
    fn add_intrinsic(&mut self, intrinsic: Intrinsic) -> bool {
        let field = match intrinsic {
            Intrinsic::Name => {
                self.shows_name = true;
                self.columns.add(Field::Name);
                return false;
            }
            Intrinsic::TraceDuration
            | Intrinsic::TraceRootName
            | Intrinsic::TraceRootService
            | Intrinsic::TraceId
            | Intrinsic::Duration
            | Intrinsic::SpanId
            | Intrinsic::Parent => return false,
            Intrinsic::ChildCount
            | Intrinsic::NestedSetLeft
            | Intrinsic::NestedSetRight
            | Intrinsic::NestedSetParent => {
                self.needs = TraceNeeds::Structure;
                return true;
            }
            Intrinsic::ParentId => {
                self.needs = self.needs.max(TraceNeeds::Parents);
                Field::ParentSpanId
            }
            Intrinsic::Kind => Field::Kind,
            Intrinsic::Status => Field::StatusCode,
            Intrinsic::StatusMessage => Field::StatusMessage,
            Intrinsic::EventName => Field::EventName,
            Intrinsic::EventTimeSinceStart => Field::EventTime,
            Intrinsic::LinkTraceId | Intrinsic::LinkSpanId => Field::LinkIds,
            Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion => Field::Scope,
        };
        self.columns.add(field);
        true
    }

    /// A row of a batch that has the columns. `structure`: if it is needed.
    pub(super) fn span(
        &self,
        batch: &Batch,
        row: u32,
        structure: Option<&SpanStructure>,
    ) -> FoundSpan {
        let chunk = &batch.chunk;
        let at = row as usize;
        let mut attributes: Vec<(Arc<str>, AnswerValue)> =
            Vec::with_capacity(self.attributes.len());
        for (key, attribute) in &self.attributes {
            if attributes.last().is_some_and(|last| last.0 == *key) {
                continue;
            }
            if let Some(value) = value_of(attribute, batch, row, structure) {
                attributes.push((key.clone(), value));
            }
        }
        FoundSpan {
            id: chunk.span_id(row),
            name: self.shows_name.then(|| chunk.name.value(at).into()),
            start_unix_nanos: chunk.start_unix_nanos.value(at),
            duration_nanos: batch.duration_nanos(row),
            attributes,
        }
    }
}

fn value_of(
    attribute: &Attribute,
    batch: &Batch,
    row: u32,
    structure: Option<&SpanStructure>,
) -> Option<AnswerValue> {
    match attribute {
        Attribute::Parent { .. } => None,
        Attribute::Intrinsic(intrinsic) => intrinsic_of(*intrinsic, batch, row, structure),
        Attribute::Named { scope, name } => named(*scope, name, batch, row),
    }
}

fn named(scope: AttributeScope, name: &str, batch: &Batch, row: u32) -> Option<AnswerValue> {
    let chunk = &batch.chunk;
    let of_span = || first(&chunk.attributes, name, row);
    let of_resource = || {
        let resource = chunk.resource.value(row as usize);
        let found = first(&chunk.resources.attributes, name, resource);
        found.or_else(|| (name == SERVICE_NAME).then(|| AnswerValue::String("".into())))
    };
    match scope {
        AttributeScope::Any => of_span().or_else(of_resource),
        AttributeScope::Span => of_span(),
        AttributeScope::Resource => of_resource(),
        AttributeScope::Event => {
            let mut events = chunk.events_of(row).rev();
            events.find_map(|event| first(&chunk.events.attributes, name, event))
        }
        AttributeScope::Link => {
            let mut links = chunk.links_of(row).rev();
            links.find_map(|link| first(&chunk.links.attributes, name, link))
        }
        AttributeScope::Instrumentation => {
            first(&chunk.scopes.attributes, name, chunk.scope.value(row as usize))
        }
    }
}

/// The value that counts of a key: of several types the one that stands first among types.
fn first(table: &AttributeTable, key: &str, row: u32) -> Option<AnswerValue> {
    let columns = table.columns.iter().filter(|column| *column.key == *key);
    let values = columns.filter_map(|column| {
        let place = column.rows.partition_point(|known| *known < row);
        let has_row = column.rows.get(place) == Some(&row);
        has_row.then(|| (column.value_type, column.value(place)))
    });
    let (_, value) = values
        .filter(|(_, value)| *value != ValueRef::Empty)
        .min_by_key(|(value_type, _)| *value_type)?;
    Some(answer_value(value))
}

fn answer_value(value: ValueRef<'_>) -> AnswerValue {
    match value {
        ValueRef::String(text) => AnswerValue::String(text.into()),
        ValueRef::Bool(value) => AnswerValue::Bool(value),
        ValueRef::Int(value) => AnswerValue::Int(value),
        ValueRef::Double(value) => AnswerValue::Double(value),
        ValueRef::Empty | ValueRef::Bytes(_) | ValueRef::Array(_) | ValueRef::Map(_) => {
            AnswerValue::String(json_text(value).into())
        }
    }
}

fn intrinsic_of(
    intrinsic: Intrinsic,
    batch: &Batch,
    row: u32,
    structure: Option<&SpanStructure>,
) -> Option<AnswerValue> {
    let chunk = &batch.chunk;
    let at = row as usize;
    let text = |text: &str| Some(AnswerValue::String(text.into()));
    match intrinsic {
        Intrinsic::Kind => Some(kind(chunk.kind.value(at))),
        Intrinsic::Status => Some(status(chunk.status_code.value(at))),
        Intrinsic::StatusMessage => text(chunk.status_message.value(row)),
        Intrinsic::ParentId => {
            let parent = chunk.parent_span_id(row).unwrap_or_default();
            text(&format!("{:016x}", u64::from_be_bytes(parent)))
        }
        Intrinsic::ChildCount => Some(AnswerValue::Int(structure?.n_children.into())),
        Intrinsic::NestedSetLeft => Some(AnswerValue::Int(structure?.left.into())),
        Intrinsic::NestedSetRight => Some(AnswerValue::Int(structure?.right.into())),
        Intrinsic::NestedSetParent => Some(AnswerValue::Int(structure?.parent)),
        Intrinsic::EventName => {
            let event = chunk.events_of(row).next_back()?;
            text(chunk.events.name.value(event as usize))
        }
        Intrinsic::EventTimeSinceStart => {
            let event = chunk.events_of(row).next_back()?;
            let time = chunk.events.time_unix_nanos.value(event as usize) as i64;
            let since = time.wrapping_sub(chunk.start_unix_nanos.value(at));
            text(&print::value(&Value::DurationNanos(since)))
        }
        Intrinsic::LinkTraceId => {
            let link = chunk.links_of(row).next_back()?;
            text(&hex(chunk.links.trace_id.value(link as usize)))
        }
        Intrinsic::LinkSpanId => {
            let link = chunk.links_of(row).next_back()?;
            text(&hex(chunk.links.span_id.value(link as usize)))
        }
        Intrinsic::InstrumentationName => {
            text(chunk.scopes.name.value(chunk.scope.value(at) as usize))
        }
        Intrinsic::InstrumentationVersion => {
            text(chunk.scopes.version.value(chunk.scope.value(at) as usize))
        }
        Intrinsic::Name
        | Intrinsic::TraceDuration
        | Intrinsic::TraceRootName
        | Intrinsic::TraceRootService
        | Intrinsic::TraceId
        | Intrinsic::Duration
        | Intrinsic::SpanId
        | Intrinsic::Parent => None,
    }
}

/// A number that has no word is shown as it is.
fn kind(number: i32) -> AnswerValue {
    let kind = match number {
        0 => Kind::Unspecified,
        1 => Kind::Internal,
        2 => Kind::Server,
        3 => Kind::Client,
        4 => Kind::Producer,
        5 => Kind::Consumer,
        other => return AnswerValue::Int(other.into()),
    };
    AnswerValue::String(print::value(&Value::Kind(kind)).into())
}

fn status(number: i32) -> AnswerValue {
    let status = match number {
        0 => Status::Unset,
        1 => Status::Ok,
        2 => Status::Error,
        other => return AnswerValue::Int(other.into()),
    };
    AnswerValue::String(print::value(&Value::Status(status)).into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! The values of one row, the plain way.
//!
//! In: a batch and a row of it, perhaps with one of its events and one of its links. Out: values of
//! attributes. A column that was not asked for is empty: its attributes are missing here.

use suyuan_model::{AttributeTable, Batch, Resources, Scopes, ValueRef, ValueType};
use suyuan_traceql::ast::{Attribute, AttributeScope, Intrinsic};

use super::expr::Values;
use super::scalar::Scalar;
use super::traces::{TraceContext, TraceFacts};

#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) batch: &'a Batch,
    pub(super) traces: Option<&'a TraceContext<'a>>,
    pub(super) row: u32,
    pub(super) event: Option<u32>,
    pub(super) link: Option<u32>,
}

impl Values for Row<'_> {
    fn value(&self, attribute: &Attribute) -> Scalar<'_> {
        let chunk = &*self.batch.chunk;
        match attribute {
            Attribute::Intrinsic(intrinsic) => self.intrinsic(*intrinsic),
            Attribute::Parent { .. } => Scalar::Nil,
            Attribute::Named { scope, name } => match scope {
                AttributeScope::Span => value_of(&chunk.attributes, self.row, name),
                AttributeScope::Resource => self.resource(name),
                AttributeScope::Any => match value_of(&chunk.attributes, self.row, name) {
                    Scalar::Nil => self.resource(name),
                    found => found,
                },
                AttributeScope::Instrumentation => {
                    scope_value(&chunk.scopes, chunk.scope.value(self.row as usize), attribute)
                }
                AttributeScope::Event => self
                    .event
                    .map_or(Scalar::Wrong, |event| value_of(&chunk.events.attributes, event, name)),
                AttributeScope::Link => self
                    .link
                    .map_or(Scalar::Wrong, |link| value_of(&chunk.links.attributes, link, name)),
            },
        }
    }
}

impl<'a> Row<'a> {
    fn resource(&self, name: &str) -> Scalar<'a> {
        let chunk = &*self.batch.chunk;
        resource_value(&chunk.resources, chunk.resource.value(self.row as usize), name)
    }

    pub(super) fn intrinsic(&self, intrinsic: Intrinsic) -> Scalar<'a> {
        let chunk = &*self.batch.chunk;
        let at = self.row as usize;
        match intrinsic {
            Intrinsic::Duration => Scalar::Nanos(self.batch.duration_nanos(self.row)),
            Intrinsic::Name => Scalar::text(chunk.name.value(at)),
            Intrinsic::Kind => Scalar::Kind(chunk.kind.value(at)),
            Intrinsic::Status => Scalar::Status(chunk.status_code.value(at)),
            Intrinsic::StatusMessage => Scalar::text(chunk.status_message.value(self.row)),
            Intrinsic::TraceId => Scalar::Id(chunk.trace_id(self.row).to_string()),
            Intrinsic::SpanId => Scalar::Id(span_digits(chunk.span_id.value(at))),
            Intrinsic::ParentId => {
                let parent = chunk.parent_span_id(self.row).map_or(0, u64::from_be_bytes);
                Scalar::Id(span_digits(parent))
            }
            Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion => {
                scope_intrinsic(&chunk.scopes, chunk.scope.value(at), intrinsic)
            }
            Intrinsic::EventName | Intrinsic::EventTimeSinceStart => {
                self.event.map_or(Scalar::Wrong, |event| self.event_intrinsic(event, intrinsic))
            }
            Intrinsic::LinkTraceId | Intrinsic::LinkSpanId => {
                self.link.map_or(Scalar::Wrong, |link| self.link_intrinsic(link, intrinsic))
            }
            Intrinsic::Parent => Scalar::Nil,
            _ => self.of_trace(intrinsic).unwrap_or(Scalar::Wrong),
        }
    }

    fn event_intrinsic(&self, event: u32, intrinsic: Intrinsic) -> Scalar<'a> {
        let chunk = &*self.batch.chunk;
        let event = event as usize;
        if intrinsic == Intrinsic::EventName {
            return Scalar::text(chunk.events.name.value(event));
        }
        let time = chunk.events.time_unix_nanos.value(event) as i64;
        Scalar::Nanos(time.wrapping_sub(chunk.start_unix_nanos.value(self.row as usize)))
    }

    fn link_intrinsic(&self, link: u32, intrinsic: Intrinsic) -> Scalar<'a> {
        let links = &self.batch.chunk.links;
        let ids =
            if intrinsic == Intrinsic::LinkTraceId { &links.trace_id } else { &links.span_id };
        Scalar::Id(digits(ids.value(link as usize)))
    }

    /// None if nothing is known of the trace.
    fn of_trace(&self, intrinsic: Intrinsic) -> Option<Scalar<'a>> {
        let traces = self.traces?;
        let at = self.row as usize;
        let facts = || -> Option<&TraceFacts<'a>> {
            traces.facts.get(*traces.trace_of_row.get(at)? as usize)
        };
        let structure = || traces.structure?.get(at);
        Some(match intrinsic {
            Intrinsic::TraceDuration => Scalar::Nanos(facts()?.duration_nanos),
            Intrinsic::TraceRootName => Scalar::text(facts()?.root_name.unwrap_or_default()),
            Intrinsic::TraceRootService => Scalar::text(facts()?.root_service.unwrap_or_default()),
            Intrinsic::ChildCount => Scalar::Int(i64::from(structure()?.n_children)),
            Intrinsic::NestedSetLeft => Scalar::Int(i64::from(structure()?.left)),
            Intrinsic::NestedSetRight => Scalar::Int(i64::from(structure()?.right)),
            Intrinsic::NestedSetParent => Scalar::Int(structure()?.parent),
            _ => return None,
        })
    }
}

/// An attribute of a resource; `service.name` is never missing.
pub(super) fn resource_value<'a>(resources: &'a Resources, number: u32, name: &str) -> Scalar<'a> {
    match value_of(&resources.attributes, number, name) {
        Scalar::Nil if name == "service.name" => Scalar::text(""),
        found => found,
    }
}

/// An attribute or intrinsic of a scope.
pub(super) fn scope_value<'a>(scopes: &'a Scopes, number: u32, asked: &Attribute) -> Scalar<'a> {
    match asked {
        Attribute::Intrinsic(intrinsic) => scope_intrinsic(scopes, number, *intrinsic),
        Attribute::Named { name, .. } => value_of(&scopes.attributes, number, name),
        Attribute::Parent { .. } => Scalar::Nil,
    }
}

fn scope_intrinsic(scopes: &Scopes, number: u32, intrinsic: Intrinsic) -> Scalar<'_> {
    let is_name = intrinsic == Intrinsic::InstrumentationName;
    let texts = if is_name { &scopes.name } else { &scopes.version };
    Scalar::text(texts.value(number as usize))
}

/// The value of a key: of the type that stands first in [`ValueType`], the first one.
fn value_of<'a>(table: &'a AttributeTable, row: u32, key: &str) -> Scalar<'a> {
    let mut found: Option<(ValueType, ValueRef<'a>)> = None;
    for column in table.columns.iter().filter(|column| &*column.key == key) {
        let position = column.rows.partition_point(|other| *other < row);
        if column.rows.get(position) == Some(&row)
            && found.is_none_or(|(value_type, _)| column.value_type < value_type)
        {
            found = Some((column.value_type, column.value(position)));
        }
    }
    found.map_or(Scalar::Nil, |(_, value)| Scalar::of_value(value))
}

pub(super) fn span_digits(id: u64) -> String {
    format!("{id:016x}")
}

pub(super) fn trace_digits(id: u128) -> String {
    format!("{id:032x}")
}

fn digits(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string takes whatever is written");
        digits
    })
}

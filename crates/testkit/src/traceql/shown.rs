//! What an answer shows of a span: the attributes that the query reads, by their bare keys.
//!
//! In: a filter, spans that it found. Out: their values, those that a span has. Names, times, root
//! names and the ids of span and trace are no attributes. Of attributes that share a key the first
//! read that the span has is shown; of several events and links the last that has it.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use suyuan_traceql::ast::{
    Attribute, AttributeScope, FieldExpr, FieldKind, Intrinsic, Kind, Status, Value,
};
use suyuan_traceql::print;

use super::evaluate::Subject;
use super::span::{RefAttributes, RefSpan, RefValue, attribute};

/// A value as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefShown {
    Text(String),
    Bool(bool),
    Int(i64),
    /// Its bits.
    Double(u64),
}

/// What a filter reads, in its order.
pub struct Reads<'a>(Vec<&'a Attribute>);

impl<'a> Reads<'a> {
    pub fn of(filter: &'a FieldExpr) -> Self {
        let mut read = Vec::new();
        collect(filter, &mut read);
        Self(read)
    }

    pub fn name(&self) -> bool {
        self.0.iter().any(|read| matches!(read, Attribute::Intrinsic(Intrinsic::Name)))
    }

    /// By key.
    pub fn shown(&self, subject: Subject<'_>) -> Vec<(String, RefShown)> {
        let mut shown = BTreeMap::new();
        for read in &self.0 {
            let (key, value) = match read {
                Attribute::Named { scope, name } => {
                    (name.to_string(), named(*scope, name, subject.spans[subject.number]))
                }
                Attribute::Intrinsic(asked) => (print::attribute(read), intrinsic(*asked, subject)),
                Attribute::Parent { .. } => continue,
            };
            if let Some(value) = value {
                shown.entry(key).or_insert(value);
            }
        }
        shown.into_iter().collect()
    }
}

/// A key that is text on one span and no text on another is text on all spans of an answer; and so
/// with truth values and numbers.
pub fn make_uniform<'a>(spans: impl Iterator<Item = &'a mut Vec<(String, RefShown)>>) {
    let mut values: Vec<&mut (String, RefShown)> = spans.flatten().collect();
    let class = |value: &RefShown| match value {
        RefShown::Text(_) => 0,
        RefShown::Bool(_) => 1,
        RefShown::Int(_) | RefShown::Double(_) => 2,
    };
    let classes: BTreeSet<(String, u8)> =
        values.iter().map(|(key, value)| (key.clone(), class(value))).collect();
    for (key, value) in &mut values {
        if classes.iter().filter(|(other, _)| other == key).count() > 1 {
            *value = RefShown::Text(match &*value {
                RefShown::Text(text) => text.clone(),
                RefShown::Bool(value) => value.to_string(),
                RefShown::Int(value) => value.to_string(),
                RefShown::Double(bits) => f64::from_bits(*bits).to_string(),
            });
        }
    }
}

fn collect<'a>(expr: &'a FieldExpr, read: &mut Vec<&'a Attribute>) {
    match &expr.kind {
        FieldKind::Literal(_) => {}
        FieldKind::Attribute(attribute) => read.push(attribute),
        FieldKind::Unary { expr, .. } => collect(expr, read),
        FieldKind::Binary { left, right, .. } => {
            collect(left, read);
            collect(right, read);
        }
    }
}

fn named(scope: AttributeScope, key: &str, span: &RefSpan) -> Option<RefShown> {
    let of = |attributes: &RefAttributes| {
        let mut said = attributes.clone();
        said.retain(|(_, value)| *value != RefValue::Empty);
        attribute(&said, key).map(shown)
    };
    let of_resource = || {
        let no_service = || (key == "service.name").then(|| RefShown::Text(String::new()));
        of(&span.resource).or_else(no_service)
    };
    match scope {
        AttributeScope::Any => of(&span.attributes).or_else(of_resource),
        AttributeScope::Span => of(&span.attributes),
        AttributeScope::Resource => of_resource(),
        AttributeScope::Event => span.events.iter().rev().find_map(|event| of(&event.attributes)),
        AttributeScope::Link => span.links.iter().rev().find_map(|link| of(&link.attributes)),
        AttributeScope::Instrumentation => of(&span.scope_attributes),
    }
}

fn shown(value: &RefValue) -> RefShown {
    match value {
        RefValue::Text(text) => RefShown::Text(text.clone()),
        RefValue::Bool(value) => RefShown::Bool(*value),
        RefValue::Int(value) => RefShown::Int(*value),
        RefValue::Double(value) => RefShown::Double(value.to_bits()),
        other => RefShown::Text(json(other)),
    }
}

fn json(value: &RefValue) -> String {
    match value {
        RefValue::Empty => "null".to_owned(),
        // Spans at random have no letters that Rust and JSON write differently.
        RefValue::Text(text) => format!("{text:?}"),
        RefValue::Bool(value) => value.to_string(),
        RefValue::Int(value) => value.to_string(),
        RefValue::Double(value) if value.is_finite() => value.to_string(),
        RefValue::Double(value) => format!("\"{value}\""),
        RefValue::Bytes(bytes) => format!("{:?}", STANDARD.encode(bytes)),
        RefValue::Array(values) => {
            format!("[{}]", values.iter().map(json).collect::<Vec<_>>().join(","))
        }
        RefValue::Map(attributes) => {
            let pair = |(key, value): &(String, RefValue)| format!("{key:?}:{}", json(value));
            format!("{{{}}}", attributes.iter().map(pair).collect::<Vec<_>>().join(","))
        }
    }
}

fn intrinsic(asked: Intrinsic, subject: Subject<'_>) -> Option<RefShown> {
    let span = subject.spans[subject.number];
    let place = subject.facts.places[subject.number];
    let (event, link) = (span.events.last(), span.links.last());
    let text = |text: String| Some(RefShown::Text(text));
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match asked {
        Intrinsic::Kind => Some(kind(span.kind)),
        Intrinsic::Status => Some(status(span.status_code)),
        Intrinsic::StatusMessage => text(span.status_message.clone()),
        Intrinsic::ParentId => text(format!("{:016x}", span.parent_span_id.unwrap_or_default())),
        Intrinsic::ChildCount => Some(RefShown::Int(place.n_children)),
        Intrinsic::NestedSetLeft => Some(RefShown::Int(place.left)),
        Intrinsic::NestedSetRight => Some(RefShown::Int(place.right)),
        Intrinsic::NestedSetParent => Some(RefShown::Int(place.parent)),
        Intrinsic::EventName => text(event?.name.clone()),
        Intrinsic::EventTimeSinceStart => {
            let nanos = (event?.time_unix_nanos as i64).wrapping_sub(span.start_unix_nanos);
            text(print::value(&Value::DurationNanos(nanos)))
        }
        Intrinsic::LinkTraceId => text(digits(&link?.trace_id)),
        Intrinsic::LinkSpanId => text(digits(&link?.span_id)),
        Intrinsic::InstrumentationName => text(span.scope_name.clone()),
        Intrinsic::InstrumentationVersion => text(span.scope_version.clone()),
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

fn kind(number: i32) -> RefShown {
    const KINDS: [Kind; 6] = [
        Kind::Unspecified,
        Kind::Internal,
        Kind::Server,
        Kind::Client,
        Kind::Producer,
        Kind::Consumer,
    ];
    let kind = KINDS.into_iter().find(|kind| *kind as i32 == number).map(Value::Kind);
    word(kind, number)
}

fn status(number: i32) -> RefShown {
    let statuses = [Status::Unset, Status::Ok, Status::Error];
    let status = statuses.into_iter().find(|status| *status as i32 == number);
    word(status.map(Value::Status), number)
}

/// A number that has no word is shown as it is.
fn word(value: Option<Value>, number: i32) -> RefShown {
    match value {
        Some(value) => RefShown::Text(print::value(&value)),
        None => RefShown::Int(number.into()),
    }
}

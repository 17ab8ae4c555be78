//! Traces as JSON, in the two dialects that meet in this product.
//!
//! In: an answer of the trace endpoints, or OTLP JSON of a corpus. Out: the protobuf messages of
//! `opentelemetry-proto`, so that every answer is compared by the one function in `equality.rs`.
//! The other way: a request as OTLP JSON. Strict: an unknown or repeated field, a wrong type, a
//! 64-bit integer that is not a string where it must be one, is an error with its path.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};

use crate::json::{self, Json};

mod write;

pub use write::write_otlp;

/// JSON that is not what the endpoint promises.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapeError {
    /// The way from the top to the place, as `batches[0].scopeSpans[1].spans[3].kind`.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
}

impl std::fmt::Display for ShapeError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.path, self.problem)
    }
}

impl std::error::Error for ShapeError {}

/// What an answer of `/api/v2/traces/{id}` holds (`tempo.md 1.2`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceById {
    /// The trace; `None` if the answer lacks the key, which no answer with status 200 may.
    pub trace: Option<TracesData>,
    /// Whether the answer says `"status":"PARTIAL"`.
    pub is_partial: bool,
    /// Why it is partial.
    pub message: String,
}

/// Reads an answer of `/api/traces/{id}` with `Accept: application/json`.
pub fn read_trace_v1(text: &str) -> Result<TracesData, ShapeError> {
    let tree = parse(text)?;
    traces(Node::top(&tree), "batches", &TEMPO)
}

/// Reads an answer of `/api/v2/traces/{id}` with `Accept: application/json`.
pub fn read_trace_v2(text: &str) -> Result<TraceById, ShapeError> {
    let tree = parse(text)?;
    let mut answer = TraceById::default();
    for (name, node) in Node::top(&tree).members()? {
        match name {
            "trace" => answer.trace = Some(traces(node, "resourceSpans", &TEMPO)?),
            "metrics" => metrics(node)?,
            "status" => answer.is_partial = partial(&node)?,
            "message" => answer.message = node.text()?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(answer)
}

/// Reads a request in OTLP JSON: ids in hexadecimal, enumerations as numbers or names.
pub fn read_otlp(text: &str) -> Result<ExportTraceServiceRequest, ShapeError> {
    let tree = parse(text)?;
    let traces = traces(Node::top(&tree), "resourceSpans", &OTLP)?;
    Ok(ExportTraceServiceRequest { resource_spans: traces.resource_spans })
}

/// How one dialect differs from the other.
struct Dialect {
    bytes_of_id: fn(&str) -> Option<Vec<u8>>,
    /// Tempo's printer writes 64-bit integers as strings; OTLP readers must take numbers too.
    wide_integers_may_be_bare: bool,
    /// Tempo's printer writes enumerations by name, and a number only if it has no name.
    known_enums_may_be_numbers: bool,
}

const TEMPO: Dialect = Dialect {
    bytes_of_id: |text| BASE64.decode(text).ok(),
    wide_integers_may_be_bare: false,
    known_enums_may_be_numbers: false,
};

const OTLP: Dialect = Dialect {
    bytes_of_id: bytes_of_hex,
    wide_integers_may_be_bare: true,
    known_enums_may_be_numbers: true,
};

/// Bytes written as pairs of hexadecimal digits, in either case.
pub fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn parse(text: &str) -> Result<Json, ShapeError> {
    json::parse(text)
        .map_err(|error| ShapeError { path: "(text)".to_owned(), problem: error.to_string() })
}

/// A place in the tree that knows how it was reached.
struct Node<'a> {
    json: &'a Json,
    path: String,
}

impl<'a> Node<'a> {
    fn top(json: &'a Json) -> Node<'a> {
        Node { json, path: String::new() }
    }

    fn error(&self, problem: impl Into<String>) -> ShapeError {
        ShapeError { path: self.path.clone(), problem: problem.into() }
    }

    fn unknown(&self) -> ShapeError {
        self.error("no such field")
    }

    /// The members of an object; a repeated one is an error.
    fn members(&self) -> Result<Vec<(&'a str, Node<'a>)>, ShapeError> {
        let Json::Object(members) = self.json else { return Err(self.error("not an object")) };
        let mut seen: Vec<(&str, Node<'a>)> = Vec::with_capacity(members.len());
        for (name, json) in members {
            let dot = if self.path.is_empty() { "" } else { "." };
            let node = Node { json, path: format!("{}{dot}{name}", self.path) };
            if seen.iter().any(|(other, _)| other == name) {
                return Err(node.error("stands there twice"));
            }
            seen.push((name, node));
        }
        Ok(seen)
    }

    fn list<T>(
        &self,
        read: impl Fn(Node<'a>) -> Result<T, ShapeError>,
    ) -> Result<Vec<T>, ShapeError> {
        let Json::List(items) = self.json else { return Err(self.error("not a list")) };
        items
            .iter()
            .enumerate()
            .map(|(at, json)| read(Node { json, path: format!("{}[{at}]", self.path) }))
            .collect()
    }

    fn text(&self) -> Result<String, ShapeError> {
        let Json::Text(text) = self.json else { return Err(self.error("not a string")) };
        Ok(text.clone())
    }

    fn bool(&self) -> Result<bool, ShapeError> {
        let Json::Bool(value) = self.json else { return Err(self.error("not true or false")) };
        Ok(*value)
    }

    fn id(&self, dialect: &Dialect) -> Result<Vec<u8>, ShapeError> {
        (dialect.bytes_of_id)(&self.text()?).ok_or_else(|| self.error("not an id"))
    }

    /// A 32-bit integer: always a number.
    fn narrow<T: std::str::FromStr>(&self) -> Result<T, ShapeError> {
        let Json::Number(digits) = self.json else { return Err(self.error("not a number")) };
        digits.parse().map_err(|_| self.error("does not fit its type"))
    }

    /// A 64-bit integer: a string of digits.
    fn wide<T: std::str::FromStr>(&self, dialect: &Dialect) -> Result<T, ShapeError> {
        let digits = match self.json {
            Json::Text(digits) => digits,
            Json::Number(digits) if dialect.wide_integers_may_be_bare => digits,
            _ => return Err(self.error("not an integer in a string")),
        };
        digits.parse().map_err(|_| self.error("does not fit its type"))
    }

    fn double(&self) -> Result<f64, ShapeError> {
        match self.json {
            Json::Number(digits) => {
                Ok(digits.parse().expect("every JSON number is a number to Rust"))
            }
            Json::Text(name) => match name.as_str() {
                "NaN" => Ok(f64::NAN),
                "Infinity" => Ok(f64::INFINITY),
                "-Infinity" => Ok(f64::NEG_INFINITY),
                _ => Err(self.error("not a double")),
            },
            _ => Err(self.error("not a double")),
        }
    }

    fn enumeration(
        &self,
        dialect: &Dialect,
        number_of_name: fn(&str) -> Option<i32>,
        is_known: fn(i32) -> bool,
    ) -> Result<i32, ShapeError> {
        if let Json::Text(name) = self.json {
            return number_of_name(name).ok_or_else(|| self.error("no such name"));
        }
        let number = self.narrow()?;
        if is_known(number) && !dialect.known_enums_may_be_numbers {
            return Err(self.error("a number where its name belongs"));
        }
        Ok(number)
    }
}

fn partial(node: &Node<'_>) -> Result<bool, ShapeError> {
    match node.text()?.as_str() {
        "PARTIAL" => Ok(true),
        "COMPLETE" => Err(node.error("the zero value is never written")),
        _ => Err(node.error("no such name")),
    }
}

/// Grafana's readers know exactly this field (`grafana.md 1.3`, trap 1).
fn metrics(node: Node<'_>) -> Result<(), ShapeError> {
    for (name, node) in node.members()? {
        match name {
            "inspectedBytes" => drop(node.wide::<u64>(&TEMPO)?),
            _ => return Err(node.unknown()),
        }
    }
    Ok(())
}

fn traces(node: Node<'_>, top: &str, dialect: &Dialect) -> Result<TracesData, ShapeError> {
    let mut out = TracesData::default();
    for (name, node) in node.members()? {
        if name != top {
            return Err(node.unknown());
        }
        out.resource_spans = node.list(|node| resource_spans(node, dialect))?;
    }
    Ok(out)
}

fn resource_spans(node: Node<'_>, dialect: &Dialect) -> Result<ResourceSpans, ShapeError> {
    let mut out = ResourceSpans::default();
    for (name, node) in node.members()? {
        match name {
            "resource" => out.resource = Some(resource(node, dialect)?),
            "scopeSpans" => out.scope_spans = node.list(|node| scope_spans(node, dialect))?,
            "schemaUrl" => out.schema_url = node.text()?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn resource(node: Node<'_>, dialect: &Dialect) -> Result<Resource, ShapeError> {
    let mut out = Resource::default();
    for (name, node) in node.members()? {
        match name {
            "attributes" => out.attributes = node.list(|node| key_value(node, dialect))?,
            "droppedAttributesCount" => out.dropped_attributes_count = node.narrow()?,
            "entityRefs" => out.entity_refs = node.list(entity_ref)?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn entity_ref(node: Node<'_>) -> Result<EntityRef, ShapeError> {
    let mut out = EntityRef::default();
    for (name, node) in node.members()? {
        match name {
            "schemaUrl" => out.schema_url = node.text()?,
            "type" => out.r#type = node.text()?,
            "idKeys" => out.id_keys = node.list(|node| node.text())?,
            "descriptionKeys" => out.description_keys = node.list(|node| node.text())?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn scope_spans(node: Node<'_>, dialect: &Dialect) -> Result<ScopeSpans, ShapeError> {
    let mut out = ScopeSpans::default();
    for (name, node) in node.members()? {
        match name {
            "scope" => out.scope = Some(scope(node, dialect)?),
            "spans" => out.spans = node.list(|node| span(node, dialect))?,
            "schemaUrl" => out.schema_url = node.text()?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn scope(node: Node<'_>, dialect: &Dialect) -> Result<InstrumentationScope, ShapeError> {
    let mut out = InstrumentationScope::default();
    for (name, node) in node.members()? {
        match name {
            "name" => out.name = node.text()?,
            "version" => out.version = node.text()?,
            "attributes" => out.attributes = node.list(|node| key_value(node, dialect))?,
            "droppedAttributesCount" => out.dropped_attributes_count = node.narrow()?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn span(node: Node<'_>, dialect: &Dialect) -> Result<Span, ShapeError> {
    let mut out = Span::default();
    for (name, node) in node.members()? {
        match name {
            "traceId" => out.trace_id = node.id(dialect)?,
            "spanId" => out.span_id = node.id(dialect)?,
            "traceState" => out.trace_state = node.text()?,
            "parentSpanId" => out.parent_span_id = node.id(dialect)?,
            "flags" => out.flags = node.narrow()?,
            "name" => out.name = node.text()?,
            "kind" => out.kind = kind(&node, dialect)?,
            "startTimeUnixNano" => out.start_time_unix_nano = node.wide(dialect)?,
            "endTimeUnixNano" => out.end_time_unix_nano = node.wide(dialect)?,
            "attributes" => out.attributes = node.list(|node| key_value(node, dialect))?,
            "droppedAttributesCount" => out.dropped_attributes_count = node.narrow()?,
            "events" => out.events = node.list(|node| event(node, dialect))?,
            "droppedEventsCount" => out.dropped_events_count = node.narrow()?,
            "links" => out.links = node.list(|node| link(node, dialect))?,
            "droppedLinksCount" => out.dropped_links_count = node.narrow()?,
            "status" => out.status = Some(status(node, dialect)?),
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn kind(node: &Node<'_>, dialect: &Dialect) -> Result<i32, ShapeError> {
    let number_of_name = |name: &str| SpanKind::from_str_name(name).map(i32::from);
    node.enumeration(dialect, number_of_name, |number| SpanKind::try_from(number).is_ok())
}

fn event(node: Node<'_>, dialect: &Dialect) -> Result<Event, ShapeError> {
    let mut out = Event::default();
    for (name, node) in node.members()? {
        match name {
            "timeUnixNano" => out.time_unix_nano = node.wide(dialect)?,
            "name" => out.name = node.text()?,
            "attributes" => out.attributes = node.list(|node| key_value(node, dialect))?,
            "droppedAttributesCount" => out.dropped_attributes_count = node.narrow()?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn link(node: Node<'_>, dialect: &Dialect) -> Result<Link, ShapeError> {
    let mut out = Link::default();
    for (name, node) in node.members()? {
        match name {
            "traceId" => out.trace_id = node.id(dialect)?,
            "spanId" => out.span_id = node.id(dialect)?,
            "traceState" => out.trace_state = node.text()?,
            "attributes" => out.attributes = node.list(|node| key_value(node, dialect))?,
            "droppedAttributesCount" => out.dropped_attributes_count = node.narrow()?,
            "flags" => out.flags = node.narrow()?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn status(node: Node<'_>, dialect: &Dialect) -> Result<Status, ShapeError> {
    let mut out = Status::default();
    for (name, node) in node.members()? {
        match name {
            "message" => out.message = node.text()?,
            "code" => {
                let number_of_name = |name: &str| StatusCode::from_str_name(name).map(i32::from);
                let is_known = |number| StatusCode::try_from(number).is_ok();
                out.code = node.enumeration(dialect, number_of_name, is_known)?;
            }
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn key_value(node: Node<'_>, dialect: &Dialect) -> Result<KeyValue, ShapeError> {
    let mut out = KeyValue::default();
    for (name, node) in node.members()? {
        match name {
            "key" => out.key = node.text()?,
            "value" => out.value = Some(any_value(node, dialect)?),
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn any_value(node: Node<'_>, dialect: &Dialect) -> Result<AnyValue, ShapeError> {
    let mut members = node.members()?.into_iter();
    let Some((name, inner)) = members.next() else { return Ok(AnyValue { value: None }) };
    if members.next().is_some() {
        return Err(node.error("a value of two types"));
    }
    let value = match name {
        "stringValue" => Value::StringValue(inner.text()?),
        "boolValue" => Value::BoolValue(inner.bool()?),
        "intValue" => Value::IntValue(inner.wide(dialect)?),
        "doubleValue" => Value::DoubleValue(inner.double()?),
        "bytesValue" => {
            let bytes = BASE64.decode(inner.text()?).map_err(|_| inner.error("not base64"))?;
            Value::BytesValue(bytes)
        }
        "arrayValue" => Value::ArrayValue(ArrayValue { values: values(inner, dialect)? }),
        "kvlistValue" => Value::KvlistValue(KeyValueList { values: pairs(inner, dialect)? }),
        _ => return Err(inner.unknown()),
    };
    Ok(AnyValue { value: Some(value) })
}

fn values(node: Node<'_>, dialect: &Dialect) -> Result<Vec<AnyValue>, ShapeError> {
    let mut out = Vec::new();
    for (name, node) in node.members()? {
        match name {
            "values" => out = node.list(|node| any_value(node, dialect))?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

fn pairs(node: Node<'_>, dialect: &Dialect) -> Result<Vec<KeyValue>, ShapeError> {
    let mut out = Vec::new();
    for (name, node) in node.members()? {
        match name {
            "values" => out = node.list(|node| key_value(node, dialect))?,
            _ => return Err(node.unknown()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;

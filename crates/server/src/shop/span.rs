//! A span as the shop makes it: plain values, in the words of the OTLP span model.
//!
//! What an exporter knows about a span before it is bytes. The resource and the scope are named by
//! their place in the shop's tables. Never validates: the shop makes only what it means to make.

use std::borrow::Cow;

use suyuan_ids::{SpanId, TraceId};

/// Text that is part of the program or was made for one span.
pub type Text = Cow<'static, str>;

/// One operation of one service instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    /// The `tracestate` header as it came; mostly empty.
    pub trace_state: &'static str,
    /// W3C trace flags and the two bits of OTLP that say whether the parent was remote.
    pub flags: u32,
    pub name: Text,
    pub kind: Kind,
    pub start_unix_nanos: u64,
    pub end_unix_nanos: u64,
    pub attributes: Vec<Attribute>,
    pub events: Vec<Event>,
    pub links: Vec<Link>,
    pub status: Status,
    /// Which process made it: an index into `Shop::instances`.
    pub instance: u16,
    /// Which instrumentation made it: an index into `Shop::scopes`.
    pub scope: u16,
}

/// The numbers of `opentelemetry.proto.trace.v1.Span.SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// What the instrumentation said about the outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    Unset,
    Ok,
    /// With the message that a person reads.
    Error(Text),
}

/// A key of the semantic conventions (or of the shop's own, under `shop.`) and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub key: &'static str,
    pub value: Value,
}

/// The attribute types that the shop uses.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Text),
    Int(i64),
    Double(f64),
    Bool(bool),
    Texts(Vec<Text>),
}

/// Something that happened at one moment of a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub time_unix_nanos: u64,
    pub name: &'static str,
    pub attributes: Vec<Attribute>,
}

/// Another span that caused this one without being its parent.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub trace_state: &'static str,
    pub flags: u32,
    pub attributes: Vec<Attribute>,
}

/// A library that makes spans, as OTLP names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    pub name: &'static str,
    pub version: &'static str,
    pub schema_url: &'static str,
}

/// Pairs a key with its value.
pub(crate) fn attribute(key: &'static str, value: impl Into<Value>) -> Attribute {
    Attribute { key, value: value.into() }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Vec<Text>> for Value {
    fn from(texts: Vec<Text>) -> Self {
        Self::Texts(texts)
    }
}

/// The spans of a request as they are sent: all of one process together, then all of one scope, and
/// among those in the order given.
pub(crate) fn by_process(spans: &[Span]) -> Vec<&Span> {
    let mut sorted: Vec<&Span> = spans.iter().collect();
    sorted.sort_by_key(|span| (span.instance, span.scope));
    sorted
}

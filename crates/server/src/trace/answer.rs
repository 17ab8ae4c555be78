//! The server's JSON answer as the few things a drawing needs.
//!
//! In: the body of `/api/v2/traces/{id}` (`tempo.md 1.2`: ids in base64, enumerations by name,
//! 64-bit integers as text). Out: spans in the order they came, services by number. An absent
//! trace has no spans.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer};
use suyuan_ids::SpanId;

/// Where the server keeps an end that lies before its start (the answer must not, for Grafana).
const RAW_END_KEY: &str = "suyuan.raw_end_time_unix_nano";

/// More lines than this below one span hide the waterfall.
pub(super) const EXCEPTIONS_KEPT_MAX: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Trace {
    pub services: Vec<String>,
    pub spans: Vec<Span>,
    /// Why the answer is not whole, if the server says so.
    pub incomplete: Option<String>,
}

#[derive(Debug)]
pub(super) struct Span {
    pub id: SpanId,
    pub parent: Option<SpanId>,
    /// Index into [`Trace::services`].
    pub service: usize,
    pub name: String,
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    pub failed: bool,
    pub status_message: String,
    pub exceptions: Vec<String>,
    pub n_exceptions: usize,
    pub n_events: usize,
    pub n_links: usize,
}

/// Why a body is no trace.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("not the JSON of a trace: {0}")]
    Json(#[from] serde_json::Error),
    #[error("`{0}` is not the base64 of a span id")]
    SpanId(String),
}

pub(super) fn parse(body: &[u8]) -> Result<Trace, AnswerError> {
    let answer: JsonAnswer = serde_json::from_slice(body)?;
    let mut trace = Trace { incomplete: incomplete(&answer), ..Trace::default() };
    let mut services = HashMap::new();
    for group in answer.trace.resource_spans {
        let name = service_name(&group.resource.attributes);
        let service = *services.entry(name.clone()).or_insert_with(|| {
            trace.services.push(name);
            trace.services.len() - 1
        });
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            trace.spans.push(span.into_span(service)?);
        }
    }
    Ok(trace)
}

fn incomplete(answer: &JsonAnswer) -> Option<String> {
    let partial = answer.status == "PARTIAL";
    partial.then(|| match answer.message.as_str() {
        "" => "the server does not say why".to_owned(),
        message => message.to_owned(),
    })
}

fn service_name(attributes: &[JsonAttribute]) -> String {
    match text_of(attributes, "service.name") {
        "" => "unknown_service".to_owned(),
        name => name.to_owned(),
    }
}

fn text_of<'a>(attributes: &'a [JsonAttribute], key: &str) -> &'a str {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    attribute.and_then(|attribute| attribute.value.string_value.as_deref()).unwrap_or_default()
}

#[derive(Deserialize)]
struct JsonAnswer {
    #[serde(default)]
    trace: JsonTrace,
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonTrace {
    resource_spans: Vec<JsonResourceSpans>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonResourceSpans {
    resource: JsonResource,
    scope_spans: Vec<JsonScopeSpans>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonResource {
    attributes: Vec<JsonAttribute>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonScopeSpans {
    spans: Vec<JsonSpan>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonSpan {
    span_id: String,
    parent_span_id: String,
    name: String,
    #[serde(deserialize_with = "integer_as_text")]
    start_time_unix_nano: u64,
    #[serde(deserialize_with = "integer_as_text")]
    end_time_unix_nano: u64,
    attributes: Vec<JsonAttribute>,
    events: Vec<JsonEvent>,
    links: Vec<serde::de::IgnoredAny>,
    status: JsonStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonStatus {
    code: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonEvent {
    name: String,
    attributes: Vec<JsonAttribute>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonAttribute {
    key: String,
    value: JsonValue,
}

/// Only what is drawn: values of other types are read past.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonValue {
    string_value: Option<String>,
    int_value: Option<serde_json::Value>,
}

impl JsonSpan {
    fn into_span(self, service: usize) -> Result<Span, AnswerError> {
        let end_unix_nanos = self.raw_end().unwrap_or_else(|| nanos(self.end_time_unix_nano));
        let exceptions = self.events.iter().filter(|event| event.name == "exception");
        Ok(Span {
            id: span_id(&self.span_id)?,
            parent: parent_id(&self.parent_span_id)?,
            service,
            start_unix_nanos: nanos(self.start_time_unix_nano),
            end_unix_nanos,
            failed: self.status.code == "STATUS_CODE_ERROR",
            exceptions: exceptions.clone().take(EXCEPTIONS_KEPT_MAX).map(exception).collect(),
            n_exceptions: exceptions.count(),
            n_events: self.events.len(),
            n_links: self.links.len(),
            name: self.name,
            status_message: self.status.message,
        })
    }

    fn raw_end(&self) -> Option<i64> {
        let attribute = self.attributes.iter().find(|attribute| attribute.key == RAW_END_KEY)?;
        match attribute.value.int_value.as_ref()? {
            serde_json::Value::String(text) => text.parse().ok(),
            number => number.as_i64(),
        }
    }
}

fn exception(event: &JsonEvent) -> String {
    let kind = text_of(&event.attributes, "exception.type");
    let message = text_of(&event.attributes, "exception.message");
    match (kind, message) {
        ("", "") => "exception".to_owned(),
        ("", text) | (text, "") => text.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    }
}

/// An answer can only come from what was stored, and that fits in 63 bits (`design.md 4`).
fn nanos(unix_nanos: u64) -> i64 {
    i64::try_from(unix_nanos).unwrap_or(i64::MAX)
}

fn span_id(text: &str) -> Result<SpanId, AnswerError> {
    let bytes = BASE64.decode(text).map_err(|_| AnswerError::SpanId(text.to_owned()))?;
    SpanId::from_slice(&bytes).map_err(|_| AnswerError::SpanId(text.to_owned()))
}

/// Absent, empty and all zero all say "root".
fn parent_id(text: &str) -> Result<Option<SpanId>, AnswerError> {
    if matches!(text, "" | "AAAAAAAAAAA=") { Ok(None) } else { span_id(text).map(Some) }
}

fn integer_as_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Integer<'a> {
        Text(std::borrow::Cow<'a, str>),
        Number(u64),
    }
    match Integer::deserialize(deserializer)? {
        Integer::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Integer::Number(number) => Ok(number),
    }
}

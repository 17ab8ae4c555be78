//! The server's JSON answer as the few things a table needs.
//!
//! In: the body of `/api/search` (`tempo.md 1.4`: 64-bit integers as text, zeros left out). Out:
//! traces in the order they came.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trace {
    #[serde(rename = "traceID")]
    pub id: String,
    #[serde(default)]
    pub root_service_name: String,
    #[serde(default)]
    pub root_trace_name: String,
    #[serde(default, deserialize_with = "wide")]
    pub start_time_unix_nano: u64,
    #[serde(default)]
    pub duration_ms: u64,
    #[serde(default)]
    span_set: Option<SpanSet>,
    #[serde(default)]
    span_sets: Vec<SpanSet>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct SpanSet {
    #[serde(default)]
    pub spans: Vec<Span>,
    #[serde(default)]
    pub matched: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span {
    #[serde(rename = "spanID")]
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default, deserialize_with = "wide")]
    pub duration_nanos: u64,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
struct Attribute {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: Value,
}

#[derive(Debug, Deserialize)]
struct Response {
    #[serde(default)]
    traces: Vec<Trace>,
}

pub(super) fn parse(body: &[u8]) -> Result<Vec<Trace>, serde_json::Error> {
    let response: Response = serde_json::from_slice(body)?;
    Ok(response.traces)
}

impl Trace {
    /// Spans that match, over all sets.
    pub(super) fn n_matched(&self) -> u64 {
        self.sets().map(|set| set.matched).sum()
    }

    pub(super) fn first_span(&self) -> Option<&Span> {
        self.sets().flat_map(|set| &set.spans).next()
    }

    /// Old servers send one set alone, newer ones all of them and the first again.
    fn sets(&self) -> impl Iterator<Item = &SpanSet> {
        let alone = self.span_set.iter().filter(|_| self.span_sets.is_empty());
        alone.chain(&self.span_sets)
    }
}

impl Span {
    /// `key=value` of each attribute.
    pub(super) fn attributes(&self) -> impl Iterator<Item = String> {
        self.attributes.iter().map(|attribute| {
            let value = attribute.value.as_object().and_then(|value| value.values().next());
            let text = match value {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => String::new(),
            };
            format!("{}={text}", attribute.key)
        })
    }
}

/// A number of 64 bits, as text or, from others, as a number.
fn wide<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Text(String),
        Plain(u64),
    }
    match Number::deserialize(deserializer)? {
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Number::Plain(number) => Ok(number),
    }
}

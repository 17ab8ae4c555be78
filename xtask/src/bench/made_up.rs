//! Requests written here: OTLP/JSON for what no corpus has, such as thousands of tenants.

use serde_json::{Value, json};

/// One span to be.
pub(super) struct MadeUp<'a> {
    pub(super) trace_id: &'a str,
    pub(super) span_id: u64,
    pub(super) start_unix_nanos: u64,
    pub(super) attributes: Vec<(String, String)>,
}

impl MadeUp<'_> {
    fn json(&self) -> Value {
        let attribute =
            |(key, value): &(String, String)| json!({"key": key, "value": {"stringValue": value}});
        let attributes: Vec<Value> = self.attributes.iter().map(attribute).collect();
        json!({
            "traceId": self.trace_id,
            "spanId": format!("{:016x}", self.span_id),
            "name": "made up",
            "kind": 2,
            "startTimeUnixNano": self.start_unix_nanos.to_string(),
            "endTimeUnixNano": (self.start_unix_nanos + 1_000_000).to_string(),
            "attributes": attributes,
        })
    }
}

/// A whole request of one service.
pub(super) fn request(service: &str, spans: &[MadeUp<'_>]) -> Vec<u8> {
    let spans: Vec<Value> = spans.iter().map(MadeUp::json).collect();
    let name = json!({"key": "service.name", "value": {"stringValue": service}});
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": [name]},
        "scopeSpans": [{"spans": spans}],
    }]});
    request.to_string().into_bytes()
}

/// The header field that goes with it.
pub(super) const CONTENT_TYPE: (&str, &str) = ("Content-Type", "application/json");

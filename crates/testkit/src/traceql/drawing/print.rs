//! Draws traces so that they can be read again: every span at the margin, its parent by id.

use std::fmt::Write as _;

use super::{KINDS, STATUSES};
use crate::traceql::span::{RefAttributes, RefSpan, RefValue};

/// The spans, in their order. Traces are numbered by `number`, and called by their ids.
pub fn draw(spans: &[RefSpan], number: impl Fn(u128) -> u64) -> String {
    let mut text = String::new();
    let mut trace: Option<(u128, i64)> = None;
    for span in spans {
        let start = match trace {
            Some((id, start)) if id == span.trace_id => start,
            _ => {
                let (id, start) = (span.trace_id, span.start_unix_nanos);
                let _ = writeln!(text, "trace {} @{start} id:{id:032x}", number(id));
                trace = Some((id, start));
                start
            }
        };
        draw_span(&mut text, span, start);
    }
    text
}

fn draw_span(text: &mut String, span: &RefSpan, trace_start: i64) {
    let (service, resource) = match &span.resource[..] {
        [(key, RefValue::Text(name)), rest @ ..] if key == "service.name" && is_plain(name) => {
            (name.as_str(), rest)
        }
        all => ("", all),
    };
    let _ = write!(text, "  {service}/{:?}  id:{:x}", span.name, span.span_id);
    match span.parent_span_id {
        Some(parent) => _ = write!(text, " parent:{parent:x}"),
        None => text.push_str(" parent:none"),
    }
    let later = span.start_unix_nanos.wrapping_sub(trace_start);
    let _ = write!(text, " +{later}ns {}ns", span.duration_nanos());
    let _ = match KINDS.get(span.kind as usize) {
        Some(kind) => write!(text, " {kind}"),
        None => write!(text, " kind:{}", span.kind),
    };
    let _ = match STATUSES.get(span.status_code as usize) {
        Some(status) => write!(text, " {status}"),
        None => write!(text, " status:{}", span.status_code),
    };
    if !span.status_message.is_empty() {
        let _ = write!(text, " message:{:?}", span.status_message);
    }
    draw_attributes(text, &span.attributes);
    if !resource.is_empty() {
        text.push_str(" (resource");
        draw_attributes(text, resource);
        text.push(')');
    }
    let scope = (&span.scope_name, &span.scope_version, &span.scope_attributes);
    if scope != (&String::new(), &String::new(), &RefAttributes::new()) {
        let _ = write!(text, " (scope {:?} {:?}", scope.0, scope.1);
        draw_attributes(text, scope.2);
        text.push(')');
    }
    text.push('\n');
    draw_events_and_links(text, span);
}

fn draw_events_and_links(text: &mut String, span: &RefSpan) {
    for event in &span.events {
        let later = (event.time_unix_nanos as i64).wrapping_sub(span.start_unix_nanos);
        let _ = write!(text, "    ! {:?}  +{later}ns", event.name);
        draw_attributes(text, &event.attributes);
        text.push('\n');
    }
    for link in &span.links {
        let _ = write!(text, "    & {} {}", digits(&link.trace_id), digits(&link.span_id));
        draw_attributes(text, &link.attributes);
        text.push('\n');
    }
}

fn draw_attributes(text: &mut String, attributes: &[(String, RefValue)]) {
    for (key, value) in attributes {
        let _ = write!(text, " {}={}", quoted_key(key), value_text(value));
    }
}

fn quoted_key(key: &str) -> String {
    if is_plain(key) { key.to_owned() } else { format!("{key:?}") }
}

fn value_text(value: &RefValue) -> String {
    match value {
        RefValue::Empty => "empty".to_owned(),
        RefValue::Text(text) => format!("{text:?}"),
        RefValue::Bool(value) => value.to_string(),
        RefValue::Int(value) => value.to_string(),
        // With a point or an exponent, `NaN`, `inf`.
        RefValue::Double(value) => format!("{value:?}"),
        RefValue::Bytes(bytes) => format!("0x{}", digits(bytes)),
        RefValue::Array(values) => {
            let values: Vec<String> = values.iter().map(value_text).collect();
            format!("[{}]", values.join(","))
        }
        RefValue::Map(attributes) => {
            let pairs: Vec<String> = attributes
                .iter()
                .map(|(key, value)| format!("{}={}", quoted_key(key), value_text(value)))
                .collect();
            format!("{{{}}}", pairs.join(","))
        }
    }
}

fn digits(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What needs no quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
        // Words of their own.
        && !text.starts_with(['+', '-'])
}

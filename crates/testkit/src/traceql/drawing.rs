//! Traces drawn as indented text, and back.
//!
//! ```text
//! trace 1 @10:00:00
//!   gateway/GET /cart  server 120ms http.status=200
//!     cart/load  client +10ms 30ms error message:"no" tags=["a", "b"] (resource pod="a")
//!       ! exception  +5ms exception.type="x"
//!       & 0a0b 0c why="retry"
//! ```
//!
//! A line is a span below the one it is indented under: service, `/`, name, then after two spaces
//! its words in any order. `+5ms` is when it starts after its parent (a span at the margin: after
//! the trace), `30ms` how long it takes (10 ms if not said). `id:` and `parent:` (an id, or `none`)
//! are hexadecimal; without `id:` spans are numbered from 1 in each trace. `kind:9` and `status:9`
//! say numbers that mean nothing. `(scope "name" "version" key=value)` is the instrumentation. `!`
//! is an event, whose time counts from its span's start; `&` a link: trace id, span id. Values:
//! text in quotes, numbers (with a point: a double), `true`, `[…]`, `{key=value}`, bytes as
//! `0x00ff`, `empty`. Traces start on 2026-01-02, or at `@` so many nanoseconds since 1970.

mod print;
mod words;

use super::span::{RefAttributes, RefEvent, RefLink, RefSpan, RefValue};
use words::{head_and_rest, split_word, value, words};

pub use print::draw;
pub(super) use words::nanos;

/// A clock time of a drawing is one of this day: 2026-01-02.
const DAY_UNIX_NANOS: i64 = 1_767_312_000_000_000_000;
const DEFAULT_DURATION_NANOS: i64 = 10_000_000;
/// Trace `n` has this id plus `n`.
const FIRST_TRACE_ID: u128 = 0x5a5a_5a5a_5a5a_5a5a_0000_0000_0000_0000;

/// The id of the trace that a drawing calls by this number.
pub fn trace_id(number: u64) -> u128 {
    FIRST_TRACE_ID + u128::from(number)
}

/// A moment: `10:00:00.5`, or nanoseconds since 1970.
pub fn moment(text: &str) -> Result<i64, String> {
    if let Ok(unix_nanos) = text.parse() {
        return Ok(unix_nanos);
    }
    let bad = || format!("`{text}` is no time of day");
    let parts: Vec<&str> = text.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else { return Err(bad()) };
    let hours: i64 = hours.parse().map_err(|_| bad())?;
    let minutes: i64 = minutes.parse().map_err(|_| bad())?;
    let seconds = nanos(&format!("{seconds}s")).ok_or_else(bad)?;
    Ok(DAY_UNIX_NANOS + (hours * 60 + minutes) * 60_000_000_000 + seconds)
}

/// A drawing, and what its traces are called: number and id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    pub spans: Vec<RefSpan>,
    pub traces: Vec<(String, u128)>,
}

/// Reads a drawing; an error names the line.
pub fn parse(text: &str) -> Result<Scene, String> {
    let mut drawing = Drawing::default();
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        drawing.line(line).map_err(|problem| format!("{problem}: {bare}"))?;
    }
    Ok(drawing.scene)
}

#[derive(Default)]
struct Drawing {
    scene: Scene,
    trace_id: u128,
    trace_start: i64,
    n_spans: u64,
    /// Indentation and number of the spans above.
    above: Vec<(usize, usize)>,
}

impl Drawing {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let bare = line.trim();
        if let Some(rest) = bare.strip_prefix("trace ") {
            return self.trace(rest);
        }
        if let Some(rest) = bare.strip_prefix("! ") {
            return self.event(rest);
        }
        if let Some(rest) = bare.strip_prefix("& ") {
            return self.link(rest);
        }
        self.span(line.len() - line.trim_start().len(), bare)
    }

    fn trace(&mut self, rest: &str) -> Result<(), String> {
        let mut words = rest.split_whitespace();
        let name = words.next().ok_or("a trace has a number")?;
        let number: u64 = name.parse().map_err(|_| "a trace has a number")?;
        self.trace_id = trace_id(number);
        for word in words {
            if let Some(text) = word.strip_prefix('@') {
                self.trace_start = moment(text)?;
            } else if let Some(id) = word.strip_prefix("id:") {
                self.trace_id = u128::from_str_radix(id, 16).map_err(|_| "no trace id")?;
            } else {
                return Err(format!("`{word}` says nothing of a trace"));
            }
        }
        self.scene.traces.push((name.to_owned(), self.trace_id));
        self.n_spans = 0;
        self.above.clear();
        Ok(())
    }

    fn span(&mut self, indent: usize, text: &str) -> Result<(), String> {
        self.above.retain(|(above, _)| *above < indent);
        self.n_spans += 1;
        let parent = self.above.last().map(|(_, number)| &self.scene.spans[*number]);
        let begins = parent.map_or(self.trace_start, |parent| parent.start_unix_nanos);
        let mut span = RefSpan::plain(self.trace_id, self.n_spans, begins, 0);
        span.parent_span_id = parent.map(|parent| parent.span_id);
        let (head, rest) = head_and_rest(text)?;
        let (service, name) = head;
        if let Some(service) = service {
            span.resource.push(("service.name".to_owned(), RefValue::Text(service)));
        }
        span.name = name;
        let mut duration_nanos = DEFAULT_DURATION_NANOS;
        for word in words(rest)? {
            self.word(&mut span, &mut duration_nanos, &word)?;
        }
        span.end_unix_nanos = span.start_unix_nanos.wrapping_add(duration_nanos);
        self.above.push((indent, self.scene.spans.len()));
        self.scene.spans.push(span);
        Ok(())
    }

    fn word(&self, span: &mut RefSpan, duration_nanos: &mut i64, word: &str) -> Result<(), String> {
        if let Some(kind) = KINDS.iter().position(|kind| *kind == word) {
            span.kind = kind as i32;
        } else if let Some(status) = STATUSES.iter().position(|status| *status == word) {
            span.status_code = status as i32;
        } else if let Some(later) = word.strip_prefix('+').and_then(nanos) {
            span.start_unix_nanos = span.start_unix_nanos.wrapping_add(later);
        } else if let Some(duration) = nanos(word) {
            *duration_nanos = duration;
        } else if let Some(number) = word.strip_prefix("kind:") {
            span.kind = number.parse().map_err(|_| "no number")?;
        } else if let Some(number) = word.strip_prefix("status:") {
            span.status_code = number.parse().map_err(|_| "no number")?;
        } else if let Some(message) = word.strip_prefix("message:") {
            let RefValue::Text(message) = value(message)? else { return Err("no text".into()) };
            span.status_message = message;
        } else if let Some(id) = word.strip_prefix("id:") {
            span.span_id = u64::from_str_radix(id, 16).map_err(|_| "no span id")?;
        } else if word == "parent:none" {
            span.parent_span_id = None;
        } else if let Some(id) = word.strip_prefix("parent:") {
            let id = u64::from_str_radix(id, 16).map_err(|_| "no span id")?;
            span.parent_span_id = Some(id);
        } else if let Some(inside) = inside(word, "(resource") {
            span.resource.extend(attributes(inside)?);
        } else if let Some(inside) = inside(word, "(scope") {
            scope(span, inside)?;
        } else {
            span.attributes.push(named_value(word)?);
        }
        Ok(())
    }

    fn event(&mut self, text: &str) -> Result<(), String> {
        let span = self.scene.spans.last_mut().ok_or("no span has this event")?;
        let text = format!("/{text}");
        let ((_, name), rest) = head_and_rest(&text)?;
        let mut event = RefEvent {
            time_unix_nanos: span.start_unix_nanos as u64,
            name,
            attributes: Vec::new(),
        };
        for word in words(rest)? {
            match word.strip_prefix('+').and_then(nanos) {
                Some(later) => {
                    event.time_unix_nanos = event.time_unix_nanos.wrapping_add_signed(later);
                }
                None => event.attributes.push(named_value(&word)?),
            }
        }
        span.events.push(event);
        Ok(())
    }

    fn link(&mut self, text: &str) -> Result<(), String> {
        let span = self.scene.spans.last_mut().ok_or("no span has this link")?;
        let words = words(text)?;
        let [trace_id, span_id, rest @ ..] = &words[..] else {
            return Err("a link names a trace and a span".into());
        };
        let attributes = rest.iter().map(|word| named_value(word)).collect::<Result<_, _>>()?;
        let (trace_id, span_id) = (words::bytes(trace_id)?, words::bytes(span_id)?);
        span.links.push(RefLink { trace_id, span_id, attributes });
        Ok(())
    }
}

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUSES: [&str; 3] = ["unset", "ok", "error"];

fn inside<'a>(word: &'a str, opening: &str) -> Option<&'a str> {
    word.strip_prefix(opening)?.strip_suffix(')')
}

fn scope(span: &mut RefSpan, inside: &str) -> Result<(), String> {
    let mut texts = Vec::new();
    for word in words(inside)? {
        match named_value(&word) {
            Ok(named) => span.scope_attributes.push(named),
            Err(_) => match value(&word)? {
                RefValue::Text(text) => texts.push(text),
                _ => return Err("a scope's name is a text".into()),
            },
        }
    }
    let mut texts = texts.into_iter();
    span.scope_name = texts.next().unwrap_or_default();
    span.scope_version = texts.next().unwrap_or_default();
    Ok(())
}

fn attributes(text: &str) -> Result<RefAttributes, String> {
    words(text)?.iter().map(|word| named_value(word)).collect()
}

fn named_value(word: &str) -> Result<(String, RefValue), String> {
    let (key, text) = split_word(word)?;
    Ok((key, value(text)?))
}

#[cfg(test)]
mod tests;

//! Answers in protobuf or JSON. A trace is written straight from columns, piece by piece.
//!
//! In: rows of chunks, each span once. Out: the bytes of Tempo's two answers to "give me this
//! trace" (`tempo.md 1.1`, `1.2`) in pieces of about a quarter of a MiB, so that a trace of
//! 200,000 spans is never one message in memory. Equal rows give equal bytes, in whatever order
//! they were found. What Grafana's readers need beyond what was sent is added here and nowhere
//! else (`grafana.md 1.3`): sub-messages that are always present, a name for a nameless service,
//! an end that does not lie before the start, an id of its own for each of two spans that share
//! one. Nothing is stored and nothing waits.
//!
//! - [`plan`]: which span stands where.
//! - [`positions`]: where the attributes of its spans are stored.
//! - [`shared_ids`]: new ids for spans that share theirs, as Zipkin's do.
//! - [`shown`]: what is said of one span.
//! - [`protobuf`] and [`json`]: how it is said.
//! - [`search`]: what a search found.
//! - [`tags`]: names and values of attributes.
//! - [`content`]: a number for what a span says, by which duplicates are told apart.

mod content;
mod json;
mod json_value;
mod json_writer;
mod plan;
mod positions;
mod protobuf;
pub mod search;
mod shared_ids;
mod shown;
pub mod tags;

use suyuan_model::TraceRows;

pub use content::content_hash;

use json::JsonSink;
use plan::{Group, Plan};
use protobuf::ProtobufSink;
use shown::ShownSpan;

/// Which message the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Tempo's v1, `tempopb.Trace`, which is OTLP's `TracesData`; its JSON says `batches`.
    Trace,
    /// Tempo's v2, `tempopb.TraceByIDResponse`.
    TraceById,
}

/// How the message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Protobuf,
    /// As gogo's jsonpb prints it: ids in base64, enums by name, 64-bit numbers as strings, no
    /// zeros (`tempo.md 1.0`).
    Json,
}

/// A piece is handed out when it has this many bytes, the last one excepted.
const PIECE_BYTES_MIN: usize = 256 << 10;
/// A `ResourceSpans` ends, and the next one repeats its resource, at this many spans or bytes:
/// protobuf says a message's length before its content, so each is built as a whole.
const GROUP_SPANS_MAX: usize = 2_000;
const GROUP_BYTES_MAX: usize = 1 << 20;
/// The length of v2's `trace` is known only when all of it has been encoded. This much is kept
/// meanwhile (three thousand spans or so); what lies behind it is encoded a second time.
const KEPT_BYTES_MAX: usize = 2 << 20;

/// What is written where; both encodings are told the same story.
trait Sink {
    fn open_resource(&mut self, group: &Group);
    fn open_scope(&mut self, group: &Group);
    fn span(&mut self, span: &ShownSpan<'_>);
    fn close_scope(&mut self);
    fn close_resource(&mut self);
    fn n_bytes(&self) -> usize;
}

/// The bytes of one answer, in order. `next` is CPU work of about a millisecond; the first call of
/// a large v2 answer in protobuf encodes all of it once to learn its length.
#[derive(Debug)]
pub struct Pieces {
    plan: Plan,
    shape: Shape,
    encoding: Encoding,
    /// What is missing, if anything is.
    missing: Option<String>,
    /// The next span of the plan to be written.
    cursor: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Groups,
    Done,
}

/// The answer for a trace; one that nobody knows is a trace without rows.
pub fn pieces(rows: TraceRows, shape: Shape, encoding: Encoding) -> Pieces {
    let plan = Plan::new(rows);
    Pieces { plan, shape, encoding, missing: None, cursor: 0, stage: Stage::Head }
}

impl Iterator for Pieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.stage == Stage::Done {
            return None;
        }
        Some(match self.encoding {
            Encoding::Protobuf => self.next_protobuf(),
            Encoding::Json => self.next_json(),
        })
    }
}

impl Pieces {
    /// The same answer, which says that a part of the trace is missing, and why. Only v2 can.
    pub fn without(self, missing: String) -> Self {
        Self { missing: Some(missing), ..self }
    }

    /// Whether the last piece has been handed out.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    fn next_protobuf(&mut self) -> Vec<u8> {
        let mut piece = match (self.stage, self.shape) {
            (Stage::Head, Shape::TraceById) => self.trace_field(),
            _ => Vec::new(),
        };
        self.stage = Stage::Groups;
        while piece.len() < PIECE_BYTES_MIN && self.cursor < self.plan.n_spans() {
            let mut sink = ProtobufSink::append_to(piece);
            self.cursor = write_group(&self.plan, self.cursor, &mut sink);
            piece = sink.into_bytes();
        }
        if self.cursor == self.plan.n_spans() {
            if self.shape == Shape::TraceById {
                protobuf::append_empty_metrics(&mut piece);
                if let Some(missing) = &self.missing {
                    protobuf::append_partial(&mut piece, missing);
                }
            }
            self.stage = Stage::Done;
        }
        piece
    }

    /// The head of v2's `trace` and as much of its content as had to be kept.
    fn trace_field(&mut self) -> Vec<u8> {
        let mut kept = ProtobufSink::append_to(Vec::new());
        while self.cursor < self.plan.n_spans() && kept.n_bytes() < KEPT_BYTES_MAX {
            self.cursor = write_group(&self.plan, self.cursor, &mut kept);
        }
        let kept = kept.into_bytes();
        let mut len = kept.len() as u64;
        let mut measured = ProtobufSink::append_to(Vec::new());
        let mut cursor = self.cursor;
        while cursor < self.plan.n_spans() {
            measured.clear();
            cursor = write_group(&self.plan, cursor, &mut measured);
            len += measured.n_bytes() as u64;
        }
        let mut piece = protobuf::trace_head(len);
        piece.extend_from_slice(&kept);
        piece
    }

    fn next_json(&mut self) -> Vec<u8> {
        let is_first = self.stage == Stage::Head;
        if is_first && self.plan.n_spans() == 0 {
            self.stage = Stage::Done;
            return json::empty(self.shape, self.missing.as_deref());
        }
        let head = if is_first { json::head(self.shape) } else { b"," };
        self.stage = Stage::Groups;
        let mut sink = JsonSink::begin(head);
        while sink.n_bytes() < PIECE_BYTES_MIN && self.cursor < self.plan.n_spans() {
            self.cursor = write_group(&self.plan, self.cursor, &mut sink);
        }
        let mut piece = sink.into_bytes();
        if self.cursor == self.plan.n_spans() {
            piece.extend_from_slice(&json::tail(self.shape, self.missing.as_deref()));
            self.stage = Stage::Done;
        }
        piece
    }
}

/// Writes one `ResourceSpans`, from the span at `cursor` on. Returns where the next one begins.
fn write_group(plan: &Plan, mut cursor: usize, sink: &mut impl Sink) -> usize {
    let first = cursor;
    let bytes_before = sink.n_bytes();
    let resource = plan.resource_at(cursor);
    let mut has_room = true;
    sink.open_resource(plan.resource(resource));
    while has_room && plan.has_resource_at(cursor, resource) {
        let scope = plan.scope_at(cursor);
        sink.open_scope(plan.scope(scope));
        while has_room && plan.has_resource_at(cursor, resource) && plan.scope_at(cursor) == scope {
            sink.span(&plan.shown(cursor));
            cursor += 1;
            has_room =
                cursor - first < GROUP_SPANS_MAX && sink.n_bytes() - bytes_before < GROUP_BYTES_MAX;
        }
        sink.close_scope();
    }
    sink.close_resource();
    cursor
}

#[cfg(test)]
mod tests;

//! Batches for tests: spans written down, and what a filter says of them.

use std::sync::Arc;

use suyuan_model::{AttributeOwner, Batch, EventHead, LinkHead, SpanHead, TableBuilder};
use suyuan_traceql::ast::FieldExpr;
use suyuan_wire::protobuf::Writer;

use crate::filter::{Filter, RowSet, SourceState, TraceContext, Verdict};

/// A value as sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sent {
    Empty,
    Text(&'static str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes,
    Map,
    Array(Vec<Sent>),
}

pub(super) type SentAttributes = Vec<(&'static str, Sent)>;

/// A span as sent; what is not said is empty or 0.
#[derive(Clone, Debug, Default)]
pub(super) struct SentSpan {
    pub(super) head: SpanHead<'static>,
    pub(super) attributes: SentAttributes,
    pub(super) resource: SentAttributes,
    pub(super) scope: (&'static str, &'static str, SentAttributes),
    pub(super) events: Vec<(u64, &'static str, SentAttributes)>,
    pub(super) links: Vec<(&'static [u8], &'static [u8], SentAttributes)>,
}

pub(super) fn span(attributes: &[(&'static str, Sent)]) -> SentSpan {
    SentSpan { attributes: attributes.to_vec(), ..SentSpan::default() }
}

/// Each span a row, resources and scopes interned where they are equal.
pub(super) fn batch(spans: &[SentSpan]) -> Batch {
    let mut table = TableBuilder::default();
    for span in spans {
        let resource_name = format!("{:?}", span.resource);
        let found = table.find_resource(resource_name.as_bytes(), b"");
        let resource = found.unwrap_or_else(|| {
            push(&mut table, AttributeOwner::Resource, &span.resource);
            table.finish_resource(resource_name.as_bytes(), b"", 0, b"")
        });
        let (name, version, attributes) = &span.scope;
        let scope_name = format!("{:?}", span.scope);
        let found = table.find_scope(scope_name.as_bytes(), b"");
        let scope = found.unwrap_or_else(|| {
            push(&mut table, AttributeOwner::Scope, attributes);
            let (name, version) = (name.as_bytes(), version.as_bytes());
            table.finish_scope(scope_name.as_bytes(), b"", name, version, 0)
        });
        for (time_unix_nanos, name, attributes) in &span.events {
            push(&mut table, AttributeOwner::Event, attributes);
            let name = name.as_bytes();
            let head = EventHead { time_unix_nanos: *time_unix_nanos, name, dropped_attributes: 0 };
            table.finish_event(head);
        }
        for (trace_id, span_id, attributes) in &span.links {
            push(&mut table, AttributeOwner::Link, attributes);
            table.finish_link(LinkHead { trace_id, span_id, ..LinkHead::default() });
        }
        push(&mut table, AttributeOwner::Span, &span.attributes);
        table.finish_span(&SpanHead { resource, scope, ..span.head });
    }
    Batch::of_chunk(Arc::new(table.freeze()), spans.len() as u32)
}

fn push(table: &mut TableBuilder, owner: AttributeOwner, attributes: &SentAttributes) {
    for (key, value) in attributes {
        let key = key.as_bytes();
        match value {
            Sent::Empty => table.push_empty(owner, key),
            Sent::Text(text) => table.push_string(owner, key, text.as_bytes()),
            Sent::Bool(value) => table.push_bool(owner, key, *value),
            Sent::Int(value) => table.push_int(owner, key, *value),
            Sent::Double(value) => table.push_double(owner, key, *value),
            Sent::Bytes => table.push_bytes(owner, key, b"bytes"),
            Sent::Map => table.push_map(owner, key, b""),
            Sent::Array(elements) => table.push_array(owner, key, &array(elements)),
        }
    }
}

/// An `ArrayValue`.
fn array(elements: &[Sent]) -> Vec<u8> {
    let mut array = Writer::new();
    for element in elements {
        let mut any = Writer::new();
        match element {
            Sent::Text(text) => any.bytes(1, text.as_bytes()),
            Sent::Bool(value) => any.varint(2, u64::from(*value)),
            Sent::Int(value) => any.varint(3, *value as u64),
            Sent::Double(value) => any.double(4, *value),
            Sent::Array(elements) => any.bytes(5, &self::array(elements)),
            Sent::Map => any.bytes(6, b""),
            Sent::Bytes => any.bytes(7, b"bytes"),
            Sent::Empty => {}
        }
        array.bytes(1, any.as_bytes());
    }
    array.into_bytes()
}

/// The expression between the braces of a query.
pub(super) fn parse(filter: &str) -> FieldExpr {
    let query = suyuan_traceql::parse(&format!("{{ {filter} }}"))
        .unwrap_or_else(|error| panic!("{filter}: {error}"));
    query.span_filter().expect("the query is one filter").filter.clone()
}

/// A filter as an expression that a test made itself, so that the type rules need not let it pass.
pub(super) fn rows_of(
    expr: &FieldExpr,
    batch: &Batch,
    traces: Option<&TraceContext<'_>>,
) -> Verdict {
    let filter = Filter::compile(expr).expect("the filter compiles");
    let mut source = SourceState::default();
    let none = RowSet::none(batch.n_rows);
    if filter.is_never() {
        return Verdict { yes: none.clone(), maybe: none };
    }
    let mut yes = RowSet::all(batch.n_rows);
    let mut possible = yes.clone();
    for condition in filter.conditions() {
        let verdict = condition.evaluate(&possible, batch, &mut source, traces);
        yes.intersect(&verdict.yes);
        possible = verdict.yes;
        possible.unite(&verdict.maybe);
    }
    possible.subtract(&yes);
    Verdict { yes, maybe: possible }
}

/// Rows that fulfil a filter.
pub(super) fn rows(filter: &str, batch: &Batch) -> Vec<u32> {
    let verdict = rows_of(&parse(filter), batch, None);
    assert!(verdict.maybe.is_empty(), "{filter}: nothing of traces is asked");
    verdict.yes.iter().collect()
}

/// Filters with the rows that fulfil them.
pub(super) fn check(spans: &[SentSpan], expected: &[(&str, &[u32])]) {
    let batch = batch(spans);
    for (filter, expected) in expected {
        assert_eq!(rows(filter, &batch), *expected, "{filter}");
    }
}

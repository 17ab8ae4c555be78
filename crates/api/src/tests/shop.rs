//! A store with three small traces, for questions that are about more than one.

use suyuan_model::ValueRef;

use super::*;

const MILLISECOND: i64 = 1_000_000;

/// A span of the fixture: times in milliseconds since 1970.
struct Spec {
    trace: u128,
    id: u64,
    parent: Option<u64>,
    service: &'static str,
    name: &'static str,
    at_ms: i64,
    for_ms: i64,
    status_code: i32,
    attributes: &'static [(&'static str, ValueRef<'static>)],
}

const SPANS: [Spec; 5] = [
    Spec {
        trace: 0x1a,
        id: 0x11,
        parent: None,
        service: "gateway",
        name: "GET /cart",
        at_ms: 1_000,
        for_ms: 250,
        status_code: 0,
        attributes: &[
            ("http.status_code", ValueRef::Int(500)),
            ("url.path", ValueRef::String("/cart")),
        ],
    },
    Spec {
        trace: 0x1a,
        id: 0x12,
        parent: Some(0x11),
        service: "payment",
        name: "charge",
        at_ms: 1_050,
        for_ms: 100,
        status_code: 2,
        attributes: &[("http.status_code", ValueRef::Int(500)), ("card", ValueRef::String("visa"))],
    },
    Spec {
        trace: 0x1a,
        id: 0x13,
        parent: Some(0x11),
        service: "payment",
        name: "refund",
        at_ms: 1_160,
        for_ms: 20,
        status_code: 2,
        attributes: &[("http.status_code", ValueRef::Int(503))],
    },
    Spec {
        trace: 0xb,
        id: 0x21,
        parent: None,
        service: "gateway",
        name: "GET /item",
        at_ms: 2_000,
        for_ms: 50,
        status_code: 0,
        attributes: &[("http.status_code", ValueRef::Int(200)), ("retry", ValueRef::Bool(true))],
    },
    Spec {
        trace: 0xc,
        id: 0x31,
        parent: Some(0x30),
        service: "payment",
        name: "charge",
        at_ms: 3_000,
        for_ms: 0,
        status_code: 0,
        attributes: &[("card", ValueRef::String("master card"))],
    },
];

pub(super) fn shop() -> Server {
    shop_with(Options::default())
}

pub(super) fn shop_with(options: Options) -> Server {
    let server = Server::with(options);
    publish(&server, &Tenant::single(), 0, &SPANS);
    server
}

/// The same traces for one tenant, and the last one alone for another.
pub(super) fn shop_of_two_tenants() -> Server {
    let server = Server::with(Options { tenancy: Tenancy::On, ..Options::default() });
    publish(&server, &Tenant::parse("a").expect("a name"), 0, &SPANS[..4]);
    publish(&server, &Tenant::parse("b").expect("a name"), 0, &SPANS[4..]);
    server
}

/// Traces of one span each, a second apart.
pub(super) fn many_traces(n_traces: u32) -> Server {
    let server = Server::new();
    let spans: Vec<Spec> = (1..=n_traces)
        .map(|n| Spec {
            trace: n.into(),
            id: n.into(),
            parent: None,
            service: "gateway",
            name: "GET /cart",
            at_ms: i64::from(n) * 1_000,
            for_ms: 1,
            status_code: 0,
            attributes: &[],
        })
        .collect();
    publish(&server, &Tenant::single(), 0, &spans);
    server
}

fn publish(server: &Server, tenant: &Tenant, chunk_number: u32, spans: &[Spec]) {
    let mut table = TableBuilder::default();
    for spec in spans {
        table.push_string(AttributeOwner::Resource, b"service.name", spec.service.as_bytes());
        let resource = table.finish_resource(spec.service.as_bytes(), b"", 0, b"");
        let scope = table.finish_scope(b"", b"", b"", b"", 0);
        for (key, value) in spec.attributes {
            let key = key.as_bytes();
            match value {
                ValueRef::String(text) => {
                    table.push_string(AttributeOwner::Span, key, text.as_bytes());
                }
                ValueRef::Int(value) => table.push_int(AttributeOwner::Span, key, *value),
                ValueRef::Bool(value) => table.push_bool(AttributeOwner::Span, key, *value),
                other => panic!("the fixture has no {other:?}"),
            }
        }
        table.finish_span(&SpanHead {
            trace_id: spec.trace.to_be_bytes(),
            span_id: spec.id,
            parent_span_id: spec.parent,
            start_unix_nanos: spec.at_ms * MILLISECOND,
            end_unix_nanos: (spec.at_ms + spec.for_ms) * MILLISECOND,
            name: spec.name.as_bytes(),
            status_code: spec.status_code,
            resource,
            scope,
            ..SpanHead::default()
        });
    }
    server.store.publish(Publication {
        tenant: tenant.clone(),
        chunk_number,
        chunk: Arc::new(table.freeze()),
        visible_rows: spans.len() as u32,
        received_unix_nanos: UnixNanosRange::of(0),
        is_final: true,
    });
}

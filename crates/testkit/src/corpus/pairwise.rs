//! Pairwise shapes: rows of names become requests; here each name gets its value, once.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::Case;
use crate::sample::{START_UNIX_NANOS, attribute, list, map, span_id, text, value};

/// Spans in a request whose row says `Several`.
const SEVERAL: usize = 7;

/// One request for each row of the table of span shapes.
pub(super) fn span_shapes(table: &str) -> Vec<Case> {
    let rows = rows(table).into_iter().enumerate();
    rows.map(|(row, names)| {
        let trace = 0x0001_0000 + row as u64;
        let resource = Some(resource("VMOnPrem").expect("this name has a resource"));
        let spans = vec![span(trace, 1, &names)];
        let scope_spans =
            vec![ScopeSpans { scope: Some(scope(0)), spans, ..ScopeSpans::default() }];
        let group = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
        case("span shape", row, &names, vec![group])
    })
    .collect()
}

/// One request for each row of the table of trace shapes; its spans have the shapes of `spans`.
pub(super) fn trace_shapes(table: &str, spans: &str) -> Vec<Case> {
    let span_rows = rows(spans);
    let rows = rows(table).into_iter().enumerate();
    rows.map(|(row, names)| {
        let [resource_name, scopes, n_spans] = names[..] else {
            panic!("a trace shape has three columns: {names:?}");
        };
        let trace = 0x0002_0000 + row as u64;
        let n_spans = match n_spans {
            "None" => 0,
            "One" => 1,
            "Several" => SEVERAL,
            "All" => span_rows.len(),
            _ => panic!("unknown number of spans {n_spans:?}"),
        };
        let spans: Vec<Span> = span_rows[..n_spans]
            .iter()
            .zip(1..)
            .map(|(names, span_number)| span(trace, span_number, names))
            .collect();
        let scope_spans = scope_groups(scopes, spans);
        let resource = resource(resource_name);
        let group = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
        case("trace shape", row, &names, vec![group])
    })
    .collect()
}

fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().skip(1).map(|line| line.split('\t').collect()).collect()
}

fn case(table: &str, row: usize, names: &[&str], resource_spans: Vec<ResourceSpans>) -> Case {
    let name = format!("{table} {}: {}", row + 1, names.join(" "));
    Case { name, request: ExportTraceServiceRequest { resource_spans } }
}

/// Lays the spans into no scope, one, or two by turns.
fn scope_groups(name: &str, spans: Vec<Span>) -> Vec<ScopeSpans> {
    let of_scope = |scope, spans| ScopeSpans { scope, spans, ..ScopeSpans::default() };
    match name {
        "None" => vec![of_scope(None, spans)],
        "One" => vec![of_scope(Some(scope(0)), spans)],
        "Two" => {
            let (even, odd): (Vec<_>, Vec<_>) =
                spans.into_iter().partition(|span| span.span_id[7] % 2 == 0);
            vec![of_scope(Some(scope(0)), even), of_scope(Some(scope(1)), odd)]
        }
        _ => panic!("unknown scope {name:?}"),
    }
}

fn scope(number: usize) -> InstrumentationScope {
    let (name, version) = [("shop.http", "1.0.0"), ("shop.storage", "")][number];
    InstrumentationScope {
        name: name.to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    }
}

fn resource(name: &str) -> Option<Resource> {
    let attributes = match name {
        "Nil" => return None,
        "Empty" => Vec::new(),
        "VMOnPrem" => texts(&[
            ("service.name", "payment"),
            ("host.name", "rack-7"),
            ("host.image.version", "12.5"),
        ]),
        "VMCloud" => texts(&[
            ("service.name", "payment"),
            ("cloud.provider", "alibaba_cloud"),
            ("cloud.region", "cn-hangzhou"),
            ("host.id", "i-bp1a2b3c"),
        ]),
        "K8sOnPrem" => texts(&[
            ("service.name", "cart"),
            ("k8s.cluster.name", "cellar"),
            ("k8s.pod.name", "cart-6d4cf56db6-x2x7k"),
        ]),
        "K8sCloud" => texts(&[
            ("service.name", "cart"),
            ("k8s.cluster.name", "cloud"),
            ("cloud.availability_zone", "cn-hangzhou-b"),
            ("container.id", "a3bf90e006b2"),
        ]),
        "Faas" => texts(&[("faas.name", "resize"), ("faas.version", "3")]),
        "Exec" => vec![
            attribute("service.name", text("import")),
            attribute("process.pid", int(4711)),
            attribute("process.command_args", list(vec![text("import"), text("--fast")])),
        ],
        _ => panic!("unknown resource {name:?}"),
    };
    Some(Resource { attributes, ..Resource::default() })
}

fn span(trace: u64, number: u64, names: &[&str]) -> Span {
    let [parent, trace_state, kind, attributes, events, links, status] = names[..] else {
        panic!("a span shape has seven columns: {names:?}");
    };
    let start_time_unix_nano = START_UNIX_NANOS + number * 1_000;
    Span {
        trace_id: [[0x9a; 8], trace.to_be_bytes()].concat(),
        span_id: span_id(number),
        parent_span_id: parent_id(parent, number),
        trace_state: self::trace_state(trace_state).to_owned(),
        name: format!("{kind} {attributes}"),
        kind: self::kind(kind) as i32,
        start_time_unix_nano,
        end_time_unix_nano: start_time_unix_nano + 1_000_000,
        attributes: self::attributes(attributes),
        events: self::events(events),
        links: self::links(links),
        status: self::status(status),
        ..Span::default()
    }
}

fn parent_id(name: &str, number: u64) -> Vec<u8> {
    match name {
        "Root" => Vec::new(),
        "Child" => span_id(0xf000_0000 + number),
        _ => panic!("unknown parent {name:?}"),
    }
}

fn trace_state(name: &str) -> &'static str {
    match name {
        "Empty" => "",
        "One" => "shop=7",
        "Four" => "shop=7,congo=t61rcWkgMzE,rojo=00f067aa0ba902b7,tenant@system=a:b",
        _ => panic!("unknown trace state {name:?}"),
    }
}

fn kind(name: &str) -> SpanKind {
    match name {
        "Unspecified" => SpanKind::Unspecified,
        "Internal" => SpanKind::Internal,
        "Server" => SpanKind::Server,
        "Client" => SpanKind::Client,
        "Producer" => SpanKind::Producer,
        "Consumer" => SpanKind::Consumer,
        _ => panic!("unknown kind {name:?}"),
    }
}

/// The names come from a time when a status was a gRPC code; today it is unset, ok or an error
/// whose message says more.
fn status(name: &str) -> Option<Status> {
    let (code, message) = match name {
        "Nil" => return None,
        "Ok" => (StatusCode::Ok, ""),
        error => (StatusCode::Error, error),
    };
    Some(Status { code: code as i32, message: message.to_owned() })
}

fn events(name: &str) -> Vec<Event> {
    let event = |at: u64| Event {
        time_unix_nano: START_UNIX_NANOS + at,
        name: format!("message {at}"),
        attributes: vec![
            attribute("message.id", int(at as i64)),
            attribute("message.kept", value(Value::BoolValue(at.is_multiple_of(2)))),
        ],
        dropped_attributes_count: at as u32,
    };
    (1..=count(name)).map(event).collect()
}

fn links(name: &str) -> Vec<Link> {
    let link = |at: u64| Link {
        trace_id: [[0x11; 8], at.to_be_bytes()].concat(),
        span_id: span_id(at),
        trace_state: if at.is_multiple_of(2) { "linked=even".to_owned() } else { String::new() },
        attributes: vec![attribute("link.number", int(at as i64))],
        dropped_attributes_count: 8 - at as u32,
        flags: at as u32,
    };
    (1..=count(name)).map(link).collect()
}

fn count(name: &str) -> u64 {
    match name {
        "Nil" | "Empty" => 0,
        "One" => 1,
        "Two" => 2,
        "Eight" => 8,
        _ => panic!("unknown number {name:?}"),
    }
}

fn attributes(name: &str) -> Vec<KeyValue> {
    match name {
        "Nil" | "Empty" => Vec::new(),
        "DatabaseSQL" => vec![
            attribute("db.system.name", text("mysql")),
            attribute("db.query.text", text("SELECT * FROM `orders` WHERE id = ?")),
            attribute("db.response.returned_rows", int(3)),
        ],
        "DatabaseNoSQL" => texts(&[
            ("db.system.name", "redis"),
            ("db.query.text", "HGETALL cart:42"),
            ("db.namespace", "0"),
        ]),
        "FaaSDatasource" => {
            texts(&[("faas.trigger", "datasource"), ("faas.document.collection", "照片")])
        }
        "FaaSHTTP" => vec![
            attribute("faas.trigger", text("http")),
            attribute("http.response.status_code", int(201)),
        ],
        "FaaSPubSub" => {
            texts(&[("faas.trigger", "pubsub"), ("messaging.destination.name", "news")])
        }
        "FaaSTimer" => vec![
            attribute("faas.trigger", text("timer")),
            attribute("faas.cron", text("0/5 * * * ? *")),
            attribute("faas.coldstart", value(Value::BoolValue(true))),
        ],
        "FaaSOther" => vec![
            attribute("faas.trigger", text("other")),
            attribute("faas.max_memory", value(Value::DoubleValue(0.125))),
        ],
        "HTTPClient" => vec![
            attribute("http.request.method", text("POST")),
            attribute("url.full", text("https://pay.example/charge?order=42&to=%E5%95%86")),
            attribute("http.response.status_code", int(-1)),
        ],
        "HTTPServer" => vec![
            attribute("http.route", text("/orders/{id}")),
            attribute("http.request.header.accept", list(vec![text("text/html"), text("*/*")])),
            attribute("http.response.status_code", int(500)),
        ],
        "MessagingProducer" => vec![
            attribute("messaging.system", text("kafka")),
            attribute("messaging.message.id", value(Value::BytesValue(vec![0, 1, 254, 255]))),
        ],
        "MessagingConsumer" => vec![
            attribute("messaging.system", text("kafka")),
            attribute("messaging.batch.message_count", int(i64::MAX)),
        ],
        "gRPCClient" => texts(&[("rpc.system", "grpc"), ("rpc.service", "shop.Payment")]),
        "gRPCServer" => vec![
            attribute("rpc.system", text("grpc")),
            attribute("rpc.grpc.status_code", int(0)),
            attribute(
                "rpc.metadata",
                map(vec![attribute("retry", value(Value::BoolValue(false)))]),
            ),
        ],
        "Internal" => vec![
            attribute(
                "parameters",
                list(vec![int(1), value(Value::DoubleValue(-2.5e-8)), text("")]),
            ),
            attribute("parameters", text("the same key again")),
        ],
        "MaxCount" => (0..128)
            .map(|n| attribute(&format!("key.{n}"), text(&"value ".repeat(n % 7))))
            .collect(),
        _ => panic!("unknown attributes {name:?}"),
    }
}

fn texts(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| attribute(key, text(value))).collect()
}

fn int(number: i64) -> opentelemetry_proto::tonic::common::v1::AnyValue {
    value(Value::IntValue(number))
}

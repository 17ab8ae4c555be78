//! Guards: an unmodified OpenTelemetry SDK for Rust is understood, over all three protocols.
//!
//! The SDK makes spans, the SDK's own exporter sends them, and what is found must be what the
//! program asked the SDK to record. Other languages' SDKs are driven by `tests/exporters/run`.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
    TraceId, TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_otlp::{Protocol as Encoding, SpanExporter, WithExportConfig as _};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::resource::v1::Resource as SentResource;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter as Export};
use suyuan_testkit::client::{Addresses, Client, Form, Protocol};
use suyuan_testkit::equality::compare;
use suyuan_testkit::process::ServerProcess;
use suyuan_testkit::sample::{START_UNIX_NANOS, attribute, list, text, value};

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");

const TRACE_STATE: &str = "shop=7,congo=t61rcWkgMzE";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rust_sdk_sends_is_found() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(Path::new(PROGRAM), data_dir.path(), &[]).unwrap();
    let client = Client::new(server.addresses());
    for (protocol, trace_number) in Protocol::ALL.into_iter().zip(1..) {
        let trace_id = TraceId::from(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_0000 + trace_number);
        let recorded = recorded_span(trace_id);
        let mut exporter = exporter(protocol, server.addresses());
        exporter.set_resource(&resource());
        let sent = expected(&recorded);
        exporter.export(vec![recorded]).await.unwrap();
        client.trace_of(&trace_id.to_bytes(), 1).await.unwrap();
        for form in Form::ALL {
            let found = client.trace(&trace_id.to_bytes(), form).await.unwrap().unwrap_or_default();
            compare(&sent, &found).unwrap_or_else(|told| panic!("{protocol:?} {form:?}: {told}"));
        }
    }
}

fn exporter(protocol: Protocol, addresses: Addresses) -> SpanExporter {
    let http = |encoding| {
        let endpoint = format!("http://{}/v1/traces", addresses.otlp_http);
        SpanExporter::builder()
            .with_http()
            .with_protocol(encoding)
            .with_endpoint(endpoint)
            .build()
            .unwrap()
    };
    match protocol {
        Protocol::Grpc => SpanExporter::builder()
            .with_tonic()
            .with_endpoint(format!("http://{}", addresses.otlp_grpc))
            .build()
            .unwrap(),
        Protocol::HttpProtobuf => http(Encoding::HttpBinary),
        Protocol::HttpJson => http(Encoding::HttpJson),
    }
}

fn resource() -> Resource {
    // One attribute: the SDK keeps a resource's attributes in no order.
    Resource::builder_empty().with_attribute(KeyValue::new("service.name", "结账")).build()
}

/// A span as the SDK hands it to an exporter, with a value of every type that the SDK has.
fn recorded_span(trace_id: TraceId) -> SpanData {
    let collect = Collect::default();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_simple_exporter(collect.clone())
        .build();
    let scope = InstrumentationScope::builder("shop.checkout")
        .with_version("0.9.1")
        .with_schema_url("https://opentelemetry.io/schemas/1.37.0")
        .with_attributes([KeyValue::new("scope.kind", "library")])
        .build();
    let tracer = provider.tracer_with_scope(scope);
    let builder = tracer
        .span_builder("POST /pay")
        .with_kind(SpanKind::Server)
        .with_start_time(time(1))
        .with_attributes([
            KeyValue::new("text", "付款 \u{1f600}"),
            KeyValue::new("int", i64::MIN),
            KeyValue::new("double", 0.1 + 0.2),
            KeyValue::new("bool", false),
            KeyValue::new("texts", Value::Array(Array::String(vec!["a".into(), "".into()]))),
            KeyValue::new("ints", Value::Array(Array::I64(vec![1, i64::MAX]))),
            KeyValue::new("doubles", Value::Array(Array::F64(vec![-0.0, 1e300]))),
            KeyValue::new("bools", Value::Array(Array::Bool(vec![true]))),
        ])
        .with_links(vec![link()]);
    let mut span = tracer.build_with_context(builder, &remote_parent(trace_id));
    let message = StringValue::from("card declined");
    span.add_event_with_timestamp("exception", time(2), vec![KeyValue::new("message", message)]);
    span.set_status(Status::error("no funds"));
    span.end_with_timestamp(time(3));
    let mut spans = collect.spans.lock().unwrap();
    spans.pop().expect("a simple exporter gets a span when it ends")
}

fn time(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(START_UNIX_NANOS + nanos)
}

fn remote_parent(trace_id: TraceId) -> Context {
    let state = TRACE_STATE.parse::<TraceState>().unwrap();
    let parent = SpanContext::new(trace_id, SpanId::from(7), TraceFlags::SAMPLED, true, state);
    Context::new().with_remote_span_context(parent)
}

fn link() -> Link {
    let linked = SpanContext::new(
        TraceId::from(99),
        SpanId::from(98),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    Link::new(linked, vec![KeyValue::new("reason", "retry")], 0)
}

/// What the program above asked for, in the words of the protocol.
fn expected(recorded: &SpanData) -> otlp::TracesData {
    let int = |number| value(any_value::Value::IntValue(number));
    let double = |number| value(any_value::Value::DoubleValue(number));
    let bool = |truth| value(any_value::Value::BoolValue(truth));
    let span = otlp::Span {
        trace_id: recorded.span_context.trace_id().to_bytes().to_vec(),
        span_id: recorded.span_context.span_id().to_bytes().to_vec(),
        parent_span_id: SpanId::from(7).to_bytes().to_vec(),
        trace_state: TRACE_STATE.to_owned(),
        // Sampled; and the parent is known to be remote.
        flags: 0x301,
        name: "POST /pay".to_owned(),
        kind: otlp::span::SpanKind::Server as i32,
        start_time_unix_nano: START_UNIX_NANOS + 1,
        end_time_unix_nano: START_UNIX_NANOS + 3,
        attributes: vec![
            attribute("text", text("付款 \u{1f600}")),
            attribute("int", int(i64::MIN)),
            attribute("double", double(0.1 + 0.2)),
            attribute("bool", bool(false)),
            attribute("texts", list(vec![text("a"), text("")])),
            attribute("ints", list(vec![int(1), int(i64::MAX)])),
            attribute("doubles", list(vec![double(-0.0), double(1e300)])),
            attribute("bools", list(vec![bool(true)])),
        ],
        events: vec![otlp::span::Event {
            time_unix_nano: START_UNIX_NANOS + 2,
            name: "exception".to_owned(),
            attributes: vec![attribute("message", text("card declined"))],
            dropped_attributes_count: 0,
        }],
        links: vec![otlp::span::Link {
            trace_id: TraceId::from(99).to_bytes().to_vec(),
            span_id: SpanId::from(98).to_bytes().to_vec(),
            attributes: vec![attribute("reason", text("retry"))],
            flags: 0x101,
            ..Default::default()
        }],
        status: Some(otlp::Status {
            code: otlp::status::StatusCode::Error as i32,
            message: "no funds".to_owned(),
        }),
        ..Default::default()
    };
    let scope = opentelemetry_proto::tonic::common::v1::InstrumentationScope {
        name: "shop.checkout".to_owned(),
        version: "0.9.1".to_owned(),
        attributes: vec![attribute("scope.kind", text("library"))],
        dropped_attributes_count: 0,
    };
    let scope_spans = otlp::ScopeSpans {
        scope: Some(scope),
        spans: vec![span],
        schema_url: "https://opentelemetry.io/schemas/1.37.0".to_owned(),
    };
    let resource = SentResource {
        attributes: vec![attribute("service.name", text("结账"))],
        ..Default::default()
    };
    let group = otlp::ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        schema_url: String::new(),
    };
    otlp::TracesData { resource_spans: vec![group] }
}

/// Keeps what the SDK would export.
#[derive(Clone, Debug, Default)]
struct Collect {
    spans: Arc<Mutex<Vec<SpanData>>>,
}

impl Export for Collect {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.spans.lock().unwrap().extend(batch);
        Ok(())
    }
}

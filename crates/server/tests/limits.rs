//! Guards: every limit bites where it says, says so in the answer, and a limit that is changed
//! later never changes what was stored before; tenants never see each other's traces.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::Path;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use suyuan_testkit::client::{Client, Compression, Form, GrpcCode, Protocol, SendError};
use suyuan_testkit::equality::{compare, spans};
use suyuan_testkit::process::ServerProcess;
use suyuan_testkit::sample::{
    attribute, list, plain_span, request, span_id, text, trace_id, traces_data, value,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");

fn start(data_dir: &Path, settings: &[(&str, &str)]) -> (ServerProcess, Client) {
    let server = ServerProcess::start(Path::new(PROGRAM), data_dir, settings).unwrap();
    let client = Client::new(server.addresses());
    (server, client)
}

/// What is over a limit, and what must be found of it.
fn over_the_limits(bytes_max: usize, n_max: usize) -> (Span, Span) {
    const N: usize = 10_000;
    let long = "é".repeat(500_000);
    let many = |n: usize| (0..n).map(|at| attribute(&format!("key.{at}"), text("v")));
    let event = Event { name: "event".to_owned(), ..Event::default() };
    let link = Link { trace_id: trace_id(2), span_id: span_id(2), ..Link::default() };
    let first = attribute("long", text(&long));
    let sent = Span {
        attributes: std::iter::once(first).chain(many(N - 1)).collect(),
        events: vec![event.clone(); N],
        links: vec![link.clone(); N],
        ..plain_span(1, 1)
    };
    let cut = attribute("long", text(&long[..bytes_max - bytes_max % 2]));
    let told = attribute("suyuan.cut_values", value(Value::IntValue(1)));
    let found = Span {
        attributes: std::iter::once(cut).chain(many(n_max - 1)).chain([told]).collect(),
        dropped_attributes_count: (N - n_max) as u32,
        events: vec![event; n_max],
        dropped_events_count: (N - n_max) as u32,
        links: vec![link; n_max],
        dropped_links_count: (N - n_max) as u32,
        ..plain_span(1, 1)
    };
    (sent, found)
}

const SMALL: &[(&str, &str)] = &[
    ("SUYUAN_LIMITS_ATTRIBUTE_VALUE_BYTES_MAX", "101"),
    ("SUYUAN_LIMITS_ATTRIBUTES_PER_SPAN_MAX", "7"),
    ("SUYUAN_LIMITS_EVENTS_PER_SPAN_MAX", "7"),
    ("SUYUAN_LIMITS_LINKS_PER_SPAN_MAX", "7"),
    ("SUYUAN_LIMITS_SPANS_PER_TRACE_MAX", "10"),
];

#[tokio::test]
async fn what_is_over_a_limit_is_cut_and_says_so_and_later_limits_do_not_change_it() {
    for (limits, later, bytes_max, n_max) in
        [(&[][..], SMALL, 64 << 10, 1_024), (SMALL, &[][..], 101, 7)]
    {
        let data_dir = tempfile::tempdir().unwrap();
        let (server, client) = start(data_dir.path(), limits);
        let (sent, expected) = over_the_limits(bytes_max, n_max);
        let neighbour = plain_span(1, 2);
        let sent = request("shop", vec![sent, neighbour.clone()]);
        let answer = client.send(&sent, Protocol::Grpc, Compression::None).await.unwrap();
        assert_eq!(answer.rejected_spans, 0, "{}", answer.error_message);
        assert_ne!(answer.error_message, "", "cutting must be said");
        let expected = traces_data(request("shop", vec![expected, neighbour]));
        compare(&expected, &client.trace_of(&trace_id(1), 2).await.unwrap()).unwrap();
        server.kill();

        let (_server, client) = start(data_dir.path(), later);
        compare(&expected, &client.trace_of(&trace_id(1), 2).await.unwrap()).unwrap();
    }
}

#[tokio::test]
async fn a_trace_that_is_too_large_keeps_what_it_has() {
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(data_dir.path(), SMALL);
    let spans_of = |ids: std::ops::RangeInclusive<u64>| {
        request("shop", ids.map(|id| plain_span(1, id)).collect())
    };
    let mut n_refused = 0;
    for ids in [1..=6, 7..=12, 13..=18] {
        let sent =
            client.send(&spans_of(ids), Protocol::HttpJson, Compression::None).await.unwrap();
        n_refused += sent.rejected_spans;
    }
    assert_eq!(n_refused, 8);
    let other = request("shop", vec![plain_span(2, 1)]);
    let answer = client.send(&other, Protocol::Grpc, Compression::None).await.unwrap();
    assert_eq!(answer.rejected_spans, 0, "another trace is not too large");
    let expected = traces_data(spans_of(1..=10));
    compare(&expected, &client.trace_of(&trace_id(1), 10).await.unwrap()).unwrap();
    let label = ["reason=\"trace_too_large\""];
    let counted = client.metric("suyuan_ingest_refused_spans_total", &label).await.unwrap();
    assert_eq!(counted, 8.0);
    server.kill();

    let (_server, client) = start(data_dir.path(), &[]);
    compare(&expected, &client.trace_of(&trace_id(1), 10).await.unwrap()).unwrap();
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_whole() {
    let data_dir = tempfile::tempdir().unwrap();
    let settings =
        [("SUYUAN_OTLP_BODY_BYTES_MAX", "64 KiB"), ("SUYUAN_OTLP_INFLATED_BYTES_MAX", "128 KiB")];
    let (_server, client) = start(data_dir.path(), &settings);
    let with_text = |n_bytes: usize| {
        let parts = vec![text(&"x".repeat(8 << 10)); n_bytes >> 13];
        request(
            "shop",
            vec![Span { attributes: vec![attribute("a", list(parts))], ..plain_span(1, 1) }],
        )
    };
    let too_large = with_text(80 << 10);
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let refused = client.send(&too_large, protocol, Compression::None).await;
        let Err(SendError::Http(answer)) = refused else { panic!("{refused:?}") };
        assert_eq!(answer.status, 413, "{}", answer.text());
        client.send(&too_large, protocol, Compression::Gzip).await.expect("small when compressed");
        let inflated = client.send(&with_text(200 << 10), protocol, Compression::Zstd).await;
        let Err(SendError::Http(answer)) = inflated else { panic!("{inflated:?}") };
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    for (n_bytes, compression) in [(80 << 10, Compression::None), (200 << 10, Compression::Gzip)] {
        let refused = client.send(&with_text(n_bytes), Protocol::Grpc, compression).await;
        let Err(SendError::Grpc(status)) = refused else { panic!("{refused:?}") };
        assert_eq!(status.code(), GrpcCode::ResourceExhausted, "{status:?}");
    }
}

#[tokio::test]
async fn a_tenant_that_is_too_fast_is_told_when_to_come_back() {
    let data_dir = tempfile::tempdir().unwrap();
    let settings = [("SUYUAN_LIMITS_TENANT_BYTES_PER_SECOND", "4 KiB")];
    let (_server, client) = start(data_dir.path(), &settings);
    let large = request("shop", (1..=200).map(|id| plain_span(1, id)).collect());
    let mut refused = None;
    for _ in 0..20 {
        if let Err(error) = client.send(&large, Protocol::HttpProtobuf, Compression::None).await {
            refused = Some(error);
            break;
        }
    }
    let Some(SendError::Http(answer)) = refused else { panic!("never refused: {refused:?}") };
    assert_eq!(answer.status, 429, "{}", answer.text());
    let retry_after: u64 = answer.header("retry-after").parse().unwrap();
    assert!(retry_after >= 1);
    let over_grpc = client.send(&large, Protocol::Grpc, Compression::None).await;
    let Err(SendError::Grpc(status)) = over_grpc else { panic!("{over_grpc:?}") };
    assert_eq!(status.code(), GrpcCode::ResourceExhausted, "{status:?}");
    assert!(!status.details().is_empty(), "no RetryInfo");
}

const TENANCY: &[(&str, &str)] = &[("SUYUAN_TENANCY_ENABLED", "true")];

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(data_dir.path(), TENANCY);
    for (tenant, service) in [("one", "shop-of-one"), ("two", "shop-of-two")] {
        let sent = request(service, vec![plain_span(1, 1)]);
        for protocol in Protocol::ALL {
            let sending = client.with_tenant(tenant);
            sending.send(&sent, protocol, Compression::None).await.unwrap();
        }
    }
    each_finds_its_own(&client).await;
    server.kill();
    let (_server, client) = start(data_dir.path(), TENANCY);
    each_finds_its_own(&client).await;
}

async fn each_finds_its_own(client: &Client) {
    for (tenant, service) in [("one", "shop-of-one"), ("two", "shop-of-two")] {
        let asking = client.with_tenant(tenant);
        let expected = traces_data(request(service, vec![plain_span(1, 1)]));
        asking.trace_of(&trace_id(1), 1).await.unwrap();
        for form in Form::ALL {
            let found = asking.trace(&trace_id(1), form).await.unwrap().unwrap_or_default();
            compare(&expected, &found).unwrap();
        }
    }
    let third = client.with_tenant("three").trace(&trace_id(1), Form::V1Json).await.unwrap();
    assert_eq!(third, None);
}

#[tokio::test]
async fn with_tenancy_on_nobody_is_nobody() {
    let data_dir = tempfile::tempdir().unwrap();
    let (_server, client) = start(data_dir.path(), TENANCY);
    let sent = request("shop", vec![plain_span(1, 1)]);
    for nobody in [client.clone(), client.with_tenant("")] {
        let refused = nobody.send(&sent, Protocol::HttpProtobuf, Compression::None).await;
        let Err(SendError::Http(answer)) = refused else { panic!("{refused:?}") };
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert!(answer.text().contains("no org id"), "{}", answer.text());
        let refused = nobody.send(&sent, Protocol::Grpc, Compression::None).await;
        let Err(SendError::Grpc(status)) = refused else { panic!("{refused:?}") };
        assert_eq!(status.code(), GrpcCode::Unauthenticated, "{status:?}");
        let answer = nobody.get("/api/traces/1", "*/*").await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text().trim()), (401, "no org id"));
    }
}

#[tokio::test]
async fn with_tenancy_off_the_header_says_nothing() {
    let data_dir = tempfile::tempdir().unwrap();
    let (_server, client) = start(data_dir.path(), &[]);
    let spans_sent =
        [(client.with_tenant("one"), 1), (client.with_tenant(""), 2), (client.clone(), 3)];
    for (sender, id) in &spans_sent {
        let sent = request("shop", vec![plain_span(1, *id)]);
        sender.send(&sent, Protocol::Grpc, Compression::None).await.unwrap();
        sender.send(&sent, Protocol::HttpJson, Compression::None).await.unwrap();
    }
    for (asking, _) in &spans_sent {
        let found = asking.trace_of(&trace_id(1), spans_sent.len()).await.unwrap();
        assert_eq!(spans(&found).count(), spans_sent.len());
    }
}

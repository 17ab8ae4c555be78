//! Guards: what was sent is what is found, whatever it looks like, however it travels, and after
//! a restart as before it.
//!
//! Every request of the corpora and some of our own goes over gRPC, HTTP protobuf and HTTP JSON,
//! each time under trace ids of its own and compressed by turns; every trace is then asked for in
//! all four forms, from the live server and from one that was killed and started again. Then all of
//! it again with blocks made meanwhile, on the local disk and in a bucket: out of blocks and live
//! data, after a kill, and out of compacted blocks. The oracle says what must be found,
//! `testkit::equality` what "equal" means.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::Path;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use suyuan_testkit::client::{Client, Compression, Form, Protocol};
use suyuan_testkit::corpus::{Case, Corpora};
use suyuan_testkit::equality::{compare, hex, missing_for_grafana, spans};
use suyuan_testkit::fake_s3::{ACCESS_KEY_ID, BUCKET, FakeS3, SECRET_ACCESS_KEY};
use suyuan_testkit::oracle::{Oracle, SINGLE_TENANT};
use suyuan_testkit::process::ServerProcess;
use suyuan_testkit::sample::{
    START_UNIX_NANOS, attribute, full_span, plain_span, request, span_id, value,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");

/// Every protocol, and every form for each trace.
const ALL: (&[Protocol], usize) = (&Protocol::ALL, Form::ALL.len());

/// Blocks that are made while requests come.
const FLUSHES: usize = 9;

fn start(data_dir: &Path) -> (ServerProcess, Client) {
    start_with(data_dir, &[])
}

fn start_with(data_dir: &Path, settings: &[(&str, &str)]) -> (ServerProcess, Client) {
    let server = ServerProcess::start(Path::new(PROGRAM), data_dir, settings).unwrap();
    let client = Client::new(server.addresses());
    (server, client)
}

#[tokio::test]
async fn spans_of_our_own_are_found_as_they_were_sent() {
    round_trip(own_cases()).await;
}

#[tokio::test]
async fn spans_of_the_corpora_are_found_as_they_were_sent() {
    let Some(corpora) = Corpora::find() else { return };
    round_trip(corpora.all()).await;
}

#[tokio::test]
async fn spans_of_our_own_are_found_in_blocks_on_disk() {
    round_trip_through_blocks(own_cases(), &[], ALL).await;
}

#[tokio::test]
async fn spans_of_the_corpora_are_found_in_blocks_on_disk() {
    let Some(corpora) = Corpora::find() else { return };
    // Over each protocol and in each form live data has shown them already.
    round_trip_through_blocks(corpora.all(), &[], (&[Protocol::Grpc], 1)).await;
}

#[test]
fn spans_of_our_own_are_found_in_blocks_in_a_bucket() {
    let bucket = FakeS3::start();
    let endpoint = bucket.endpoint();
    let settings = [
        ("SUYUAN_OBJECTS_KIND", "s3"),
        ("SUYUAN_OBJECTS_BUCKET", BUCKET),
        ("SUYUAN_OBJECTS_ENDPOINT", &endpoint),
        ("SUYUAN_OBJECTS_REGION", "us-east-1"),
        ("SUYUAN_OBJECTS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("SUYUAN_OBJECTS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("SUYUAN_OBJECTS_ALLOW_HTTP", "true"),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(round_trip_through_blocks(own_cases(), &settings, ALL));
    eprintln!("{} requests to the bucket", bucket.requests());
}

async fn round_trip(cases: Vec<Case>) {
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client) = start(data_dir.path());
    let (oracle, n_requests) = send_all(&client, &cases, &Protocol::ALL, usize::MAX).await;
    let n_answers = found_as_sent(&client, &oracle, Form::ALL.len()).await;
    server.kill();
    let (server, client) = start(data_dir.path());
    let n_answers = n_answers + found_as_sent(&client, &oracle, Form::ALL.len()).await;
    let (status, said) = server.terminate().await;
    assert!(status.success(), "{status}: {said}");
    let n_traces = oracle.trace_ids(SINGLE_TENANT).len();
    eprintln!("{n_requests} requests, {n_traces} traces, {n_answers} answers compared");
}

async fn round_trip_through_blocks(
    cases: Vec<Case>,
    settings: &[(&str, &str)],
    (protocols, n_forms): (&[Protocol], usize),
) {
    let data_dir = tempfile::tempdir().unwrap();
    // Only when it is asked for, so that it is known what is compacted.
    let settings = [settings, &[("SUYUAN_COMPACTION_ENABLED", "false")]].concat();
    let (server, client) = start_with(data_dir.path(), &settings);
    let requests_per_flush = (protocols.len() * cases.len() / FLUSHES).max(1);
    let (oracle, n_requests) = send_all(&client, &cases, protocols, requests_per_flush).await;
    let mut n_answers = found_as_sent(&client, &oracle, n_forms).await;
    let n_blocks = client.metric("suyuan_store_blocks", &[]).await.unwrap();
    assert!(n_blocks >= FLUSHES as f64, "{n_blocks} blocks");
    server.kill();
    let (server, client) = start_with(data_dir.path(), &settings);
    n_answers += found_as_sent(&client, &oracle, n_forms).await;
    let told = client.flush(true).await.unwrap();
    assert_eq!(client.metric("suyuan_store_live_rows", &[]).await.unwrap(), 0.0, "{told}");
    let n_compacted = client.metric("suyuan_store_blocks", &[]).await.unwrap();
    assert!(n_compacted < n_blocks, "{n_blocks} blocks became {n_compacted}: {told}");
    n_answers += found_as_sent(&client, &oracle, n_forms).await;
    let (status, said) = server.terminate().await;
    assert!(status.success(), "{status}: {said}");
    let n_traces = oracle.trace_ids(SINGLE_TENANT).len();
    eprintln!(
        "{n_requests} requests, {n_traces} traces, {n_blocks} blocks, then {n_compacted}; \
         {n_answers} answers compared"
    );
}

/// Sends every case over these protocols; makes a block after every so many requests.
async fn send_all(
    client: &Client,
    cases: &[Case],
    protocols: &[Protocol],
    requests_per_flush: usize,
) -> (Oracle, usize) {
    let mut oracle = Oracle::new();
    let mut n_requests = 0;
    for (&protocol, salt) in protocols.iter().zip(1..) {
        for case in cases.iter().map(|case| case.renumbered(salt)) {
            let compression = Compression::ALL[n_requests % Compression::ALL.len()];
            let answer = client.send(&case.request, protocol, compression).await;
            let answer =
                answer.unwrap_or_else(|error| panic!("{} {protocol:?}: {error:?}", case.name));
            assert_eq!(answer, Default::default(), "{} {protocol:?}", case.name);
            assert_eq!(oracle.accept(SINGLE_TENANT, &case.request).refusals, []);
            n_requests += 1;
            if n_requests.is_multiple_of(requests_per_flush) {
                client.flush(false).await.unwrap();
            }
        }
    }
    (oracle, n_requests)
}

/// Compares every trace in so many forms, by turns; returns how many answers that were.
async fn found_as_sent(client: &Client, oracle: &Oracle, n_forms: usize) -> usize {
    let mut n_answers = 0;
    let mut forms = Form::ALL.into_iter().cycle();
    for trace_id in oracle.trace_ids(SINGLE_TENANT) {
        let sent = oracle.trace(SINGLE_TENANT, &trace_id);
        client.trace_of(&trace_id, spans(&sent).count()).await.unwrap();
        for form in forms.by_ref().take(n_forms) {
            let found = client.trace(&trace_id, form).await.unwrap().unwrap_or_default();
            let place = || format!("trace {} as {form:?}", hex(&trace_id));
            compare(&sent, &found).unwrap_or_else(|told| panic!("{}: {told}", place()));
            missing_for_grafana(&found).unwrap_or_else(|told| panic!("{}: {told}", place()));
            n_answers += 1;
        }
    }
    n_answers
}

/// Shapes that no corpus has.
fn own_cases() -> Vec<Case> {
    let case = |name: &str, request| Case { name: name.to_owned(), request };
    let spans = |name: &str, spans| case(name, request("shop", spans));
    let server = SpanKind::Server as i32;
    let client = SpanKind::Client as i32;
    vec![
        spans("every field", vec![full_span(1, 1, 9), plain_span(1, 9)]),
        case("no resource, no scope, no status", bare(request("", vec![plain_span(2, 1)]))),
        spans(
            "client and server share an id",
            vec![
                Span { kind: client, parent_span_id: span_id(1), ..plain_span(3, 5) },
                Span { kind: server, parent_span_id: span_id(1), ..plain_span(3, 5) },
                Span { parent_span_id: span_id(5), ..plain_span(3, 6) },
                plain_span(3, 1),
            ],
        ),
        spans(
            "ends before it starts",
            vec![
                Span { end_time_unix_nano: 5, ..full_span(4, 1, 9) },
                Span { end_time_unix_nano: 0, ..plain_span(4, 2) },
            ],
        ),
        spans(
            "cycle and self-parent",
            vec![
                Span { parent_span_id: span_id(2), ..plain_span(5, 1) },
                Span { parent_span_id: span_id(1), ..plain_span(5, 2) },
                Span { parent_span_id: span_id(3), ..plain_span(5, 3) },
            ],
        ),
        spans(
            "one span id, three starts and kinds",
            vec![
                plain_span(6, 1),
                Span { start_time_unix_nano: START_UNIX_NANOS + 1, ..plain_span(6, 1) },
                Span { kind: SpanKind::Producer as i32, ..plain_span(6, 1) },
            ],
        ),
        spans(
            "times of any year",
            vec![
                Span { start_time_unix_nano: 0, end_time_unix_nano: 0, ..plain_span(7, 1) },
                Span { start_time_unix_nano: 1, ..plain_span(7, 2) },
                Span { end_time_unix_nano: i64::MAX as u64, ..plain_span(7, 3) },
            ],
        ),
        spans(
            "enumerations of tomorrow",
            vec![Span { kind: 17, ..with_status_code(plain_span(8, 1), 9) }],
        ),
        spans("doubles of every size", vec![Span { attributes: doubles(), ..plain_span(10, 1) }]),
        case("the same request, first half", request("a", vec![full_span(9, 1, 2)])),
        case("the same trace from another service", request("b", vec![full_span(9, 3, 1)])),
        case("the same request, sent again", request("a", vec![full_span(9, 1, 2)])),
    ]
}

/// A thousand doubles without a pattern: a reader or writer that rounds is found by the first few.
fn doubles() -> Vec<KeyValue> {
    let bits = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) ^ n;
    let double = |n| value(Value::DoubleValue(f64::from_bits(bits(n))));
    (1..=1_000).map(|n| attribute(&format!("double.{n}"), double(n))).collect()
}

fn bare(mut request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    let group = &mut request.resource_spans[0];
    group.resource = None;
    group.schema_url.clear();
    group.scope_spans[0].scope = None;
    group.scope_spans[0].schema_url.clear();
    request
}

fn with_status_code(mut span: Span, code: i32) -> Span {
    span.status.get_or_insert_default().code = code;
    span
}

#[tokio::test]
async fn an_id_may_be_asked_for_with_and_without_leading_zeros() {
    let data_dir = tempfile::tempdir().unwrap();
    let (_server, client) = start(data_dir.path());
    let mut span = plain_span(1, 1);
    span.trace_id = [vec![0; 15], vec![0x1f]].concat();
    let sent = request("shop", vec![span.clone()]);
    client.send(&sent, Protocol::Grpc, Compression::None).await.unwrap();
    client.trace_of(&span.trace_id, 1).await.unwrap();
    for id in ["1f", "1F", "01f", "000000000000001f", "0000000000000000000000000000001f"] {
        for version in ["/api/traces", "/api/v2/traces"] {
            let answer = client.get(&format!("{version}/{id}"), "*/*").await.unwrap();
            assert_eq!(answer.status, 200, "{version}/{id}");
            assert!(answer.text().contains("\"traceId\":\"AAAAAAAAAAAAAAAAAAAAHw==\""), "{id}");
        }
    }
    for (id, v1, v2) in [("2f", 404, 200), ("xyz", 400, 400), (&"1".repeat(33), 400, 400)] {
        let answer = client.get(&format!("/api/traces/{id}"), "*/*").await.unwrap();
        assert_eq!(answer.status, v1, "{id}");
        let answer = client.get(&format!("/api/v2/traces/{id}"), "*/*").await.unwrap();
        assert_eq!(answer.status, v2, "{id}");
    }
}

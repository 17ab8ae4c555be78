//! Guards: bad input gets a clear answer and a counter, never takes a neighbour with it, and
//! never brings the server down. Input that is odd but valid is data.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::Path;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use suyuan_testkit::client::{Client, Compression, Form, Protocol, compressed, until};
use suyuan_testkit::equality::{compare, spans};
use suyuan_testkit::jsonpb::write_otlp;
use suyuan_testkit::oracle::{Oracle, RefusalReason, SINGLE_TENANT};
use suyuan_testkit::process::ServerProcess;
use suyuan_testkit::sample::{
    START_UNIX_NANOS, attribute, full_span, plain_span, request, span_id, text, trace_id,
    traces_data,
};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

struct Running {
    client: Client,
    server: ServerProcess,
    _data_dir: TempDir,
}

fn start() -> Running {
    let data_dir = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(Path::new(PROGRAM), data_dir.path(), &[]).unwrap();
    Running { client: Client::new(server.addresses()), server, _data_dir: data_dir }
}

impl Running {
    /// Ends the server, which must still be there and say nothing of a panic.
    async fn stop(self) {
        let (status, said) = self.server.terminate().await;
        assert!(status.success(), "{status}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }

    async fn send(&self, request: &ExportTraceServiceRequest, protocol: Protocol) -> (i64, String) {
        let answer = self.client.send(request, protocol, Compression::None).await;
        let answer = answer.unwrap_or_else(|error| panic!("{protocol:?}: {error:?}"));
        (answer.rejected_spans, answer.error_message)
    }

    /// Waits until that many spans are visible, duplicates counted.
    async fn rows_are(&self, n_rows: u64) {
        let visible =
            until(async || self.counted("suyuan_store_live_rows", "").await == n_rows as f64);
        assert!(visible.await, "{n_rows} spans never became visible");
    }

    async fn counted(&self, name: &str, label: &str) -> f64 {
        self.client.metric(name, &[label]).await.unwrap()
    }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// What is sent, and how it must be refused.
struct Row {
    name: &'static str,
    path: &'static str,
    content_type: &'static str,
    encoding: &'static str,
    body: Vec<u8>,
    status: u16,
    reason: &'static str,
}

impl Row {
    fn new(name: &'static str, status: u16, reason: &'static str, body: Vec<u8>) -> Row {
        let (content_type, encoding) = (PROTOBUF, "");
        Row { name, path: "/v1/traces", content_type, encoding, body, status, reason }
    }
}

fn bad_requests() -> Vec<Row> {
    let good = request("shop", vec![plain_span(900, 1)]).encode_to_vec();
    let cut_short = good[..good.len() - 1].to_vec();
    let json = |body: &str| body.as_bytes().to_vec();
    let nested = [r#"{"resourceSpans":"#, &"[".repeat(100_000)].concat();
    let bomb = vec![0; 101 << 20];
    vec![
        Row::new("not protobuf", 400, "malformed", vec![0xff; 64]),
        Row::new("cut short", 400, "malformed", cut_short),
        Row::new("wrong wire type", 400, "malformed", vec![0x08, 0x01, 0x0b]),
        Row { content_type: JSON, ..Row::new("no JSON", 400, "malformed", json("{")) },
        Row { content_type: JSON, ..Row::new("empty JSON", 400, "malformed", json("")) },
        Row { content_type: JSON, ..Row::new("a list", 400, "malformed", json("[]")) },
        Row {
            content_type: JSON,
            ..Row::new("a wrong type", 400, "malformed", json(r#"{"resourceSpans":{"a":1}}"#))
        },
        Row { content_type: JSON, ..Row::new("deep JSON", 400, "malformed", json(&nested)) },
        Row { content_type: "text/plain", ..Row::new("text", 415, "content_type", good.clone()) },
        Row { encoding: "br", ..Row::new("brotli", 415, "content_encoding", good.clone()) },
        Row { encoding: "gzip", ..Row::new("not gzip", 400, "inflate", good.clone()) },
        Row { encoding: "zstd", ..Row::new("not zstd", 400, "inflate", good.clone()) },
        Row {
            encoding: "gzip",
            ..Row::new("half a gzip", 400, "inflate", {
                let whole = compressed(&good, Compression::Gzip);
                whole[..whole.len() / 2].to_vec()
            })
        },
        Row {
            encoding: "gzip",
            ..Row::new(
                "a gzip bomb",
                413,
                "inflated_too_large",
                compressed(&bomb, Compression::Gzip),
            )
        },
        Row {
            encoding: "zstd",
            ..Row::new(
                "a zstd bomb",
                413,
                "inflated_too_large",
                compressed(&bomb, Compression::Zstd),
            )
        },
        Row::new("too large", 413, "too_large", vec![0; (20 << 20) + 1]),
        Row { path: "/v1/metrics", ..Row::new("metrics", 404, "unknown_path", good) },
    ]
}

#[tokio::test]
async fn a_bad_request_is_refused_with_a_reason_and_counted() {
    let running = start();
    for (row, number) in bad_requests().into_iter().zip(1..) {
        let Row { name, path, content_type, encoding, body, status, reason } = row;
        let label = format!("reason=\"{reason}\"");
        let metric = "suyuan_ingest_refused_requests_total";
        let before = running.counted(metric, &label).await;
        let answer = running.client.post_otlp(path, content_type, encoding, body).await.unwrap();
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        if content_type == PROTOBUF {
            assert_eq!(answer.header("content-type"), PROTOBUF, "{name}");
            let told = RpcStatus::decode(answer.body.clone()).unwrap();
            assert!(!told.message.is_empty(), "{name} is refused without a word");
        } else if content_type == JSON {
            assert_eq!(answer.header("content-type"), JSON, "{name}");
            assert!(answer.text().contains("\"message\":\""), "{name}: {}", answer.text());
        }
        assert_eq!(running.counted(metric, &label).await, before + 1.0, "{name}: not counted");

        let neighbour = request("shop", vec![plain_span(number, 1)]);
        assert_eq!(running.send(&neighbour, Protocol::HttpProtobuf).await.0, 0, "after {name}");
        running.client.trace_of(&trace_id(number), 1).await.unwrap();
    }
    let refused = running.client.trace(&trace_id(900), Form::V2Protobuf).await.unwrap();
    assert_eq!(refused, None, "a refused request was stored");
    running.stop().await;
}

#[tokio::test]
async fn a_bad_span_never_takes_its_neighbours_with_it() {
    let running = start();
    let mut oracle = Oracle::new();
    let reasons = [
        ("invalid_trace_id", RefusalReason::TraceId),
        ("invalid_span_id", RefusalReason::SpanId),
        ("invalid_parent_span_id", RefusalReason::ParentSpanId),
        ("time_out_of_range", RefusalReason::Time),
    ];
    for (protocol, trace) in Protocol::ALL.into_iter().zip(1..) {
        let sent = request("shop", good_and_bad_spans(trace));
        let admission = oracle.accept(SINGLE_TENANT, &sent);
        let mut expected = Vec::new();
        for (label, reason) in reasons {
            let label = format!("reason=\"{label}\"");
            let before = running.counted("suyuan_ingest_refused_spans_total", &label).await;
            let n_refused = admission.refusals.iter().filter(|other| **other == reason).count();
            expected.push((label, before + n_refused as f64));
        }
        let (n_refused, message) = running.send(&sent, protocol).await;
        assert_eq!(n_refused, admission.refusals.len() as i64, "{protocol:?}: {message}");
        assert!(message.contains("trace_id"), "{protocol:?} does not say why: {message:?}");
        for (label, count) in expected {
            let counted = running.counted("suyuan_ingest_refused_spans_total", &label).await;
            assert_eq!(counted, count, "{protocol:?} {label}");
        }
        let found = running.client.trace_of(&trace_id(trace), admission.n_accepted).await.unwrap();
        compare(&oracle.trace(SINGLE_TENANT, &trace_id(trace)), &found).unwrap();
    }
    running.stop().await;
}

/// Good spans between spans of which each is bad in one way.
fn good_and_bad_spans(trace: u64) -> Vec<Span> {
    let good = plain_span(trace, 1);
    let bad = [
        Span { trace_id: Vec::new(), ..good.clone() },
        Span { trace_id: vec![7; 15], ..good.clone() },
        Span { trace_id: vec![7; 17], ..good.clone() },
        Span { trace_id: vec![0; 16], ..good.clone() },
        Span { span_id: Vec::new(), ..good.clone() },
        Span { span_id: vec![7; 9], ..good.clone() },
        Span { span_id: vec![0; 8], ..good.clone() },
        Span { parent_span_id: vec![7; 4], ..good.clone() },
        Span { start_time_unix_nano: 1 << 63, ..good.clone() },
        Span { end_time_unix_nano: u64::MAX, ..good.clone() },
    ];
    let neighbours = (1..).map(|id| full_span(trace, id, 99));
    neighbours.zip(bad).flat_map(|(good, bad)| [good, bad]).collect()
}

/// Bytes that are no text cannot be built with a protobuf library: they are put in afterwards.
#[tokio::test]
async fn text_that_is_not_utf8_is_repaired_and_counted() {
    let running = start();
    let mut span = plain_span(1, 1);
    span.name = "name @@@@ end".to_owned();
    span.attributes = vec![attribute("key @@@@", text("value @@@@")), attribute("ok", text("é"))];
    let neighbour = full_span(1, 2, 1);
    let mut sent = request("shop", vec![span, neighbour]);
    let mut body = sent.encode_to_vec();
    while let Some(at) = body.windows(4).position(|bytes| bytes == b"@@@@") {
        body[at..at + 4].copy_from_slice(b"\xff\xc3\xffA");
    }
    let answer = running.client.post_otlp("/v1/traces", PROTOBUF, "", body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());

    let repaired = &mut sent.resource_spans[0].scope_spans[0].spans[0];
    let three_marks = "\u{fffd}\u{fffd}\u{fffd}A";
    repaired.name = format!("name {three_marks} end");
    repaired.attributes[0] =
        attribute(&format!("key {three_marks}"), text(&format!("value {three_marks}")));
    let found = running.client.trace_of(&trace_id(1), 2).await.unwrap();
    compare(&traces_data(sent), &found).unwrap();
    let counted = running.counted("suyuan_ingest_odd_spans_total", "repaired_text").await;
    assert!(counted >= 1.0, "not counted");
    running.stop().await;
}

#[tokio::test]
async fn odd_spans_are_stored_as_sent_and_counted() {
    let running = start();
    let odd = vec![
        Span { end_time_unix_nano: START_UNIX_NANOS - 1, ..plain_span(1, 1) },
        Span { parent_span_id: span_id(2), ..plain_span(1, 2) },
        Span { parent_span_id: span_id(4), ..plain_span(1, 3) },
        Span { parent_span_id: span_id(3), ..plain_span(1, 4) },
        Span { start_time_unix_nano: 1, ..plain_span(1, 5) },
        Span { start_time_unix_nano: START_UNIX_NANOS + 1, ..plain_span(1, 5) },
        Span { attributes: vec![attribute("a", text("1")); 3], ..plain_span(1, 6) },
    ];
    let n_odd = odd.len();
    let sent = request("shop", odd);
    assert_eq!(running.send(&sent, Protocol::Grpc).await, (0, String::new()));
    let found = running.client.trace_of(&trace_id(1), n_odd).await.unwrap();
    compare(&traces_data(sent), &found).unwrap();
    for label in ["ends_before_start", "own_parent"] {
        assert_eq!(running.counted("suyuan_ingest_odd_spans_total", label).await, 1.0, "{label}");
    }
    running.stop().await;
}

/// Equal trace id, span id, kind and start: the one that ends last is the span, whatever came
/// first; with equal ends it is one of the two, and stays that one.
#[tokio::test]
async fn a_span_sent_twice_is_found_once() {
    let running = start();
    let short = plain_span(1, 1);
    let long = Span { end_time_unix_nano: short.end_time_unix_nano + 1, ..full_span(1, 1, 9) };
    let long = Span { kind: short.kind, ..long };
    for (trace, order) in [(1, [&short, &long]), (2, [&long, &short])] {
        for span in order {
            let span = Span { trace_id: trace_id(trace), ..span.clone() };
            running.send(&request("shop", vec![span]), Protocol::Grpc).await;
        }
    }
    running.rows_are(4).await;
    for trace in [1, 2] {
        let winner = Span { trace_id: trace_id(trace), ..long.clone() };
        let expected = traces_data(request("shop", vec![winner]));
        compare(&expected, &running.client.trace_of(&trace_id(trace), 1).await.unwrap()).unwrap();
    }
    running.stop().await;

    let twin = Span { name: "twin".to_owned(), ..short.clone() };
    let mut winners = Vec::new();
    for order in [[&short, &twin], [&twin, &short]] {
        let running = start();
        for span in order {
            running.send(&request("shop", vec![span.clone()]), Protocol::Grpc).await;
        }
        running.rows_are(2).await;
        let found = running.client.trace_of(&trace_id(1), 1).await.unwrap();
        winners.push(spans(&found).next().unwrap().name.clone());
        running.stop().await;
    }
    assert!(["plain", "twin"].contains(&winners[0].as_str()), "{winners:?}");
    assert_eq!(winners[0], winners[1], "the winner depends on who came first");
}

#[tokio::test]
async fn a_trace_of_200_000_spans_is_found_whole() {
    const N_REQUESTS: u64 = 20;
    const SPANS_PER_REQUEST: u64 = 10_000;
    let running = start();
    for at in 0..N_REQUESTS {
        let ids = at * SPANS_PER_REQUEST + 1..=(at + 1) * SPANS_PER_REQUEST;
        let spans = ids.map(|id| Span { parent_span_id: span_id(1), ..plain_span(1, id) });
        let sent = request("shop", spans.collect());
        assert_eq!(running.send(&sent, Protocol::HttpProtobuf).await.0, 0);
    }
    let n_spans = (N_REQUESTS * SPANS_PER_REQUEST) as usize;
    let found = running.client.trace_of(&trace_id(1), n_spans).await.unwrap();
    let mut ids: Vec<&[u8]> = spans(&found).map(|span| span.span_id.as_slice()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n_spans);
    let path = format!("/api/traces/{}", suyuan_testkit::equality::hex(&trace_id(1)));
    let answer = running.client.get(&path, JSON).await.unwrap();
    assert_eq!(answer.text().matches("\"spanId\":").count(), n_spans);
    running.stop().await;
}

/// JSON may spell what protobuf cannot: old field names, numbers for strings, upper-case ids.
#[tokio::test]
async fn json_is_read_as_generously_as_the_specification_asks() {
    let running = start();
    let sent = request("shop", vec![full_span(1, 1, 9)]);
    let usual = write_otlp(&sent);
    let id = suyuan_testkit::equality::hex(&trace_id(1));
    let variants = [
        usual.replace(&id, &id.to_uppercase()),
        usual.replace(&format!("\"{START_UNIX_NANOS}\""), &START_UNIX_NANOS.to_string()),
        usual.replace("\"kind\":3", "\"kind\":\"SPAN_KIND_CLIENT\""),
        usual.replace("scopeSpans", "scope_spans").replace("traceId", "trace_id"),
        usual
            .replace("scopeSpans", "instrumentationLibrarySpans")
            .replace("\"scope\"", "\"instrumentationLibrary\""),
        usual.replace("{\"resourceSpans\"", "{\"futureField\":[{\"a\":null}],\"resourceSpans\""),
        usual.replace("\"spanId\"", " \n\t\"spanId\""),
    ];
    for (variant, trace) in variants.into_iter().zip(1..) {
        assert_ne!(variant, usual, "variant {trace} changes nothing");
        let other = suyuan_testkit::equality::hex(&trace_id(trace));
        let body = variant.replace(&id, &other).replace(&id.to_uppercase(), &other.to_uppercase());
        let answer = running.client.post_otlp("/v1/traces", JSON, "", body).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "{}"), "{trace}");
        let found = running.client.trace_of(&trace_id(trace), 1).await.unwrap();
        let expected = request("shop", vec![full_span(trace, 1, 9)]);
        compare(&traces_data(expected), &found).unwrap_or_else(|told| panic!("{trace}: {told}"));
    }
    running.stop().await;
}

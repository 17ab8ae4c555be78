//! OTLP/HTTP: what is taken, and every refusal.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::*;

/// A row of the refusal table: its name, the options, what the lane says, what is sent, and what
/// comes back as `status content-type [header=value] code message [delay]`.
type Row = (&'static str, Options, Result<Outcome, Refusal>, Request1, &'static str);

async fn check(rows: impl IntoIterator<Item = Row>) {
    for (name, options, lane, request, expected) in rows {
        let server = Server::answering(options, lane).await;
        let answer = request.send(&server).await;
        assert_eq!(describe(&answer), expected, "{name}");
        assert_eq!(server.stop().await, Drained { connections_cut: 0 }, "{name}");
    }
}

/// What the head of a request can have wrong.
#[tokio::test]
async fn refusals_of_where_and_how() {
    let with_tenants = || Options { tenancy: Tenancy::ByHeader, ..Options::default() };
    check([
        (
            "no tenant",
            with_tenants(), fine(),
            protobuf("x"),
            "401 application/x-protobuf 16 no org id",
        ),
        (
            "empty tenant",
            with_tenants(), fine(),
            json("{}").header("x-scope-orgid", ""),
            "401 application/json 16 no org id",
        ),
        (
            "bad tenant",
            with_tenants(), fine(),
            json("{}").header("x-scope-orgid", "a/b"),
            "400 application/json 3 X-Scope-OrgID: tenant id contains unsupported character '/'",
        ),
        (
            "two tenants",
            with_tenants(), fine(),
            json("{}").header("x-scope-orgid", "a").header("x-scope-orgid", "b"),
            "400 application/json 3 the request names more than one tenant in X-Scope-OrgID",
        ),
        (
            "other path",
            Options::default(), fine(),
            protobuf("x").start("POST /v1/trace"),
            "404 application/x-protobuf 12 nothing is received at /v1/trace: POST traces to /v1/traces",
        ),
        (
            "a browser looks",
            Options::default(), fine(),
            post("").start("GET /"),
            "404 application/json 12 nothing is received at /: POST traces to /v1/traces",
        ),
        (
            "other signal",
            Options::default(), fine(),
            protobuf("x").start("POST /v1/metrics"),
            "404 application/x-protobuf 12 nothing is received at /v1/metrics: only traces are \
             stored here; send them to /v1/traces and switch the exporter of the other signal off",
        ),
        (
            "gRPC's path without its content type",
            Options::default(), fine(),
            protobuf("x").start(&format!("POST {}", super::super::grpc::EXPORT_PATH)),
            "415 application/x-protobuf 3 gRPC needs the content type application/grpc",
        ),
        (
            "gRPC over HTTP/1.1",
            Options::default(), fine(),
            post("x")
                .start(&format!("POST {}", super::super::grpc::EXPORT_PATH))
                .header("content-type", "application/grpc"),
            "505 text/plain gRPC needs HTTP/2\n",
        ),
        (
            "other method",
            Options::default(), fine(),
            post("").start("GET /v1/traces"),
            "405 application/json allow=POST 12 /v1/traces takes POST, not GET",
        ),
        (
            "no content type",
            Options::default(), fine(),
            post("x"),
            "415 application/json 3 content type `` is not accepted: send application/x-protobuf \
             or application/json",
        ),
        (
            "other content type",
            Options::default(), fine(),
            post("x").header("content-type", "text/plain"),
            "415 application/json 3 content type `text/plain` is not accepted: send \
             application/x-protobuf or application/json",
        ),
        (
            "other encoding",
            Options::default(), fine(),
            protobuf("x").header("content-encoding", "br"),
            "415 application/x-protobuf accept-encoding=gzip, zstd 12 content encoding `br` is not \
             accepted: send gzip, zstd or identity, once",
        ),
        (
            "encoded twice",
            Options::default(), fine(),
            protobuf("x").header("content-encoding", "gzip, zstd"),
            "415 application/x-protobuf accept-encoding=gzip, zstd 12 content encoding `zstd` is \
             not accepted: send gzip, zstd or identity, once",
        ),
    ])
    .await;
}

/// What the body can have wrong, as far as it can be told without decoding.
#[tokio::test]
async fn refusals_of_the_body() {
    let small =
        || Options { request_bytes_max: 100, inflated_bytes_max: 200, ..Options::default() };
    check([
        (
            "damaged gzip",
            Options::default(), fine(),
            protobuf("no gzip at all, but long enough").header("content-encoding", "gzip"),
            "400 application/x-protobuf 3 the body is not valid gzip: it does not begin as gzip does",
        ),
        (
            "damaged zstd",
            Options::default(), fine(),
            json("no zstd at all").header("content-encoding", "zstd"),
            "400 application/json 3 the body is not valid zstd: it does not begin as zstd does",
        ),
        (
            "too large, said before",
            small(), fine(),
            protobuf(vec![0; 101]),
            "413 application/x-protobuf 8 the body of 101 bytes is larger than the limit of 100 \
             bytes as sent: send smaller batches, or compress them",
        ),
        (
            "too large, found out",
            small(), fine(),
            json([b"65\r\n", &[b' '; 101][..], b"\r\n0\r\n\r\n"].concat())
                .header("transfer-encoding", "chunked"),
            "413 application/json 8 the body is larger than the limit of 100 bytes as sent: send \
             smaller batches, or compress them",
        ),
        (
            "too large inside, gzip",
            small(), fine(),
            protobuf(gzip(&[0; 201])).header("content-encoding", "gzip"),
            "413 application/x-protobuf 8 the body inflates to more than the limit of 200 bytes",
        ),
        (
            "too large inside, zstd",
            small(), fine(),
            protobuf(zstd(&[0; 201])).header("content-encoding", "zstd"),
            "413 application/x-protobuf 8 the body inflates to more than the limit of 200 bytes",
        ),
    ])
    .await;
}

/// What the lane can say.
#[tokio::test]
async fn refusals_of_the_lane() {
    check([
        (
            "malformed protobuf",
            Options::default(),
            Err(Refusal::Malformed("field 1 is cut short".into())),
            protobuf("x"),
            "400 application/x-protobuf 3 field 1 is cut short",
        ),
        (
            "malformed JSON",
            Options::default(),
            Err(Refusal::Malformed("expected value at line 1 column 1".into())),
            json("x"),
            "400 application/json 3 expected value at line 1 column 1",
        ),
        (
            "overloaded",
            Options::default(),
            Err(Refusal::Overloaded),
            protobuf("x"),
            "429 application/x-protobuf retry-after=1 8 too many requests wait for the log; retry \
             later 1s",
        ),
        (
            "too many tenants",
            Options::default(),
            Err(Refusal::TooManyTenants { tenants_max: 7 }),
            json("{}"),
            "429 application/json retry-after=60 8 there are 7 tenants already, as many as are \
             allowed 60s",
        ),
        (
            "disk full",
            Options::default(),
            Err(Refusal::LogFull),
            json("{}"),
            "503 application/json retry-after=5 14 the disk of the log is full; retry when there \
             is space 5s",
        ),
        (
            "log failed",
            Options::default(),
            Err(Refusal::LogFailed("fsync: I/O error".into())),
            protobuf("x"),
            "503 application/x-protobuf retry-after=5 14 the log could not be written: fsync: I/O \
             error 5s",
        ),
        (
            "window full",
            Options::default(),
            Err(Refusal::WindowFull { rows: 9 }),
            protobuf("x"),
            "503 application/x-protobuf retry-after=5 14 the live window is full: 9 spans; retry \
             later 5s",
        ),
        (
            "stopping",
            Options::default(),
            Err(Refusal::Stopping),
            protobuf("x"),
            "503 application/x-protobuf retry-after=5 14 the server is stopping 5s",
        ),
        (
            "decoder failed",
            Options::default(),
            Err(Refusal::DecoderFailed),
            protobuf("x"),
            "500 application/x-protobuf 13 the request made the decoder fail; it was not stored, \
             please report it",
        ),
    ])
    .await;
}

fn fine() -> Result<Outcome, Refusal> {
    Ok(Outcome::default())
}

fn describe(answer: &Answer1) -> String {
    let mut text = format!("{} {}", answer.status, answer.header("content-type"));
    for name in ["allow", "accept-encoding", "retry-after"] {
        if answer.headers.contains_key(name) {
            text.push_str(&format!(" {name}={}", answer.header(name)));
        }
    }
    if answer.header("content-type") == "text/plain" {
        return format!("{text} {}", String::from_utf8_lossy(&answer.body));
    }
    let status = answer.status();
    let delay = status.delay.map(|delay| format!(" {delay}")).unwrap_or_default();
    format!("{text} {} {}{delay}", status.code, status.message)
}

/// Content type, encoding and body, as they may be sent: the lane gets the bytes as sent and what
/// is inside.
#[tokio::test]
async fn everything_allowed_arrives_as_sent() {
    let plain = br#"{"resourceSpans":[]}"#.to_vec();
    let chunked = [b"5\r\n", &plain[..5], b"\r\nf\r\n", &plain[5..], b"\r\n0\r\n\r\n"].concat();
    let members = [gzip(&plain[..7]), gzip(&plain[7..])].concat();
    let rows = [
        (protobuf(plain.clone()), Format::OtlpProtobuf, Compression::None, plain.clone()),
        (json(plain.clone()), Format::OtlpJson, Compression::None, plain.clone()),
        (
            post(plain.clone()).header("content-type", "Application/JSON; charset=utf-8"),
            Format::OtlpJson,
            Compression::None,
            plain.clone(),
        ),
        (
            json(plain.clone()).header("content-encoding", "identity"),
            Format::OtlpJson,
            Compression::None,
            plain.clone(),
        ),
        (
            json(chunked).header("transfer-encoding", "chunked"),
            Format::OtlpJson,
            Compression::None,
            plain.clone(),
        ),
        (
            protobuf(gzip(&plain)).header("content-encoding", "gzip"),
            Format::OtlpProtobuf,
            Compression::Gzip,
            gzip(&plain),
        ),
        (
            json(members.clone()).header("content-encoding", "GZIP"),
            Format::OtlpJson,
            Compression::Gzip,
            members,
        ),
        (
            json(zstd(&plain)).header("content-encoding", "zstd"),
            Format::OtlpJson,
            Compression::Zstd,
            zstd(&plain),
        ),
    ];
    let server = Server::start(Options::default()).await;
    for (request, format, compression, sent) in rows {
        let answer = request.send(&server).await;
        assert_eq!(answer.status, 200, "{:?}", request.headers);
        let expected: &[u8] = if format == Format::OtlpJson { b"{}" } else { b"" };
        assert_eq!(answer.body, expected);
        let taken = server.taken().pop().unwrap();
        assert_eq!(taken.tenant, Tenant::single());
        assert_eq!((taken.format, taken.compression), (format, compression));
        assert_eq!(taken.sent, sent);
        assert_eq!(taken.inflated, plain);
    }
    server.assert_metric(
        "suyuan_ingest_requests_total{protocol=\"http\",format=\"json\",compression=\"gzip\"} 1",
    );
    server.assert_metric("suyuan_ingest_accepted_spans_total{protocol=\"http\",format=\"json\"} 6");
    server.assert_metric("suyuan_ingest_in_flight_bytes 0");
}

#[tokio::test]
async fn empty_request_is_a_request() {
    let server = Server::start(Options::default()).await;
    assert_eq!(protobuf("").send(&server).await.status, 200);
    assert_eq!(server.taken().len(), 1);
}

#[tokio::test]
async fn partial_success_and_warnings() {
    let outcome = Outcome { accepted_spans: 2, refused_spans: 3, message: "3 \"bad\" ids".into() };
    let server = Server::answering(Options::default(), Ok(outcome)).await;
    let answer = protobuf("x").send(&server).await;
    let message = ExportTraceServiceResponse::decode(&answer.body[..]).unwrap();
    let partial_success = message.partial_success.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(partial_success.rejected_spans, 3);
    assert_eq!(partial_success.error_message, "3 \"bad\" ids");

    let answer = json("x").send(&server).await;
    let message: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    // 64-bit integers are strings in protobuf's JSON.
    let expected = serde_json::json!({ "rejectedSpans": "3", "errorMessage": "3 \"bad\" ids" });
    assert_eq!(message, serde_json::json!({ "partialSuccess": expected }));

    let warning = Outcome { accepted_spans: 2, refused_spans: 0, message: "1 value cut".into() };
    let server = Server::answering(Options::default(), Ok(warning)).await;
    let answer = protobuf("x").send(&server).await;
    let message = ExportTraceServiceResponse::decode(&answer.body[..]).unwrap();
    assert_eq!(message.partial_success.unwrap().error_message, "1 value cut");
}

#[tokio::test]
async fn tenants_by_header() {
    let server = Server::start(Options { tenancy: Tenancy::ByHeader, ..Options::default() }).await;
    let twice = json("{}").header("x-scope-orgid", "shop").header("X-Scope-OrgID", "shop");
    assert_eq!(twice.send(&server).await.status, 200);
    assert_eq!(server.taken()[0].tenant.as_str(), "shop");

    let server = Server::start(Options::default()).await;
    for ignored in ["", "a/b"] {
        let request = json("{}").header("x-scope-orgid", ignored);
        assert_eq!(request.send(&server).await.status, 200);
        assert_eq!(server.taken()[0].tenant, Tenant::single());
    }
}

#[tokio::test]
async fn refusals_are_counted() {
    let server = Server::answering(Options::default(), Err(Refusal::LogFull)).await;
    protobuf("x").send(&server).await;
    post("x").send(&server).await;
    server.assert_metric(
        "suyuan_ingest_refused_requests_total{protocol=\"http\",reason=\"log_full\"} 1",
    );
    server.assert_metric(
        "suyuan_ingest_refused_requests_total{protocol=\"http\",reason=\"content_type\"} 1",
    );
}

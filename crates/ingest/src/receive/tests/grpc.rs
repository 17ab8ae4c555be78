//! OTLP/gRPC: framing, refusals, deadlines.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::{HeaderMap, Request};
use base64::Engine;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::super::grpc::EXPORT_PATH;
use super::*;

/// A body whose frames are sent as they are.
pub(super) struct Frames(pub(super) VecDeque<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
    }
}

pub(super) type Client = http2::SendRequest<Frames>;

pub(super) async fn connect(server: &Server) -> Client {
    let stream = TokioIo::new(server.connect().await);
    let (client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    // Ends with the server or the client; what it says then the answer says too.
    tokio::spawn(connection);
    client
}

/// One call, as the wire sees it.
#[derive(Clone)]
pub(super) struct Call {
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    frames: Vec<Vec<u8>>,
}

pub(super) fn export(payload: &[u8]) -> Call {
    let headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
    Call { path: EXPORT_PATH, headers, frames: vec![framed(0, payload)] }
}

impl Call {
    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        self
    }

    fn path(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn frames(self, frames: Vec<Vec<u8>>) -> Self {
        Self { frames, ..self }
    }

    pub(super) fn request(&self) -> Request<Frames> {
        let mut request = Request::post(format!("http://test{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let frames = self.frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect();
        request.body(Frames(frames)).unwrap()
    }

    async fn send(&self, client: &mut Client) -> GrpcAnswer {
        let (head, body) = client.send_request(self.request()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        GrpcAnswer {
            http_status: head.status.as_u16(),
            trailers_only: trailers.is_none(),
            content_type: text_of(&head.headers, "content-type"),
            accepted: text_of(&head.headers, "grpc-accept-encoding"),
            trailers: trailers.unwrap_or(head.headers),
            data: body.to_bytes(),
        }
    }
}

struct GrpcAnswer {
    http_status: u16,
    content_type: String,
    accepted: String,
    trailers: HeaderMap,
    trailers_only: bool,
    data: Bytes,
}

impl GrpcAnswer {
    /// `code message [delay]`.
    fn describe(&self) -> String {
        let code = text_of(&self.trailers, "grpc-status");
        let details = text_of(&self.trailers, "grpc-status-details-bin");
        let mut text = format!("{code} {}", text_of(&self.trailers, "grpc-message"));
        if !details.is_empty() {
            let details = base64::engine::general_purpose::STANDARD_NO_PAD.decode(details).unwrap();
            let status = Status::decode(&details);
            assert_eq!(status.code.to_string(), code);
            assert!(text.ends_with(&status.message), "{text} and {}", status.message);
            text.push_str(&format!(" {}", status.delay.unwrap()));
        }
        text
    }

    #[track_caller]
    fn assert_taken(&self) {
        assert_eq!((self.http_status, self.describe().as_str()), (200, "0 "));
        assert_eq!(self.content_type, "application/grpc");
        assert!(!self.trailers_only);
        assert_eq!(&self.data[..], [0; 5], "an empty message");
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
}

fn framed(flag: u8, payload: &[u8]) -> Vec<u8> {
    [&[flag], &(payload.len() as u32).to_be_bytes()[..], payload].concat()
}

#[tokio::test]
async fn messages_arrive_as_sent() {
    let server = Server::start(Options::default()).await;
    let mut client = connect(&server).await;
    let plain = b"spans of a shop, spans of a shop".to_vec();
    let rows = [
        (export(&plain), Compression::None, plain.clone()),
        (
            export(&plain).header("content-type", "application/grpc+proto"),
            Compression::None,
            plain.clone(),
        ),
        // An encoding is named, but this message is not encoded.
        (export(&plain).header("grpc-encoding", "gzip"), Compression::None, plain.clone()),
        (
            export(b"").header("grpc-encoding", "gzip").frames(vec![framed(1, &gzip(&plain))]),
            Compression::Gzip,
            gzip(&plain),
        ),
        (
            export(b"").header("grpc-encoding", "zstd").frames(vec![framed(1, &zstd(&plain))]),
            Compression::Zstd,
            zstd(&plain),
        ),
    ];
    for (call, compression, sent) in rows {
        call.send(&mut client).await.assert_taken();
        let taken = server.taken().pop().unwrap();
        assert_eq!((taken.format, taken.compression), (Format::OtlpProtobuf, compression));
        assert_eq!(taken.sent, sent);
        assert_eq!(taken.inflated, plain);
    }
    export(b"").send(&mut client).await.assert_taken();
    assert_eq!(server.taken()[0].sent, "");
    server.assert_metric(
        "suyuan_ingest_requests_total{protocol=\"grpc\",format=\"protobuf\",compression=\"zstd\"} 1",
    );
}

#[tokio::test]
async fn message_split_at_every_byte() {
    let server = Server::start(Options::default()).await;
    let mut client = connect(&server).await;
    let plain = b"spans of a shop, spans of a shop".to_vec();
    let bytes = framed(1, &gzip(&plain));
    let call = export(b"").header("grpc-encoding", "gzip");
    for at in 0..=bytes.len() {
        let frames = vec![bytes[..at].to_vec(), bytes[at..].to_vec()];
        call.clone().frames(frames).send(&mut client).await.assert_taken();
        assert_eq!(server.taken()[0].inflated, plain, "split at {at}");
    }
    let single = bytes.iter().map(|byte| vec![*byte]).collect();
    call.frames(single).send(&mut client).await.assert_taken();
    assert_eq!(server.taken()[0].inflated, plain);
}

/// A row of the refusal table: its name, the options, what the lane says, what is sent, and what
/// comes back as `code message [delay]`.
type Row = (&'static str, Options, Result<Outcome, Refusal>, Call, &'static str);

async fn check(rows: impl IntoIterator<Item = Row>) {
    for (name, options, lane, call, expected) in rows {
        let server = Server::answering(options, lane).await;
        let mut client = connect(&server).await;
        let answer = call.send(&mut client).await;
        assert_eq!(answer.describe(), expected, "{name}");
        assert_eq!(answer.http_status, 200, "{name}");
        assert!(answer.trailers_only, "{name}");
        assert_eq!(answer.content_type, "application/grpc", "{name}");
        assert_eq!(answer.accepted, "identity,gzip,zstd", "{name}");
        drop(client);
        assert_eq!(server.stop().await, Drained { connections_cut: 0 }, "{name}");
    }
}

fn usual() -> Options {
    Options::default()
}

fn fine() -> Result<Outcome, Refusal> {
    Ok(Outcome::default())
}

/// What a call can have wrong, as far as it can be told without decoding.
#[tokio::test]
async fn refusals_of_the_call() {
    const NOT_COMPRESSED_BY: &str =
        "13 the message says that it is compressed, but grpc-encoding does not say how";
    let with_tenants = || Options { tenancy: Tenancy::ByHeader, ..usual() };
    let small = || Options { request_bytes_max: 100, inflated_bytes_max: 200, ..usual() };
    let bomb = framed(1, &gzip(&[0; 201]));
    check([
        ("no tenant", with_tenants(), fine(), export(b"x"), "16 no org id"),
        (
            "bad tenant",
            with_tenants(),
            fine(),
            export(b"x").header("x-scope-orgid", "a b"),
            "3 X-Scope-OrgID: tenant id contains unsupported character ' '",
        ),
        (
            "unknown method",
            usual(),
            fine(),
            export(b"x").path("/opentelemetry.proto.collector.trace.v1.TraceService/Import"),
            "12 unknown method Import of opentelemetry.proto.collector.trace.v1.TraceService",
        ),
        (
            "other signal",
            usual(),
            fine(),
            export(b"x").path("/opentelemetry.proto.collector.logs.v1.LogsService/Export"),
            "12 unknown service opentelemetry.proto.collector.logs.v1.LogsService: only traces are \
             stored here",
        ),
        ("unknown service", usual(), fine(), export(b"x").path("/a.B/C"), "12 unknown service a.B"),
        ("no service", usual(), fine(), export(b"x").path("/abc"), "12 malformed method name /abc"),
        (
            "unknown encoding",
            usual(),
            fine(),
            export(b"x").header("grpc-encoding", "snappy"),
            "12 grpc-encoding `snappy` is not accepted: send gzip, zstd or identity",
        ),
        (
            "compressed, but not by what",
            usual(),
            fine(),
            export(b"").frames(vec![framed(1, b"x")]),
            NOT_COMPRESSED_BY,
        ),
        (
            "damaged inside",
            usual(),
            fine(),
            export(b"").header("grpc-encoding", "gzip").frames(vec![framed(1, b"not gzip")]),
            "3 the body is not valid gzip: it does not begin as gzip does",
        ),
        (
            "flag of another protocol",
            usual(),
            fine(),
            export(b"").frames(vec![framed(2, b"x")]),
            "13 the message begins with 2, not with 0 or 1",
        ),
        (
            "nothing",
            usual(),
            fine(),
            export(b"").frames(vec![]),
            "12 the call takes one message, none was sent",
        ),
        (
            "cut in the prefix",
            usual(),
            fine(),
            export(b"").frames(vec![vec![0, 0]]),
            "13 the message is cut short",
        ),
        (
            "cut in the payload",
            usual(),
            fine(),
            export(b"").frames(vec![framed(0, b"xyz")[..7].to_vec()]),
            "13 the message is cut short",
        ),
        (
            "two messages",
            usual(),
            fine(),
            export(b"").frames(vec![framed(0, b"x"), framed(0, b"y")]),
            "12 Export takes one message, more than one was sent",
        ),
        (
            "too large",
            small(),
            fine(),
            export(&[0; 101]),
            "8 the body of 101 bytes is larger than the limit of 100 bytes as sent: send smaller \
             batches, or compress them",
        ),
        (
            "larger than anything",
            usual(),
            fine(),
            export(b"").frames(vec![vec![0, 255, 255, 255, 255]]),
            "8 the body of 4294967295 bytes is larger than the limit of 20971520 bytes as sent: \
             send smaller batches, or compress them",
        ),
        (
            "too large inside",
            small(),
            fine(),
            export(b"").header("grpc-encoding", "gzip").frames(vec![bomb]),
            "8 the body inflates to more than the limit of 200 bytes",
        ),
        (
            "bad timeout",
            usual(),
            fine(),
            export(b"x").header("grpc-timeout", "soon"),
            "13 grpc-timeout `soon` is malformed",
        ),
    ])
    .await;
}

/// What the lane can say.
#[tokio::test]
async fn refusals_of_the_lane() {
    check([
        (
            "malformed",
            usual(),
            Err(Refusal::Malformed("field 1 is 100 % wrong: é".into())),
            export(b"x"),
            "3 field 1 is 100 %25 wrong: %C3%A9",
        ),
        (
            "overloaded",
            usual(),
            Err(Refusal::Overloaded),
            export(b"x"),
            "8 too many requests wait for the log; retry later 1s",
        ),
        (
            "disk full",
            usual(),
            Err(Refusal::LogFull),
            export(b"x"),
            "14 the disk of the log is full; retry when there is space 5s",
        ),
        (
            "log failed",
            usual(),
            Err(Refusal::LogFailed("fsync".into())),
            export(b"x"),
            "14 the log could not be written: fsync 5s",
        ),
        ("stopping", usual(), Err(Refusal::Stopping), export(b"x"), "14 the server is stopping 5s"),
        (
            "decoder failed",
            usual(),
            Err(Refusal::DecoderFailed),
            export(b"x"),
            "13 the request made the decoder fail; it was not stored, please report it",
        ),
    ])
    .await;
}

#[tokio::test]
async fn content_types_of_others() {
    let server = Server::start(Options::default()).await;
    let mut client = connect(&server).await;
    for content_type in ["application/grpc-web", "application/grpc+json"] {
        let answer = export(b"x").header("content-type", content_type).send(&mut client).await;
        assert_eq!(answer.http_status, 415);
    }
    let mut get = export(b"x").request();
    *get.method_mut() = ::http::Method::GET;
    assert_eq!(client.send_request(get).await.unwrap().status(), 405);
}

#[tokio::test]
async fn otlp_http_over_http2_is_served_on_the_same_port() {
    let server = Server::start(Options::default()).await;
    let mut client = connect(&server).await;
    let request = Request::post("http://test/v1/traces")
        .header("content-type", "application/json")
        .body(Frames(VecDeque::from([Bytes::from("{}")])))
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{}");
}

#[tokio::test]
async fn partial_success() {
    let outcome = Outcome { accepted_spans: 2, refused_spans: 3, message: "bad ids".into() };
    let server = Server::answering(Options::default(), Ok(outcome)).await;
    let answer = export(b"x").send(&mut connect(&server).await).await;
    assert_eq!(answer.describe(), "0 ");
    assert_eq!(answer.data[..5], [0, 0, 0, 0, answer.data.len() as u8 - 5]);
    let message = ExportTraceServiceResponse::decode(&answer.data[5..]).unwrap();
    let partial_success = message.partial_success.unwrap();
    assert_eq!(partial_success.rejected_spans, 3);
    assert_eq!(partial_success.error_message, "bad ids");
}

#[tokio::test]
async fn long_messages_are_cut() {
    let refusal = Refusal::Malformed("x".repeat(100_000));
    let server = Server::answering(Options::default(), Err(refusal)).await;
    let answer = export(b"x").send(&mut connect(&server).await).await;
    assert_eq!(answer.describe(), format!("3 {}", "x".repeat(1024)));
}

/// The lane never answers; the deadline does.
#[tokio::test]
async fn deadline_of_the_sender_is_kept() {
    let server = Server::start(Options::default()).await;
    server.open.send_replace(false);
    let call = export(b"x").header("grpc-timeout", "20m");
    let answer = call.send(&mut connect(&server).await).await;
    assert_eq!(answer.describe(), "4 the deadline is over");
    assert!(server.taken().is_empty());
    server.assert_metric(
        "suyuan_ingest_refused_requests_total{protocol=\"grpc\",reason=\"deadline\"} 1",
    );
}

#[tokio::test]
async fn health() {
    let server = Server::start(Options::default()).await;
    let mut client = connect(&server).await;
    let check = export(b"").path("/grpc.health.v1.Health/Check");
    let answer = check.send(&mut client).await;
    assert_eq!(answer.describe(), "0 ");
    assert_eq!(&answer.data[..], [0, 0, 0, 0, 2, 8, 1]);
    let other = check.clone().frames(vec![framed(0, b"\x0a\x03a.B")]);
    assert_eq!(other.send(&mut client).await.describe(), "5 unknown service");
    let malformed = check.frames(vec![framed(0, b"\x0a\x03a")]);
    assert!(malformed.send(&mut client).await.describe().starts_with("3 HealthCheckRequest"));
    assert!(server.taken().is_empty());
}

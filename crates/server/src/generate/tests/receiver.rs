//! A server that answers as the test wants.
//!
//! In: a script of replies; when it ends, everything is accepted. Keeps what it accepted, and answers
//! lookups by id from that.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use suyuan_wire::protobuf::Writer;
use tokio::net::TcpListener;

/// One answer to an export.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Accept,
    AcceptWith(Bytes),
    Partial { n_refused: u64, why: &'static str },
    Status { status: u16, retry_after: Option<&'static str>, body: &'static str },
    Grpc { code: u32, retry_after_millis: Option<u64> },
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) n_exports: usize,
    /// Of requests that were accepted, also in part.
    pub(super) spans: Vec<Span>,
    pub(super) n_lookups: usize,
    pub(super) headers: Vec<HeaderMap>,
}

/// How lookups go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookups {
    /// The first answer to each test is empty.
    LateByOne,
    Never,
    Twice,
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    script: VecDeque<Reply>,
    otherwise: Reply,
    lookups: Lookups,
    received: Received,
}

impl Receiver {
    /// Answers by `script`, and with `otherwise` when that is over.
    pub(super) async fn start(script: Vec<Reply>, otherwise: Reply, lookups: Lookups) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            State { script: script.into(), otherwise, lookups, received: Received::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(request, Arc::clone(&state)));
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A client that goes away is no concern of the test.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes out what was received until now.
    pub(super) fn received(&self) -> Received {
        std::mem::take(&mut lock(&self.state).received)
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Answer, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut state = lock(&state);
    if let Some(id) = parts.uri.path().strip_prefix("/api/v2/traces/") {
        return Ok(look_up(id, &mut state));
    }
    state.received.n_exports += 1;
    state.received.headers.push(parts.headers.clone());
    let is_grpc = parts.uri.path().ends_with("TraceService/Export");
    assert!(is_grpc || parts.uri.path() == "/v1/traces", "{}", parts.uri.path());
    let reply = state.script.pop_front().unwrap_or_else(|| state.otherwise.clone());
    if let Reply::Accept | Reply::AcceptWith(_) | Reply::Partial { .. } = reply {
        let request = decode(&parts.headers, &body, is_grpc);
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        state.received.spans.extend(scopes.flat_map(|scope| scope.spans));
    }
    let is_json = parts.headers["content-type"] == "application/json";
    Ok(if is_grpc { grpc_answer(&reply) } else { http_answer(&reply, is_json) })
}

fn decode(headers: &HeaderMap, body: &Bytes, is_grpc: bool) -> ExportTraceServiceRequest {
    let (body, encoding) = match is_grpc {
        true => {
            assert_eq!(headers["te"], "trailers");
            let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
            assert_eq!(length, body.len() - 5);
            let encoding = headers.get("grpc-encoding");
            assert_eq!(body[0] == 1, encoding.is_some());
            (&body[5..], encoding)
        }
        false => (&body[..], headers.get("content-encoding")),
    };
    let body = match encoding.map(|encoding| encoding.as_bytes()) {
        None => body.to_vec(),
        Some(b"gzip") => gunzip(body),
        Some(b"zstd") => zstd::stream::decode_all(body).unwrap(),
        other => panic!("{other:?}"),
    };
    let body = match headers["content-type"].as_bytes() {
        b"application/json" => suyuan_wire::otlp::json::to_protobuf(&body).unwrap(),
        b"application/x-protobuf" | b"application/grpc" => body,
        other => panic!("{other:?}"),
    };
    ExportTraceServiceRequest::decode(&body[..]).unwrap()
}

/// The last four bytes of a gzip file are the length of what is inside.
fn gunzip(body: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(body[body.len() - 4..].try_into().unwrap()) as usize;
    let mut inflated = vec![0; length];
    libdeflater::Decompressor::new().gzip_decompress(body, &mut inflated).unwrap();
    inflated
}

fn http_answer(reply: &Reply, is_json: bool) -> Answer {
    let mut answer = Response::builder();
    let body = match reply {
        Reply::Accept => Bytes::new(),
        Reply::AcceptWith(body) => body.clone(),
        Reply::Partial { n_refused, why } if is_json => {
            let partial =
                serde_json::json!({"rejectedSpans": n_refused.to_string(), "errorMessage": why});
            serde_json::json!({"partialSuccess": partial}).to_string().into()
        }
        Reply::Partial { n_refused, why } => partial_success(*n_refused, why),
        Reply::Status { status, retry_after, body } => {
            answer = answer.status(StatusCode::from_u16(*status).unwrap());
            if let Some(seconds) = retry_after {
                answer = answer.header("retry-after", *seconds);
            }
            Bytes::from_static(body.as_bytes())
        }
        Reply::Grpc { .. } => panic!("the script is for gRPC"),
    };
    answer.body(Full::new(body).boxed()).unwrap()
}

fn partial_success(n_refused: u64, why: &str) -> Bytes {
    let mut message = Writer::new();
    message.message(1, |partial| {
        partial.varint(1, n_refused);
        partial.bytes(2, why.as_bytes());
    });
    message.into_bytes().into()
}

fn grpc_answer(reply: &Reply) -> Answer {
    let answer = Response::builder().header("content-type", "application/grpc");
    let message = match reply {
        Reply::Accept => Bytes::new(),
        Reply::Partial { n_refused, why } => partial_success(*n_refused, why),
        Reply::Grpc { code, retry_after_millis } => {
            let mut answer = answer.header("grpc-status", *code);
            if let Some(millis) = retry_after_millis {
                answer = answer.header("grpc-status-details-bin", retry_info(*millis));
            }
            return answer.body(Full::new(Bytes::new()).boxed()).unwrap();
        }
        other => panic!("{other:?} is for HTTP"),
    };
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(&message);
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )]);
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    answer.body(body.boxed()).unwrap()
}

fn retry_info(millis: u64) -> String {
    let mut status = Writer::new();
    status.message(3, |any| {
        any.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
        any.message(2, |info| {
            info.message(1, |duration| {
                duration.varint(1, millis / 1000);
                duration.varint(2, millis % 1000 * 1_000_000);
            });
        });
    });
    STANDARD_NO_PAD.encode(status.into_bytes())
}

fn look_up(id: &str, state: &mut State) -> Answer {
    state.received.n_lookups += 1;
    let n_times = match state.lookups {
        Lookups::LateByOne if state.received.n_lookups == 1 => 0,
        Lookups::LateByOne => 1,
        Lookups::Never => 0,
        Lookups::Twice => 2,
    };
    let trace_id = suyuan_ids::TraceId::parse(id).unwrap();
    let mut answer = Writer::new();
    answer.message(1, |trace| {
        trace.message(1, |resource_spans| {
            resource_spans.message(2, |scope_spans| {
                let spans =
                    || state.received.spans.iter().filter(|s| s.trace_id == trace_id.as_bytes());
                for span in std::iter::repeat_n((), n_times).flat_map(|()| spans()) {
                    scope_spans.bytes(2, &span.encode_to_vec());
                }
            });
        });
    });
    Response::new(Full::new(answer.into_bytes().into()).boxed())
}

//! OTLP/HTTP: `POST /v1/traces`.
//!
//! In: any request that is not gRPC. Out: `ExportTraceServiceResponse`, or `google.rpc.Status` with
//! the status code that tells the sender whether to try again (opentelemetry.io/docs/specs/otlp).
//! The body is never inflated by the HTTP layer: the log wants the bytes as they were sent.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use suyuan_wire::record::{Compression, Format};
use tokio::time::Instant;

use super::answer::{self, Reply, ReplyBody};
use super::body::BodyReader;
use super::problem::{Kind, Problem};
use super::{Received, Receiver, Submit, cors, grpc, parse_compression};
use crate::admission::Reservation;
use crate::lane::Outcome;
use crate::metrics::Protocol;

const TRACES_PATH: &str = "/v1/traces";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

pub(super) async fn answer<S: Submit>(receiver: &Receiver<S>, request: Request<Incoming>) -> Reply {
    let started_at = Instant::now();
    let (head, body) = request.into_parts();
    let cors = &receiver.0.cors;
    if cors.is_on() && cors::is_preflight(&head.method, &head.headers) {
        let mut reply = Response::new(ReplyBody::default());
        *reply.status_mut() = StatusCode::NO_CONTENT;
        cors.preflight(&head.headers, reply.headers_mut());
        return reply;
    }
    let mut reader = receiver.body_reader(body);
    let result = export(receiver, &head, &mut reader).await;
    receiver.count(Protocol::http, started_at, result.as_ref().err());
    // What cannot be understood is answered as people read it.
    let format = content_format(&head.headers).unwrap_or(Format::OtlpJson);
    let mut reply = match result {
        Ok(outcome) => reply(StatusCode::OK, format, answer::export_response(&outcome, format)),
        Err(problem) => {
            // Who asked before sending is told not to; HTTP/2 can end one stream by itself.
            let expects_answer = head.headers.contains_key(EXPECT);
            let by_stream = head.version == Version::HTTP_2;
            if !expects_answer && !by_stream && problem.kind != Kind::SlowBody {
                reader.discard().await;
            }
            refusal(&problem, format)
        }
    };
    cors.allow(&head.headers, reply.headers_mut());
    reply
}

async fn export<S: Submit>(
    receiver: &Receiver<S>,
    head: &Parts,
    reader: &mut BodyReader,
) -> Result<Outcome, Problem> {
    check_path(head.uri.path())?;
    if head.method != Method::POST {
        let message = format!("{TRACES_PATH} takes POST, not {}", head.method);
        return Err(Problem::new(Kind::UnknownMethod, message));
    }
    let format = content_format(&head.headers)?;
    let compression = content_compression(&head.headers)?;
    let tenant = receiver.tenant(&head.headers)?;
    receiver.admit(&tenant)?;
    let reservation = receiver.0.budget.reserve();
    let sent = collect(receiver, reader, &reservation).await?;
    let protocol = Protocol::http;
    receiver.submit(Received { protocol, tenant, format, compression, sent, reservation }).await
}

/// The whole body in one piece.
async fn collect<S: Submit>(
    receiver: &Receiver<S>,
    reader: &mut BodyReader,
    reservation: &std::sync::Arc<Reservation>,
) -> Result<Bytes, Problem> {
    let bytes_max = receiver.0.options.request_bytes_max;
    let announced_bytes = match reader.announced_bytes() {
        Some(0) => return Ok(Bytes::new()),
        Some(bytes) if bytes > bytes_max as u64 => {
            return Err(Problem::too_large(Some(bytes), bytes_max));
        }
        announced => announced.map(|bytes| bytes as usize),
    };
    let mut buffer = receiver.buffer(reservation, announced_bytes).await?;
    while let Some(chunk) = reader.next().await? {
        if buffer.len() + chunk.len() > bytes_max {
            return Err(Problem::too_large(None, bytes_max));
        }
        buffer.push(&chunk, announced_bytes.unwrap_or(bytes_max)).await?;
    }
    Ok(buffer.freeze())
}

fn check_path(path: &str) -> Result<(), Problem> {
    if path == TRACES_PATH {
        return Ok(());
    }
    if path == grpc::EXPORT_PATH {
        let message = "gRPC needs the content type application/grpc";
        return Err(Problem::new(Kind::ContentType, message));
    }
    let message = match path {
        "/v1/metrics" | "/v1/logs" => format!(
            "nothing is received at {path}: only traces are stored here; send them to \
             {TRACES_PATH} and switch the exporter of the other signal off"
        ),
        _ => format!("nothing is received at {path}: POST traces to {TRACES_PATH}"),
    };
    Err(Problem::new(Kind::UnknownPath, message))
}

fn content_format(headers: &HeaderMap) -> Result<Format, Problem> {
    let value = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let essence = value.as_deref().unwrap_or("").split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(PROTOBUF) {
        return Ok(Format::OtlpProtobuf);
    }
    if essence.eq_ignore_ascii_case(JSON) {
        return Ok(Format::OtlpJson);
    }
    let message = format!("content type `{essence}` is not accepted: send {PROTOBUF} or {JSON}");
    Err(Problem::new(Kind::ContentType, message))
}

fn content_compression(headers: &HeaderMap) -> Result<Compression, Problem> {
    let mut compression = Compression::None;
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
            compression = match (compression, parse_compression(name)) {
                (Compression::None, Some(named)) => named,
                (_, Some(Compression::None)) => compression,
                _ => {
                    let message = format!(
                        "content encoding `{}` is not accepted: send gzip, zstd or identity, once",
                        name.trim()
                    );
                    return Err(Problem::new(Kind::ContentEncoding, message));
                }
            };
        }
    }
    Ok(compression)
}

fn refusal(problem: &Problem, format: Format) -> Reply {
    let mut reply = reply(problem.kind.row().status, format, answer::status(problem, format));
    let headers = reply.headers_mut();
    match problem.kind {
        Kind::UnknownMethod => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        Kind::ContentEncoding => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
        }
        _ => {}
    }
    if let Some(delay) = problem.retry_after {
        // Whole seconds, and never earlier than what would help.
        let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0)).max(1);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

fn reply(status: StatusCode, format: Format, body: Vec<u8>) -> Reply {
    let mut reply = Response::new(ReplyBody::data(body));
    *reply.status_mut() = status;
    let content_type = match format {
        Format::OtlpProtobuf => PROTOBUF,
        Format::OtlpJson => JSON,
    };
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

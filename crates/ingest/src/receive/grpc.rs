//! OTLP/gRPC: `TraceService/Export`, in a framing of our own, and `Health/Check`.
//!
//! In: an HTTP/2 request of content type `application/grpc`. Out: a message and trailers, or
//! trailers alone, as gRPC's "over HTTP/2" has it. A library would inflate the message before we
//! see it, but the log keeps what was sent (`design.md 4`).
//!
//! ```text
//! message = compressed (1 byte, 0 or 1) | length (u32, big endian) | payload
//! ```

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use suyuan_wire::protobuf::Reader;
use suyuan_wire::record::{Compression, Format};
use tokio::time::{Instant, timeout};

use super::answer::{self, Reply, ReplyBody};
use super::body::BodyReader;
use super::problem::{Code, Kind, Problem};
use super::{Received, Receiver, Submit, parse_compression};
use crate::admission::Reservation;
use crate::metrics::Protocol;

pub(super) const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const HEALTH_PATH: &str = "/grpc.health.v1.Health/Check";
const TRACE_SERVICE: &str = "opentelemetry.proto.collector.trace.v1.TraceService";

const GRPC: &str = "application/grpc";
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

const PREFIX_BYTES: usize = 5;
const HEALTH_REQUEST_BYTES_MAX: usize = 1 << 10;
/// `HealthCheckResponse { status: SERVING }`.
const SERVING: [u8; 2] = [0x08, 0x01];

/// Longer texts are cut: clients refuse an answer whose headers are over 8 KiB.
const MESSAGE_BYTES_MAX: usize = 1 << 10;

/// One message as it came.
struct Message {
    compressed: bool,
    payload: Bytes,
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(GRPC.as_bytes()))
}

pub(super) async fn answer<S: Submit>(receiver: &Receiver<S>, request: Request<Incoming>) -> Reply {
    let started_at = Instant::now();
    let (head, body) = request.into_parts();
    if let Some(reply) = not_grpc(&head) {
        return reply;
    }
    let mut reader = receiver.body_reader(body);
    let result = match timeout_of(&head.headers) {
        Ok(None) => call(receiver, &head, &mut reader).await,
        Ok(Some(time_max)) => timeout(time_max, call(receiver, &head, &mut reader))
            .await
            .unwrap_or_else(|_| Err(Problem::new(Kind::Deadline, "the deadline is over"))),
        Err(problem) => Err(problem),
    };
    receiver.count(Protocol::grpc, started_at, result.as_ref().err());
    match result {
        Ok(message) => success(&message),
        Err(problem) => refusal(&problem),
    }
}

/// What cannot be answered in gRPC is answered in HTTP, as gRPC's rules have it.
fn not_grpc(head: &Parts) -> Option<Reply> {
    let (status, text) = if head.version != Version::HTTP_2 {
        (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2\n")
    } else if !is_protobuf(&head.headers) {
        let text = "send application/grpc or application/grpc+proto\n";
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
    } else if head.method != Method::POST {
        (StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are POST requests\n")
    } else {
        return None;
    };
    let mut reply = Response::new(ReplyBody::data(text));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    Some(reply)
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    essence == GRPC || essence == "application/grpc+proto"
}

async fn call<S: Submit>(
    receiver: &Receiver<S>,
    head: &Parts,
    reader: &mut BodyReader,
) -> Result<Vec<u8>, Problem> {
    match head.uri.path() {
        EXPORT_PATH => export(receiver, head, reader).await,
        HEALTH_PATH => check_health(receiver, reader).await,
        path => Err(unknown_path(path)),
    }
}

async fn export<S: Submit>(
    receiver: &Receiver<S>,
    head: &Parts,
    reader: &mut BodyReader,
) -> Result<Vec<u8>, Problem> {
    let named = message_compression(&head.headers)?;
    let tenant = receiver.tenant(&head.headers)?;
    receiver.admit(&tenant)?;
    let reservation = receiver.0.budget.reserve();
    let bytes_max = receiver.0.options.request_bytes_max;
    let message = read_message(receiver, reader, &reservation, bytes_max).await?;
    let compression = match (message.compressed, named) {
        (false, _) => Compression::None,
        (true, Compression::None) => {
            let text = "the message says that it is compressed, but grpc-encoding does not say how";
            return Err(Problem::new(Kind::Framing, text));
        }
        (true, named) => named,
    };
    let outcome = receiver
        .submit(Received {
            protocol: Protocol::grpc,
            tenant,
            format: Format::OtlpProtobuf,
            compression,
            sent: message.payload,
            reservation,
        })
        .await?;
    Ok(answer::export_response(&outcome, Format::OtlpProtobuf))
}

async fn check_health<S: Submit>(
    receiver: &Receiver<S>,
    reader: &mut BodyReader,
) -> Result<Vec<u8>, Problem> {
    let reservation = receiver.0.budget.reserve();
    let message = read_message(receiver, reader, &reservation, HEALTH_REQUEST_BYTES_MAX).await?;
    let malformed = |error: suyuan_wire::protobuf::Malformed| {
        Problem::new(Kind::Malformed, format!("HealthCheckRequest {error}"))
    };
    let mut fields = Reader::new(&message.payload);
    let mut service: &[u8] = b"";
    while let Some(field) = fields.next_field().map_err(malformed)? {
        if field.number == 1 {
            service = field.bytes().map_err(malformed)?;
        }
    }
    if !service.is_empty() && service != TRACE_SERVICE.as_bytes() {
        return Err(Problem::new(Kind::UnknownService, "unknown service"));
    }
    Ok(SERVING.to_vec())
}

/// The one message of a call, wherever its bytes are split.
async fn read_message<S: Submit>(
    receiver: &Receiver<S>,
    reader: &mut BodyReader,
    reservation: &Arc<Reservation>,
    bytes_max: usize,
) -> Result<Message, Problem> {
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    let mut body = None;
    while let Some(chunk) = reader.next().await? {
        let mut rest = &chunk[..];
        if prefix.len() < PREFIX_BYTES {
            let (more, after) = rest.split_at(rest.len().min(PREFIX_BYTES - prefix.len()));
            prefix.extend_from_slice(more);
            rest = after;
        }
        let Some((compressed, length)) = parse_prefix(&prefix, bytes_max)? else {
            continue;
        };
        if body.is_none() {
            body = Some((compressed, length, receiver.buffer(reservation, Some(length)).await?));
        }
        if let Some((_, _, buffer)) = &mut body {
            if rest.len() > length - buffer.len() {
                let text = "Export takes one message, more than one was sent";
                return Err(Problem::new(Kind::NotOneMessage, text));
            }
            buffer.push(rest, length).await?;
        }
    }
    match body {
        Some((compressed, length, buffer)) if buffer.len() == length => {
            Ok(Message { compressed, payload: buffer.freeze() })
        }
        None if prefix.is_empty() => {
            Err(Problem::new(Kind::NotOneMessage, "the call takes one message, none was sent"))
        }
        _ => Err(Problem::new(Kind::Framing, "the message is cut short")),
    }
}

/// Whether the payload is compressed and how long it is; `None` while the prefix is not whole.
fn parse_prefix(prefix: &[u8], bytes_max: usize) -> Result<Option<(bool, usize)>, Problem> {
    let &[flag, a, b, c, d] = prefix else {
        return Ok(None);
    };
    if flag > 1 {
        let text = format!("the message begins with {flag}, not with 0 or 1");
        return Err(Problem::new(Kind::Framing, text));
    }
    let length = u32::from_be_bytes([a, b, c, d]);
    if length as usize > bytes_max {
        return Err(Problem::too_large(Some(length.into()), bytes_max));
    }
    Ok(Some((flag == 1, length as usize)))
}

fn message_compression(headers: &HeaderMap) -> Result<Compression, Problem> {
    let Some(value) = headers.get(GRPC_ENCODING) else {
        return Ok(Compression::None);
    };
    let name = String::from_utf8_lossy(value.as_bytes());
    parse_compression(&name).ok_or_else(|| {
        let text = format!("grpc-encoding `{name}` is not accepted: send gzip, zstd or identity");
        Problem::new(Kind::ContentEncoding, text)
    })
}

fn unknown_path(path: &str) -> Problem {
    let text = match path.trim_start_matches('/').rsplit_once('/') {
        Some((TRACE_SERVICE, method)) => format!("unknown method {method} of {TRACE_SERVICE}"),
        Some((service, _)) if service.starts_with("opentelemetry.proto.collector.") => {
            format!("unknown service {service}: only traces are stored here")
        }
        Some((service, _)) => format!("unknown service {service}"),
        None => format!("malformed method name {path}"),
    };
    Problem::new(Kind::UnknownPath, text)
}

/// `grpc-timeout`: one to eight digits and a unit.
fn timeout_of(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else {
        return Ok(None);
    };
    parse_timeout(value.as_bytes()).map(Some).ok_or_else(|| {
        let text = format!("grpc-timeout `{}` is malformed", value.as_bytes().escape_ascii());
        Problem::new(Kind::Framing, text)
    })
}

fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(amount * 3_600)),
        b'M' => Some(Duration::from_secs(amount * 60)),
        b'S' => Some(Duration::from_secs(amount)),
        b'm' => Some(Duration::from_millis(amount)),
        b'u' => Some(Duration::from_micros(amount)),
        b'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

fn success(message: &[u8]) -> Reply {
    let mut framed = Vec::with_capacity(PREFIX_BYTES + message.len());
    framed.push(0);
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from(Code::Ok as u16));
    reply(ReplyBody::with_trailers(framed, trailers))
}

/// "Trailers-only": one block of headers that ends the stream.
fn refusal(problem: &Problem) -> Reply {
    let mut reply = reply(ReplyBody::default());
    let headers = reply.headers_mut();
    headers.insert(GRPC_STATUS, HeaderValue::from(problem.kind.row().code as u16));
    headers.insert(GRPC_MESSAGE, percent_encode(&problem.message));
    if problem.retry_after.is_some() {
        let details = STANDARD_NO_PAD.encode(answer::status(problem, Format::OtlpProtobuf));
        let details = HeaderValue::try_from(details).expect("base64 is ASCII");
        headers.insert(GRPC_STATUS_DETAILS, details);
    }
    reply
}

fn reply(body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    let accepted = HeaderValue::from_static("identity,gzip,zstd");
    headers.insert(GRPC_ACCEPT_ENCODING, accepted);
    reply
}

/// As gRPC wants it: everything but printable ASCII, and `%` itself.
fn percent_encode(message: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.as_bytes().iter().take(MESSAGE_BYTES_MAX) {
        match byte {
            b' '..=b'~' if *byte != b'%' => encoded.push(char::from(*byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::try_from(encoded).expect("printable ASCII is a header's value")
}

//! Asks a server something over HTTP.
//!
//! In: the server's address, what is asked. Out: its JSON answer, all of it, or why there is none. Bounded in size and in the time that nothing comes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use suyuan_ids::TraceId;
use tokio::time::timeout;

const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Between two pieces of the answer, and before the first.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Before a flush or an erasure is done: blocks may have to be written.
const WORK_MAX: Duration = Duration::from_mins(60);
/// A trace of a million spans is about this large.
const ANSWER_BYTES_MAX: usize = 2 << 30;
const REASON_BYTES_MAX: usize = 4 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("`{server}` is no address of a server: write it like http://127.0.0.1:3200")]
    Address { server: String },
    #[error(
        "nothing answers at {server} ({reason}): start a server with `suyuan serve`, or name \
         another one with --server"
    )]
    Unreachable { server: String, reason: String },
    #[error("what listens at {server} does not answer as a server of traces does: {reason}")]
    Foreign { server: String, reason: String },
    #[error("{server} answered nothing for {seconds} s")]
    Silent { server: String, seconds: u64 },
    #[error("{server} keeps tenants apart ({reason}): name yours with --tenant")]
    TenantMissing { server: String, reason: String },
    #[error("{server} answered {status}: {reason}")]
    Refused { server: String, status: StatusCode, reason: String },
    #[error("the answer of {server} broke off: {reason}")]
    BrokenOff { server: String, reason: String },
    #[error("the answer of {server} is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge { server: String },
}

/// `GET {server}/api/v2/traces/{id}` as JSON. An absent trace is an answer too, an empty one.
pub(crate) async fn trace_json(
    server: &str,
    id: TraceId,
    tenant: Option<&str>,
) -> Result<Bytes, FetchError> {
    let path = format!("/api/v2/traces/{id}");
    Ok(ask(server, Method::GET, &path, tenant, SILENCE_MAX).await?.body)
}

/// `GET {server}{path}?{parameters}`: an answer and what its headers say of it.
pub(crate) async fn get(
    server: &str,
    path: &str,
    parameters: &[(&str, String)],
    tenant: Option<&str>,
) -> Result<Answer, FetchError> {
    let path = format!("{path}?{}", query_string(parameters));
    ask(server, Method::GET, &path, tenant, WORK_MAX).await
}

/// An answer of a server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// `POST {server}{path}`, and waits until what it asks for is done.
pub(crate) async fn post(
    server: &str,
    path: &str,
    tenant: Option<&str>,
) -> Result<Bytes, FetchError> {
    Ok(ask(server, Method::POST, path, tenant, WORK_MAX).await?.body)
}

/// Names and values as they stand behind a `?`.
fn query_string(parameters: &[(&str, String)]) -> String {
    let escaped = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            })
            .collect()
    };
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

async fn ask(
    server: &str,
    method: Method,
    path: &str,
    tenant: Option<&str>,
    wait_max: Duration,
) -> Result<Answer, FetchError> {
    let request = request(server, method, path, tenant)?;
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT_WAIT_MAX));
    http.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    let client = Client::builder(TokioExecutor::new()).build(connector);

    let answer = timeout(wait_max, client.request(request)).await;
    let answer = answer.map_err(|_| silent(server, wait_max))?;
    let answer = answer.map_err(|error| {
        let (server, reason) = (server.to_owned(), deepest_reason(&error));
        match error.is_connect() {
            true => FetchError::Unreachable { server, reason },
            false => FetchError::Foreign { server, reason },
        }
    })?;
    let status = answer.status();
    if status.is_success() {
        let (head, content) = answer.into_parts();
        return Ok(Answer { headers: head.headers, body: body(server, content).await? });
    }
    let reason = reason(server, answer.into_body()).await?;
    let server = server.to_owned();
    if status == StatusCode::UNAUTHORIZED && tenant.is_none() {
        return Err(FetchError::TenantMissing { server, reason });
    }
    Err(FetchError::Refused { server, status, reason })
}

fn silent(server: &str, waited: Duration) -> FetchError {
    FetchError::Silent { server: server.to_owned(), seconds: waited.as_secs() }
}

fn request(
    server: &str,
    method: Method,
    path: &str,
    tenant: Option<&str>,
) -> Result<Request<Empty<Bytes>>, FetchError> {
    let with_scheme =
        if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let uri = format!("{}{path}", with_scheme.trim_end_matches('/'));
    let mut request =
        Request::builder().method(method).uri(uri).header(http::header::ACCEPT, "application/json");
    if let Some(tenant) = tenant {
        request = request.header("x-scope-orgid", tenant);
    }
    let address = || FetchError::Address { server: server.to_owned() };
    let request = request.body(Empty::new()).map_err(|_| address())?;
    let known_scheme = matches!(request.uri().scheme_str(), Some("http" | "https"));
    if known_scheme && request.uri().host().is_some() { Ok(request) } else { Err(address()) }
}

async fn body(server: &str, mut body: Incoming) -> Result<Bytes, FetchError> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut bytes = BytesMut::with_capacity(expected.min(64 << 20));
    while let Some(piece) = next_piece(server, &mut body).await? {
        if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(FetchError::TooLarge { server: server.to_owned() });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// The first words of a refusal.
async fn reason(server: &str, mut body: Incoming) -> Result<String, FetchError> {
    let mut bytes = Vec::new();
    while bytes.len() < REASON_BYTES_MAX
        && let Some(piece) = next_piece(server, &mut body).await?
    {
        bytes.extend_from_slice(&piece);
    }
    bytes.truncate(REASON_BYTES_MAX);
    // Line by line: below a query the server draws where it is wrong.
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.trim().lines().map(crate::terminal::harmless).collect();
    Ok(lines.join("\n"))
}

async fn next_piece(server: &str, body: &mut Incoming) -> Result<Option<Bytes>, FetchError> {
    loop {
        let frame = timeout(SILENCE_MAX, body.frame()).await;
        let frame = frame.map_err(|_| silent(server, SILENCE_MAX))?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|error| FetchError::BrokenOff {
            server: server.to_owned(),
            reason: deepest_reason(&error),
        })?;
        if let Ok(piece) = frame.into_data() {
            return Ok(Some(piece));
        }
    }
}

/// `client error (Connect)` says less than the `Connection refused` beneath it.
fn deepest_reason(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests;

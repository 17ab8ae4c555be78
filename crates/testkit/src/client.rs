//! Hands for a running server: sends requests and fetches traces as its users do.
//!
//! In: addresses, requests, ids. Out: what the server answered, refusals as values. Speaks OTLP
//! with tonic's client and with hyper's, both foreign to the server's own framing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};

use crate::equality::{hex, spans};
use crate::jsonpb::{read_trace_v1, read_trace_v2, write_otlp};

mod compress;

pub use compress::{Compression, compressed};
pub use tonic::Code as GrpcCode;

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Everything but OTLP.
    pub http: SocketAddr,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
}

/// The three ways OTLP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    HttpProtobuf,
    /// `http/json`.
    HttpJson,
}

impl Protocol {
    /// All three.
    pub const ALL: [Protocol; 3] = [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson];
}

/// The four forms in which a trace can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/api/traces/{id}` as JSON.
    V1Json,
    /// `/api/traces/{id}` as protobuf.
    V1Protobuf,
    /// `/api/v2/traces/{id}` as JSON.
    V2Json,
    /// `/api/v2/traces/{id}` as protobuf.
    V2Protobuf,
}

impl Form {
    /// All four.
    pub const ALL: [Form; 4] = [Form::V1Json, Form::V1Protobuf, Form::V2Json, Form::V2Protobuf];

    fn path(self) -> &'static str {
        match self {
            Form::V1Json | Form::V1Protobuf => "/api/traces",
            Form::V2Json | Form::V2Protobuf => "/api/v2/traces",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Form::V1Json | Form::V2Json => "application/json",
            Form::V1Protobuf | Form::V2Protobuf => "application/protobuf",
        }
    }
}

/// An HTTP answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status line's code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text; bytes that are not UTF-8 are shown as such.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, or nothing if it is absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// Why a request was not acknowledged.
#[derive(Clone, Debug)]
pub enum SendError {
    /// Refused by HTTP status.
    Http(Box<Answer>),
    /// Refused by gRPC status.
    Grpc(Box<tonic::Status>),
    /// Nobody answered: nothing is known of the request.
    NoAnswer(String),
}

/// How long a test waits for what must happen before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks across a process border, where no event can be awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A client of one server, with one connection pool for HTTP and one channel for gRPC.
#[derive(Clone)]
pub struct Client {
    addresses: Addresses,
    tenant: Option<String>,
    http: HyperClient<HttpConnector, Full<Bytes>>,
    grpc: Channel,
}

impl Client {
    /// Connects when it is first used; must be made inside a tokio runtime.
    pub fn new(addresses: Addresses) -> Client {
        let uri = format!("http://{}", addresses.otlp_grpc);
        let endpoint = Endpoint::from_shared(uri).expect("a socket address makes a valid URI");
        Client {
            addresses,
            tenant: None,
            http: HyperClient::builder(TokioExecutor::new()).build_http(),
            grpc: endpoint.connect_lazy(),
        }
    }

    /// The same client, speaking for a tenant.
    pub fn with_tenant(&self, tenant: &str) -> Client {
        Client { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    /// Sends a request and waits for the acknowledgement, which may refuse some spans.
    pub async fn send(
        &self,
        request: &ExportTraceServiceRequest,
        protocol: Protocol,
        compression: Compression,
    ) -> Result<ExportTracePartialSuccess, SendError> {
        match protocol {
            Protocol::Grpc => self.send_grpc(request, compression).await,
            Protocol::HttpProtobuf => {
                let body = request.encode_to_vec();
                let answer = self.post_traces("application/x-protobuf", compression, body).await?;
                let response = ExportTraceServiceResponse::decode(answer.body.clone());
                let response = response
                    .map_err(|error| SendError::NoAnswer(format!("unreadable answer: {error}")))?;
                Ok(response.partial_success.unwrap_or_default())
            }
            Protocol::HttpJson => {
                let body = write_otlp(request).into_bytes();
                let answer = self.post_traces("application/json", compression, body).await?;
                partial_success_of_json(&answer.text()).map_err(SendError::NoAnswer)
            }
        }
    }

    async fn send_grpc(
        &self,
        request: &ExportTraceServiceRequest,
        compression: Compression,
    ) -> Result<ExportTracePartialSuccess, SendError> {
        let mut client = TraceServiceClient::new(self.grpc.clone());
        client = match compression {
            Compression::None => client,
            Compression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
            Compression::Zstd => client.send_compressed(CompressionEncoding::Zstd),
        };
        let mut request = tonic::Request::new(request.clone());
        if let Some(tenant) = &self.tenant {
            let value = tenant.parse().expect("a test's tenant is a valid header value");
            request.metadata_mut().insert("x-scope-orgid", value);
        }
        match client.export(request).await {
            Ok(response) => Ok(response.into_inner().partial_success.unwrap_or_default()),
            Err(status) => Err(SendError::Grpc(Box::new(status))),
        }
    }

    async fn post_traces(
        &self,
        content_type: &str,
        compression: Compression,
        body: Vec<u8>,
    ) -> Result<Answer, SendError> {
        let body = compressed(&body, compression);
        let answer = self
            .post_otlp("/v1/traces", content_type, compression.encoding(), body)
            .await
            .map_err(SendError::NoAnswer)?;
        if answer.status == StatusCode::OK {
            return Ok(answer);
        }
        Err(SendError::Http(Box::new(answer)))
    }

    /// Posts any bytes to the port of OTLP over HTTP; an empty encoding sends no header for it.
    pub async fn post_otlp(
        &self,
        path: &str,
        content_type: &str,
        content_encoding: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let mut headers = vec![("content-type", content_type)];
        if !content_encoding.is_empty() {
            headers.push(("content-encoding", content_encoding));
        }
        self.call(Method::POST, self.addresses.otlp_http, path, &headers, body.into()).await
    }

    /// Gets a path of the port that serves everything but OTLP.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Answer, String> {
        let headers = [("accept", accept)];
        self.call(Method::GET, self.addresses.http, path, &headers, Bytes::new()).await
    }

    /// Makes blocks of everything acknowledged; also merges them if `compact`. What the server
    /// says about it.
    pub async fn flush(&self, compact: bool) -> Result<String, String> {
        let path = format!("/api/admin/flush?compact={compact}");
        let answer = self.call(Method::POST, self.addresses.http, &path, &[], Bytes::new()).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.text()),
            status => Err(format!("{path}: {status} {}", answer.text())),
        }
    }

    /// Posts nothing to a path of that port.
    pub async fn post(&self, path: &str) -> Result<Answer, String> {
        self.call(Method::POST, self.addresses.http, path, &[], Bytes::new()).await
    }

    async fn call(
        &self,
        method: Method,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(tenant) = &self.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let response = self.http.request(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Fetches a trace; `None` if the server knows no such trace.
    pub async fn trace(&self, trace_id: &[u8], form: Form) -> Result<Option<TracesData>, String> {
        let path = format!("{}/{}", form.path(), hex(trace_id));
        let answer = self.get(&path, form.content_type()).await?;
        if answer.status == StatusCode::NOT_FOUND && form.path() == Form::V1Json.path() {
            return Ok(None);
        }
        let place = || format!("{path}: {} {}", answer.status, answer.text());
        if answer.status != StatusCode::OK || answer.header("content-type") != form.content_type() {
            return Err(place());
        }
        let trace =
            read_trace(&answer, form).map_err(|problem| format!("{problem} in {}", place()))?;
        Ok((!trace.resource_spans.is_empty()).then_some(trace))
    }

    /// Fetches a trace again and again until it has `n_spans` spans, or patience ends.
    pub async fn trace_of(&self, trace_id: &[u8], n_spans: usize) -> Result<TracesData, String> {
        let mut last = None;
        let found = until(async || {
            last = Some(self.trace(trace_id, Form::V2Protobuf).await);
            matches!(&last, Some(Ok(Some(trace))) if spans(trace).count() == n_spans)
        })
        .await;
        match last {
            Some(Ok(Some(trace))) if found => Ok(trace),
            last => Err(format!("trace {} of {n_spans} spans: {last:?}", hex(trace_id))),
        }
    }

    /// The samples of `/metrics`, by name with labels as printed.
    pub async fn metrics(&self) -> Result<HashMap<String, f64>, String> {
        let answer = self.get("/metrics", "*/*").await?;
        if answer.status != StatusCode::OK {
            return Err(format!("/metrics: {}", answer.status));
        }
        let text = answer.text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').ok_or(format!("no value: {line}"))?;
                Ok((name.to_owned(), value.parse().map_err(|_| format!("no number: {line}"))?))
            })
            .collect()
    }

    /// The sum of all samples of `/metrics` that start with `name` and hold each of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64, String> {
        let samples = self.metrics().await?;
        let counted = samples.iter().filter(|(sample, _)| {
            let base = sample.split('{').next().unwrap_or_default();
            base == name && labels.iter().all(|label| sample.contains(label))
        });
        Ok(counted.map(|(_, value)| value).sum())
    }
}

/// Looks until `condition` holds; `false` when patience ends first.
pub async fn until(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    while tokio::time::Instant::now() < deadline {
        interval.tick().await;
        if condition().await {
            return true;
        }
    }
    false
}

fn read_trace(answer: &Answer, form: Form) -> Result<TracesData, String> {
    match form {
        Form::V1Json => read_trace_v1(&answer.text()).map_err(|error| error.to_string()),
        Form::V1Protobuf => {
            TracesData::decode(answer.body.clone()).map_err(|error| error.to_string())
        }
        Form::V2Json => {
            let read = read_trace_v2(&answer.text()).map_err(|error| error.to_string())?;
            whole(read.trace, read.is_partial, &read.message)
        }
        Form::V2Protobuf => {
            let read =
                TraceByIdMessage::decode(answer.body.clone()).map_err(|error| error.to_string())?;
            whole(read.trace, read.status != 0, &read.message)
        }
    }
}

fn whole(trace: Option<TracesData>, is_partial: bool, message: &str) -> Result<TracesData, String> {
    if is_partial {
        return Err(format!("a partial answer: {message}"));
    }
    trace.ok_or_else(|| "no trace, not even an empty one".to_owned())
}

/// `TraceByIDResponse` (`tempo.md 1.2`), less its metrics.
#[derive(Clone, PartialEq, prost::Message)]
struct TraceByIdMessage {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(string, tag = "4")]
    message: String,
}

fn partial_success_of_json(text: &str) -> Result<ExportTracePartialSuccess, String> {
    use crate::json::{Json, parse};
    let members = |json: Json| match json {
        Json::Object(members) => Ok(members),
        _ => Err(format!("not an object: {text}")),
    };
    let mut out = ExportTracePartialSuccess::default();
    for (name, inner) in members(parse(text).map_err(|error| error.to_string())?)? {
        if name != "partialSuccess" {
            return Err(format!("no such field: {name}"));
        }
        for (name, value) in members(inner)? {
            match (name.as_str(), value) {
                ("rejectedSpans", Json::Text(digits)) => {
                    out.rejected_spans = digits.parse().map_err(|_| text.to_owned())?;
                }
                ("errorMessage", Json::Text(message)) => out.error_message = message,
                _ => return Err(format!("not a partial success: {text}")),
            }
        }
    }
    Ok(out)
}

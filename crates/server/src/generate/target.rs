//! The endpoint that gets the spans.
//!
//! In: a request's bytes. Out: the server's answer, one attempt at a time. HTTP/1.1 with keep-alive
//! for OTLP/HTTP, HTTP/2 for gRPC, TLS for https. Answers are read up to `ANSWER_BYTES_MAX`.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use tokio::time::timeout;

use super::answer::{Answer, one_line};
use super::{Options, grpc};

const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Idle connections are kept longer than any batch waits.
const IDLE_MAX: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 1 << 20;
const TRACES_PATH: &str = "/v1/traces";

/// The names of `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
pub enum Protocol {
    #[value(name = "http/protobuf")]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    #[value(name = "http/json")]
    #[serde(rename = "http/json")]
    HttpJson,
    #[value(name = "grpc")]
    #[serde(rename = "grpc")]
    Grpc,
}

/// The names of `OTEL_EXPORTER_OTLP_COMPRESSION`, and zstd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("`{0}` is not an endpoint: write it like http://127.0.0.1:4318")]
    BadEndpoint(String),
    #[error("`{0}` is not a header: write it like X-Scope-OrgID=shop")]
    BadHeader(String),
}

pub(super) type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// One connection to an endpoint, opened when it is needed and again when it broke.
#[derive(Clone, Debug)]
pub(super) struct Target {
    client: HttpClient,
    uri: Uri,
    protocol: Protocol,
    headers: HeaderMap,
    answer_wait_max: Duration,
}

impl Protocol {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
            Self::Grpc => "grpc",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "application/x-protobuf",
            Self::HttpJson => "application/json",
            Self::Grpc => "application/grpc",
        }
    }
}

impl Target {
    pub(super) fn new(options: &Options) -> Result<Self, TargetError> {
        let path = match options.protocol {
            Protocol::Grpc => grpc::EXPORT_PATH,
            Protocol::HttpProtobuf | Protocol::HttpJson => TRACES_PATH,
        };
        let version = match options.protocol {
            Protocol::Grpc => Version::HTTP_2,
            Protocol::HttpProtobuf | Protocol::HttpJson => Version::HTTP_11,
        };
        Ok(Self {
            client: client(version),
            uri: endpoint_uri(&options.endpoint, path)?,
            protocol: options.protocol,
            headers: request_headers(options)?,
            answer_wait_max: options.patience.answer_wait_max,
        })
    }

    /// Sends the body once. Every way to fail is an answer.
    pub(super) async fn attempt(&self, body: Bytes) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        match timeout(self.answer_wait_max, self.exchange(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::none(error),
            Err(_) => Answer::none(format!("nothing within {} s", self.answer_wait_max.as_secs())),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let answered = self.client.request(request).await.map_err(|error| deepest(&error))?;
        let (parts, body) = answered.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| deepest(error.as_ref()))?;
        let trailers = body.trailers().cloned();
        let body = body.to_bytes();
        Ok(match self.protocol {
            Protocol::Grpc if parts.status.is_success() => {
                grpc::answer(&parts.headers, &body, trailers.as_ref())
            }
            protocol => Answer::of_http(protocol, parts.status, &parts.headers, &body),
        })
    }
}

/// A client with at most one idle connection of its own.
pub(super) fn client(version: Version) -> HttpClient {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_WAIT_MAX));
    http.enforce_http(false);
    let is_http2 = version == Version::HTTP_2;
    let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http();
    let connector = if is_http2 {
        connector.enable_http2().wrap_connector(http)
    } else {
        connector.enable_http1().wrap_connector(http)
    };
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE_MAX)
        .http2_only(is_http2)
        .build(connector)
}

/// `endpoint` with `path` behind it, unless it ends so already.
pub(super) fn endpoint_uri(endpoint: &str, path: &str) -> Result<Uri, TargetError> {
    let bad = || TargetError::BadEndpoint(endpoint.to_owned());
    let with_scheme = if endpoint.contains("://") {
        endpoint.trim().to_owned()
    } else {
        format!("http://{}", endpoint.trim())
    };
    let base = with_scheme.trim_end_matches('/');
    let base = base.strip_suffix(path).unwrap_or(base);
    let uri: Uri = format!("{base}{path}").parse().map_err(|_| bad())?;
    let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
    if is_known && uri.host().is_some_and(|host| !host.is_empty()) { Ok(uri) } else { Err(bad()) }
}

fn request_headers(options: &Options) -> Result<HeaderMap, TargetError> {
    let mut headers = extra_headers(options)?;
    let content_type = HeaderValue::from_static(options.protocol.content_type());
    headers.insert(CONTENT_TYPE, content_type);
    let encoding_header = match options.protocol {
        Protocol::Grpc => {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            HeaderName::from_static("grpc-encoding")
        }
        Protocol::HttpProtobuf | Protocol::HttpJson => CONTENT_ENCODING,
    };
    let encoding = match options.compression {
        Compression::None => return Ok(headers),
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    headers.insert(encoding_header, HeaderValue::from_static(encoding));
    Ok(headers)
}

/// The headers that the user wants on every request.
pub(super) fn extra_headers(options: &Options) -> Result<HeaderMap, TargetError> {
    let mut headers = HeaderMap::new();
    for (key, value) in &options.headers {
        let bad = || TargetError::BadHeader(format!("{key}={value}"));
        let name: HeaderName = key.parse().map_err(|_| bad())?;
        headers.append(name, value.parse().map_err(|_| bad())?);
    }
    Ok(headers)
}

/// The innermost cause: "connection refused" says more than "client error".
pub(super) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    one_line(&cause.to_string())
}

/// Compresses one body after the other.
pub(super) struct Compressor {
    compression: Compression,
    gzip: libdeflater::Compressor,
}

/// As SDKs do: quick rather than small.
const GZIP_LEVEL: i32 = 1;
const ZSTD_LEVEL: i32 = 1;

impl Compressor {
    pub(super) fn new(compression: Compression) -> Self {
        let level = libdeflater::CompressionLvl::new(GZIP_LEVEL).unwrap_or_default();
        Self { compression, gzip: libdeflater::Compressor::new(level) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.compression != Compression::None
    }

    /// Compression into memory with room for the worst case has no way to fail.
    pub(super) fn compress(&mut self, body: Vec<u8>) -> Vec<u8> {
        match self.compression {
            Compression::None => body,
            Compression::Gzip => {
                let mut compressed = vec![0; self.gzip.gzip_compress_bound(body.len())];
                let n_bytes = self
                    .gzip
                    .gzip_compress(&body, &mut compressed)
                    .expect("the buffer has the bound that the library asks for");
                compressed.truncate(n_bytes);
                compressed
            }
            Compression::Zstd => zstd::stream::encode_all(io::Cursor::new(body), ZSTD_LEVEL)
                .expect("reading from memory does not fail"),
        }
    }
}

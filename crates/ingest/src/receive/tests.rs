//! The receiver at the wire: what is sent to a real socket, and what comes back.
//!
//! The lane is a stand-in that remembers what it was given and answers as told.

mod connections;
mod cors;
mod grpc;
mod http;
mod limits;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use libdeflater::{CompressionLvl, Compressor};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::*;

/// Remembers, and answers as told.
#[derive(Clone)]
struct FakeLane {
    answer: Result<Outcome, Refusal>,
    taken: Arc<Mutex<Vec<Submission>>>,
    arrived: mpsc::UnboundedSender<()>,
    /// Submissions are answered while this is true.
    open: watch::Receiver<bool>,
}

impl Submit for FakeLane {
    async fn submit(&self, submission: Submission) -> Result<Outcome, Refusal> {
        let _ = self.arrived.send(());
        let submission = Submission {
            // Copies, since the originals count as in flight.
            sent: Bytes::copy_from_slice(&submission.sent),
            inflated: Bytes::copy_from_slice(&submission.inflated),
            ..submission
        };
        self.open.clone().wait_for(|open| *open).await.expect("the server outlives its requests");
        self.taken.lock().unwrap().push(submission);
        self.answer.clone()
    }
}

struct Server {
    address: SocketAddr,
    metrics: Metrics,
    taken: Arc<Mutex<Vec<Submission>>>,
    arrivals: mpsc::UnboundedReceiver<()>,
    open: watch::Sender<bool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
}

impl Server {
    async fn start(options: Options) -> Self {
        Self::answering(options, Ok(Outcome { accepted_spans: 1, ..Outcome::default() })).await
    }

    async fn answering(options: Options, answer: Result<Outcome, Refusal>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let (open, is_open) = watch::channel(true);
        let taken = Arc::new(Mutex::new(Vec::new()));
        let lane = FakeLane { answer, taken: taken.clone(), arrived, open: is_open };
        let metrics = Metrics::new();
        let receiver = Receiver::new(lane, options, metrics.clone());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, receiver, async {
            let _ = stopped.await;
        }));
        Self { address, metrics, taken, arrivals, open, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn taken(&self) -> Vec<Submission> {
        std::mem::take(&mut *self.taken.lock().unwrap())
    }

    /// What `/metrics` shows.
    fn metrics_text(&self) -> String {
        let mut registry = Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[track_caller]
    fn assert_metric(&self, line: &str) {
        let text = self.metrics_text();
        assert!(text.lines().any(|other| other == line), "no line `{line}` in\n{text}");
    }

    async fn stop(self) -> Drained {
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }
}

/// A request of HTTP/1.1, byte for byte.
#[derive(Clone)]
struct Request1 {
    start: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn post(body: impl Into<Vec<u8>>) -> Request1 {
    let start = "POST /v1/traces HTTP/1.1".to_owned();
    Request1 { start, headers: Vec::new(), body: body.into() }
}

fn protobuf(body: impl Into<Vec<u8>>) -> Request1 {
    post(body).header("content-type", "application/x-protobuf")
}

fn json(body: impl Into<Vec<u8>>) -> Request1 {
    post(body).header("content-type", "application/json")
}

impl Request1 {
    fn start(mut self, start: &str) -> Self {
        self.start = format!("{start} HTTP/1.1");
        self
    }

    fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn head(&self) -> String {
        let mut head = format!("{}\r\nhost: test\r\n", self.start);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let is_sized = |name: &str| name == "content-length" || name == "transfer-encoding";
        if !self.headers.iter().any(|(name, _)| is_sized(name)) {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head + "\r\n"
    }

    fn bytes(&self) -> Vec<u8> {
        [self.head().as_bytes(), &self.body].concat()
    }

    /// Sends this over a connection of its own.
    async fn send(&self, server: &Server) -> Answer1 {
        let mut stream = server.connect().await;
        stream.write_all(&self.bytes()).await.unwrap();
        read_answer(&mut stream).await.expect("an answer")
    }
}

#[derive(Debug)]
struct Answer1 {
    status: u16,
    headers: ::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer1 {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as `google.rpc.Status`, whatever it is written in.
    fn status(&self) -> Status {
        match self.header("content-type") {
            "application/json" => {
                let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
                let details = value["details"].as_array().into_iter().flatten();
                let delay = details
                    .map(|detail| {
                        assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.RetryInfo");
                        detail["retryDelay"].as_str().unwrap().to_owned()
                    })
                    .next();
                Status {
                    code: value["code"].as_i64().unwrap() as i32,
                    message: value["message"].as_str().unwrap().to_owned(),
                    delay,
                }
            }
            "application/x-protobuf" => Status::decode(&self.body),
            other => panic!("content type {other}"),
        }
    }
}

/// `google.rpc.Status` as the tests compare it.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    code: i32,
    message: String,
    delay: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusMessage {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyMessage {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes, tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfoMessage {
    #[prost(message, tag = "1")]
    retry_delay: Option<DurationMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DurationMessage {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Status {
    fn decode(bytes: &[u8]) -> Self {
        let message = <StatusMessage as prost::Message>::decode(bytes).unwrap();
        let delay = message.details.first().map(|detail| {
            assert_eq!(detail.type_url, "type.googleapis.com/google.rpc.RetryInfo");
            let info = <RetryInfoMessage as prost::Message>::decode(&detail.value[..]).unwrap();
            let delay = info.retry_delay.unwrap();
            match delay.nanos {
                0 => format!("{}s", delay.seconds),
                nanos => format!("{}.{nanos:09}s", delay.seconds),
            }
        });
        Self { code: message.code, message: message.message, delay }
    }
}

/// Reads one answer of HTTP/1.1 with a content length; `None` when the connection is closed.
async fn read_answer(stream: &mut TcpStream) -> Option<Answer1> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let mut headers = ::http::HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        let name = ::http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    let length = headers.get("content-length").map_or("0", |value| value.to_str().unwrap());
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some(Answer1 { status, headers, body })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut compressed = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let n_bytes = compressor.gzip_compress(bytes, &mut compressed).unwrap();
    compressed.truncate(n_bytes);
    compressed
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::bulk::compress(bytes, 1).unwrap()
}

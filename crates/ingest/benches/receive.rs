//! What receiving costs, without decoding and without the log.
//!
//! `cargo bench -p suyuan-ingest --bench receive` sends 667 requests of about 512 kB (a million
//! spans) over two connections, from a second process, to a lane that only says yes, and prints the
//! CPU time of the serving process. Then it inflates the same bodies with the codecs there are.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use suyuan_ingest::{Metrics, Options, Outcome, Receiver, Refusal, Submission, Submit, serve};
use tokio::net::{TcpListener, TcpStream};

const N_REQUESTS: usize = 667;
const N_CONNECTIONS: usize = 2;
const SPANS_PER_REQUEST: usize = 1_500;
const N_BODIES: usize = 8;
const N_ROUNDS: usize = 3;

#[derive(Clone)]
struct Yes;

impl Submit for Yes {
    async fn submit(&self, _: Submission) -> Result<Outcome, Refusal> {
        Ok(Outcome { accepted_spans: SPANS_PER_REQUEST as u64, ..Outcome::default() })
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, address, protocol, compression] = &arguments[..]
        && command == "send"
    {
        let address = address.parse().expect("the parent gives an address");
        let runtime = runtime();
        return runtime.block_on(send(address, protocol == "grpc", compression));
    }
    let bodies = bodies();
    let sent_bytes = bodies.iter().map(Vec::len).sum::<usize>() / N_BODIES * N_REQUESTS;
    println!("{N_REQUESTS} requests, {} MB, {N_CONNECTIONS} connections", sent_bytes / 1_000_000);
    println!("protocol  compression   CPU-s    wall s");
    runtime().block_on(async {
        for protocol in ["http", "grpc"] {
            for compression in ["identity", "gzip", "zstd"] {
                receive(protocol, compression).await;
            }
        }
    });
    println!("codec                   CPU-s    MB as sent");
    let gzipped: Vec<_> = bodies.iter().map(|body| compressed(body, "gzip")).collect();
    let zstandard: Vec<_> = bodies.iter().map(|body| compressed(body, "zstd")).collect();
    let mut output = vec![0; 4 << 20];
    let mut libdeflate = libdeflater::Decompressor::new();
    codec("gzip by libdeflate", &gzipped, |body| {
        libdeflate.gzip_decompress(body, &mut output).expect("what we compressed");
    });
    codec("gzip by zlib-rs", &gzipped, |body| {
        let mut decoder = flate2::bufread::MultiGzDecoder::new(body);
        while decoder.read(&mut output).expect("what we compressed") > 0 {}
    });
    let mut context = zstd::bulk::Decompressor::new().expect("memory");
    codec("zstd", &zstandard, |body| {
        context.decompress_to_buffer(body, &mut output).expect("what we compressed");
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

/// Prints the best of some rounds: CPU time of this process, which only serves.
async fn receive(protocol: &str, compression: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let receiver = Receiver::new(Yes, Options::default(), Metrics::new());
    let server = tokio::spawn(serve(listener, receiver, async {
        let _ = stopped.await;
    }));
    let mut best: Option<(Duration, Duration)> = None;
    for _ in 0..N_ROUNDS {
        let (cpu_before, started_at) = (cpu_time(), Instant::now());
        let mut client = Command::new(std::env::current_exe().expect("this program"));
        client.args(["send", &address.to_string(), protocol, compression]);
        let status = tokio::task::spawn_blocking(move || client.status()).await;
        assert!(status.expect("not cancelled").expect("started").success());
        let round = (cpu_time() - cpu_before, started_at.elapsed());
        best = Some(best.map_or(round, |best| best.min(round)));
    }
    let (cpu, wall) = best.expect("at least one round");
    println!("{protocol:9} {compression:11} {:7.3} {:9.3}", cpu.as_secs_f64(), wall.as_secs_f64());
    let _ = stop.send(());
    server.await.expect("the server ends");
}

fn codec(name: &str, bodies: &[Vec<u8>], mut inflate: impl FnMut(&[u8])) {
    let mut best = Duration::MAX;
    for _ in 0..N_ROUNDS {
        let cpu_before = cpu_time();
        for n in 0..N_REQUESTS {
            inflate(&bodies[n % N_BODIES]);
        }
        best = best.min(cpu_time() - cpu_before);
    }
    let sent_bytes = bodies.iter().map(Vec::len).sum::<usize>() / N_BODIES * N_REQUESTS;
    println!("{name:20} {:9.3} {:9}", best.as_secs_f64(), sent_bytes / 1_000_000);
}

/// What all threads of this process have run for; those that have ended are left out, so no thread
/// that matters here ends.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let mut nanos = 0;
    for task in tasks.flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    Duration::from_nanos(nanos)
}

async fn send(address: SocketAddr, is_grpc: bool, compression: &str) {
    let bodies: Vec<Bytes> = bodies()
        .iter()
        .map(|body| framed(compressed(body, compression), is_grpc, compression))
        .collect();
    let mut connections = tokio::task::JoinSet::new();
    for n in 0..N_CONNECTIONS {
        let (bodies, compression) = (bodies.clone(), compression.to_owned());
        connections.spawn(async move {
            let stream = TcpStream::connect(address).await.expect("the parent listens");
            stream.set_nodelay(true).expect("a socket");
            let share = (n..N_REQUESTS).step_by(N_CONNECTIONS);
            if is_grpc {
                let io = TokioIo::new(stream);
                let (mut client, connection) =
                    http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
                tokio::spawn(connection);
                for request in share {
                    let request = Request::post(
                        "http://bench/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                    )
                    .header("content-type", "application/grpc")
                    .header("grpc-encoding", &compression)
                    .body(Full::new(bodies[request % N_BODIES].clone()))
                    .expect("a request");
                    let answer = client.send_request(request).await.expect("an answer");
                    let body = answer.into_body().collect().await.expect("trailers");
                    assert_eq!(body.trailers().expect("trailers")["grpc-status"], "0");
                }
            } else {
                let (mut client, connection) =
                    http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
                tokio::spawn(connection);
                for request in share {
                    let request = Request::post("/v1/traces")
                        .header("host", "bench")
                        .header("content-type", "application/x-protobuf")
                        .header("content-encoding", &compression)
                        .body(Full::new(bodies[request % N_BODIES].clone()))
                        .expect("a request");
                    let answer = client.send_request(request).await.expect("an answer");
                    assert_eq!(answer.status(), 200);
                    answer.into_body().collect().await.expect("a body");
                }
            }
        });
    }
    connections.join_all().await;
}

fn framed(body: Vec<u8>, is_grpc: bool, compression: &str) -> Bytes {
    if !is_grpc {
        return body.into();
    }
    let flag = u8::from(compression != "identity");
    [&[flag], &(body.len() as u32).to_be_bytes()[..], &body].concat().into()
}

fn compressed(body: &[u8], compression: &str) -> Vec<u8> {
    match compression {
        "gzip" => {
            let level = libdeflater::CompressionLvl::default();
            let mut compressor = libdeflater::Compressor::new(level);
            let mut compressed = vec![0; compressor.gzip_compress_bound(body.len())];
            let n_bytes = compressor.gzip_compress(body, &mut compressed).expect("room enough");
            compressed.truncate(n_bytes);
            compressed
        }
        "zstd" => zstd::bulk::compress(body, 1).expect("memory"),
        _ => body.to_vec(),
    }
}

/// Requests like those of a shop: random ids, a few names, attributes some of which repeat.
fn bodies() -> Vec<Vec<u8>> {
    let mut state = 7_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state ^ (state >> 32)
    };
    (0..N_BODIES).map(|_| request(&mut random).encode_to_vec()).collect()
}

fn request(random: &mut impl FnMut() -> u64) -> ExportTraceServiceRequest {
    let spans = (0..SPANS_PER_REQUEST)
        .map(|n| {
            let start = 1_790_000_000_000_000_000 + random() % 1_000_000_000;
            let attributes = vec![
                text("http.request.method", ["GET", "POST"][n % 2].to_owned()),
                text("url.path", format!("/cart/{}/items/{}", random() % 10_000, random() % 100)),
                text("server.address", format!("shop-{}.internal", random() % 20)),
                text("db.query.text", "SELECT id, name FROM items WHERE cart = ?".to_owned()),
                text("user.id", format!("{:016x}", random())),
                number("http.response.status_code", [200, 200, 200, 500][n % 4]),
                number("server.port", 8080),
            ];
            Span {
                trace_id: [random().to_le_bytes(), random().to_le_bytes()].concat(),
                span_id: random().to_le_bytes().to_vec(),
                parent_span_id: random().to_le_bytes().to_vec(),
                name: ["GET /cart", "POST /pay", "SELECT items", "render"][n % 4].to_owned(),
                kind: 2,
                start_time_unix_nano: start,
                end_time_unix_nano: start + random() % 100_000_000,
                attributes,
                ..Span::default()
            }
        })
        .collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn text(key: &str, value: String) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

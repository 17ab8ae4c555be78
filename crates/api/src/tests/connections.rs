//! Over real sockets: HTTP/1.1 and HTTP/2 on one port, and the end of a server.

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use suyuan_query::search::{Accounting, Budget};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::metrics::QueryKind;
use crate::questions::Answered;

struct Running {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

async fn start(server: &Server) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let state = &server.state;
    let served = tokio::spawn(serve(
        listener,
        server.router.clone(),
        state.metrics.clone(),
        state.options,
        async move { _ = stopped.await },
    ));
    Running { address, stop, served }
}

impl Running {
    async fn get(&self, client: &Client<HttpConnector, Empty<Bytes>>, path: &str) -> String {
        let address = format!("http://{}{path}", self.address).parse().expect("an address");
        let response = client.get(address).await.expect("an answer");
        let version = response.version();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        format!("{version:?} {}", String::from_utf8_lossy(&body))
    }
}

fn client(http2_only: bool) -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(http2_only).build_http()
}

#[tokio::test]
async fn one_port_speaks_both_versions() {
    let server = Server::new();
    let running = start(&server).await;
    assert_eq!(running.get(&client(false), "/api/echo").await, "HTTP/1.1 echo\n");
    assert_eq!(running.get(&client(true), "/api/echo").await, "HTTP/2.0 echo\n");
}

#[tokio::test]
async fn a_grpc_call_over_http2_ends_with_its_status() {
    let server = Server::new();
    let running = start(&server).await;
    let path = format!("http://{}/tempopb.StreamingQuerier/Search", running.address);
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let response = client(true).request(request).await.expect("an answer");
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(
        (response.status(), response.headers()["grpc-status"].as_bytes()),
        (StatusCode::OK, b"12".as_slice())
    );
    assert!(response.into_body().collect().await.expect("an end").to_bytes().is_empty());
}

#[tokio::test]
async fn a_server_that_stops_ends_quiet_connections_and_returns() {
    let server = Server::new();
    let running = start(&server).await;
    let silent = TcpStream::connect(running.address).await.expect("a connection");
    let mut idle = TcpStream::connect(running.address).await.expect("a connection");
    idle.write_all(b"GET /api/echo HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut answered = vec![0; 15];
    idle.read_exact(&mut answered).await.expect("an answer");
    assert_eq!(answered, b"HTTP/1.1 200 OK");
    running.stop.send(()).expect("it still runs");
    running.served.await.expect("it returns");
    for mut connection in [silent, idle] {
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).await.expect("closed in order");
    }
    assert_eq!(server.state.metrics.connections.get(), 0);
    TcpStream::connect(running.address).await.expect_err("nobody listens");
}

#[tokio::test]
async fn what_is_not_http_is_closed_and_the_next_is_served() {
    let server = Server::with(Options { connections_max: 1, ..Options::default() });
    let running = start(&server).await;
    let mut nonsense = TcpStream::connect(running.address).await.expect("a connection");
    nonsense.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    nonsense.read_to_end(&mut answer).await.expect("closed in order");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    assert_eq!(running.get(&client(false), "/api/echo").await, "HTTP/1.1 echo\n");
}

/// A question of the test's own, which holds the only thread until it is told to end.
async fn hold(server: &Server) -> (std::sync::mpsc::Sender<()>, JoinHandle<()>) {
    let questions = server.state.questions.clone();
    let (begin, begun) = oneshot::channel();
    let (end, ended) = std::sync::mpsc::channel();
    let held = tokio::spawn(async move {
        let work = move |_: &Budget| {
            begin.send(()).expect("the test waits for it");
            ended.recv().expect("the test ends it");
            Ok(Answered { answer: (), accounting: Accounting::default() })
        };
        questions.ask(QueryKind::Explain, work).await.expect("an answer");
    });
    begun.await.expect("it begins");
    (end, held)
}

fn one_at_a_time() -> Server {
    let query = QueryOptions { concurrency: 1, queue_max: 1, ..QueryOptions::default() };
    Server::with(Options { query, ..Options::default() })
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_question_along() {
    let server = one_at_a_time();
    let running = start(&server).await;
    let (end, held) = hold(&server).await;
    let mut stream = TcpStream::connect(running.address).await.expect("a connection");
    stream.write_all(b"GET /api/search HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is sent");
    let metrics = &server.state.metrics;
    while metrics.queries_waiting.get() == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    let cancelled = "suyuan_api_queries_total{kind=\"search\",outcome=\"cancelled\"} 1";
    while !server.get("/metrics").await.text().contains(cancelled) {
        tokio::task::yield_now().await;
    }
    end.send(()).expect("it runs");
    held.await.expect("it ends");
}

#[tokio::test]
async fn a_question_too_many_is_told_to_come_again() {
    let server = one_at_a_time();
    let (end, held) = hold(&server).await;
    let router = server.router.clone();
    let request = Request::get("/api/search").body(Body::empty()).expect("a request");
    let waiting = tokio::spawn(router.oneshot(request));
    while server.state.metrics.queries_waiting.get() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = server.get("/api/v2/search/tags").await;
    assert_eq!(refused.header("retry-after"), "1");
    expect![[r#"
        429 text/plain; charset=utf-8
        too many questions wait already (1): try again in a moment
    "#]]
    .assert_eq(&refused.drawn());
    end.send(()).expect("it runs");
    held.await.expect("it ends");
    let answer = waiting.await.expect("no panic").expect("it never fails");
    assert_eq!(answer.status(), StatusCode::OK);
}

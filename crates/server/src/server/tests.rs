//! Servers started, refused and stopped, on directories and ports of their own.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

fn config(data_dir: &Path) -> Config {
    let mut config = Config::default();
    config.server.data_dir = data_dir.to_owned();
    for address in [&mut config.server.http, &mut config.otlp.grpc, &mut config.otlp.http] {
        *address = "127.0.0.1:0".parse().unwrap();
    }
    config
}

async fn get(running: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(running.addresses().http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_answers_stops_and_starts_again_on_the_same_directory() {
    let data_dir = tempfile::tempdir().unwrap();
    let config = config(&data_dir.path().join("made/when/missing"));
    for _ in 0..2 {
        let running = start(&config).await.unwrap();
        assert!(get(&running, "/ready").await.ends_with("\r\n\r\nready\n"));
        let http = running.addresses().http;
        running.shutdown().await;
        assert!(TcpStream::connect(http).await.is_err(), "the door is closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_package_shows_its_numbers() {
    let data_dir = tempfile::tempdir().unwrap();
    let running = start(&config(data_dir.path())).await.unwrap();
    let metrics = get(&running, "/metrics").await;
    for family in [
        "suyuan_ingest_in_flight_bytes",
        "suyuan_log_fsync_seconds",
        "suyuan_store_live_rows",
        "suyuan_api_connections",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(&format!("# TYPE {family} ")), "{family} in {metrics}");
    }
    running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_directory_is_refused() {
    let data_dir = tempfile::tempdir().unwrap();
    let first = start(&config(data_dir.path())).await.unwrap();
    let second = start(&config(data_dir.path())).await.err().unwrap().to_string();
    assert!(second.contains(&format!("in use by pid {}", std::process::id())), "{second}");
    first.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_before_the_log_is_read() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = start(&config(one.path())).await.unwrap();
    let mut config = config(other.path());
    config.otlp.grpc.port = first.addresses().otlp_grpc.port();
    let second = start(&config).await.err().unwrap().to_string();
    assert!(second.contains("is in use") && second.ends_with("--otlp-grpc"), "{second}");
    let log = fs::read_dir(other.path().join(LOG_FOLDER)).unwrap();
    assert_eq!(log.count(), 0, "the log was not touched");
    first.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_made_is_named() {
    let data_dir = tempfile::tempdir().unwrap();
    let file = data_dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = start(&config(&file)).await.err().unwrap().to_string();
    assert!(error.starts_with("cannot make the directory ") && error.contains("--data-dir"));
}

/// A store that breaks when it is given something.
struct Broken;

impl Surroundings for Broken {
    fn publish(&mut self, _: Publication) {}

    fn cut(&mut self, _: Option<Position>) {
        panic!("the store is broken");
    }

    fn trace_rows(&self, _: &Tenant, _: TraceId) -> u64 {
        0
    }

    fn now_unix_nanos(&self) -> u64 {
        0
    }

    fn pressure(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_ingest_thread_panicked_is_not_ready() {
    let data_dir = tempfile::tempdir().unwrap();
    let running = start(&config(data_dir.path())).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let (log, _) = open_log(&config(other.path())).await.unwrap();
    let replay = Replay::new(LaneOptions::default(), Broken, Metrics::new());
    let lane = replay.start(log).unwrap();
    lane.cut();
    watch(lane, running.store.clone(), running.readiness.clone()).await;
    assert!(get(&running, "/ready").await.contains("not ready: the ingest thread panicked"));
    let trace = get(&running, "/api/traces/00000000000000000000000000000001").await;
    assert!(trace.starts_with("HTTP/1.1 404 "), "questions are answered: {trace}");
    running.shutdown().await;
}

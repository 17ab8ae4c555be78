//! Guards: what was erased stays erased when the server is killed, and what came later stays.
//!
//! After an erasure the log still holds the spans, until blocks without them are durable. A server
//! that starts again reads them from there, mixed with what came after the erasure.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::Path;

use http::StatusCode;
use suyuan_testkit::client::{Client, Compression, Form, Protocol};
use suyuan_testkit::equality::{hex, spans};
use suyuan_testkit::process::ServerProcess;
use suyuan_testkit::sample::{plain_span, request, trace_id};

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");
const ERASED: u64 = 1;
const KEPT: u64 = 2;
const ROUNDS: u64 = 4;

async fn send(client: &Client, span: u64) {
    let spans = vec![plain_span(ERASED, span), plain_span(KEPT, span)];
    let request = request("shop", spans);
    client.send(&request, Protocol::HttpProtobuf, Compression::None).await.unwrap();
}

async fn n_spans(client: &Client, trace: u64) -> usize {
    let trace = client.trace(&trace_id(trace), Form::V2Protobuf).await.unwrap();
    trace.map_or(0, |trace| spans(&trace).count())
}

#[tokio::test]
async fn an_erased_trace_stays_erased_through_kills_and_what_came_later_stays() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(Path::new(PROGRAM), data_dir.path(), &[]).unwrap();
    for round in 0..ROUNDS {
        let client = Client::new(server.addresses());
        send(&client, 10 * round + 1).await;
        client.trace_of(&trace_id(KEPT), 2 * round as usize + 1).await.unwrap();

        let path = format!("/api/admin/erase?trace={}", hex(&trace_id(ERASED)));
        let answer = client.post(&path).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(n_spans(&client, ERASED).await, 0);
        send(&client, 10 * round + 2).await;
        client.trace_of(&trace_id(KEPT), 2 * round as usize + 2).await.unwrap();

        server.kill();
        server = ServerProcess::start(Path::new(PROGRAM), data_dir.path(), &[]).unwrap();
        let client = Client::new(server.addresses());
        assert_eq!(n_spans(&client, ERASED).await, 1, "round {round}");
        assert_eq!(n_spans(&client, KEPT).await, 2 * round as usize + 2, "round {round}");
    }
    let client = Client::new(server.addresses());
    let answer = client.post("/api/admin/flush?compact=true").await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(
        (n_spans(&client, ERASED).await, n_spans(&client, KEPT).await),
        (1, 2 * ROUNDS as usize)
    );
    let rows = client.metric("suyuan_store_block_rows", &[]).await.unwrap();
    assert_eq!(rows as u64, 2 * ROUNDS + 1, "spans in files");
}

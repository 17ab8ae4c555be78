//! Guards: damage in the log costs what is damaged and nothing else: the server starts, says
//! what it set aside, and serves the rest.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use suyuan_testkit::client::{Client, Compression, Form, Protocol};
use suyuan_testkit::equality::compare;
use suyuan_testkit::process::ServerProcess;
use suyuan_testkit::sample::{attribute, plain_span, request, text, trace_id, traces_data};

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");

/// A small segment is read quickly; what is tested does not depend on its size.
const SETTINGS: &[(&str, &str)] = &[("SUYUAN_LOG_SEGMENT_BYTES_MAX", "1 MiB")];

const N_REQUESTS: u64 = 20;
const DAMAGED: u64 = 7;

#[tokio::test]
async fn a_damaged_record_is_set_aside_and_its_neighbours_are_served() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(Path::new(PROGRAM), data_dir.path(), SETTINGS).unwrap();
    let client = Client::new(server.addresses());
    for number in 1..=N_REQUESTS {
        client.send(&sample(number), Protocol::Grpc, Compression::None).await.unwrap();
    }
    server.kill();
    assert_eq!(verify(data_dir.path()), Some(0), "a log that is whole is said to be damaged");
    flip_a_bit_of(&mark(DAMAGED), &segment(data_dir.path()));
    assert_ne!(verify(data_dir.path()), Some(0), "`suyuan wal verify` does not see the damage");

    // The second start finds in its quarantine what the first one set aside.
    for start in ["first", "second"] {
        let server = ServerProcess::start(Path::new(PROGRAM), data_dir.path(), SETTINGS).unwrap();
        let client = Client::new(server.addresses());
        for number in (1..=N_REQUESTS).filter(|number| *number != DAMAGED) {
            let found = client.trace_of(&trace_id(number), 1).await.unwrap();
            compare(&traces_data(sample(number)), &found).unwrap();
        }
        let damaged = client.trace(&trace_id(DAMAGED), Form::V2Protobuf).await.unwrap();
        assert_eq!(damaged, None);
        assert_eq!(client.metric("suyuan_log_damaged_places", &[]).await, Ok(1.0));
        let bytes = client.metric("suyuan_log_damaged_bytes", &[]).await.unwrap();
        assert!(bytes >= mark(DAMAGED).len() as f64, "{bytes}");
        assert_eq!(client.metric("suyuan_log_quarantined_records", &[]).await, Ok(0.0));
        let again = client.send(&sample(DAMAGED + 100), Protocol::Grpc, Compression::None).await;
        again.expect("a server with a damaged past takes new requests");
        let (status, said) = server.terminate().await;
        assert!(status.success(), "{status}: {said}");
        let complaint = said.lines().find(|line| line.contains("damage"));
        assert!(start == "second" || complaint.is_some(), "the damage is not reported: {said}");
    }
    let quarantine = data_dir.path().join("log/quarantine");
    assert!(quarantine.read_dir().unwrap().next().is_some(), "the damaged bytes are not kept");
}

fn sample(number: u64) -> ExportTraceServiceRequest {
    let mut span = plain_span(number, 1);
    span.attributes.push(attribute("mark", text(&mark(number))));
    request("shop", vec![span])
}

/// A text that stands in one request only.
fn mark(number: u64) -> String {
    format!("mark of request {number}.")
}

/// Runs `suyuan wal verify`; returns its exit code.
fn verify(data_dir: &Path) -> Option<i32> {
    let mut command = Command::new(PROGRAM);
    command.args(["wal", "verify", "--data-dir"]).arg(data_dir);
    command.output().unwrap().status.code()
}

/// The file of the log that holds the requests.
fn segment(data_dir: &Path) -> PathBuf {
    let mut holding = Vec::new();
    for entry in data_dir.join("log").read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && position_of(&mark(1), &path).is_some() {
            holding.push(path);
        }
    }
    assert_eq!(holding.len(), 1, "{holding:?}");
    holding.remove(0)
}

fn flip_a_bit_of(mark: &str, path: &Path) {
    let at = position_of(mark, path).expect("the request lies in the log as it was sent");
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn position_of(mark: &str, path: &Path) -> Option<usize> {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(mark.len()).position(|window| window == mark.as_bytes())
}

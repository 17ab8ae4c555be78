//! Guards: a full disk refuses politely, loses nothing that was acknowledged, and the server
//! goes on by itself when there is space again.
//!
//! The data directory lies on a small file system of its own, which needs root and Linux; anyone
//! else skips this test, and it says so.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use suyuan_testkit::client::{Client, Compression, Form, GrpcCode, Protocol, SendError, until};
use suyuan_testkit::equality::compare;
use suyuan_testkit::process::ServerProcess;
use suyuan_testkit::sample::{attribute, plain_span, request, text, trace_id, traces_data};

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");

const DISK_MIB: u64 = 24;
const SETTINGS: &[(&str, &str)] = &[("SUYUAN_LOG_SEGMENT_BYTES_MAX", "4 MiB")];

/// More requests of half a megabyte than the disk can hold.
const N_REQUESTS_MAX: u64 = 4 * DISK_MIB;

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let mount_point = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(mount_point.path()) else { return };
    let data_dir = disk.path.join("data");
    let server = ServerProcess::start(Path::new(PROGRAM), &data_dir, SETTINGS).unwrap();
    let client = Client::new(server.addresses());

    // Something of somebody else's, which is later removed.
    let ballast = disk.path.join("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20]).unwrap();

    let mut acknowledged = Vec::new();
    let refusal = loop {
        let number = acknowledged.len() as u64 + 1;
        assert!(number < N_REQUESTS_MAX, "the disk never filled");
        match client.send(&large_request(number), Protocol::HttpProtobuf, Compression::None).await {
            Ok(_) => acknowledged.push(number),
            Err(refusal) => break refusal,
        }
    };
    assert!(!acknowledged.is_empty(), "refused at once: {refusal:?}");
    let SendError::Http(answer) = refusal else { panic!("not refused by status: {refusal:?}") };
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "");
    let over_grpc = client.send(&large_request(900), Protocol::Grpc, Compression::None).await;
    let Err(SendError::Grpc(status)) = over_grpc else { panic!("accepted on a full disk") };
    assert_eq!(status.code(), GrpcCode::Unavailable, "{status:?}");
    all_found(&client, &acknowledged).await;

    std::fs::remove_file(&ballast).unwrap();
    let sent_again = until(async || {
        let again = large_request(901);
        client.send(&again, Protocol::HttpProtobuf, Compression::None).await.is_ok()
    });
    assert!(sent_again.await, "the server does not recover by itself");
    acknowledged.push(901);
    all_found(&client, &acknowledged).await;

    server.kill();
    let server = ServerProcess::start(Path::new(PROGRAM), &data_dir, SETTINGS).unwrap();
    let client = Client::new(server.addresses());
    all_found(&client, &acknowledged).await;
    let refused = client.trace(&trace_id(900), Form::V2Protobuf).await.unwrap();
    assert_eq!(refused, None, "a refused request came back");
}

/// One span with half a megabyte of text that does not compress to nothing.
fn large_request(number: u64) -> ExportTraceServiceRequest {
    let mut span = plain_span(number, 1);
    for part in 0..8 {
        let noise: String = (0..60_000u64)
            .map(|at| char::from(b'a' + (at * at * (number + part) % 26) as u8))
            .collect();
        span.attributes.push(attribute("noise", text(&noise)));
    }
    request("shop", vec![span])
}

async fn all_found(client: &Client, numbers: &[u64]) {
    for number in numbers {
        let found = client.trace_of(&trace_id(*number), 1).await.unwrap();
        let sent = traces_data(large_request(*number));
        assert_eq!(compare(&sent, &found), Ok(()), "request {number}");
    }
}

/// A file system in memory, gone when dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path) -> Option<SmallDisk> {
        let size = format!("size={DISK_MIB}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "suyuan"]).arg(path);
        let said = match mount.output() {
            Ok(output) if output.status.success() => {
                return Some(SmallDisk { path: path.to_owned() });
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("skipped: a small disk cannot be mounted here: {}", said.trim());
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is just being killed may still hold files.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.path).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("cannot unmount {}", self.path.display());
        }
    }
}

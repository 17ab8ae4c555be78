//! Guards: blocks on a disk and in a bucket, as an operator meets them: by `flush`, `erase`,
//! `block` and `check`, sound and damaged, and after the machine is gone.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use suyuan_testkit::client::{Client, Compression, Form, Protocol};
use suyuan_testkit::equality::hex;
use suyuan_testkit::fake_s3::{ACCESS_KEY_ID, BUCKET, FakeS3, SECRET_ACCESS_KEY};
use suyuan_testkit::process::ServerProcess;
use suyuan_testkit::sample::{full_span, request, trace_id};

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");
const N_TRACES: u64 = 20;
const N_PARTS: u64 = 4;

/// What is said to every program: where blocks are.
type Settings = Vec<(&'static str, String)>;

fn in_bucket(store: &FakeS3) -> Settings {
    vec![
        ("SUYUAN_OBJECTS_KIND", "s3".to_owned()),
        ("SUYUAN_OBJECTS_BUCKET", BUCKET.to_owned()),
        ("SUYUAN_OBJECTS_PREFIX", "mall/traces".to_owned()),
        ("SUYUAN_OBJECTS_ENDPOINT", store.endpoint()),
        ("SUYUAN_OBJECTS_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
        ("SUYUAN_OBJECTS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
        ("SUYUAN_OBJECTS_ALLOW_HTTP", "true".to_owned()),
    ]
}

fn start(data_dir: &Path, settings: &Settings) -> (ServerProcess, Client, String) {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server = ServerProcess::start(Path::new(PROGRAM), data_dir, &settings).unwrap();
    let client = Client::new(server.addresses());
    let address = format!("http://{}", server.addresses().http);
    (server, client, address)
}

fn suyuan(settings: &Settings, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SUYUAN_") {
            command.env_remove(name);
        }
    }
    // `check` binds the ports: whatever listens on the usual ones is no business of this test.
    for door in ["SUYUAN_SERVER_HTTP", "SUYUAN_OTLP_GRPC", "SUYUAN_OTLP_HTTP"] {
        command.env(door, "localhost:0");
    }
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    command.envs(settings).args(arguments).output().unwrap()
}

fn check(settings: &Settings, arguments: &[&str], code: i32) -> String {
    let output = suyuan(settings, arguments);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stdout}{stderr}");
    stdout
}

/// Sends a part of every trace.
async fn send(client: &Client, part: u64) {
    let spans = (0..N_TRACES).map(|trace| full_span(trace + 1, part * 100 + trace + 1, part));
    let request = request("mall", spans.collect());
    client.send(&request, Protocol::HttpProtobuf, Compression::None).await.unwrap();
}

async fn find_all(client: &Client, n_spans: usize) {
    for trace in 0..N_TRACES {
        client.trace_of(&trace_id(trace + 1), n_spans).await.unwrap();
    }
}

/// One block of four parts of each trace: so many small ones are merged.
async fn one_block(client: &Client, settings: &Settings, address: &str) {
    for part in 1..=N_PARTS {
        send(client, part).await;
        check(settings, &["flush", "--server", address], 0);
    }
    find_all(client, N_PARTS as usize).await;
    let told = check(settings, &["flush", "--compact", "--server", address], 0);
    assert!(told.contains("\nnow: 1 block, 80 spans, "), "{told}");
    find_all(client, N_PARTS as usize).await;
}

#[tokio::test]
async fn blocks_on_a_disk_are_listed_inspected_verified_and_checked() {
    let data_dir = tempfile::tempdir().unwrap();
    let place = ["--data-dir", data_dir.path().to_str().unwrap()];
    let none = Settings::new();
    let (server, client, address) = start(data_dir.path(), &none);
    one_block(&client, &none, &address).await;

    let with = |command: &[&'static str]| [command, &place].concat();
    let listed = check(&none, &with(&["block", "ls"]), 0);
    assert!(listed.ends_with(" KiB\n") && listed.contains("\n1 block, 80 spans, "), "{listed}");
    let listed = check(&none, &with(&["block", "ls", "--json"]), 0);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!((&listed[0]["spans"], &listed[0]["level"]), (&80.into(), &1.into()));

    let inspected = check(&none, &[&["block", "inspect", &id[..13]], &place[..]].concat(), 0);
    for part in ["spans.parquet", "trace_id", "service.name", "single-tenant", "Slices:"] {
        assert!(inspected.contains(part), "{part} in {inspected}");
    }
    let inspected = check(&none, &[&["block", "inspect", id, "--json"], &place[..]].concat(), 0);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let files = inspected["files"].as_array().unwrap();
    for file in files.iter().filter(|file| file["name"] != "ids.filter") {
        let columns = file["columns"].as_array().unwrap().iter();
        let pages: u64 = columns.map(|column| column["bytes"].as_u64().unwrap()).sum();
        let all = file["bytes"].as_u64().unwrap();
        assert!(pages > 0 && pages < all, "{pages} of {all} in {file}");
    }
    let verified = check(&none, &with(&["block", "verify"]), 0);
    assert!(verified.starts_with("sound: 1 block, 80 spans, 20 traces, "), "{verified}");
    check(&none, &[&["block", "inspect", "ffff"], &place[..]].concat(), 2);

    server.kill();
    let checked = check(&none, &with(&["check"]), 0);
    assert!(checked.contains("entry ") && checked.contains(" files, "), "{checked}");
    damage_is_found(&data_dir.path().join("objects/blocks").join(id), &place, data_dir.path());
}

/// Each file of the block, bent in its middle, cut and taken away.
fn damage_is_found(block: &Path, place: &[&str; 2], data_dir: &Path) {
    let none = Settings::new();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(block).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&file).unwrap();
        let mut bent = bytes.clone();
        bent[bytes.len() / 2] ^= 1;
        std::fs::write(&file, &bent).unwrap();
        let verified = check(&none, &["block", "verify", place[0], place[1]], 1);
        let problem = format!("{name} has the checksum ");
        assert!(
            verified.starts_with("DAMAGED: 1 of 1") && verified.contains(&problem),
            "{verified}"
        );

        std::fs::write(&file, &bytes[1..]).unwrap();
        let checked = check(&none, &["check", place[0], place[1]], 1);
        assert!(checked.contains(&format!("{name} has {} bytes", bytes.len() - 1)), "{checked}");
        std::fs::remove_file(&file).unwrap();
        let checked = check(&none, &["check", place[0], place[1], "--json"], 1);
        assert!(checked.contains(&format!("{name} is missing")), "{checked}");
        std::fs::write(&file, &bytes).unwrap();
    }
    let checked = check(&none, &["check", "--data-dir", data_dir.to_str().unwrap()], 0);
    assert!(!checked.contains("WRONG"), "{checked}");
}

#[test]
fn blocks_in_a_bucket_outlive_the_machine() {
    // Its runtime cannot be started inside another one.
    let store = FakeS3::start();
    tokio::runtime::Runtime::new().unwrap().block_on(outlive_the_machine(&store));
}

async fn outlive_the_machine(store: &FakeS3) {
    let settings = in_bucket(store);
    let data_dir = tempfile::tempdir().unwrap();
    let (server, client, address) = start(data_dir.path(), &settings);
    one_block(&client, &settings, &address).await;
    let shown = client.get("/status/config", "").await.unwrap().text();
    assert!(shown.contains("kind = \"s3\"") && !shown.contains(SECRET_ACCESS_KEY), "{shown}");
    server.kill();
    drop(data_dir);

    let data_dir = tempfile::tempdir().unwrap();
    let (server, client, address) = start(data_dir.path(), &settings);
    find_all(&client, N_PARTS as usize).await;
    assert!(client.metric("suyuan_objects_cache_misses_total", &[]).await.unwrap() > 0.0);
    let verified = check(&settings, &["block", "verify"], 0);
    assert!(verified.starts_with("sound: 1 block, 80 spans, 20 traces, "), "{verified}");
    let checked = check(&settings, &["check", "--data-dir", data_dir.path().to_str().unwrap()], 0);
    let answers = format!("s3://{BUCKET}/mall/traces answers and creates only if absent");
    assert!(checked.contains(&answers), "{checked}");

    send(&client, N_PARTS + 1).await;
    check(&settings, &["flush", "--server", &address], 0);
    find_all(&client, N_PARTS as usize + 1).await;
    let (status, said) = server.terminate().await;
    assert!(status.success(), "{said}");
}

#[test]
fn a_bucket_that_refuses_is_named_at_start_and_by_check() {
    // Its runtime cannot be started inside another one.
    let store = FakeS3::start();
    let mut settings = in_bucket(&store);
    settings.push(("SUYUAN_OBJECTS_SECRET_ACCESS_KEY", "wrong".to_owned()));
    let data_dir = tempfile::tempdir().unwrap();
    let given: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let said = ServerProcess::start(Path::new(PROGRAM), data_dir.path(), &given).err().unwrap();
    assert!(said.contains("s3://spans/mall/traces: cannot prove that"), "{said}");
    let checked = check(&settings, &["check", "--data-dir", data_dir.path().to_str().unwrap()], 1);
    assert!(checked.contains("WRONG  object store"), "{checked}");
}

#[tokio::test]
async fn what_is_erased_stays_erased() {
    let data_dir = tempfile::tempdir().unwrap();
    let none = Settings::new();
    let (server, client, address) = start(data_dir.path(), &none);
    one_block(&client, &none, &address).await;
    send(&client, N_PARTS + 1).await;
    find_all(&client, N_PARTS as usize + 1).await;
    let id = hex(&trace_id(1));
    let told = check(&none, &["erase", &id, "--server", &address], 0);
    assert!(told.starts_with("erased: 5 spans\n"), "{told}");
    let gone = async |client: &Client| client.trace(&trace_id(1), Form::V1Json).await.unwrap();
    assert_eq!(gone(&client).await, None);
    server.kill();

    let (_server, client, address) = start(data_dir.path(), &none);
    assert_eq!(gone(&client).await, None);
    client.trace_of(&trace_id(2), N_PARTS as usize + 1).await.unwrap();
    let told = check(&none, &["flush", "--compact", "--json", "--server", &address], 0);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["compacted"]["erasedOrExpired"], 5);
    let told = check(&none, &["erase", "--all-traces", "--server", &address], 0);
    assert!(told.starts_with("erased: 95 spans\n"), "{told}");
    check(&none, &["erase", "--server", &address], 2);
}

//! Guards: what was acknowledged survives SIGKILL at any moment, exactly once; and SIGTERM.
//!
//! A server is killed at random moments while four senders write as fast as they can, and
//! sometimes again while it starts. After each restart every span acknowledged in that round is
//! found exactly once, a sample of all earlier rounds too, and at the end everything. A request
//! that nobody answered may be there, but only whole. SIGKILL keeps the page cache: power cuts
//! are simulated in the tests of the log.
//!
//! `SUYUAN_KILL_ROUNDS` says how often (10), `SUYUAN_KILL_SEED` repeats a run's choices.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use suyuan_testkit::client::{Client, Compression, Form, Protocol, SendError};
use suyuan_testkit::equality::{compare, hex, spans};
use suyuan_testkit::process::{ServerProcess, spawn};
use suyuan_testkit::random::Random;
use suyuan_testkit::sample::{full_span, plain_span, request, trace_id, traces_data};
use tokio::task::JoinSet;

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");

/// Small segments and blocks, so that the log also rolls and is shortened, and blocks are made and
/// merged, while the server is killed.
const SETTINGS: &[(&str, &str)] =
    &[("SUYUAN_LOG_SEGMENT_BYTES_MAX", "1 MiB"), ("SUYUAN_SEAL_ROWS_MAX", "1000")];

const N_SENDERS: u64 = 4;
const SPANS_PER_REQUEST: u64 = 20;

/// A round lets the senders write for up to this long.
const LOAD_MS_MAX: u64 = 150;

/// Every n-th round the server is killed again while it starts.
const ROUNDS_PER_KILLED_START: u64 = 4;

/// Then the next data directory: every start reads all of the log, so rounds get slower.
const ROUNDS_PER_DIRECTORY: usize = 25;

/// Traces of earlier rounds that are looked at after each restart.
const SAMPLED_TRACES: usize = 50;

/// What is known of the request that made trace `number`.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u64,
    is_acknowledged: bool,
}

/// Kills, and spans.
#[derive(Debug, Default)]
struct Counts {
    kills: u64,
    acknowledged: u64,
    found: u64,
    lost: u64,
    duplicated: u64,
    unanswered: u64,
    unanswered_found: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.kills += other.kills;
        self.acknowledged += other.acknowledged;
        self.found += other.found;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.unanswered += other.unanswered;
        self.unanswered_found += other.unanswered_found;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_span_survives_every_kill() {
    let rounds = number_from_environment("SUYUAN_KILL_ROUNDS").unwrap_or(10);
    let seed = number_from_environment("SUYUAN_KILL_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        now.as_nanos() as u64
    });
    println!("SUYUAN_KILL_ROUNDS={rounds} SUYUAN_KILL_SEED={seed}");
    let mut random = Random::new(seed);
    let mut counts = Counts::default();
    let rounds: Vec<u64> = (0..rounds).collect();
    for rounds in rounds.chunks(ROUNDS_PER_DIRECTORY) {
        kill_again_and_again(rounds, &mut random, &mut counts).await;
    }
    println!("{counts:?}");
    assert!(counts.acknowledged > 0, "nothing was acknowledged: nothing was tested");
}

/// Rounds on one data directory; adds what was found at their end.
async fn kill_again_and_again(rounds: &[u64], random: &mut Random, counts: &mut Counts) {
    let data_dir = tempfile::tempdir().unwrap();
    let start = || ServerProcess::start(Path::new(PROGRAM), data_dir.path(), SETTINGS).unwrap();
    let mut server = start();
    let mut all: Vec<Sent> = Vec::new();
    for round in rounds {
        let load = Duration::from_micros(random.below(LOAD_MS_MAX * 1_000));
        let sent = load_and_kill(server, *round, load).await;
        counts.kills += 1;
        if round % ROUNDS_PER_KILLED_START == 0 {
            let moment = Duration::from_micros(random.below(30_000));
            kill_while_starting(data_dir.path(), moment).await;
            counts.kills += 1;
        }
        server = start();
        let client = Client::new(server.addresses());
        let earlier: Vec<Sent> = (0..SAMPLED_TRACES.min(all.len()))
            .map(|_| all[random.below(all.len() as u64) as usize])
            .collect();
        for traces in [&sent, &earlier] {
            let counts = look_for(&client, traces).await;
            assert_eq!((counts.lost, counts.duplicated), (0, 0), "round {round}: {counts:?}");
        }
        all.extend(sent);
    }
    counts.add(&all_found_once(&server, &all).await);
    let (status, said) = server.terminate().await;
    assert!(status.success(), "{status}: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_asked_to_stop_keeps_what_it_acknowledged() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..3 {
        let server = ServerProcess::start(Path::new(PROGRAM), data_dir.path(), SETTINGS).unwrap();
        let senders = start_senders(&server, round);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (status, said) = server.terminate().await;
        assert!(status.success(), "{status}: {said}");
        all.extend(senders.join_all().await.concat());
    }
    let server = ServerProcess::start(Path::new(PROGRAM), data_dir.path(), SETTINGS).unwrap();
    let counts = all_found_once(&server, &all).await;
    assert!(counts.acknowledged > 0, "nothing was acknowledged: nothing was tested");
}

/// Looks everything up that was ever sent. What is found is all that the server has: lookups
/// leave out duplicates, so its rows are counted beside them.
async fn all_found_once(server: &ServerProcess, all: &[Sent]) -> Counts {
    let client = Client::new(server.addresses());
    let counts = look_for(&client, all).await;
    assert_eq!((counts.lost, counts.duplicated), (0, 0), "{counts:?}");
    // After a seal live rows are rows of a block.
    let told = client.flush(true).await.unwrap();
    let rows = async |of: &str| client.metric(&format!("suyuan_store_{of}"), &[]).await.unwrap();
    assert_eq!(rows("live_rows").await, 0.0, "{told}");
    let n_rows = rows("block_rows").await as u64;
    assert_eq!(n_rows, counts.found + counts.unanswered_found, "spans stored more than once");
    counts
}

/// Lets senders write for a while, kills the server under them, and returns what they know.
async fn load_and_kill(server: ServerProcess, round: u64, load: Duration) -> Vec<Sent> {
    let senders = start_senders(&server, round);
    tokio::time::sleep(load).await;
    server.kill();
    senders.join_all().await.concat()
}

/// Senders that write as fast as they are answered, each until it is not.
fn start_senders(server: &ServerProcess, round: u64) -> JoinSet<Vec<Sent>> {
    let client = Client::new(server.addresses());
    let mut senders = JoinSet::new();
    for sender in 0..N_SENDERS {
        let client = client.clone();
        senders.spawn(async move {
            let mut sent = Vec::new();
            for number in 0.. {
                let number = (round << 32) | (sender << 24) | number;
                let is_acknowledged = send(&client, number, sender).await;
                sent.push(Sent { number, is_acknowledged });
                if !is_acknowledged {
                    break;
                }
            }
            sent
        });
    }
    senders
}

/// Sends one trace; `false` if it was not acknowledged, which ends a sender: nobody answered, or
/// the server is stopping.
async fn send(client: &Client, number: u64, sender: u64) -> bool {
    let protocol = Protocol::ALL[sender as usize % Protocol::ALL.len()];
    let compression = Compression::ALL[number as usize % Compression::ALL.len()];
    match client.send(&trace_request(number), protocol, compression).await {
        Ok(answer) => {
            assert_eq!(answer.rejected_spans, 0, "{}", answer.error_message);
            true
        }
        Err(SendError::Http(answer)) => {
            assert_eq!(answer.status, 503, "{}", answer.text());
            false
        }
        Err(SendError::Grpc(_) | SendError::NoAnswer(_)) => false,
    }
}

/// The trace of a number: a root and children, one of which has every field.
fn trace_request(number: u64) -> ExportTraceServiceRequest {
    let mut spans = vec![plain_span(number, 1), full_span(number, 2, 1)];
    for id in 3..=SPANS_PER_REQUEST {
        let mut span = plain_span(number, id);
        span.parent_span_id = spans[0].span_id.clone();
        spans.push(span);
    }
    request("shop", spans)
}

async fn kill_while_starting(data_dir: &Path, moment: Duration) {
    let mut child = spawn(Path::new(PROGRAM), data_dir, SETTINGS).unwrap();
    tokio::time::sleep(moment).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Looks every trace up and counts its spans.
async fn look_for(client: &Client, traces: &[Sent]) -> Counts {
    let mut counts = Counts::default();
    for sent in traces {
        let id = trace_id(sent.number);
        let found = client.trace(&id, Form::V2Protobuf).await.unwrap().unwrap_or_default();
        let n_found = spans(&found).count() as u64;
        if n_found > 0 {
            let whole = traces_data(trace_request(sent.number));
            let missing_or_twice = compare(&whole, &found);
            assert_eq!(missing_or_twice, Ok(()), "trace {}, {sent:?}", hex(&id));
        }
        if sent.is_acknowledged {
            counts.acknowledged += SPANS_PER_REQUEST;
            counts.found += n_found;
            counts.lost += SPANS_PER_REQUEST.saturating_sub(n_found);
        } else {
            counts.unanswered += SPANS_PER_REQUEST;
            counts.unanswered_found += n_found;
        }
        counts.duplicated += n_found.saturating_sub(SPANS_PER_REQUEST);
    }
    counts
}

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

//! Guards: whatever valid spans come, in whatever order, shape and protocol, what is found is
//! what a store too simple to be wrong says: live and after a restart.
//!
//! Each seed is a few hundred requests whose spans share ids, come twice, end before they start
//! and nest values. `SUYUAN_ANY_SPANS_SEED` tries another seed, or repeats a failure.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::path::Path;

use suyuan_testkit::arbitrary::Arbitrary;
use suyuan_testkit::client::{Client, Compression, Form, Protocol, until};
use suyuan_testkit::equality::{compare, hex, missing_for_grafana};
use suyuan_testkit::oracle::{Oracle, SINGLE_TENANT};
use suyuan_testkit::process::ServerProcess;

const PROGRAM: &str = env!("CARGO_BIN_EXE_suyuan");

const SEEDS: [u64; 3] = [1, 2, 3];
const REQUESTS_PER_SEED: usize = 150;

#[tokio::test]
async fn arbitrary_spans_are_found_as_the_oracle_finds_them() {
    let seeds = match std::env::var("SUYUAN_ANY_SPANS_SEED") {
        Ok(seed) => vec![seed.parse().expect("SUYUAN_ANY_SPANS_SEED is a number")],
        Err(_) => SEEDS.to_vec(),
    };
    for seed in seeds {
        println!("SUYUAN_ANY_SPANS_SEED={seed}");
        found_as_sent(seed).await;
    }
}

async fn found_as_sent(seed: u64) {
    let data_dir = tempfile::tempdir().unwrap();
    let start = || ServerProcess::start(Path::new(PROGRAM), data_dir.path(), &[]).unwrap();
    let server = start();
    let client = Client::new(server.addresses());
    let mut arbitrary = Arbitrary::new(seed);
    let mut oracle = Oracle::new();
    let mut n_rows = 0;
    for at in 0..REQUESTS_PER_SEED {
        let request = arbitrary.request();
        let protocol = Protocol::ALL[at % Protocol::ALL.len()];
        let answer = client.send(&request, protocol, Compression::None).await.unwrap();
        let admission = oracle.accept(SINGLE_TENANT, &request);
        assert_eq!(answer.rejected_spans, 0, "{protocol:?}: {}", answer.error_message);
        assert_eq!(admission.refusals, []);
        n_rows += admission.n_accepted;
    }
    compare_all(&client, &oracle, n_rows).await;
    server.kill();
    let server = start();
    compare_all(&Client::new(server.addresses()), &oracle, n_rows).await;
}

/// Every trace in every form, once all of `n_rows` spans, duplicates counted, are visible.
async fn compare_all(client: &Client, oracle: &Oracle, n_rows: usize) {
    let rows = async || client.metric("suyuan_store_live_rows", &[]).await.unwrap() as usize;
    assert!(until(async || rows().await == n_rows).await, "{} of {n_rows} rows", rows().await);
    for trace_id in oracle.trace_ids(SINGLE_TENANT) {
        let sent = oracle.trace(SINGLE_TENANT, &trace_id);
        for form in Form::ALL {
            let found = client.trace(&trace_id, form).await.unwrap().unwrap_or_default();
            let place = format!("trace {} as {form:?}", hex(&trace_id));
            compare(&sent, &found).unwrap_or_else(|told| panic!("{place}: {told}"));
            missing_for_grafana(&found).unwrap_or_else(|told| panic!("{place}: {told}"));
        }
    }
}

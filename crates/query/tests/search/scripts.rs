//! Runs `testdata/traceql/*.test` over a store: each query must answer what its script says,
//! wherever the spans lie.

use std::path::Path;

use suyuan_testkit::traceql::runner;
use suyuan_testkit::traceql::span::RefSpan;

use crate::harness::{LiveData, TestStore};

/// Fills a store for each scene, and asks it.
fn check(fill: impl Fn(&[RefSpan]) -> TestStore) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/traceql");
    runner::check(&folder, |spans| {
        let store = fill(spans);
        Box::new(move |question| store.search(question))
    });
}

/// Two chunks of live data.
fn live(spans: &[RefSpan], live_data: LiveData) -> TestStore {
    let mut store = TestStore::new(live_data);
    let (first, second) = spans.split_at(spans.len() / 2);
    store.publish(first);
    store.publish(second);
    store
}

#[test]
fn live_in_memory() {
    check(|spans| live(spans, LiveData::InMemory));
}

#[test]
fn live_in_files() {
    check(|spans| {
        let store = live(spans, LiveData::InFiles);
        store.wait_for_files();
        store
    });
}

#[test]
fn in_one_block() {
    check(|spans| {
        let mut store = live(spans, LiveData::InMemory);
        store.flush();
        store
    });
}

#[test]
fn in_two_blocks_and_live_data() {
    check(|spans| {
        let third =
            |n: usize| -> Vec<RefSpan> { spans.iter().skip(n).step_by(3).cloned().collect() };
        let mut store = TestStore::new(LiveData::InMemory);
        store.publish(&third(2));
        store.flush();
        store.publish(&third(0));
        store.flush();
        store.publish(&third(1));
        store
    });
}

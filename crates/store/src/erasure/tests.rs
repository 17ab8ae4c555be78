//! Erasures by examples: before and after every step that rows take.

use crate::tests::driver::{Driver, TestSpan, keep_nothing_but_order, tenant};

fn spans(trace: u32, ids: std::ops::Range<u64>) -> Vec<TestSpan> {
    ids.map(|id| TestSpan { trace, id, ..TestSpan::default() }).collect()
}

/// Three traces of two tenants.
fn publish_some(driver: &mut Driver, ids: std::ops::Range<u64>) {
    for name in ["anna", "berta"] {
        for trace in 1..4 {
            driver.publish(&tenant(name), &spans(trace, ids.clone()));
        }
    }
}

fn replay_some(driver: &mut Driver, ids: std::ops::Range<u64>) {
    for name in ["anna", "berta"] {
        for trace in 1..4 {
            driver.publish_again(&tenant(name), &spans(trace, ids.clone()));
        }
    }
}

#[test]
fn a_trace_is_gone_at_once_from_live_data_and_from_blocks_and_what_comes_later_stays() {
    let mut driver = Driver::new();
    publish_some(&mut driver, 1..3);
    driver.flush();
    publish_some(&mut driver, 3..5);
    let report = driver.erase(&tenant("anna"), Some(2));
    assert_eq!((report.blocks, report.block_rows, report.live_rows), (1, 2, 2));
    driver.check_lookups();
    // The limit of spans per trace counts what is left.
    let live = driver.store.live_trace_rows(&tenant("anna"), crate::tests::driver::trace_id(2));
    assert_eq!(live, 0);

    driver.publish(&tenant("anna"), &spans(2, 1..2));
    driver.check_lookups();
    driver.flush();
    driver.check_lookups();
    assert_eq!(driver.block_rows(), driver.expected.n_spans() + 4);
}

#[test]
fn the_bytes_are_gone_after_compaction_and_then_the_erasure_is_forgotten() {
    let mut driver = Driver::new();
    publish_some(&mut driver, 1..3);
    driver.flush();
    publish_some(&mut driver, 3..5);
    driver.erase(&tenant("anna"), Some(2));
    driver.flush();
    driver.store.keep_once().expect("keeps");
    assert_eq!(driver.store.0.view().state.tombstones.len(), 1);
    let report = driver.store.compact().expect("compacts");
    assert_eq!(report.dead_rows_removed, 4);
    driver.check_exactly();
    driver.store.keep_once().expect("keeps");
    assert_eq!(driver.store.0.view().state.tombstones.len(), 0);
    driver.check_exactly();
}

#[test]
fn a_tenant_is_gone_wholly_and_nobody_else() {
    let mut driver = Driver::new();
    publish_some(&mut driver, 1..3);
    driver.flush();
    publish_some(&mut driver, 3..5);
    driver.erase(&tenant("berta"), None);
    driver.check_lookups();
    driver.publish(&tenant("berta"), &spans(1, 9..10));
    driver.check_lookups();
    driver.flush();
    driver.store.compact().expect("compacts");
    driver.check_exactly();
}

#[test]
fn a_block_of_nothing_but_erased_rows_is_removed_without_another() {
    let mut driver = Driver::new();
    driver.publish(&tenant("anna"), &spans(7, 1..5));
    driver.flush();
    driver.erase(&tenant("anna"), Some(7));
    let report = driver.store.compact().expect("compacts");
    assert_eq!((report.blocks_removed, report.blocks_added), (1, 0));
    assert_eq!(driver.n_blocks(), 0);
    driver.check_exactly();
}

#[test]
fn an_erasure_holds_after_a_restart_for_what_is_replayed_from_the_log() {
    let mut driver = Driver::new();
    publish_some(&mut driver, 1..3);
    driver.flush();
    let end_of_blocks = driver.store.sealed_to();
    // The object store takes no blocks any more: what comes now stays in the log.
    driver.pause_seals();
    publish_some(&mut driver, 3..5);
    driver.erase(&tenant("anna"), Some(2));
    publish_some(&mut driver, 5..7);
    driver.check_lookups();
    assert_eq!(driver.store.sealed_to(), end_of_blocks);

    let mut driver = driver.reopen(keep_nothing_but_order());
    let cuts = driver.store.replay_cuts();
    assert_eq!(cuts.len(), 1);
    // As the server replays its log: cut where it says, then go on.
    replay_some(&mut driver, 3..5);
    assert_eq!(driver.log_end(), cuts[0]);
    driver.end_live();
    replay_some(&mut driver, 5..7);
    driver.check_lookups();
    driver.flush();
    driver.check_lookups();
    driver.store.compact().expect("compacts");
    driver.check_exactly();
    assert_eq!(driver.store.replay_cuts(), []);
}

#[test]
fn an_erasure_during_a_compaction_is_obeyed_by_the_next_one() {
    let mut driver = Driver::new();
    for part in 0..4 {
        publish_some(&mut driver, part * 10..part * 10 + 3);
        driver.flush();
    }
    driver.store.compact().expect("compacts");
    driver.erase(&tenant("anna"), Some(1));
    driver.check_lookups();
    assert_eq!(driver.store.compact().expect("compacts").dead_rows_removed, 12);
    driver.check_exactly();
    assert_eq!(driver.store.compact().expect("nothing to do").compactions, 0);
}

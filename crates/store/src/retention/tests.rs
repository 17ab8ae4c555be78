//! Retention by examples: what is found, hidden, removed.

use std::time::Duration;

use super::*;
use crate::now_unix_nanos;
use crate::tests::driver::{Driver, TestSpan, keep_nothing_but_order, tenant};
use crate::{CompactionStart, KeepPolicy};

const DAY: u64 = 24 * 3_600 * 1_000_000_000;

fn keep(age_days: Option<u64>, bytes_max: Option<u64>) -> KeepPolicy {
    let age_max = age_days.map(|days| Duration::from_nanos(days * DAY));
    let limits = RetentionLimits { age_max, bytes_max };
    let retention = RetentionPolicy { limits, tenants: BTreeMap::new() };
    KeepPolicy { retention, ..keep_nothing_but_order() }
}

fn span(trace: u32) -> TestSpan {
    TestSpan { trace, id: 1, ..TestSpan::default() }
}

/// A block of one span of each of some tenants, received so many days ago.
fn block(driver: &mut Driver, trace: u32, names: &[&str], days_ago: u64) {
    driver.set_received(now_unix_nanos() - days_ago * DAY);
    for name in names {
        driver.publish(&tenant(name), &[span(trace)]);
    }
    driver.flush();
}

#[test]
fn a_block_goes_when_its_last_span_was_received_long_ago_whatever_its_spans_say() {
    let mut driver = Driver::new();
    block(&mut driver, 1, &["anna"], 20);
    block(&mut driver, 2, &["anna"], 3);
    // A span of 1970 that came today stays, one of 2106 that came long ago goes.
    driver.publish(&tenant("anna"), &[TestSpan { start: 5, end: 6, ..span(3) }]);
    driver.flush();
    driver.set_received(now_unix_nanos() - 15 * DAY);
    driver.publish(&tenant("anna"), &[TestSpan { start: i64::MAX - 1, ..span(4) }]);
    driver.flush();

    let mut driver = driver.reopen(keep(Some(14), None));
    driver.expected.erase(&tenant("anna"), Some(1));
    driver.expected.erase(&tenant("anna"), Some(4));
    driver.store.keep_once().expect("keeps");
    assert_eq!(driver.n_blocks(), 2);
    driver.check_exactly();
}

#[test]
fn a_tenant_that_has_expired_in_a_shared_block_is_hidden_at_once_and_leaves_at_compaction() {
    let mut driver = Driver::new();
    driver.set_received(now_unix_nanos() - 20 * DAY);
    driver.publish(&tenant("anna"), &[span(1), span(2), span(3)]);
    driver.set_received(now_unix_nanos());
    driver.publish(&tenant("berta"), &[span(1), span(2)]);
    driver.flush();

    let mut driver = driver.reopen(keep(Some(14), None));
    driver.expected.erase(&tenant("anna"), None);
    driver.store.keep_once().expect("keeps");
    driver.check_lookups();
    assert_eq!(driver.block_rows(), 5);
    // Three of five rows are dead: that pays.
    assert_eq!(driver.store.compact().expect("compacts").dead_rows_removed, 3);
    driver.check_exactly();
}

#[test]
fn the_oldest_blocks_of_a_tenant_go_when_its_newer_ones_fill_the_budget() {
    let mut driver = Driver::new();
    for (trace, days_ago) in [(1, 5), (2, 4), (3, 3), (4, 2)] {
        block(&mut driver, trace, &["anna"], days_ago);
    }
    block(&mut driver, 9, &["berta"], 5);
    let newest = {
        let view = driver.store.0.view();
        let anna = |meta: &&BlockMeta| meta.tenant(&tenant("anna")).is_some();
        let mut metas: Vec<_> =
            view.blocks.values().filter_map(|block| block.meta()).filter(anna).collect();
        metas.sort_by_key(|meta| std::cmp::Reverse(meta.received_unix_nanos.max));
        metas.iter().take(2).map(|meta| meta.tenants[0].bytes_estimate).sum()
    };
    let mut driver = driver.reopen(keep(None, Some(newest)));
    driver.expected.erase(&tenant("anna"), Some(1));
    driver.expected.erase(&tenant("anna"), Some(2));
    driver.store.keep_once().expect("keeps");
    assert_eq!(driver.n_blocks(), 3);
    driver.check_exactly();
}

#[test]
fn a_tenant_may_have_limits_of_its_own() {
    let mut driver = Driver::new();
    block(&mut driver, 1, &["anna"], 5);
    block(&mut driver, 1, &["berta"], 5);
    let mut policy = keep(Some(14), None);
    let short = RetentionLimits { age_max: Some(Duration::from_nanos(DAY)), bytes_max: None };
    policy.retention.tenants.insert(tenant("berta"), short);
    let mut driver = driver.reopen(policy);
    driver.expected.erase(&tenant("berta"), None);
    driver.store.keep_once().expect("keeps");
    assert_eq!(driver.n_blocks(), 1);
    driver.check_exactly();
}

#[test]
fn blocks_that_are_compacted_expire_as_their_newest_span_does() {
    let mut driver = Driver::new();
    for (trace, minutes_ago) in [(1, 40), (2, 30), (3, 20), (4, 10)] {
        driver.set_received(now_unix_nanos() - 14 * DAY - DAY / 1_440 * minutes_ago);
        driver.publish(&tenant("anna"), &[span(trace)]);
        driver.flush();
    }
    driver.store.compact().expect("compacts");
    assert_eq!(driver.n_blocks(), 1);
    let mut driver = driver.reopen(KeepPolicy {
        compaction: crate::CompactionPolicy {
            start: CompactionStart::ByItself,
            ..crate::CompactionPolicy::default()
        },
        ..keep(Some(14), None)
    });
    driver.expected.erase(&tenant("anna"), None);
    driver.store.keep_once().expect("keeps");
    assert_eq!(driver.n_blocks(), 0);
    driver.check_exactly();
}

//! Files and entries that go, and those that must not.

use std::time::Duration;

use bytes::Bytes;
use suyuan_block::meta::BlockId;
use suyuan_block::writer::folder;
use suyuan_objects::Objects;

use crate::tests::driver::{Driver, TestSpan, keep_nothing_but_order, tenant};

const HOUR: Duration = Duration::from_hours(1);

fn with_a_block() -> Driver {
    let mut driver = Driver::new();
    driver.publish(&tenant("anna"), &[TestSpan { trace: 1, id: 1, ..TestSpan::default() }]);
    driver.flush();
    driver
}

fn put_orphan(driver: &Driver, random: u8) -> BlockId {
    let id = BlockId::new(1_767_225_600_000, [random; 10]);
    let path = format!("{}/spans.parquet", folder(id));
    driver.objects.put(&path, Bytes::from_static(b"half")).expect("written");
    id
}

fn exists(driver: &Driver, id: BlockId) -> bool {
    !driver.objects.list(&folder(id)).expect("listed").is_empty()
}

fn advance(driver: &Driver, time: Duration) {
    driver.objects.advance_clock(u64::try_from(time.as_nanos()).expect("some hours"));
}

#[test]
fn files_without_an_entry_are_forbidden_and_deleted_when_they_are_old() {
    let driver = with_a_block();
    let id = put_orphan(&driver, 1);
    driver.store.keep_once().expect("keeps");
    assert!(exists(&driver, id), "its writer may only be slow");
    advance(&driver, HOUR + Duration::from_secs(1));
    driver.store.keep_once().expect("keeps");
    assert!(!exists(&driver, id));
    assert!(driver.store.0.catalog.state().forbidden.contains_key(&id.uuid()));
    driver.check_exactly();

    // The writer wakes and writes on: its files go again, and its entry would not count.
    put_orphan(&driver, 1);
    driver.store.keep_once().expect("keeps");
    assert!(!exists(&driver, id));
    let block = suyuan_catalog::NewBlock { id: id.uuid(), meta: Bytes::new() };
    let change = suyuan_catalog::Change { adds: vec![block], ..suyuan_catalog::Change::default() };
    assert!(driver.store.0.catalog.commit(change).is_err());

    advance(&driver, HOUR * 24 * 91);
    driver.store.keep_once().expect("keeps");
    assert!(driver.store.0.catalog.state().forbidden.is_empty());
}

#[test]
fn files_of_others_and_of_blocks_that_exist_are_left_alone() {
    let driver = with_a_block();
    let readme = "blocks/readme/by-hand";
    driver.objects.put(readme, Bytes::from_static(b"mine")).expect("written");
    advance(&driver, HOUR * 24 * 365);
    driver.store.keep_once().expect("keeps");
    assert!(driver.objects.get(readme).expect("readable").is_some());
    driver.check_exactly();
}

#[test]
fn a_store_that_takes_no_new_block_is_cleaned_all_the_same() {
    let mut filler = Driver::new();
    let publish = |filler: &mut Driver, trace: u32| {
        filler.publish(&tenant("anna"), &[TestSpan { trace, id: 1, ..TestSpan::default() }]);
        filler.flush();
    };
    (0..3).for_each(|trace| publish(&mut filler, trace));
    let mut keep = keep_nothing_but_order();
    keep.compaction.start = crate::CompactionStart::ByItself;
    let keeping = Driver::on(filler.objects.clone(), 2, keep);
    keeping.pause_seals();
    publish(&mut filler, 3);
    let orphan = put_orphan(&filler, 1);
    advance(&filler, HOUR + Duration::from_secs(1));
    keeping.store.keep_once().expect_err("four blocks would become one");
    assert!(!exists(&filler, orphan));
    filler.check_exactly();
}

#[test]
fn what_another_server_commits_is_seen() {
    let mut one = with_a_block();
    let other = Driver::on(one.objects.clone(), 2, keep_nothing_but_order());
    one.publish(&tenant("anna"), &[TestSpan { trace: 2, id: 1, ..TestSpan::default() }]);
    one.flush();
    other.store.keep_once().expect("keeps");
    one.expected.check(&other.store);
}

#[test]
fn requests_wait_when_too_many_blocks_wait_but_never_long() {
    let keeper = super::Keeper::default();
    keeper.set_waiting_blocks(super::WAITING_BLOCKS_FREE);
    assert_eq!(keeper.pressure(), Duration::ZERO);
    keeper.set_waiting_blocks(super::WAITING_BLOCKS_FREE + 10);
    assert_eq!(keeper.pressure(), super::WAIT_PER_BLOCK * 10);
    keeper.set_waiting_blocks(u64::MAX);
    assert_eq!(keeper.pressure(), super::WAIT_MAX);
}

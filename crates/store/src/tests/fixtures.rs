//! What every released version of blocks and catalog wrote is read for ever.
//!
//! `testdata/blocks/vN/objects` is an object store as version N left it: a block whose attributes
//! are lists, one whose attributes are columns and overflow, each of two tenants, and a catalog
//! with an erased trace. It is never changed; a new version gets a folder of its own. What it holds
//! follows from the functions here, which stay as they are for the same reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use suyuan_model::Tenant;
use suyuan_objects::LocalObjects;
use suyuan_objects::faulty::MemoryObjects;
use suyuan_wal::LocalDisk;

use super::driver::{Driver, Expected, TestSpan, chunk, keep_nothing_but_order, tenant};

/// The version that is written today.
const VERSION: u32 = 1;
/// Enough for attribute columns (10,000) and for a roll-up, which may be 2 % of a block.
const MANY_ROWS: u64 = 20_000;
const ERASED_TRACE: u32 = 3;
/// Keys of spans: `key.0` and so on.
pub(crate) const N_KEYS: u64 = 150;

/// What becomes one block: spans by tenant.
fn blocks() -> [Vec<(Tenant, Vec<TestSpan>)>; 2] {
    let of = |anna: u64, berta: u64, first_trace: u32, n_keys: u64| {
        vec![
            (tenant("anna"), spans(anna, first_trace, n_keys)),
            (tenant("berta"), spans(berta, first_trace, n_keys)),
        ]
    };
    // The second one has more keys than columns, and sends spans of the first again.
    [of(60, 25, 0, 10), of(MANY_ROWS, 40, 2, N_KEYS)]
}

fn spans(n_spans: u64, first_trace: u32, n_keys: u64) -> Vec<TestSpan> {
    let span = |number: u64| TestSpan {
        trace: first_trace + (number / 20) as u32,
        id: number % 20 + 1,
        // Roots, children, grandchildren, and parents that never come.
        parent: (!number.is_multiple_of(10)).then_some(number % 4 + 1 + number % 7 / 6 * 100),
        start: (number % 20) as i64 * 1_000_000,
        end: (number % 20) as i64 * 1_000_000 + 7_000_000 + (number % 13) as i64,
        kind: (number % 6) as i32,
        attributes: (0..number % 3)
            .map(|n| (format!("key.{}", (number * 3 + n) % n_keys), (number * 5 + n) as i64 % 50))
            .collect(),
        n_events: u32::from(number.is_multiple_of(9)),
        n_links: u32::from(number.is_multiple_of(11)),
        service: (number % 3) as u32,
    };
    (0..n_spans).map(span).collect()
}

fn expected() -> Expected {
    let mut expected = Expected::default();
    for (tenant, spans) in blocks().iter().flatten() {
        expected.add(tenant, spans, &chunk(spans));
    }
    expected.erase(&tenant("anna"), Some(ERASED_TRACE));
    expected
}

/// A store over the objects of a folder.
fn driver(objects: &Path) -> Driver {
    let disk = LocalDisk::create(objects).expect("a folder");
    let objects = Arc::new(LocalObjects::open(Arc::new(disk)).expect("objects"));
    Driver::over(MemoryObjects::new(), objects, 1, keep_nothing_but_order())
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/blocks")
}

fn copy(source: &Path, target: &Path) {
    fs::create_dir_all(target).expect("a folder");
    for entry in fs::read_dir(source).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = target.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Opens what each version wrote.
pub(crate) fn each_version(mut check: impl FnMut(&Path, Driver)) {
    let mut n_versions = 0;
    for version in fs::read_dir(fixtures()).expect("fixtures") {
        let version = version.expect("a folder").path();
        let folder = tempfile::tempdir().expect("a folder");
        // Opening a store writes: it takes the log over.
        copy(&version.join("objects"), folder.path());
        check(&version, driver(folder.path()));
        n_versions += 1;
    }
    assert_eq!(n_versions, VERSION, "one folder for each version");
}

#[test]
fn every_version_is_read_and_compacted() {
    each_version(|version, driver| {
        assert_eq!(driver.n_blocks(), 2, "{}", version.display());
        expected().check(&driver.store);
        let in_blocks: usize = blocks().iter().flatten().map(|(_, spans)| spans.len()).sum();
        assert_eq!(driver.block_rows(), in_blocks as u64, "{}", version.display());
        driver.store.compact().expect("compacts");
        expected().check(&driver.store);
    });
}

#[test]
#[ignore = "writes the fixture of today's version: cargo test -p suyuan-store --lib fixtures -- --ignored"]
fn write_the_fixture() {
    let objects = fixtures().join(format!("v{VERSION}/objects"));
    assert!(!objects.exists(), "{} is there: it is never changed", objects.display());
    let mut driver = driver(&objects);
    for block in blocks() {
        for (tenant, spans) in &block {
            driver.publish(tenant, spans);
        }
        driver.flush();
    }
    driver.erase(&tenant("anna"), Some(ERASED_TRACE));
    expected().check(&driver.store);
    driver.store.stop();
}

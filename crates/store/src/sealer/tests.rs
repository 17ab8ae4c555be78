//! What the thread that writes blocks does when it is kept from writing them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use suyuan_objects::faulty::MemoryObjects;
use suyuan_objects::{Created, ObjectError, ObjectInfo, ObjectWriter, Objects};
use suyuan_wal::Position;

use super::{LogControl, Sealer};
use crate::FlushError;
use crate::tests::driver::{Driver, TestSpan, keep_nothing_but_order, tenant};

#[derive(Default)]
struct CountedCuts(AtomicU32);

impl LogControl for CountedCuts {
    fn request_cut(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn truncate(&self, _before: Position) {}

    fn appended_bytes(&self) -> u64 {
        0
    }
}

#[test]
fn full_live_data_asks_for_its_end_though_no_thread_is_free_to() {
    let sealer = Sealer::default();
    let control = Arc::new(CountedCuts::default());
    sealer.change(|state| state.control = Some(control.clone()));
    sealer.set_full();
    sealer.set_full();
    assert_eq!(control.0.load(Relaxed), 1, "once until it has come");
    sealer.note_cut();
    sealer.set_full();
    assert_eq!(control.0.load(Relaxed), 2, "and again for what came after it");
}

/// Panics when a block's file is begun.
struct Panicking(MemoryObjects);

impl Objects for Panicking {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        self.0.put(path, bytes)
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
        self.0.create(path, bytes)
    }

    fn writer(&self, _path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        panic!("nobody thought of this")
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
        self.0.get(path)
    }

    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError> {
        self.0.get_ranges(path, ranges)
    }

    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        self.0.head(path)
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.0.list(folder)
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        self.0.delete(path)
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        self.0.delete_folder(folder)
    }

    fn now_unix_nanos(&self) -> Result<u64, ObjectError> {
        self.0.now_unix_nanos()
    }
}

#[test]
fn a_panic_while_a_block_is_written_is_a_failure_and_loses_nothing() {
    let objects = MemoryObjects::new();
    let mut driver =
        Driver::over(objects.clone(), Arc::new(Panicking(objects)), 1, keep_nothing_but_order());
    let span = TestSpan { trace: 1, id: 1, start: 1, end: 2, ..TestSpan::default() };
    driver.publish(&tenant("shop"), &[span]);
    assert!(matches!(driver.store.flush(), Err(FlushError::Failing(_))));
    driver.check_lookups();
}

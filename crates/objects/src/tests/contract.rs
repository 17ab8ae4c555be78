//! What every store does, whatever it stands on.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Barrier};

use bytes::Bytes;
use suyuan_wal::simulated::SimulatedDisk;

use crate::faulty::{FaultyObjects, MemoryObjects, Plan};
use crate::{CachedObjects, Created, LocalObjects, ObjectError, Objects, prove_create_if_absent};

/// Bytes that can be told from any others.
pub(super) fn some_bytes(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect::<Vec<u8>>().into()
}

/// Holds a store that is empty against the rules.
pub(super) fn check(objects: Arc<dyn Objects>) {
    check_one_object(&*objects);
    check_ranges(&*objects);
    check_writer(&*objects);
    check_folders(&*objects);
    check_paths(&*objects);
    check_times(&*objects);
    check_that_one_creates(objects.clone());
    prove_create_if_absent(&*objects).unwrap();
    prove_create_if_absent(&*objects).unwrap();
}

fn check_one_object(objects: &dyn Objects) {
    let path = "one/object";
    assert_eq!(objects.get(path).unwrap(), None);
    assert_eq!(objects.head(path).unwrap(), None);
    objects.delete(path).unwrap();

    let (first, second) = (some_bytes(1, 3000), some_bytes(2, 10));
    assert_eq!(objects.create(path, first.clone()).unwrap(), Created::New);
    assert_eq!(objects.create(path, second.clone()).unwrap(), Created::Exists);
    assert_eq!(objects.get(path).unwrap(), Some(first));

    objects.put(path, second.clone()).unwrap();
    assert_eq!(objects.get(path).unwrap(), Some(second.clone()));
    assert_eq!(objects.get_range(path, 2..7).unwrap(), second.slice(2..7));
    assert_eq!(objects.head(path).unwrap().unwrap().bytes, 10);

    objects.delete(path).unwrap();
    objects.delete(path).unwrap();
    assert_eq!(objects.get(path).unwrap(), None);
    assert!(objects.get_range(path, 2..7).is_err());
    assert_eq!(objects.create(path, Bytes::new()).unwrap(), Created::New);
    assert_eq!(objects.get(path).unwrap(), Some(Bytes::new()));
    objects.delete_folder("one").unwrap();
}

fn check_ranges(objects: &dyn Objects) {
    let path = "blocks/ranges/file";
    let bytes = some_bytes(3, 100_000);
    objects.put(path, bytes.clone()).unwrap();
    let ranges = [50_000..50_010, 0..1, 99_999..100_000, 7..7, 50_005..70_000, 0..100_000];
    for _ in 0..2 {
        let found = objects.get_ranges(path, &ranges).unwrap();
        let expected =
            ranges.clone().map(|range| bytes.slice(range.start as usize..range.end as usize));
        assert_eq!(found, expected);
    }
    assert_eq!(objects.get_ranges(path, &[]).unwrap(), Vec::<Bytes>::new());
    let backwards = std::ops::Range { start: 5, end: 4 };
    for bad in [99_999..100_001, 100_000..100_001, u64::MAX - 1..u64::MAX, backwards] {
        objects.get_range(path, bad.clone()).expect_err("a range beyond the end");
        objects.get_ranges(path, &[0..1, bad]).expect_err("one range of two beyond the end");
    }
    let absent = objects.get_range("blocks/ranges/absent", 0..1).unwrap_err();
    assert!(matches!(absent, ObjectError::Absent { .. }), "{absent}");

    // A handle that is kept open does not show what is no longer there.
    objects.put("mutable/file", bytes).unwrap();
    objects.get_range("mutable/file", 0..4).unwrap();
    objects.put("mutable/file", Bytes::from_static(b"new bytes")).unwrap();
    assert_eq!(objects.get_range("mutable/file", 0..3).unwrap(), "new");
    objects.delete("mutable/file").unwrap();
    objects.get_range("mutable/file", 0..3).expect_err("it was deleted");
    objects.delete_folder("blocks").unwrap();
    objects.get_range(path, 0..1).expect_err("it was deleted with its folder");
}

fn check_writer(objects: &dyn Objects) {
    let path = "written/file";
    let bytes = some_bytes(4, 1_300_000);
    let mut writer = objects.writer(path).unwrap();
    let mut rest = &bytes[..];
    for piece in [0, 1, 100, 300_000, 7, 262_144, 500_000].into_iter().cycle() {
        let (written, left) = rest.split_at(piece.min(rest.len()));
        writer.write_all(written).unwrap();
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(objects.get(path).unwrap(), None, "it is not there before it is finished");
    assert_eq!(objects.list("written").unwrap(), []);
    assert_eq!(writer.finish().unwrap(), 1_300_000);
    assert_eq!(objects.get(path).unwrap(), Some(bytes));

    let mut writer = objects.writer(path).unwrap();
    writer.write_all(b"never finished").unwrap();
    drop(writer);
    assert_eq!(objects.head(path).unwrap().unwrap().bytes, 1_300_000);

    assert_eq!(objects.writer(path).unwrap().finish().unwrap(), 0);
    assert_eq!(objects.head(path).unwrap().unwrap().bytes, 0);
    objects.delete_folder("written").unwrap();
}

fn check_folders(objects: &dyn Objects) {
    assert_eq!(objects.list("").unwrap(), []);
    assert_eq!(objects.list("a").unwrap(), []);
    let paths = ["a-b/z", "a/1", "a/b/2", "a/b/c/3", "a/b-d/4", "ab/5", "b"];
    for path in paths {
        objects.put(path, path.into()).unwrap();
    }
    let list = |folder| -> Vec<String> {
        objects.list(folder).unwrap().into_iter().map(|info| info.path).collect()
    };
    assert_eq!(list(""), ["a-b/z", "a/1", "a/b-d/4", "a/b/2", "a/b/c/3", "ab/5", "b"]);
    assert_eq!(list("a"), ["a/1", "a/b-d/4", "a/b/2", "a/b/c/3"]);
    assert_eq!(list("a/b"), ["a/b/2", "a/b/c/3"]);
    assert_eq!(objects.list("a/b/c").unwrap()[0].bytes, 7);

    objects.delete_folder("a/b").unwrap();
    objects.delete_folder("a/b").unwrap();
    objects.delete_folder("no/such/folder").unwrap();
    assert_eq!(list(""), ["a-b/z", "a/1", "a/b-d/4", "ab/5", "b"]);
    objects.put("a/b/2", Bytes::new()).unwrap();
    assert_eq!(list("a/b"), ["a/b/2"]);
    for folder in ["a", "a-b", "ab"] {
        objects.delete_folder(folder).unwrap();
    }
    objects.delete("b").unwrap();
    assert_eq!(list(""), Vec::<String>::new());
}

fn check_paths(objects: &dyn Objects) {
    let (long_part, long_path) = ("x".repeat(201), "x/".repeat(400) + "x");
    let bad =
        ["", "/a", "a/", "a//b", "..", "a/../b", ".a", "a/.b", "a b", "a\0", "ä", "a\\b", "a?"];
    for path in bad.into_iter().chain([long_part.as_str(), long_path.as_str()]) {
        let is_bad = |error: ObjectError| matches!(error, ObjectError::BadPath { .. });
        assert!(objects.put(path, Bytes::new()).is_err_and(is_bad), "{path}");
        assert!(objects.create(path, Bytes::new()).is_err_and(is_bad), "{path}");
        assert!(objects.writer(path).is_err_and(is_bad), "{path}");
        assert!(objects.get(path).is_err_and(is_bad), "{path}");
        assert!(objects.get_range(path, 0..1).is_err_and(is_bad), "{path}");
        assert!(objects.head(path).is_err_and(is_bad), "{path}");
        assert!(objects.delete(path).is_err_and(is_bad), "{path}");
        assert!(objects.delete_folder(path).is_err_and(is_bad), "{path}");
        assert!(path.is_empty() || objects.list(path).is_err_and(is_bad), "{path}");
    }
}

fn check_times(objects: &dyn Objects) {
    const SECOND_NANOS: u64 = 1_000_000_000;
    let before = objects.now_unix_nanos().unwrap();
    objects.put("time/object", Bytes::new()).unwrap();
    let written = objects.head("time/object").unwrap().unwrap().modified_unix_nanos;
    let after = objects.now_unix_nanos().unwrap();
    assert!(before <= after, "{before} {after}");
    // Stores count seconds, kernels date files by a clock that ticks every few milliseconds.
    assert!(before < written + 2 * SECOND_NANOS, "{before} {written}");
    assert!(written < after + 2 * SECOND_NANOS, "{written} {after}");
    assert_eq!(objects.list("time").unwrap()[0].bytes, 0);
    objects.delete_folder("time").unwrap();
    objects.delete("clock").unwrap();
}

fn check_that_one_creates(objects: Arc<dyn Objects>) {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 20;
    let barrier = Arc::new(Barrier::new(THREADS as usize));
    let threads = (0..THREADS).map(|thread| {
        let (objects, barrier) = (Arc::clone(&objects), Arc::clone(&barrier));
        std::thread::spawn(move || {
            let mut won = Vec::new();
            for round in 0..ROUNDS {
                barrier.wait();
                let path = format!("race/{round}");
                match objects.create(&path, some_bytes(thread, 500)).unwrap() {
                    Created::New => won.push((round, thread)),
                    // What exists can be read, whole.
                    Created::Exists => {
                        let found = objects.get(&path).unwrap().unwrap();
                        assert!((0..THREADS).any(|thread| found == some_bytes(thread, 500)));
                    }
                }
            }
            won
        })
    });
    let threads: Vec<_> = threads.collect();
    let won: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let rounds: BTreeSet<u64> = won.iter().map(|(round, _)| *round).collect();
    assert_eq!((won.len() as u64, rounds.len() as u64), (ROUNDS, ROUNDS), "one each");
    for (round, thread) in won {
        let found = objects.get(&format!("race/{round}")).unwrap();
        assert_eq!(found, Some(some_bytes(thread, 500)), "the winner's bytes");
    }
    objects.delete_folder("race").unwrap();
}

#[test]
fn memory() {
    check(Arc::new(MemoryObjects::new()));
}

#[test]
fn local_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = suyuan_wal::LocalDisk::create(folder.path().join("objects")).unwrap();
    check(Arc::new(LocalObjects::open(Arc::new(disk)).unwrap()));
}

#[test]
fn simulated_disk() {
    let disk = SimulatedDisk::new(100_000_000, 1).inside("objects");
    check(Arc::new(LocalObjects::open(Arc::new(disk)).unwrap()));
}

#[test]
fn behind_a_cache() {
    check(Arc::new(CachedObjects::new(Arc::new(MemoryObjects::new()), 1_000_000)));
}

#[test]
fn behind_a_plan_without_faults() {
    check(Arc::new(FaultyObjects::new(MemoryObjects::new(), Plan::default())));
}

/// What a store that ignores the condition does.
#[test]
fn a_store_that_replaces_is_refused() {
    struct Replacing(MemoryObjects);
    impl Objects for Replacing {
        fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
            self.0.put(path, bytes).map(|()| Created::New)
        }
        fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
            self.0.put(path, bytes)
        }
        fn writer(&self, path: &str) -> Result<Box<dyn crate::ObjectWriter>, ObjectError> {
            self.0.writer(path)
        }
        fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
            self.0.get(path)
        }
        fn get_ranges(
            &self,
            path: &str,
            ranges: &[std::ops::Range<u64>],
        ) -> Result<Vec<Bytes>, ObjectError> {
            self.0.get_ranges(path, ranges)
        }
        fn head(&self, path: &str) -> Result<Option<crate::ObjectInfo>, ObjectError> {
            self.0.head(path)
        }
        fn list(&self, folder: &str) -> Result<Vec<crate::ObjectInfo>, ObjectError> {
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
    let refused = prove_create_if_absent(&Replacing(MemoryObjects::new())).unwrap_err();
    assert!(refused.to_string().contains("If-None-Match"), "{refused}");
}

//! Files in a real folder.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use suyuan_wal::{Disk, LocalDisk};

use crate::{LocalObjects, ObjectError, Objects};

fn disk() -> (tempfile::TempDir, Arc<dyn Disk>) {
    let folder = tempfile::tempdir().unwrap();
    let disk = LocalDisk::create(folder.path()).unwrap();
    (folder, Arc::new(disk))
}

#[test]
fn what_was_being_written_when_the_program_ended_is_removed_at_open() {
    let (folder, disk) = disk();
    let objects = LocalObjects::open(Arc::clone(&disk)).unwrap();
    objects.put("blocks/1/spans.parquet", Bytes::from_static(b"whole")).unwrap();
    let mut writer = objects.writer("blocks/1/traces.parquet").unwrap();
    writer.write_all(&[7; 1_000_000]).unwrap();
    std::mem::forget(writer);
    let names = || {
        let entries = fs::read_dir(folder.path().join("blocks/1")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names().len(), 2, "{:?}", names());
    assert_eq!(objects.list("").unwrap().len(), 1);

    // Who only looks leaves it: it may be somebody else's.
    let reader = LocalObjects::for_reading(Arc::clone(&disk));
    assert_eq!(reader.list("").unwrap().len(), 1);
    assert_eq!(names().len(), 2, "{:?}", names());

    let objects = LocalObjects::open(disk).unwrap();
    assert_eq!(names(), ["spans.parquet"]);
    assert_eq!(objects.get("blocks/1/spans.parquet").unwrap().unwrap(), "whole");
}

#[test]
fn who_opens_for_reading_changes_nothing() {
    let (_folder, disk) = disk();
    LocalObjects::open(Arc::clone(&disk)).unwrap().put("a/b", Bytes::from_static(b"1")).unwrap();
    let reader = LocalObjects::for_reading(disk);
    let refused = |error: ObjectError| error.to_string().contains("opened for reading");
    assert!(reader.put("a/b", Bytes::new()).is_err_and(refused));
    assert!(reader.create("a/b", Bytes::new()).is_err_and(refused));
    assert!(reader.writer("a/b").is_err_and(refused));
    assert!(reader.delete("a/b").is_err_and(refused));
    assert!(reader.delete_folder("a").is_err_and(refused));
    assert_eq!(reader.get("a/b").unwrap().unwrap(), "1");
    assert_eq!(reader.get_range("a/b", 0..1).unwrap(), "1");
}

/// More files than are kept open at once.
#[test]
fn many_files_are_read() {
    let (folder, disk) = disk();
    let objects = LocalObjects::open(disk).unwrap();
    fs::create_dir(folder.path().join("many")).unwrap();
    let path = |number: usize| format!("many/{number}");
    for number in 0..600 {
        fs::write(folder.path().join(path(number)), number.to_string()).unwrap();
    }
    for number in (0..600).chain(0..600) {
        let expected = number.to_string();
        let range = 0..expected.len() as u64;
        assert_eq!(objects.get_range(&path(number), range).unwrap(), expected);
    }
    let open_files = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open_files < 500, "{open_files} files are open");
}

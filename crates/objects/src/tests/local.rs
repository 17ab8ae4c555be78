//! Files in a real folder, and names that another thread sees early.

use std::fs;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use suyuan_wal::simulated::{SimulatedDisk, Survival};
use suyuan_wal::{Disk, DiskFile, FileInfo, LocalDisk, Uuid};

use crate::{Created, LocalObjects, ObjectError, Objects};

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

/// A disk on which the first sync of a folder waits until it is let go.
struct SlowDisk {
    disk: SimulatedDisk,
    slow_folder: &'static str,
    syncs: AtomicU64,
    entered: SyncSender<()>,
    leave: Mutex<Receiver<()>>,
}

impl Disk for SlowDisk {
    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        if folder == self.slow_folder && self.syncs.fetch_add(1, Ordering::SeqCst) == 0 {
            self.entered.send(()).unwrap();
            self.leave.lock().unwrap().recv().unwrap();
        }
        self.disk.sync_folder(folder)
    }
    fn create(&self, path: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path, bytes)
    }
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }
    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        self.disk.rename(source, target)
    }
    fn rename_new(&self, source: &str, target: &str) -> io::Result<()> {
        self.disk.rename_new(source, target)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.disk.create_folder(path)
    }
    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.disk.remove_folder(path)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }
    fn list_folders(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list_folders(folder)
    }
    fn info(&self, path: &str) -> io::Result<FileInfo> {
        self.disk.info(path)
    }
    fn sync_all(&self) -> io::Result<()> {
        self.disk.sync_all()
    }
    fn random_uuid(&self) -> io::Result<Uuid> {
        self.disk.random_uuid()
    }
    fn now_unix_nanos(&self) -> u64 {
        self.disk.now_unix_nanos()
    }
}

/// A name is there before its folder is synced. Who sees it then may act on it, so it must not be
/// lost any more.
#[test]
fn what_another_thread_sees_early_is_durable() {
    type See = fn(&LocalObjects) -> bool;
    let ways: [See; 5] = [
        |objects| objects.get("catalog/1").unwrap().is_some(),
        |objects| objects.get_range("catalog/1", 0..5).is_ok(),
        |objects| objects.head("catalog/1").unwrap().is_some(),
        |objects| objects.list("").unwrap().len() == 2,
        |objects| objects.create("catalog/1", Bytes::new()).unwrap() == Created::Exists,
    ];
    for see in ways {
        let disk = SimulatedDisk::new(1_000_000, 1);
        let (entered, is_syncing) = sync_channel(1);
        let (let_go, leave) = sync_channel(1);
        let slow = SlowDisk {
            disk: disk.clone(),
            slow_folder: "catalog",
            syncs: AtomicU64::new(0),
            entered,
            leave: Mutex::new(leave),
        };
        let objects = LocalObjects::open(Arc::new(slow)).unwrap();
        objects.put("other/1", Bytes::new()).unwrap();
        std::thread::scope(|scope| {
            let created = scope.spawn(|| objects.create("catalog/1", Bytes::from_static(b"entry")));
            is_syncing.recv().unwrap();
            let seen = disk.fork();
            assert!(see(&objects), "the name is there");

            // Without the look the cut would have taken it.
            for (disk, left) in [(seen, None), (disk.fork(), Some("entry"))] {
                disk.restart(Survival::Nothing);
                let objects = LocalObjects::open(Arc::new(disk)).unwrap();
                let found = objects.get("catalog/1").unwrap();
                assert_eq!(found, left.map(Bytes::from));
            }
            let_go.send(()).unwrap();
            assert_eq!(created.join().unwrap().unwrap(), Created::New);
        });
    }
}

/// The simulated disk is no kinder than a real one may be.
#[test]
fn an_unsynced_folder_is_lost_with_all_that_was_synced_in_it() {
    let disk = SimulatedDisk::new(1_000_000, 1);
    disk.create_folder("a/b").unwrap();
    let file = disk.create("a/b/c", 0).unwrap();
    file.write_vectored_at(0, &[io::IoSlice::new(b"bytes")]).unwrap();
    file.sync_data().unwrap();
    disk.sync_folder("a/b").unwrap();
    disk.sync_folder("").unwrap();
    let synced = disk.fork();
    disk.restart(Survival::Nothing);
    assert_eq!(disk.list_folders("").unwrap(), ["a"]);
    assert_eq!(disk.list_folders("a").unwrap(), Vec::<String>::new());
    assert_eq!(disk.bytes("a/b/c"), None);

    synced.sync_folder("a").unwrap();
    synced.restart(Survival::Nothing);
    assert_eq!(synced.bytes("a/b/c").unwrap(), b"bytes");
}

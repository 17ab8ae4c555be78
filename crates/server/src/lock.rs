//! One server per data directory.
//!
//! In: the directory. Out: a guard that holds the lock until it is dropped or the process dies, or
//! the process that holds it already. The lock is the operating system's (`flock`), not the file:
//! a `LOCK` left behind by a server that died is no obstacle. What stands in the file only tells
//! people who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::civil_time::format_utc;

const FILE_NAME: &str = "LOCK";

/// Enough for what we write; the rest of a strange file is nobody's business.
const HOLDER_BYTES_MAX: u64 = 256;

/// Holds the directory. The file stays when this is dropped: removing it could remove the lock of
/// a server that has just started.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why the directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot open {path}: {error}; the data directory must exist and be writable", path = path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error(
        "the data directory {directory} is in use by {holder}: stop that server, or choose another \
         directory with --data-dir",
        directory = directory.display()
    )]
    Held { directory: PathBuf, holder: String },
    #[error("cannot lock {path}: {error}", path = path.display())]
    Lock { path: PathBuf, error: io::Error },
    #[error("cannot write {path}: {error}", path = path.display())]
    Write { path: PathBuf, error: io::Error },
}

/// Takes the lock of a directory that exists.
pub fn lock(directory: &Path) -> Result<DirectoryLock, LockError> {
    let path = directory.join(FILE_NAME);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| LockError::Open { path: path.clone(), error })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let directory = directory.to_owned();
            return Err(LockError::Held { directory, holder: holder(&file) });
        }
        Err(TryLockError::Error(error)) => return Err(LockError::Lock { path, error }),
    }
    write_holder(&mut file).map_err(|error| LockError::Write { path, error })?;
    Ok(DirectoryLock { _file: file })
}

fn write_holder(file: &mut File) -> io::Result<()> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = format_utc(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX));
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "pid {}\nstarted {started}", std::process::id())
}

/// What the holder wrote about itself: `pid 4711 (started 2026-11-22 15:51:53.120 UTC)`.
fn holder(file: &File) -> String {
    let mut text = String::new();
    let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
    let mut lines = text.lines();
    let Some(pid) = lines.next().filter(|_| read.is_ok()) else {
        return "another process".to_owned();
    };
    match lines.next() {
        Some(started) => format!("{pid} ({started})"),
        None => pid.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_refused_with_the_pid_that_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let _first = lock(directory.path()).unwrap();
        let LockError::Held { holder, .. } = lock(directory.path()).unwrap_err() else {
            panic!("the directory is held, and nothing else is wrong with it");
        };
        let pid = format!("pid {} (started 2", std::process::id());
        assert!(holder.starts_with(&pid), "{holder}");
    }

    #[test]
    fn the_lock_ends_with_its_holder_and_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        drop(lock(directory.path()).unwrap());
        assert!(directory.path().join(FILE_NAME).exists());
        let _second = lock(directory.path()).unwrap();
    }

    #[test]
    fn a_file_left_behind_is_no_obstacle_and_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        std::fs::write(&path, "pid 1\nstarted long ago\n".repeat(100)).unwrap();
        let _lock = lock(directory.path()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("pid {}\n", std::process::id())), "{text}");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn a_directory_that_does_not_exist_is_named() {
        let error = lock(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.starts_with("cannot open /nowhere/at/all/LOCK: "), "{error}");
    }
}

//! The small part of a file system that the log, and objects on a local disk, stand on.
//!
//! In: paths relative to the disk's folder (`""` is the folder itself). Out: bytes and the plain
//! errors of the operating system. Nothing is durable before `sync_data` (bytes, size) or
//! `sync_folder` (names) returned well. Never retries and never hides an error.

use std::io::{self, IoSlice};

use crate::Uuid;

mod local;

pub use local::LocalDisk;

/// A folder of files. `LocalDisk` is the real one; `simulated::SimulatedDisk` forgets what was not
/// synced.
pub trait Disk: Send + Sync {
    /// Makes a file of `bytes` zeros whose blocks are allocated, replacing one of that name.
    /// `ErrorKind::StorageFull` if they cannot be.
    fn create(&self, path: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that exists.
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, replacing a file that has it.
    fn rename(&self, source: &str, target: &str) -> io::Result<()>;

    /// Gives a file another name that no file has: `ErrorKind::AlreadyExists` if one has it. Of two
    /// that try at once only one succeeds.
    fn rename_new(&self, source: &str, target: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes a folder inside this one, and those between; they may exist.
    fn create_folder(&self, path: &str) -> io::Result<()>;

    /// Removes a folder that is empty.
    fn remove_folder(&self, path: &str) -> io::Result<()>;

    /// The names of the files in a folder, in any order. A folder that does not exist has none.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// The names of the folders in a folder, in any order. A folder that does not exist has none.
    fn list_folders(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Size and time of a file.
    fn info(&self, path: &str) -> io::Result<FileInfo>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Makes all names in all folders durable, and all bytes: what an earlier program left unsynced.
    fn sync_all(&self) -> io::Result<()>;

    /// A new random name for a log or a segment.
    fn random_uuid(&self) -> io::Result<Uuid>;

    /// The clock that dates files, in nanoseconds since 1970.
    fn now_unix_nanos(&self) -> u64;
}

/// What a folder says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last written, by the disk's clock, in nanoseconds since 1970.
    pub modified_unix_nanos: u64,
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Its size in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads at `offset`; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// The `len` bytes at `offset`, in memory of their own; fewer only at the end of the file.
    /// Memory for `len` bytes is taken whatever the file holds.
    fn read_vec_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let n_read = self.read_at(offset, &mut bytes)?;
        bytes.truncate(n_read);
        Ok(bytes)
    }

    /// Writes the parts back to back at `offset` and says how many bytes were taken, which may be
    /// fewer than there are.
    fn write_vectored_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Makes the bytes and the size durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file to `bytes`.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
}

/// Writes all parts, through as many calls as it takes. On an error some of them may be written.
pub(crate) fn write_all_vectored_at(
    file: &dyn DiskFile,
    offset: u64,
    mut parts: &mut [IoSlice<'_>],
) -> io::Result<()> {
    let mut at = offset;
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let written = file.write_vectored_at(at, parts)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        at += written as u64;
        IoSlice::advance_slices(&mut parts, written);
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`. On an error some of them may be written.
pub fn write_all_at(file: &dyn DiskFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    write_all_vectored_at(file, offset, &mut [IoSlice::new(bytes)])
}

/// Whether an error says that there is no space left, on the disk or in the quota.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

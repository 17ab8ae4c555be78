//! A folder of the local file system.
//!
//! In: the folder's path. Out: `Disk`. Files are preallocated, so that the fdatasync of an append
//! changes neither size nor block map more than it must. Never locks the folder: who opens the log
//! for writing holds the lock of the data directory.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, FallocateFlags, RenameFlags};
use rustix::io::{Errno, pread};
use rustix::rand::GetRandomFlags;

use super::{Disk, DiskFile, FileInfo};
use crate::Uuid;

/// The most parts that one pwritev takes (`IOV_MAX` of Linux).
const PARTS_PER_WRITE_MAX: usize = 1024;

/// The real disk: a folder that has one user, a log or a store of objects.
#[derive(Clone, Debug)]
pub struct LocalDisk {
    folder: PathBuf,
}

impl LocalDisk {
    /// Makes the folder if there is none, durably, and the folders above it.
    pub fn create(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        for (height, above) in folder.ancestors().skip(1).enumerate() {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            let synced = File::open(above).and_then(|above| above.sync_all());
            // Which of them are new is unknown; those further up may belong to somebody else.
            if height == 0 {
                synced?;
            }
        }
        Ok(Self { folder })
    }

    /// A folder that exists, to read from. Makes nothing.
    pub fn existing(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::read_dir(&folder)?;
        Ok(Self { folder })
    }

    /// The folder's path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Disk for LocalDisk {
    fn create(&self, path: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let path = self.folder.join(path);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
        if let Err(error) = allocate(&file, bytes) {
            // What was allocated before the disk ran full goes back at once.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Box::new(LocalFile(file)))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.folder.join(path);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            // Whoever only inspects a log may not be allowed to write it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(&path)?,
            other => other?,
        };
        Ok(Box::new(LocalFile(file)))
    }

    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        fs::rename(self.folder.join(source), self.folder.join(target))
    }

    fn rename_new(&self, source: &str, target: &str) -> io::Result<()> {
        let (source, target) = (self.folder.join(source), self.folder.join(target));
        let renamed = rustix::fs::renameat_with(CWD, &source, CWD, &target, RenameFlags::NOREPLACE);
        match renamed {
            // Not every file system knows this rename. A hard link never replaces anything either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::hard_link(&source, &target)?;
                fs::remove_file(&source)
            }
            other => Ok(other?),
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(path))
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.folder.join(path))
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.folder.join(path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        names(&self.folder.join(folder), FileType::is_file)
    }

    fn list_folders(&self, folder: &str) -> io::Result<Vec<String>> {
        names(&self.folder.join(folder), FileType::is_dir)
    }

    fn info(&self, path: &str) -> io::Result<FileInfo> {
        let metadata = fs::metadata(self.folder.join(path))?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let modified_unix_nanos = unix_nanos(metadata.modified()?);
        Ok(FileInfo { bytes: metadata.len(), modified_unix_nanos })
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.folder.join(folder))?.sync_all()
    }

    fn sync_all(&self) -> io::Result<()> {
        // The whole file system: one flush, where a thousand folders would be a thousand.
        Ok(rustix::fs::syncfs(File::open(&self.folder)?)?)
    }

    fn random_uuid(&self) -> io::Result<Uuid> {
        let mut bytes = [0; 16];
        let mut left = bytes.as_mut_slice();
        while !left.is_empty() {
            let filled = rustix::rand::getrandom(&mut *left, GetRandomFlags::empty())?;
            left = left.split_at_mut(filled).1;
        }
        Ok(Uuid(bytes))
    }

    fn now_unix_nanos(&self) -> u64 {
        unix_nanos(SystemTime::now())
    }
}

/// The names in a folder of one kind. A name that is not UTF-8 is none of ours.
fn names(folder: &Path, is_wanted: fn(&FileType) -> bool) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if is_wanted(&entry.file_type()?)
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// Zero before 1970, the greatest number after 2554: such clocks are wrong.
fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A file system that cannot preallocate gets a sparse file: it then may run full at a write, which
/// costs a segment but loses nothing.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP) => file.set_len(bytes),
        other => Ok(other?),
    }
}

struct LocalFile(File);

impl DiskFile for LocalFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(left) = buffer.get_mut(filled..).filter(|left| !left.is_empty()) {
            match self.0.read_at(left, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Into memory that nobody has cleared before.
    fn read_vec_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len)?;
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            match pread(&self.0, spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocator may have given more than was asked for.
        bytes.truncate(len);
        Ok(bytes)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let parts = parts.get(..PARTS_PER_WRITE_MAX).unwrap_or(parts);
        loop {
            match rustix::io::pwritev(&self.0, parts, offset) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}

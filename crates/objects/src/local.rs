//! Objects as files of a local folder.
//!
//! In: a `suyuan_wal::Disk`. Out: `Objects`. An object is written under a name that begins with a
//! dot, synced, renamed, and the folder synced, as are the folders above it when they are new.
//!
//! Invariant: what a call shows is durable. A name can be seen before its folder is synced, by
//! another thread, after a failed sync, or by the program that starts after a kill; who acted on
//! such a name, say by truncating the log, would have acted on something that a power cut takes
//! back. So the disk is synced at open, and who sees a folder with a change under way syncs it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use suyuan_wal::{Disk, DiskFile, Uuid};

use crate::path::{self, check_folder, check_object};
use crate::{Created, ObjectError, ObjectInfo, ObjectWriter, Objects};

mod files;
mod folders;
mod writer;

use files::OpenFiles;
use folders::{Change, Folders};
use writer::LocalWriter;

/// A store in a folder. A clone is another handle to it.
#[derive(Clone)]
pub struct LocalObjects {
    shared: Arc<Shared>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    folders: Folders,
    files: OpenFiles,
    access: Access,
}

#[derive(Clone, Copy, PartialEq)]
enum Access {
    ReadWrite,
    /// Somebody else may be writing: nothing is changed, removed or synced.
    Read,
}

impl LocalObjects {
    /// Takes possession of a folder: removes what was being written when the program ended, and
    /// syncs the disk, since what is found may not be durable yet. The caller holds a lock that
    /// keeps other programs from doing the same.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self, ObjectError> {
        let objects = Self::with_access(disk, Access::ReadWrite);
        let Shared { disk, folders, .. } = &*objects.shared;
        let mut found = vec![String::new()];
        while let Some(folder) = found.pop() {
            let failed = |error| ObjectError::io("list", &folder, error);
            for name in disk.list(&folder).map_err(failed)? {
                let path = path::join(&folder, &name);
                if is_unfinished(&name) {
                    disk.remove(&path).map_err(|error| ObjectError::io("remove", &path, error))?;
                }
            }
            for name in disk.list_folders(&folder).map_err(failed)? {
                found.push(path::join(&folder, &name));
            }
            folders.remember(folder);
        }
        disk.sync_all().map_err(|error| ObjectError::io("sync", "", error))?;
        Ok(objects)
    }

    /// Reads a folder that another program may be writing. Every call that would change something
    /// fails.
    pub fn for_reading(disk: Arc<dyn Disk>) -> Self {
        Self::with_access(disk, Access::Read)
    }

    fn with_access(disk: Arc<dyn Disk>, access: Access) -> Self {
        let (folders, files) = (Folders::default(), OpenFiles::default());
        Self { shared: Arc::new(Shared { disk, folders, files, access }) }
    }
}

impl Objects for LocalObjects {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        let mut writer = LocalWriter::begin(&self.shared, path)?;
        writer.append(&bytes).map_err(|error| ObjectError::io("write", path, error))?;
        writer.replace().map(|_| ())
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
        if self.shared.access == Access::ReadWrite && self.head(path)?.is_some() {
            return Ok(Created::Exists);
        }
        let mut writer = LocalWriter::begin(&self.shared, path)?;
        writer.append(&bytes).map_err(|error| ObjectError::io("write", path, error))?;
        writer.create()
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        Ok(Box::new(LocalWriter::begin(&self.shared, path)?))
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
        check_object(path)?;
        let failed = |error| ObjectError::io("read", path, error);
        // Not by the open files: what is read whole is read once.
        let bytes = match self.shared.disk.open(path) {
            Err(error) if files::is_absent(&error) => None,
            Err(error) => return Err(failed(error)),
            Ok(file) => {
                let size_bytes = file.size().map_err(failed)?;
                Some(read_range(&*file, path, size_bytes, &(0..size_bytes))?)
            }
        };
        self.shared.see_durable(path)?;
        Ok(bytes)
    }

    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError> {
        check_object(path)?;
        let shared = &self.shared;
        let file = shared.files.open(&*shared.disk, path)?;
        shared.see_durable(path)?;
        let size_bytes = file.size().map_err(|error| ObjectError::io("read", path, error))?;
        ranges.iter().map(|range| read_range(&*file, path, size_bytes, range)).collect()
    }

    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        check_object(path)?;
        let info = self.shared.info(path)?;
        self.shared.see_durable(path)?;
        Ok(info)
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        check_folder(folder)?;
        let mut found = Vec::new();
        self.shared.walk(folder, &mut |path| {
            found.extend(self.shared.info(&path)?);
            Ok(())
        })?;
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        check_object(path)?;
        let shared = &self.shared;
        shared.check_writable("delete", path)?;
        if shared.info(path)?.is_none() {
            return shared.see_durable(path);
        }
        let removed = shared.change_names(path::folder_of(path), || shared.disk.remove(path));
        shared.files.forget(path);
        removed.map_err(|error| ObjectError::io("delete", path, error))
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        check_object(folder)?;
        let shared = &self.shared;
        shared.check_writable("delete", folder)?;
        shared.delete_folder(folder)
    }

    fn now_unix_nanos(&self) -> Result<u64, ObjectError> {
        Ok(self.shared.disk.now_unix_nanos())
    }
}

impl Shared {
    fn check_writable(&self, action: &'static str, path: &str) -> Result<(), ObjectError> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => Err(ObjectError::failed(action, path, "it was opened for reading")),
        }
    }

    /// Changes names in a folder and makes that durable. After an error what is seen of the folder
    /// is synced first.
    fn change_names(
        &self,
        folder: &str,
        change: impl FnOnce() -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let under_way = self.folders.begin_change(folder);
        change()?;
        self.disk.sync_folder(folder)?;
        under_way.end_durable();
        Ok(())
    }

    /// To be called after something was read and before it is told.
    fn see_durable(&self, path: &str) -> Result<(), ObjectError> {
        self.see_folder_durable(path::folder_of(path))
    }

    fn see_folder_durable(&self, folder: &str) -> Result<(), ObjectError> {
        if self.access == Access::Read {
            return Ok(());
        }
        let synced = self.folders.see_durable(folder, || {
            let mut folder = folder;
            loop {
                match self.disk.sync_folder(folder) {
                    // That it is gone stands in the one above it.
                    Err(error) if files::is_absent(&error) && !folder.is_empty() => {
                        folder = path::folder_of(folder);
                    }
                    other => return other,
                }
            }
        });
        synced.map_err(|error| ObjectError::io("sync the folder", folder, error))
    }

    fn info(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        match self.disk.info(path) {
            Err(error) if files::is_absent(&error) => Ok(None),
            Err(error) => Err(ObjectError::io("look at", path, error)),
            Ok(info) => Ok(Some(ObjectInfo {
                path: path.to_owned(),
                bytes: info.bytes,
                modified_unix_nanos: info.modified_unix_nanos,
            })),
        }
    }

    /// Hands over the path of each object below a folder, and says which folders there are, each
    /// after the one that it lies in.
    fn walk(
        &self,
        folder: &str,
        see: &mut dyn FnMut(String) -> Result<(), ObjectError>,
    ) -> Result<Vec<String>, ObjectError> {
        let mut folders = vec![folder.to_owned()];
        let mut walked = 0;
        while let Some(folder) = folders.get(walked).cloned() {
            walked += 1;
            let failed = |error| ObjectError::io("list", &folder, error);
            let names = self.disk.list(&folder).map_err(failed)?;
            for name in names.iter().filter(|name| !is_unfinished(name)) {
                see(path::join(&folder, name))?;
            }
            let names = self.disk.list_folders(&folder).map_err(failed)?;
            self.see_folder_durable(&folder)?;
            folders.extend(names.iter().map(|name| path::join(&folder, name)));
        }
        Ok(folders)
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        let failed = |error| ObjectError::io("delete", folder, error);
        let mut paths = Vec::new();
        let folders = self.walk(folder, &mut |path| {
            paths.push(path);
            Ok(())
        })?;
        let absent_is_fine = |result: std::io::Result<()>| match result {
            Err(error) if files::is_absent(&error) => Ok(()),
            other => other,
        };
        // Interrupted, it leaves each of them in doubt.
        let under_way: Vec<_> =
            folders.iter().map(|folder| self.folders.begin_change(folder)).collect();
        let removed = self.change_names(path::folder_of(folder), || {
            paths.iter().try_for_each(|path| absent_is_fine(self.disk.remove(path)))?;
            let innermost_first = folders.iter().rev();
            innermost_first.clone().for_each(|folder| self.folders.forget(folder));
            innermost_first
                .clone()
                .try_for_each(|folder| absent_is_fine(self.disk.remove_folder(folder)))
        });
        paths.iter().for_each(|path| self.files.forget(path));
        match removed {
            // There never was a folder above it.
            Err(error) if files::is_absent(&error) => {}
            other => other.map_err(failed)?,
        }
        under_way.into_iter().for_each(Change::end_durable);
        Ok(())
    }
}

/// Whether this is a file that is being written, or was when the program ended.
fn is_unfinished(name: &str) -> bool {
    name.starts_with('.')
}

/// The name under which a file is written.
fn unfinished_name(name: &str, uuid: Uuid) -> String {
    format!(".{name}.{:032x}", u128::from_be_bytes(uuid.0))
}

/// `size_bytes` is the file's size: it bounds what is allocated.
fn read_range(
    file: &dyn DiskFile,
    path: &str,
    size_bytes: u64,
    range: &Range<u64>,
) -> Result<Bytes, ObjectError> {
    if range.start > range.end || range.end > size_bytes {
        return Err(ObjectError::bad_range(path, range));
    }
    let n_bytes = (range.end - range.start) as usize;
    let bytes = file.read_vec_at(range.start, n_bytes);
    let bytes = bytes.map_err(|error| ObjectError::io("read", path, error))?;
    if bytes.len() != n_bytes {
        return Err(ObjectError::bad_range(path, range));
    }
    Ok(bytes.into())
}

//! Writes one file under a name that nobody reads, and then gives it its own.
//!
//! In: bytes. Out: a durable object, or nothing. Dropped before the end it removes its file; if the
//! program ends instead, the next one does.

use std::io::{self, Write};
use std::sync::Arc;

use suyuan_wal::DiskFile;

use super::{Shared, unfinished_name};
use crate::path::{self, check_object};
use crate::{Created, ObjectError, ObjectWriter};

/// Small writes are collected up to so many bytes.
const BUFFER_BYTES: usize = 256 * 1024;

pub(super) struct LocalWriter {
    shared: Arc<Shared>,
    path: String,
    unfinished_path: String,
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    written_bytes: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Writing,
    /// A write failed: the file has a hole or ends too early.
    Broken,
    /// The file has its own name.
    Named,
}

impl LocalWriter {
    pub(super) fn begin(shared: &Arc<Shared>, path: &str) -> Result<Self, ObjectError> {
        check_object(path)?;
        shared.check_writable("write", path)?;
        let failed = |error| ObjectError::io("write", path, error);
        let disk = &shared.disk;
        let folder = path::folder_of(path);
        if !folder.is_empty() {
            let made = shared.folders.make_durable(folder, |folder| {
                disk.create_folder(folder)?;
                disk.sync_folder(path::folder_of(folder))
            });
            made.map_err(failed)?;
        }
        let name = unfinished_name(path::name_of(path), disk.random_uuid().map_err(failed)?);
        let unfinished_path = path::join(folder, &name);
        let file = disk.create(&unfinished_path, 0).map_err(failed)?;
        Ok(Self {
            shared: Arc::clone(shared),
            path: path.to_owned(),
            unfinished_path,
            file,
            buffer: Vec::new(),
            written_bytes: 0,
            state: State::Writing,
        })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.write_buffer()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.write_through(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives the file its name, replacing a file that has it. Its size in bytes.
    pub(super) fn replace(mut self) -> Result<u64, ObjectError> {
        self.sync()?;
        let shared = Arc::clone(&self.shared);
        let renamed = shared.change_names(path::folder_of(&self.path), || {
            shared.disk.rename(&self.unfinished_path, &self.path)
        });
        shared.files.forget(&self.path);
        renamed.map_err(|error| ObjectError::io("write", &self.path, error))?;
        self.state = State::Named;
        Ok(self.written_bytes)
    }

    /// Gives the file its name unless a file has it.
    pub(super) fn create(mut self) -> Result<Created, ObjectError> {
        self.sync()?;
        let shared = Arc::clone(&self.shared);
        let mut created = Created::New;
        let renamed = shared.change_names(path::folder_of(&self.path), || {
            match shared.disk.rename_new(&self.unfinished_path, &self.path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // The folder is synced all the same: what is there counts as durable.
                    created = Created::Exists;
                    Ok(())
                }
                other => other,
            }
        });
        renamed.map_err(|error| ObjectError::unsettled(&self.path, error))?;
        if created == Created::New {
            self.state = State::Named;
        }
        Ok(created)
    }

    fn sync(&mut self) -> Result<(), ObjectError> {
        let failed = |error| ObjectError::io("write", &self.path, error);
        if self.state == State::Broken {
            return Err(failed(io::Error::other("an earlier write of it failed")));
        }
        let synced = self.write_buffer().and_then(|()| self.file.sync_data());
        synced.map_err(|error| ObjectError::io("write", &self.path, error))
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write_through(&buffer)?;
        buffer.clear();
        self.buffer = buffer;
        Ok(())
    }

    fn write_through(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = suyuan_wal::write_all_at(&*self.file, self.written_bytes, bytes);
        if written.is_err() {
            self.state = State::Broken;
        }
        self.written_bytes += bytes.len() as u64;
        written
    }
}

impl Write for LocalWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    /// Does nothing: nobody can see an unfinished object.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ObjectWriter for LocalWriter {
    fn finish(self: Box<Self>) -> Result<u64, ObjectError> {
        self.replace()
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        if self.state != State::Named {
            // If this fails, it has its own name after all, or the next start removes it.
            let _ = self.shared.disk.remove(&self.unfinished_path);
        }
    }
}

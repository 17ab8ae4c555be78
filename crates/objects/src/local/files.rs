//! Files that are kept open because their ranges are read again and again.
//!
//! In: a path. Out: the open file. Holds at most [`FILES_MAX`] of them, the least recently used
//! one is closed. Never hands out a file after it was replaced or deleted.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use suyuan_wal::{Disk, DiskFile};

use crate::ObjectError;

/// A process may open 1,024 files by default.
const FILES_MAX: usize = 256;

#[derive(Default)]
pub(super) struct OpenFiles {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: HashMap<String, OpenFile>,
    /// Counts what was handed out: the smallest `used_at` was used longest ago.
    uses: u64,
    /// Counts what was forgotten. A file that was opened before and would be kept after may be one
    /// that was replaced in between.
    forgotten: u64,
}

struct OpenFile {
    file: Arc<dyn DiskFile>,
    used_at: u64,
}

impl OpenFiles {
    pub(super) fn open(
        &self,
        disk: &dyn Disk,
        path: &str,
    ) -> Result<Arc<dyn DiskFile>, ObjectError> {
        let forgotten = {
            let mut state = self.lock();
            state.uses += 1;
            let used_at = state.uses;
            if let Some(open) = state.files.get_mut(path) {
                open.used_at = used_at;
                return Ok(Arc::clone(&open.file));
            }
            state.forgotten
        };
        let file: Arc<dyn DiskFile> = match disk.open(path) {
            Ok(file) => file.into(),
            Err(error) if is_absent(&error) => {
                return Err(ObjectError::Absent { path: path.to_owned() });
            }
            Err(error) => return Err(ObjectError::io("read", path, error)),
        };
        let mut state = self.lock();
        if state.forgotten == forgotten {
            state.keep(path, Arc::clone(&file));
        }
        Ok(file)
    }

    /// To be called after a file was replaced or deleted.
    pub(super) fn forget(&self, path: &str) {
        let mut state = self.lock();
        state.forgotten += 1;
        state.files.remove(path);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, path: &str, file: Arc<dyn DiskFile>) {
        if self.files.len() >= FILES_MAX {
            let oldest = self.files.iter().min_by_key(|(_, open)| open.used_at);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                self.files.remove(&oldest);
            }
        }
        self.files.insert(path.to_owned(), OpenFile { file, used_at: self.uses });
    }
}

/// Whether an error says that there is no such file: also where a folder of that name is, or a file
/// where a folder should be.
pub(super) fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | IsADirectory | NotADirectory)
}

//! A store in memory, as strict as a real one, with a clock that is set by hand.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::path::{check_folder, check_object};
use crate::{Created, ObjectError, ObjectInfo, ObjectWriter, Objects};

/// Where the clock begins: 2026-01-01.
const FIRST_UNIX_NANOS: u64 = 1_767_225_600_000_000_000;

/// The store. A clone is another handle to it.
#[derive(Clone)]
pub struct MemoryObjects {
    state: Arc<Mutex<State>>,
}

#[derive(Clone)]
struct State {
    objects: BTreeMap<String, Object>,
    now_unix_nanos: u64,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    modified_unix_nanos: u64,
}

impl Default for MemoryObjects {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryObjects {
    /// An empty store; its clock stands at the beginning of 2026.
    pub fn new() -> Self {
        let state = State { objects: BTreeMap::new(), now_unix_nanos: FIRST_UNIX_NANOS };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A copy of the store as it is now.
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state().clone())) }
    }

    /// Sets the store's clock forward. It does not move by itself.
    pub fn advance_clock(&self, nanos: u64) {
        self.state().now_unix_nanos += nanos;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, path: &str, bytes: Bytes) {
        let object = Object { bytes, modified_unix_nanos: self.now_unix_nanos };
        self.objects.insert(path.to_owned(), object);
    }
}

impl Objects for MemoryObjects {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        check_object(path)?;
        self.state().put(path, bytes);
        Ok(())
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
        check_object(path)?;
        let mut state = self.state();
        if state.objects.contains_key(path) {
            return Ok(Created::Exists);
        }
        state.put(path, bytes);
        Ok(Created::New)
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        check_object(path)?;
        let (objects, path) = (self.clone(), path.to_owned());
        Ok(Box::new(MemoryWriter { objects, path, bytes: Vec::new() }))
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
        check_object(path)?;
        Ok(self.state().objects.get(path).map(|object| object.bytes.clone()))
    }

    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError> {
        let Some(bytes) = self.get(path)? else {
            return Err(ObjectError::Absent { path: path.to_owned() });
        };
        let cut = |range: &Range<u64>| {
            if range.start > range.end || range.end > bytes.len() as u64 {
                return Err(ObjectError::bad_range(path, range));
            }
            // A copy, as a disk makes one: nobody may count on sharing.
            Ok(Bytes::copy_from_slice(&bytes[range.start as usize..range.end as usize]))
        };
        ranges.iter().map(cut).collect()
    }

    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        check_object(path)?;
        Ok(self.state().objects.get(path).map(|object| info(path, object)))
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        check_folder(folder)?;
        let state = self.state();
        let below = state.objects.iter().filter(|(path, _)| is_below(path, folder));
        Ok(below.map(|(path, object)| info(path, object)).collect())
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        check_object(path)?;
        self.state().objects.remove(path);
        Ok(())
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        check_object(folder)?;
        self.state().objects.retain(|path, _| !is_below(path, folder));
        Ok(())
    }

    fn now_unix_nanos(&self) -> Result<u64, ObjectError> {
        Ok(self.state().now_unix_nanos)
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn info(path: &str, object: &Object) -> ObjectInfo {
    let Object { bytes, modified_unix_nanos } = object;
    let bytes = bytes.len() as u64;
    ObjectInfo { path: path.to_owned(), bytes, modified_unix_nanos: *modified_unix_nanos }
}

struct MemoryWriter {
    objects: MemoryObjects,
    path: String,
    bytes: Vec<u8>,
}

impl Write for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ObjectWriter for MemoryWriter {
    fn finish(self: Box<Self>) -> Result<u64, ObjectError> {
        let bytes = self.bytes.len() as u64;
        self.objects.put(&self.path, self.bytes.into())?;
        Ok(bytes)
    }
}

//! What readers keep between two questions: decoded dictionaries, bloom filters, bounds of pages and
//! tables of traces, bounded in bytes.
//!
//! A trace's columns share their dictionaries with every other trace of the row group: inflating and
//! checking them again would cost more than the values. One cache may serve the readers of every
//! open block.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parquet::bloom_filter::Sbbf;

use super::index::MinMax;
use crate::column::Values;

/// Bytes that an entry takes beside its value.
const ENTRY_BYTES: usize = 128;

/// Shared by readers; when it is full, what has not been used since it was last looked at goes first.
pub struct ReadCache {
    bytes_max: usize,
    entries: Mutex<Entries>,
    n_readers: AtomicU64,
}

#[derive(Default)]
struct Entries {
    by_key: HashMap<Key, Entry, RandomState>,
    /// In the order in which they shall be looked at; those of a closed reader may be gone.
    queue: VecDeque<Key>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Of a file or a block.
    pub(crate) reader: u64,
    /// Of a file a column chunk, of a block a slice.
    pub(crate) chunk: u32,
    pub(crate) part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Dictionary,
    Bloom,
    Bounds,
    Traces { tenant: u32 },
}

#[derive(Clone)]
pub(super) enum Cached {
    Dictionary(Arc<Values>),
    Bloom(Arc<Sbbf>),
    /// Of every page; `None`: it has no value.
    Bounds(Arc<[Option<MinMax>]>),
    /// What another module made of what it read.
    Other(Arc<dyn Any + Send + Sync>),
}

struct Entry {
    value: Cached,
    bytes: usize,
    was_used: bool,
}

impl ReadCache {
    /// `bytes_max`: of all that is kept.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, entries: Mutex::default(), n_readers: AtomicU64::new(0) }
    }

    /// What it holds now.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(crate) fn reader_number(&self) -> u64 {
        self.n_readers.fetch_add(1, Ordering::Relaxed)
    }

    /// The values of `keys`, in order.
    pub(super) fn get<const N: usize>(&self, keys: [Key; N]) -> [Option<Cached>; N] {
        let mut entries = self.lock();
        keys.map(|key| entries.get(&key))
    }

    /// A value that [`Self::insert_other`] has put there.
    pub(crate) fn get_other<T: Any + Send + Sync>(&self, key: Key) -> Option<Arc<T>> {
        let Some(Cached::Other(value)) = self.lock().get(&key) else { return None };
        value.downcast().ok()
    }

    pub(crate) fn insert_other<T: Any + Send + Sync>(
        &self,
        key: Key,
        value: Arc<T>,
        value_bytes: usize,
    ) {
        self.insert(key, Cached::Other(value), value_bytes);
    }

    pub(super) fn get_all(&self, keys: impl Iterator<Item = Key>) -> Vec<Option<Cached>> {
        let mut entries = self.lock();
        keys.map(|key| entries.get(&key)).collect()
    }

    pub(super) fn insert(&self, key: Key, value: Cached, value_bytes: usize) {
        let bytes = value_bytes + ENTRY_BYTES;
        // One value shall not push out everything else.
        if bytes > self.bytes_max / 4 {
            return;
        }
        let mut entries = self.lock();
        let entry = Entry { value, bytes, was_used: false };
        match entries.by_key.insert(key, entry) {
            Some(old) => entries.bytes -= old.bytes,
            None => entries.queue.push_back(key),
        }
        entries.bytes += bytes;
        while entries.bytes > self.bytes_max && entries.evict() {}
    }

    /// A reader has gone.
    pub(crate) fn forget(&self, reader: u64) {
        let entries = &mut *self.lock();
        let bytes = &mut entries.bytes;
        entries.by_key.retain(|key, entry| {
            let stays = key.reader != reader;
            *bytes -= if stays { 0 } else { entry.bytes };
            stays
        });
        entries.queue.retain(|key| key.reader != reader);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        // Between two statements it is always whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn get(&mut self, key: &Key) -> Option<Cached> {
        let entry = self.by_key.get_mut(key)?;
        entry.was_used = true;
        Some(entry.value.clone())
    }

    /// Looks at the next entry; false if there is none.
    fn evict(&mut self) -> bool {
        let Some(key) = self.queue.pop_front() else { return false };
        match self.by_key.get_mut(&key) {
            Some(entry) if entry.was_used => {
                entry.was_used = false;
                self.queue.push_back(key);
            }
            _ => {
                self.bytes -= self.by_key.remove(&key).map_or(0, |entry| entry.bytes);
            }
        }
        true
    }
}

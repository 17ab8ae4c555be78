//! Keeps in memory what was read from a remote store.
//!
//! In: a store, and how many bytes may be kept. Out: the same store; ranges of blocks that were
//! read before come from memory. Only what lies under `blocks/` is kept: it never changes. Never
//! keeps a part of a larger buffer, so that the bytes counted are the bytes held.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::{Created, ObjectError, ObjectInfo, ObjectWriter, Objects};

const CACHED_FOLDER: &str = "blocks/";

/// What an entry takes besides its bytes, about.
const ENTRY_BYTES: u64 = 160;

/// Footers and column chunks of a slice: some kB to some hundred.
const TYPICAL_BYTES: u64 = 32 * 1024;

/// The capacity is shared out among shards, and what is larger than a shard is not kept: few of
/// them, so that with 64 MiB a range may have 16.
const SHARDS: usize = 4;

/// Means all of an object, whatever its size.
const WHOLE: Range<u64> = 0..u64::MAX;

/// A store whose immutable objects are kept in memory.
pub struct CachedObjects {
    objects: Arc<dyn Objects>,
    cache: Cache<Key, Bytes, ByEntry>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    hit_bytes: AtomicU64,
    miss_bytes: AtomicU64,
}

/// What the cache did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Ranges and whole objects that came from memory.
    pub hits: u64,
    /// Those that the store was asked for.
    pub misses: u64,
    /// Bytes that came from memory.
    pub hit_bytes: u64,
    /// Bytes that the store was asked for.
    pub miss_bytes: u64,
    /// Bytes held now, with what the cache itself needs.
    pub held_bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    path: Arc<str>,
    range: Range<u64>,
}

#[derive(Clone)]
struct ByEntry;

impl Weighter<Key, Bytes> for ByEntry {
    fn weight(&self, key: &Key, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + key.path.len() as u64 + ENTRY_BYTES
    }
}

impl CachedObjects {
    /// Keeps at most so many bytes of what is read from `objects`.
    pub fn new(objects: Arc<dyn Objects>, bytes_max: u64) -> Self {
        let options = OptionsBuilder::new()
            .weight_capacity(bytes_max)
            .estimated_items_capacity((bytes_max / TYPICAL_BYTES) as usize)
            .shards(SHARDS)
            .build()
            .expect("both capacities are given");
        let hasher = DefaultHashBuilder::default();
        let cache = Cache::with_options(options, ByEntry, hasher, Default::default());
        Self { objects, cache, counts: Counts::default() }
    }

    /// What the cache did since it was made.
    pub fn stats(&self) -> CacheStats {
        let Counts { hits, misses, hit_bytes, miss_bytes } = &self.counts;
        CacheStats {
            hits: hits.load(Ordering::Relaxed),
            misses: misses.load(Ordering::Relaxed),
            hit_bytes: hit_bytes.load(Ordering::Relaxed),
            miss_bytes: miss_bytes.load(Ordering::Relaxed),
            held_bytes: self.cache.weight(),
        }
    }

    fn look_up(&self, key: &Key) -> Option<Bytes> {
        let bytes = self.cache.get(key)?;
        self.counts.hits.fetch_add(1, Ordering::Relaxed);
        self.counts.hit_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Some(bytes)
    }

    fn keep(&self, key: Key, bytes: &Bytes) {
        self.counts.misses.fetch_add(1, Ordering::Relaxed);
        self.counts.miss_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        // A copy: the store may have fetched several ranges as one buffer.
        self.cache.insert(key, Bytes::copy_from_slice(bytes));
    }

    fn forget(&self, is_forgotten: impl Fn(&str) -> bool) {
        self.cache.retain(|key, _| !is_forgotten(&key.path));
    }
}

impl Objects for CachedObjects {
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError> {
        self.objects.put(path, bytes)
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError> {
        self.objects.create(path, bytes)
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError> {
        self.objects.writer(path)
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError> {
        if !path.starts_with(CACHED_FOLDER) {
            return self.objects.get(path);
        }
        let key = Key { path: path.into(), range: WHOLE };
        if let Some(bytes) = self.look_up(&key) {
            return Ok(Some(bytes));
        }
        let found = self.objects.get(path)?;
        if let Some(bytes) = &found {
            self.keep(key, bytes);
        }
        Ok(found)
    }

    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError> {
        if !path.starts_with(CACHED_FOLDER) {
            return self.objects.get_ranges(path, ranges);
        }
        let path: Arc<str> = path.into();
        let key = |range: &Range<u64>| Key { path: Arc::clone(&path), range: range.clone() };
        let mut found: Vec<_> = ranges.iter().map(|range| self.look_up(&key(range))).collect();
        let missing = ranges.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<_> = missing.map(|(range, _)| range.clone()).collect();
        if !missing.is_empty() {
            let mut fetched = self.objects.get_ranges(&path, &missing)?.into_iter();
            for (range, found) in ranges.iter().zip(&mut found) {
                if found.is_none() {
                    *found = fetched.next();
                    found.iter().for_each(|bytes| self.keep(key(range), bytes));
                }
            }
        }
        let answered = ranges.iter().zip(found);
        let exact = answered
            .map(|(range, bytes)| bytes.ok_or_else(|| ObjectError::bad_range(&path, range)));
        exact.collect()
    }

    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        self.objects.head(path)
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.objects.list(folder)
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        let deleted = self.objects.delete(path);
        self.forget(|kept| kept == path);
        deleted
    }

    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError> {
        let deleted = self.objects.delete_folder(folder);
        self.forget(|kept| kept.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
        deleted
    }

    fn now_unix_nanos(&self) -> Result<u64, ObjectError> {
        self.objects.now_unix_nanos()
    }
}

//! Bytes under names that are durable when a call returns: local disk or an S3-style store.
//!
//! In: paths such as `blocks/<uuid>/spans.parquet`, and bytes. Out: the same bytes, whole, also
//! after a power cut. An object is written in one piece and seen whole or not at all. Calls block:
//! they come from threads that may wait, never from a task of an async runtime. Never here: what
//! the bytes mean, and which objects belong together.
//!
//! ```text
//!   Objects ── LocalObjects ── suyuan_wal::Disk (the real one, or one that forgets)
//!      ├────── S3Objects ───── object_store on a runtime of the caller
//!      ├────── CachedObjects ─ before a remote store: ranges of blocks that were read before
//!      └────── faulty: MemoryObjects, FaultyObjects, for tests
//! ```

#![warn(missing_docs)]

use std::io;
use std::ops::Range;

use bytes::Bytes;

mod cached;
mod error;
mod local;
mod meter;
mod path;
mod proof;
mod s3;

#[cfg(any(test, feature = "simulated"))]
pub mod faulty;

#[cfg(test)]
mod tests;

pub use cached::{CacheStats, CachedObjects};
pub use error::ObjectError;
pub use local::LocalObjects;
pub use meter::ReadMeter;
pub use proof::{NoCreateIfAbsent, prove_create_if_absent};
pub use s3::{S3Objects, S3Options, S3OptionsError};

/// A store of objects.
///
/// A path has one or more parts of `A-Z a-z 0-9 . _ -` between slashes, none of which is empty or
/// begins with a dot; anything else is [`ObjectError::BadPath`]. A folder is what paths begin
/// with; it is there while objects are in it. Every error names the path.
pub trait Objects: Send + Sync {
    /// Writes an object, replacing one of that name. Durable when it returns.
    fn put(&self, path: &str, bytes: Bytes) -> Result<(), ObjectError>;

    /// Writes an object unless there is one of that name; of several that try at once one is told
    /// [`Created::New`]. Durable when it returns, also the object of [`Created::Exists`].
    ///
    /// That object may be the caller's own: an answer was lost and the store was asked again. And
    /// after [`ObjectError::Unsettled`] nobody knows whether it was written, or still will be. The
    /// caller reads back in both cases.
    fn create(&self, path: &str, bytes: Bytes) -> Result<Created, ObjectError>;

    /// Writes an object, replacing one of that name, from bytes that come bit by bit.
    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>, ObjectError>;

    /// A whole object; `None` if there is none.
    fn get(&self, path: &str) -> Result<Option<Bytes>, ObjectError>;

    /// Exactly these bytes of an object, or an error.
    fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let mut found = self.get_ranges(path, std::slice::from_ref(&range))?;
        match (found.pop(), found.is_empty()) {
            (Some(bytes), true) => Ok(bytes),
            _ => Err(ObjectError::bad_range(path, &range)),
        }
    }

    /// Exactly these bytes of an object, in the order asked for, or an error. A remote store
    /// fetches ranges together that lie close, and several at once.
    fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ObjectError>;

    /// Size and time of an object; `None` if there is none.
    fn head(&self, path: &str) -> Result<Option<ObjectInfo>, ObjectError>;

    /// All objects below a folder, at any depth, sorted by path. `""` is the whole store.
    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, ObjectError>;

    /// Removes an object. That there is none is fine.
    fn delete(&self, path: &str) -> Result<(), ObjectError>;

    /// Removes all objects below a folder, and the folder. That there is none is fine. Not one
    /// step: who is interrupted calls it again.
    fn delete_folder(&self, folder: &str) -> Result<(), ObjectError>;

    /// The clock that dates objects, in nanoseconds since 1970. An S3-style store counts whole
    /// seconds, and is asked by writing the object `clock`.
    fn now_unix_nanos(&self) -> Result<u64, ObjectError>;
}

/// An object that is being written. It does not exist before `finish` returned well; dropped
/// before, nothing remains. After a failed write `finish` fails too.
pub trait ObjectWriter: io::Write + Send {
    /// Makes the object durable and gives it its name. Its size in bytes.
    fn finish(self: Box<Self>) -> Result<u64, ObjectError>;
}

/// What became of [`Objects::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object was written by this call.
    New,
    /// There is an object of that name, perhaps the caller's own.
    Exists,
}

/// What a store says about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name, from the root of the store.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written, by the store's clock, in nanoseconds since 1970.
    pub modified_unix_nanos: u64,
}

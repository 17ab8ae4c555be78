//! What can go wrong with the catalog.

use suyuan_objects::ObjectError;

use crate::format::FormatError;
use crate::state::Ignored;

/// Why the catalog cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The store failed.
    #[error("the catalog cannot be reached: {0}")]
    Store(#[from] ObjectError),
    /// An object is not what was written. It is never passed over: what comes after it cannot be
    /// judged without it.
    #[error("catalog object `{path}` {source}: restore it from a backup")]
    Damaged {
        /// The object's path.
        path: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// An object needs a later program. This one stops reading there.
    #[error("catalog object `{path}` {source}")]
    TooNew {
        /// The object's path.
        path: String,
        /// What it asks for.
        source: FormatError,
    },
    /// An object of another place stands here.
    #[error(
        "catalog object `{path}` is number {number} of shard {shard}: it was moved or copied, \
         restore the right one"
    )]
    Misplaced {
        /// The object's path.
        path: String,
        /// The number that it says it has.
        number: u64,
        /// The shard that it says it belongs to.
        shard: u32,
    },
    /// An entry is gone and later ones are there.
    #[error("catalog entry `{path}` is missing and entry {later} is there: restore it")]
    MissingEntry {
        /// The path of the entry that should be there.
        path: String,
        /// A later entry that is there.
        later: u64,
    },
    /// Others took snapshots and deleted entries faster than they could be read.
    #[error("the catalog changed faster than it could be read, {tries} times")]
    Restless {
        /// How many times it was tried.
        tries: u32,
    },
    /// A commit of this process still has an unknown outcome, and nothing can be said before.
    #[error("the outcome of entry {number} is still unknown: {source}")]
    Unsettled {
        /// The entry's number.
        number: u64,
        /// Why it could not be found out.
        source: Box<CatalogError>,
    },
    /// The state is too large for one object.
    #[error("a snapshot of {bytes} bytes is larger than 4 GiB")]
    SnapshotTooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// What became of a change that was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The change does not fit what others committed. It has no effect, now and later.
    #[error("the change was not taken: {0}")]
    Ignored(#[from] Ignored),
    /// Nothing happened. The same change may be committed again.
    #[error("the change was not committed: {0}")]
    Store(#[source] CatalogError),
    /// It may have happened or may still happen. Committing the same change again says which, also
    /// if other changes were committed in between; until then nothing that it names may be
    /// deleted or done again in another way.
    #[error("unknown whether the change was committed as entry {number}: {source}")]
    Unknown {
        /// The number it would have.
        number: u64,
        /// What went wrong.
        source: CatalogError,
    },
    /// Nothing happened: the change is too large for an entry.
    #[error("the change has {bytes} bytes, an entry has at most {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// Nothing happened: others were always faster. The same change may be committed again.
    #[error("others committed first, {tries} times")]
    Busy {
        /// How many numbers were tried.
        tries: u32,
    },
}

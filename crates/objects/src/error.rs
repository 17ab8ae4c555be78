//! What can go wrong with an object.

use std::error::Error;
use std::io;
use std::ops::Range;

/// Why a call failed. All but `Unsettled`, and a failed `put` or `finish`, which may have replaced
/// the object or not, leave everything as it was.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A mistake of the program, or a name from outside that nobody checked.
    #[error("`{path}` cannot be the path of an object: {reason}")]
    BadPath {
        /// The path as given.
        path: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A range of an object that does not exist was asked for.
    #[error("there is no object `{path}`")]
    Absent {
        /// The object's path.
        path: String,
    },
    /// The object is shorter than what was asked for, or the range ends before it begins.
    #[error("object `{path}` does not have the bytes {start} to {end}")]
    BadRange {
        /// The object's path.
        path: String,
        /// The first byte asked for.
        start: u64,
        /// The byte after the last one.
        end: u64,
    },
    /// No space is left, on the disk or in the quota.
    #[error("no space left to {action} `{path}`: {source}")]
    Full {
        /// What was to be done.
        action: &'static str,
        /// The object's path.
        path: String,
        /// What the disk said.
        source: io::Error,
    },
    /// The disk or the store failed.
    #[error("cannot {action} `{path}`: {source}")]
    Failed {
        /// What was to be done.
        action: &'static str,
        /// The path of the object or the folder.
        path: String,
        /// What the disk or the store said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Nobody knows whether `create` wrote the object, or still will: read it back.
    #[error("unknown whether `{path}` was created, read it back: {source}")]
    Unsettled {
        /// The object's path.
        path: String,
        /// What the disk or the store said, if anything.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ObjectError {
    pub(crate) fn bad_range(path: &str, range: &Range<u64>) -> Self {
        Self::BadRange { path: path.to_owned(), start: range.start, end: range.end }
    }

    pub(crate) fn failed(
        action: &'static str,
        path: &str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { action, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn unsettled(path: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unsettled { path: path.to_owned(), source: source.into() }
    }

    /// An error of the operating system.
    pub(crate) fn io(action: &'static str, path: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { action, path: path.to_owned(), source }
            }
            _ => Self::failed(action, path, source),
        }
    }
}

//! Which blocks exist: a numbered log of entries on an object store, each the only commit.
//!
//! In: changes, each naming what of the logs is now in which blocks, which blocks are replaced,
//! what is erased. Out: states, the same for every reader of the store. A block exists when an
//! entry that counts has added it, and not before. Never here: what is inside of a block (its meta
//! is opaque bytes), its files, the log's bytes.
//!
//! ```text
//!   Change ── Catalog::commit ── entry N+1, created only if absent ──┐
//!                                                                   v
//!   catalog/<shard>/entries/00000000000000000001, ...2, ...3   ── State::judge, by every reader
//!   catalog/<shard>/snapshots/00000000000000000256             ── State as of that entry
//! ```
//!
//! Many processes may commit to one catalog. An entry is ignored, by all alike, that claims an old
//! epoch of a log, a range that does not begin where the log's last one ended, or blocks that are
//! gone or forbidden. The format is documented byte for byte in `docs/formats/catalog.md`.

#![warn(missing_docs, clippy::indexing_slicing)]

mod catalog;

mod change;
mod state;

mod read;

mod format;
mod place;

mod error;
mod inspect;

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test panics when it fails")]
mod tests;

pub use catalog::{Catalog, Committed, Maintained, Options};
pub use change::{Change, Forgets, LogRange, NewBlock, Owner, Tombstone, TombstoneId};
pub use error::{CatalogError, CommitError};
pub use format::FormatError;
pub use inspect::{EntryContent, EntryReport, ShardReport, SnapshotReport, inspect};
pub use state::{Block, Ignored, LogState, Moment, State};

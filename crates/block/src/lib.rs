//! The open Parquet format of spans: columns to files and back.
//!
//! In: rows of chunks in the order they shall have, and later questions about a block. Out: a folder
//! of Parquet files with the meta that describes them, and rows as chunks again. Never here: which
//! spans belong into a block, which blocks exist, when one is written or removed.
//!
//! The format is documented byte for byte in `docs/formats/block.md`.

mod column;

pub mod reader;
pub mod writer;

pub mod file;

pub mod tree;

pub mod key_values;
pub mod layout;
pub mod stage;
pub mod unstage;

pub mod directory;
pub mod filter;
pub mod meta;
pub mod rollup;
pub mod traces;

pub use column::{Column, ColumnSpec, Compression, Encoding, Kind, Values};
pub use directory::{DirectoryBuilder, KeyDirectory, Presence};
pub use filter::{FilterError, IdFilter, IdFilterBuilder, IdHash, TenantSeed};
pub use meta::{
    BadBlockId, BlockId, BlockMeta, FileMeta, LogRange, MetaError, RollupMeta, Shard, ShardHash,
    SideRows, SliceMeta, TenantMeta, TenantRange, TimeRange,
};

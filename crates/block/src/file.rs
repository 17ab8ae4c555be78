//! Parquet files of flat columns: written and read by page, with no more than the page needs.

pub mod read;
pub mod write;

mod thrift;

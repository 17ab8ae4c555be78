//! Writes a Parquet file, row group by row group.

//! Reads rows of columns out of a Parquet file.

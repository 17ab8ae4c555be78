//! Bytes under names that are durable when a call returns: local disk or an S3-style store.

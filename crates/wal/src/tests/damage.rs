//! Bytes that change on the disk after they were synced, and files that do not belong.

//! Blocks written and read back.

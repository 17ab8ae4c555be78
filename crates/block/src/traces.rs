//! One row for each trace of a block.

//! Rows of chunks, in any order, to the dense columns of one slice.

//! The language as a whole: lists of queries that others wrote, errors, random trees.

mod corpora;
mod errors;
mod random;
mod tokens;

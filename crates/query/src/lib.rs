//! Answers questions over the store; for now one: the trace with this id.
//!
//! In: a question and a [`Store`](suyuan_store::Store). Out: rows, each span once, and what was
//! read for them. Which protocol asked is not known here.

pub mod filter;
mod lookup;
pub mod search;
pub mod tags;

pub use lookup::{Lookup, trace_by_id};

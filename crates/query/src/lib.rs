//! Answers questions over the store: the trace with this id, the traces that have a span like this,
//! the names and values that an editor offers.
//!
//! In: a question and a [`Store`](suyuan_store::Store). Out: rows, each span once, and what was
//! read for them. Which protocol asked is not known here.

pub mod filter;
mod lookup;
pub mod parallel;
pub mod search;
pub mod tags;
mod workers;

pub use lookup::{Lookup, trace_by_id};
pub use workers::{QueueFull, Workers, WorkersOptions};

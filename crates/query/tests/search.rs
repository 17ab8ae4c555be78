//! Searches over a whole store against the obvious evaluator: scripts, and traces and filters at
//! random.

#[path = "search/harness.rs"]
mod harness;
#[path = "search/random.rs"]
mod random;
#[path = "search/scripts.rs"]
mod scripts;

//! Searches over a whole store against the obvious evaluator: scripts, and traces and filters at
//! random.

mod consistency;
mod harness;
mod random;
mod scripts;

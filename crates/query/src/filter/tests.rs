//! Filters over small batches, and columns against rows at random.

mod attributes;
mod fixture;
mod items;
mod pruning;
mod random;
mod regexes;
mod traces;

//! Object stores for tests: one in memory, and one that fails by plan.

mod memory;
mod store;

pub use memory::MemoryObjects;
pub use store::{Fault, FaultyObjects, Plan, RandomFaults, Stop};

//! The rules of `Objects`, held against every store, and those of each store.

mod cache;
mod contract;
mod faults;
mod local;
mod power;
mod s3;

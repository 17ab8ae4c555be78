//! The rules of `Objects`, held against every store.

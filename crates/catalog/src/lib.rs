//! Which blocks exist: a numbered log of entries on an object store, each the only commit.

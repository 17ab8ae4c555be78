//! Which attribute becomes a column of its own, and which goes to the overflow.

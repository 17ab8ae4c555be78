//! Rows in, columns out, rows again.

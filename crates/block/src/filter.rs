//! Whether a block may hold a trace id.

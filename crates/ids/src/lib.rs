//! What a trace and a span are called, and the headers that carry the names.

//! The order of a trace's spans: pre-order and depth, and the parents back from them.

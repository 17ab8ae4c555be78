//! TraceQL: text to a typed tree and back, and what is wrong with a text. Pure.
//!
//! In: a query as people type it. Out: a [`ast::Query`] whose types fit, or an error that names the
//! line, the column, what was expected and often the fix. Never here: a span, a file, a clock.

pub mod ast;
pub mod lenient;

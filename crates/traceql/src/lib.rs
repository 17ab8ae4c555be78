//! TraceQL: text to a typed tree and back, and what is wrong with a text. Pure.
//!
//! In: a query as people type it. Out: an [`ast::Query`] whose types fit, or an [`Error`] that says
//! the line, the column, what was expected and often the fix. Never here: a span, a file, a clock.

mod advice;
pub mod ast;
mod error;
pub mod lenient;
mod lexer;
mod parser;
pub mod print;
pub mod regex;
mod span_filter;
mod types;
mod words;

pub use error::{Error, ParseError, Position, ValidationError};
pub use span_filter::{NotExecuted, SpanFilter};

/// Longer texts are refused. Drilldown's queries have some hundred bytes; a list of a thousand ids
/// has 50 KiB.
pub const TEXT_BYTES_MAX: usize = 128 * 1024;

/// Reads a query and checks its types.
pub fn parse(text: &str) -> Result<ast::Query, Error> {
    let query = parser::query(text).map_err(|error| Error::Parse(*error))?;
    types::check(&query, text)?;
    Ok(query)
}

/// Reads the name of an attribute or intrinsic as it stands in queries: `span.foo`, `.foo`, `name`,
/// `span:status`, `resource."a b"`.
pub fn parse_attribute(text: &str) -> Result<ast::Attribute, Error> {
    parser::attribute(text).map_err(|error| Error::Parse(*error))
}

#[cfg(test)]
mod tests;

//! The part of a query that search executes: one filter of spans.
//!
//! In: a [`Query`]. Out: its filter, with the attributes to be shown, or the first stage that is not
//! executed yet.

use crate::ast::{Attribute, FieldExpr, Hint, Place, Query};

/// A query that asks for spans one by one.
#[derive(Clone, Debug)]
pub struct SpanFilter<'a> {
    pub filter: &'a FieldExpr,
    /// `select(…)`: shown in the answer, in the order in which they were named.
    pub selected: Vec<&'a Attribute>,
    pub hints: &'a [Hint],
}

/// A part of the language that this version parses and does not execute.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{stage} is not executed yet")]
pub struct NotExecuted {
    /// As text for people: "structural operator `>>`".
    pub stage: String,
    pub place: Place,
}

impl Query {
    /// The single filter of the query, if it asks for no more. Of a metrics query its spans' part.
    pub fn span_filter(&self) -> Result<SpanFilter<'_>, NotExecuted> {
        Err(NotExecuted { stage: "any query".into(), place: Place::default() })
    }
}

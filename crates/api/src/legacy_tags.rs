//! Tempo's first way of searching: `tags=http.status_code=500 "http.url"=cart`.
//!
//! In: pairs as logfmt writes them (`tempo.md 1.4`). Out: the same question as an expression of
//! TraceQL, which is all that the executor knows. A text is looked for inside values, a number is
//! compared as well, `status.code` and names of roots mean what they say. All pairs must hold for
//! one span together with its resource; Tempo lets different spans of a trace fulfil them.

use suyuan_traceql::ast::{
    Attribute, AttributeScope, FieldExpr, FieldKind, FieldOp, Intrinsic, Place, Status, Value,
};

use crate::parameters::shortened;

/// Pairs of one request.
const TAGS_MAX: usize = 64;

/// Why `tags` are no question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TagsError {
    #[error("invalid tags: a value begins with a quote that is not closed")]
    OpenQuote,
    #[error("invalid tags: `{key}` has no value: write {key}=value")]
    NoValue { key: String },
    #[error("invalid tags: a value stands without a key: write key=value")]
    NoKey,
    #[error("invalid tags: tag {key} has been set twice")]
    Twice { key: String },
    #[error("invalid tags: more than {TAGS_MAX} of them")]
    TooMany,
    #[error("invalid tags: status.code is one of unset, ok, error")]
    Status,
}

/// The question that `tags` ask.
pub(crate) fn filter(text: &str) -> Result<FieldExpr, TagsError> {
    let tags = pairs(text)?;
    let conditions = tags.iter().map(|(key, value)| condition(key, value));
    let mut filter = None;
    for condition in conditions {
        let condition = condition?;
        filter = Some(match filter {
            None => condition,
            Some(others) => binary(FieldOp::And, others, condition),
        });
    }
    Ok(filter.unwrap_or_else(|| literal(Value::Bool(true))))
}

fn condition(key: &str, value: &str) -> Result<FieldExpr, TagsError> {
    let intrinsic = |intrinsic| contains(Attribute::Intrinsic(intrinsic), value);
    let named = || Attribute::Named { scope: AttributeScope::Any, name: key.into() };
    Ok(match key {
        "name" => intrinsic(Intrinsic::Name),
        "root.name" => intrinsic(Intrinsic::TraceRootName),
        "root.service.name" => intrinsic(Intrinsic::TraceRootService),
        "status.code" => {
            let status = match value {
                "unset" => Status::Unset,
                "ok" => Status::Ok,
                "error" => Status::Error,
                _ => return Err(TagsError::Status),
            };
            equals(Attribute::Intrinsic(Intrinsic::Status), Value::Status(status))
        }
        "error" if value == "true" => {
            let status =
                equals(Attribute::Intrinsic(Intrinsic::Status), Value::Status(Status::Error));
            binary(FieldOp::Or, status, equals(named(), Value::Bool(true)))
        }
        _ => {
            let text = contains(named(), value);
            match (value.parse(), value.parse()) {
                (Ok(number), _) => binary(FieldOp::Or, text, equals(named(), Value::Int(number))),
                (_, Ok(truth)) => binary(FieldOp::Or, text, equals(named(), Value::Bool(truth))),
                _ => text,
            }
        }
    })
}

/// A text inside a text: letter case counts.
fn contains(attribute: Attribute, text: &str) -> FieldExpr {
    let mut pattern = String::with_capacity(text.len() + 4);
    pattern.push_str(".*");
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push_str(".*");
    let pattern = literal(Value::String(pattern.into()));
    binary(FieldOp::Regex, node(FieldKind::Attribute(attribute)), pattern)
}

fn equals(attribute: Attribute, value: Value) -> FieldExpr {
    binary(FieldOp::Equal, node(FieldKind::Attribute(attribute)), literal(value))
}

fn binary(op: FieldOp, left: FieldExpr, right: FieldExpr) -> FieldExpr {
    node(FieldKind::Binary { op, left: Box::new(left), right: Box::new(right) })
}

fn literal(value: Value) -> FieldExpr {
    node(FieldKind::Literal(value))
}

fn node(kind: FieldKind) -> FieldExpr {
    FieldExpr { kind, place: Place::default() }
}

/// Keys and values, parted by blanks; either may stand in quotes with escapes by `\`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, TagsError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, tail) = word(rest, |c| c == '=' || c.is_whitespace())?;
        let Some(tail) = tail.strip_prefix('=') else {
            return Err(TagsError::NoValue { key: shortened(&key).to_owned() });
        };
        if key.is_empty() {
            return Err(TagsError::NoKey);
        }
        let (value, tail) = word(tail, char::is_whitespace)?;
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(TagsError::Twice { key: shortened(&key).to_owned() });
        }
        if pairs.len() == TAGS_MAX {
            return Err(TagsError::TooMany);
        }
        pairs.push((key, value));
        rest = tail.trim_start();
    }
    Ok(pairs)
}

/// A word as far as `ends` says, or what stands in quotes; and the rest.
fn word(text: &str, ends: impl Fn(char) -> bool) -> Result<(String, &str), TagsError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(ends).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut word = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((word, &quoted[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => word.push('\n'),
                Some((_, 't')) => word.push('\t'),
                Some((_, 'r')) => word.push('\r'),
                Some((_, escaped)) => word.push(escaped),
                None => return Err(TagsError::OpenQuote),
            },
            c => word.push(c),
        }
    }
    Err(TagsError::OpenQuote)
}

#[cfg(test)]
mod tests;

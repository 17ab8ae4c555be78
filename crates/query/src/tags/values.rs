//! A value as an editor is offered it, and a bounded set of them.

use std::cmp::Ordering;
use std::sync::Arc;

/// A value of an attribute.
#[derive(Clone, Debug)]
pub enum TagValue {
    String(Arc<str>),
    Bool(bool),
    Int(i64),
    Float(f64),
    DurationNanos(i64),
    /// A word of the language: `error`, `server`.
    Keyword(&'static str),
}

impl TagValue {
    /// As answers call it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::DurationNanos(_) => "duration",
            Self::Keyword(_) => "keyword",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Keyword(_) => 0,
            Self::String(_) => 1,
            Self::Bool(_) => 2,
            Self::Int(_) => 3,
            Self::Float(_) => 4,
            Self::DurationNanos(_) => 5,
        }
    }
}

impl Ord for TagValue {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::String(one), Self::String(other)) => one.cmp(other),
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Int(one), Self::Int(other))
            | (Self::DurationNanos(one), Self::DurationNanos(other)) => one.cmp(other),
            (Self::Float(one), Self::Float(other)) => one.total_cmp(other),
            (Self::Keyword(one), Self::Keyword(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for TagValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for TagValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for TagValue {}

//! A value as an editor is offered it, and a bounded set of them.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use suyuan_traceql::ast::{Kind, Status, Value};
use suyuan_traceql::print;

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

    /// What a literal of a query says; `None` for `nil`.
    pub(super) fn of_literal(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Nil => return None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            Value::DurationNanos(value) => Self::DurationNanos(*value),
            Value::String(text) => Self::String(text.clone()),
            Value::Status(status) => Self::Keyword(status_word(*status)),
            Value::Kind(kind) => Self::Keyword(kind_word(*kind)),
        })
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

/// Without quotes; floats and durations as the language prints them.
impl fmt::Display for TagValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Keyword(word) => f.write_str(word),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => f.write_str(&print::value(&Value::Float(*value))),
            Self::DurationNanos(value) => f.write_str(&print::value(&Value::DurationNanos(*value))),
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

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Error => "error",
        Status::Ok => "ok",
        Status::Unset => "unset",
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "unspecified",
        Kind::Internal => "internal",
        Kind::Server => "server",
        Kind::Client => "client",
        Kind::Producer => "producer",
        Kind::Consumer => "consumer",
    }
}

/// Values, each once, up to a number of bytes.
#[derive(Debug)]
pub(super) struct ValueSet {
    texts: HashSet<Arc<str>, RandomState>,
    /// All but texts.
    others: BTreeSet<TagValue>,
    bytes: usize,
    bytes_max: usize,
    is_cut: bool,
}

/// What a value counts for that is no text.
const VALUE_BYTES: usize = 8;

impl ValueSet {
    pub(super) fn new(bytes_max: usize) -> Self {
        let (texts, others) = (HashSet::default(), BTreeSet::new());
        Self { texts, others, bytes: 0, bytes_max, is_cut: false }
    }

    pub(super) fn add_text(&mut self, text: &str) {
        if !self.texts.contains(text) && self.has_room(text.len()) {
            self.texts.insert(text.into());
        }
    }

    pub(super) fn add(&mut self, value: TagValue) {
        match value {
            TagValue::String(text) => self.add_text(&text),
            _ if self.others.contains(&value) => {}
            _ if self.has_room(VALUE_BYTES) => {
                self.others.insert(value);
            }
            _ => {}
        }
    }

    /// Whether a value was refused: nothing more will be taken.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        self.is_cut |= self.bytes + bytes > self.bytes_max;
        self.bytes += bytes;
        !self.is_cut
    }

    /// The first values in order, and whether there were more.
    pub(super) fn finish(self, limit: usize) -> (Vec<TagValue>, bool) {
        let texts = self.texts.into_iter().map(TagValue::String);
        let mut values: Vec<TagValue> = texts.chain(self.others).collect();
        values.sort_unstable();
        let is_cut = self.is_cut || values.len() > limit;
        values.truncate(limit);
        (values, is_cut)
    }
}

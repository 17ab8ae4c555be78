//! Which names attributes have, and which values a name has: what an editor offers.
//!
//! In: a snapshot of the store and a request. Out: names by scope, or typed values, sorted. They
//! come from what is known without reading spans wherever that is enough: key directories, the
//! resources of a tenant, dictionaries; columns are read where it is not, and for requests with a
//! filter. The answers of tenants and machines merge. Never here: a protocol.
//!
//! A range of time chooses units (slices and live chunks), not spans: what is answered occurs in a
//! unit that has a trace in the range.

mod values;

use std::sync::Arc;

use suyuan_block::meta::TimeRange;
use suyuan_store::Snapshot;
use suyuan_traceql::ast::Attribute;
use suyuan_traceql::lenient::Alternatives;

use crate::search::{Accounting, Budget, QueryError};

pub use self::values::TagValue;

/// What a name belongs to, in the order of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagScope {
    Resource,
    Span,
    Event,
    Link,
    Instrumentation,
    /// What every span has: a fixed list.
    Intrinsic,
}

/// Which names are asked for.
#[derive(Clone, Debug)]
pub struct TagNamesRequest {
    /// `None`: all.
    pub scope: Option<TagScope>,
    /// `None`: any time.
    pub range: Option<TimeRange>,
    /// Names of spans that fulfil it, and of what they belong to.
    pub filter: Alternatives,
    /// Names of each scope.
    pub limit: usize,
    /// Of all names together; [`TAG_BYTES_MAX`] for clients of Tempo.
    pub bytes_max: usize,
}

/// Which values are asked for.
#[derive(Clone, Debug)]
pub struct TagValuesRequest {
    pub attribute: Attribute,
    /// `None`: any time.
    pub range: Option<TimeRange>,
    /// Values of spans that fulfil it.
    pub filter: Alternatives,
    pub limit: usize,
    /// Of all values together; [`TAG_BYTES_MAX`] for clients of Tempo.
    pub bytes_max: usize,
}

/// Bytes of names or values in an answer, as Tempo's `max_bytes_per_tag_values_query`.
pub const TAG_BYTES_MAX: usize = 1_000_000;
/// Names of a scope, or values, where a request does not say.
pub const TAG_LIMIT: usize = 100_000;

/// The names found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TagNames {
    /// Scopes that have names, in order; names ascend.
    pub scopes: Vec<(TagScope, Vec<Arc<str>>)>,
    /// There are more names than the request lets through.
    pub is_cut: bool,
    pub accounting: Accounting,
}

/// The values found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TagValues {
    /// Ascending: by type, then by value.
    pub values: Vec<TagValue>,
    /// There are more values than the request lets through.
    pub is_cut: bool,
    pub accounting: Accounting,
}

/// A tag of Tempo's first interface: a name without a scope, or one of a few old words.
#[derive(Clone, Debug, PartialEq)]
pub enum LegacyTag {
    Attribute(Attribute),
    /// `status.code`, `error`: always the same values.
    Fixed(&'static [&'static str]),
}

impl TagScope {
    /// As clients say it in `scope`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "resource" => Self::Resource,
            "span" => Self::Span,
            "event" => Self::Event,
            "link" => Self::Link,
            "instrumentation" => Self::Instrumentation,
            "intrinsic" => Self::Intrinsic,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Span => "span",
            Self::Event => "event",
            Self::Link => "link",
            Self::Instrumentation => "instrumentation",
            Self::Intrinsic => "intrinsic",
        }
    }
}

/// The names that attributes have. Reads files.
pub fn tag_names(
    snapshot: &Snapshot,
    request: &TagNamesRequest,
    budget: &Budget,
) -> Result<TagNames, QueryError> {
    todo!()
}

/// The values that an attribute has. Reads files.
pub fn tag_values(
    snapshot: &Snapshot,
    request: &TagValuesRequest,
    budget: &Budget,
) -> Result<TagValues, QueryError> {
    todo!()
}

/// What a tag of the first interface stands for; `tag` as it stands in the path, unescaped.
pub fn legacy_tag(tag: &str) -> LegacyTag {
    todo!()
}

impl TagNames {
    /// Both together, for questions about several tenants; `request` as both were asked.
    pub fn merge(self, other: Self, request: &TagNamesRequest) -> Self {
        todo!()
    }
}

impl TagValues {
    /// Both together, for questions about several tenants; `request` as both were asked.
    pub fn merge(self, other: Self, request: &TagValuesRequest) -> Self {
        todo!()
    }
}

//! Which names attributes have, and which values a name has: what an editor offers.
//!
//! In: a snapshot of the store and a request. Out: names by scope, or typed values, sorted. They
//! come from what is known without reading spans wherever that is enough: key directories, the
//! resources of a tenant, dictionaries; columns are read where it is not, and for requests with a
//! filter. The answers of tenants and machines merge. Never here: a protocol.
//!
//! A range of time chooses units (slices and live chunks), not spans: what is answered occurs in a
//! unit that has a trace in the range.

mod array;
mod matches;
mod names;
mod part;
mod scan;
mod values;

use std::sync::Arc;

use suyuan_block::meta::TimeRange;
use suyuan_store::Snapshot;
use suyuan_traceql::ast::{Attribute, AttributeScope, FieldExpr, FieldOp, Intrinsic};
use suyuan_traceql::lenient::{Alternatives, Matcher, conjunction, disjunction};

use self::matches::GatherValues;
use self::names::NameSets;
use self::part::Part;
use self::scan::TagScan;
use self::values::ValueSet;
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
    /// Traces have no attributes of their own: there are no names.
    Trace,
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

/// The names of a scope, ascending.
pub type ScopeNames = (TagScope, Vec<Arc<str>>);

/// The names found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TagNames {
    /// Scopes that have names, in order; names ascend.
    pub scopes: Vec<ScopeNames>,
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
    pub const ALL: [Self; 7] = [
        Self::Resource,
        Self::Span,
        Self::Event,
        Self::Link,
        Self::Instrumentation,
        Self::Trace,
        Self::Intrinsic,
    ];

    /// As clients say it in `scope`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "resource" => Self::Resource,
            "span" => Self::Span,
            "event" => Self::Event,
            "link" => Self::Link,
            "instrumentation" => Self::Instrumentation,
            "trace" => Self::Trace,
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
            Self::Trace => "trace",
            Self::Intrinsic => "intrinsic",
        }
    }
}

/// The names that attributes have. Reads files.
pub fn tag_names(
    snapshot: &Arc<Snapshot>,
    request: &TagNamesRequest,
    budget: &Budget,
) -> Result<TagNames, QueryError> {
    let mut found = NameSets::new(request);
    let mut accounting = Accounting::default();
    if found.asks_units() {
        let mut scan = TagScan::new(snapshot, request.range, budget)?;
        match request.filter.expr() {
            None => names::from_keys(&mut scan, &mut found)?,
            Some(filter) => names::of_spans(&mut scan, &filter, &mut found)?,
        }
        accounting = scan.finish();
    }
    let (scopes, is_cut) = found.finish(request);
    Ok(TagNames { scopes, is_cut, accounting })
}

/// The values that an attribute has. Reads files.
pub fn tag_values(
    snapshot: &Arc<Snapshot>,
    request: &TagValuesRequest,
    budget: &Budget,
) -> Result<TagValues, QueryError> {
    if let Some(words) = fixed_values(&request.attribute) {
        let mut values: Vec<TagValue> = words.iter().map(|word| TagValue::Keyword(word)).collect();
        let is_cut = values.len() > request.limit;
        values.truncate(request.limit);
        return Ok(TagValues { values, is_cut, ..TagValues::default() });
    }
    let mut values = ValueSet::new(request.bytes_max);
    let mut accounting = Accounting::default();
    let parts = Part::all_of(&request.attribute);
    let asked = Asked::of(&request.filter, &request.attribute, &mut values);
    if !parts.is_empty() && asked != Asked::Nothing {
        let mut scan = TagScan::new(snapshot, request.range, budget)?;
        for part in &parts {
            match &asked {
                Asked::Spans(filter) => {
                    scan.gather(filter, &mut GatherValues { part, values: &mut values })?;
                }
                _ => scan.values(part, &mut values)?,
            }
        }
        accounting = scan.finish();
    }
    let (values, is_cut) = values.finish(request.limit);
    Ok(TagValues { values, is_cut, accounting })
}

/// What is left to look for.
#[derive(Debug, PartialEq)]
enum Asked {
    Everything,
    Spans(FieldExpr),
    Nothing,
}

impl Asked {
    /// Whoever asks for the values of what the filter itself fixes by `=` is told that value, be
    /// there such spans or not: a user who corrects a word must find it in the list.
    fn of(filter: &Alternatives, attribute: &Attribute, values: &mut ValueSet) -> Self {
        let Some(all) = filter.expr() else { return Self::Everything };
        let n_groups = filter.groups().len();
        let mut others = Vec::new();
        for group in filter.groups() {
            let fixed = group.iter().filter_map(|condition| Matcher::of(condition)).find_map(|m| {
                let is_it = m.attribute == attribute && m.op == FieldOp::Equal;
                is_it.then(|| TagValue::of_literal(m.value)).flatten()
            });
            match fixed {
                Some(value) => values.add(value),
                None => others.extend(conjunction(group)),
            }
        }
        if others.len() == n_groups {
            return Self::Spans(all);
        }
        disjunction(others).map_or(Self::Nothing, Self::Spans)
    }
}

/// The values of attributes that have the same ones everywhere.
fn fixed_values(attribute: &Attribute) -> Option<&'static [&'static str]> {
    match attribute {
        Attribute::Intrinsic(Intrinsic::Status) => Some(&["error", "ok", "unset"]),
        Attribute::Intrinsic(Intrinsic::Kind) => {
            Some(&["client", "consumer", "internal", "producer", "server", "unspecified"])
        }
        _ => None,
    }
}

/// What a tag of the first interface stands for; `tag` as it stands in the path, unescaped.
pub fn legacy_tag(tag: &str) -> LegacyTag {
    let intrinsic = |intrinsic| LegacyTag::Attribute(Attribute::Intrinsic(intrinsic));
    match tag {
        "status.code" => LegacyTag::Fixed(&["error", "ok", "unset"]),
        "error" => LegacyTag::Fixed(&["true"]),
        "name" => intrinsic(Intrinsic::Name),
        "root.name" => intrinsic(Intrinsic::TraceRootName),
        "root.service.name" => intrinsic(Intrinsic::TraceRootService),
        _ => {
            LegacyTag::Attribute(Attribute::Named { scope: AttributeScope::Any, name: tag.into() })
        }
    }
}

impl TagNames {
    /// Both together, for questions about several tenants; `request` as both were asked.
    pub fn merge(mut self, other: Self, request: &TagNamesRequest) -> Self {
        let mut sets = NameSets::new(request);
        let is_cut = self.is_cut || other.is_cut;
        for (scope, names) in self.scopes.iter().chain(&other.scopes) {
            names.iter().for_each(|name| sets.add(*scope, name));
        }
        let (scopes, is_more) = sets.finish(request);
        self.accounting.add(other.accounting);
        Self { scopes, is_cut: is_cut || is_more, accounting: self.accounting }
    }
}

impl TagValues {
    /// Both together, for questions about several tenants; `request` as both were asked.
    pub fn merge(mut self, other: Self, request: &TagValuesRequest) -> Self {
        let mut values = ValueSet::new(request.bytes_max);
        let is_cut = self.is_cut || other.is_cut;
        self.values.into_iter().chain(other.values).for_each(|value| values.add(value));
        let (values, is_more) = values.finish(request.limit);
        self.accounting.add(other.accounting);
        Self { values, is_cut: is_cut || is_more, accounting: self.accounting }
    }
}

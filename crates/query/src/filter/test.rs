//! One attribute against constants, column by column.
//!
//! In: a batch, the rows asked for, what is known of traces. Out: the rows that pass. The answers
//! are those of [`Check::holds`] for each row's value.

use std::sync::Arc;

use suyuan_model::{
    AttributeColumn, AttributeTable, Chunk, Resources, Scopes, Strings, Values as ColumnValues,
};
use suyuan_traceql::ast::{Attribute, AttributeScope, Intrinsic};

use super::kernel::{Positions, select, select_floats, select_slowly, select_whole};
use super::look::Look;
use super::matcher::Matcher;
use super::one_of::{OneOf, has_float, id_number};
use super::row;
use super::rows::RowSet;
use super::scalar::{Comparison, Number, Scalar};
use super::source::SourceState;
use super::texts::{TextTest, select_texts};

#[derive(Clone, Debug)]
pub(super) struct Test {
    /// Its own in the filter: what dictionaries and resources say is remembered by it.
    pub(super) number: u32,
    pub(super) of: Attribute,
    pub(super) check: Check,
}

#[derive(Clone, Debug)]
pub(super) enum Check {
    IsNil(bool),
    Is(bool),
    Compare(Comparison, Scalar<'static>),
    OneOf(OneOf),
    Matches { matcher: Arc<Matcher>, is_negated: bool },
}

impl Check {
    pub(super) fn holds(&self, value: &Scalar<'_>) -> bool {
        match self {
            Self::IsNil(expected) => value.is_nil(*expected),
            Self::Is(expected) => value.is(*expected),
            Self::Compare(comparison, other) => value.compare(*comparison, other),
            Self::OneOf(list) => list.has(value),
            Self::Matches { matcher, is_negated } => value.matches(matcher, *is_negated),
        }
    }

    /// The same for texts, if one can hold.
    fn of_text(&self) -> Option<TextTest<'_>> {
        match self {
            Self::Compare(comparison, Scalar::Text(text)) => {
                Some(TextTest::Compare(*comparison, text))
            }
            Self::Matches { matcher, is_negated } => {
                Some(TextTest::Matches { matcher, is_negated: *is_negated })
            }
            _ => None,
        }
    }

    /// The same for numbers, if one can hold.
    fn of_number(&self) -> Option<(Comparison, Number)> {
        match self {
            Self::Compare(comparison, other) => Some((*comparison, other.number()?)),
            _ => None,
        }
    }
}

/// What rows may do, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Possible {
    pub(super) pass: bool,
    pub(super) fail: bool,
}

/// The rows of a table that have an attribute which passes, and those that have it at all.
struct Found {
    passes: RowSet,
    has: RowSet,
}

impl Test {
    /// The rows of `within` that pass; without what must be known of traces all of them or none.
    pub(super) fn rows(
        &self,
        within: &RowSet,
        look: &Look<'_>,
        source: &mut SourceState,
    ) -> RowSet {
        let chunk = &*look.batch.chunk;
        match &self.of {
            Attribute::Named { scope, name } => match scope {
                AttributeScope::Span => self.named(&chunk.attributes, name, within, source),
                AttributeScope::Event => self.named(&chunk.events.attributes, name, within, source),
                AttributeScope::Link => self.named(&chunk.links.attributes, name, within, source),
                AttributeScope::Resource => self.by_resource(within, chunk, name, source),
                AttributeScope::Instrumentation => self.by_scope(within, chunk, source),
                AttributeScope::Any => {
                    let found = self.attributes(&chunk.attributes, name, within, source);
                    let mut others = within.clone();
                    others.subtract(&found.has);
                    let mut rows = found.passes;
                    if !others.is_empty() {
                        rows.unite(&self.by_resource(&others, chunk, name, source));
                    }
                    rows
                }
            },
            Attribute::Intrinsic(intrinsic) => self.intrinsic(*intrinsic, within, look, source),
            Attribute::Parent { .. } => self.all_or_none(within, &Scalar::Nil),
        }
    }

    /// Where it stands among others: what reading the column costs counts most, then how many rows
    /// it is likely to leave. Without a unit, so for the usual: texts in dictionaries, which may
    /// rule out a whole slice, numbers in eight bytes, ids that nothing makes smaller.
    pub(super) fn cost(&self) -> u32 {
        let to_read = match &self.of {
            Attribute::Named { scope: AttributeScope::Resource, .. } => 1,
            Attribute::Named { scope: AttributeScope::Instrumentation, .. } => 2,
            Attribute::Named { scope: AttributeScope::Any, .. } => 7,
            Attribute::Named { .. } => 6,
            Attribute::Intrinsic(Intrinsic::Name | Intrinsic::EventName) => 4,
            Attribute::Intrinsic(Intrinsic::Duration | Intrinsic::EventTimeSinceStart) => 10,
            Attribute::Intrinsic(Intrinsic::TraceId | Intrinsic::SpanId) => 15,
            _ => 2,
        };
        to_read
            + match &self.check {
                Check::Compare(Comparison::Equal, _) | Check::OneOf(_) | Check::Is(_) => 0,
                Check::Matches { is_negated: false, matcher } => match **matcher {
                    Matcher::Regex { .. } => 3,
                    _ => 1,
                },
                Check::Compare(Comparison::NotEqual, _) | Check::IsNil(_) => 3,
                Check::Compare(..) => 2,
                Check::Matches { is_negated: true, .. } => 5,
            }
    }

    fn all_or_none(&self, within: &RowSet, value: &Scalar<'_>) -> RowSet {
        match self.check.holds(value) {
            true => within.clone(),
            false => RowSet::none(within.n_rows()),
        }
    }

    fn named(
        &self,
        table: &AttributeTable,
        key: &str,
        within: &RowSet,
        source: &mut SourceState,
    ) -> RowSet {
        if !self.check.holds(&Scalar::Nil) {
            return self.passing(table, key, within, source);
        }
        let found = self.attributes(table, key, within, source);
        let mut rows = within.clone();
        rows.subtract(&found.has);
        rows.unite(&found.passes);
        rows
    }

    /// [`Self::attributes`] where only those that pass are wanted.
    fn passing(
        &self,
        table: &AttributeTable,
        key: &str,
        within: &RowSet,
        source: &mut SourceState,
    ) -> RowSet {
        let mut of_key = table.columns.iter().filter(|column| &*column.key == key);
        match (of_key.next(), of_key.next()) {
            (None, _) => RowSet::none(within.n_rows()),
            (Some(only), None) => {
                let positions = Positions::of(&only.rows, within.n_rows());
                self.column(only, positions, within, source)
            }
            _ => self.attributes(table, key, within, source).passes,
        }
    }

    /// Of several types that a row has, the one that stands first in `ValueType` decides.
    fn attributes(
        &self,
        table: &AttributeTable,
        key: &str,
        within: &RowSet,
        source: &mut SourceState,
    ) -> Found {
        let n_rows = within.n_rows();
        let mut columns: Vec<&AttributeColumn> =
            table.columns.iter().filter(|column| &*column.key == key).collect();
        columns.sort_by_key(|column| column.value_type);
        let mut found = Found { passes: RowSet::none(n_rows), has: RowSet::none(n_rows) };
        let mut undecided = within.clone();
        for column in columns {
            let positions = Positions::of(&column.rows, n_rows);
            found.passes.unite(&self.column(column, positions, &undecided, source));
            let has = positions.rows(n_rows);
            undecided.subtract(&has);
            found.has.unite(&has);
        }
        found
    }

    fn column(
        &self,
        column: &AttributeColumn,
        positions: Positions<'_>,
        within: &RowSet,
        source: &mut SourceState,
    ) -> RowSet {
        let none = || RowSet::none(within.n_rows());
        match (&column.values, &self.check) {
            (_, Check::IsNil(is_nil)) => {
                if *is_nil {
                    return none();
                }
                let mut rows = positions.rows(within.n_rows());
                rows.intersect(within);
                rows
            }
            (ColumnValues::String(strings), check) => match check.of_text() {
                Some(test) => select_texts(strings, positions, within, test, self.number, source),
                None => none(),
            },
            (ColumnValues::Int(values), Check::OneOf(OneOf::Numbers(numbers))) => {
                let has = |value| numbers.binary_search(&value).is_ok();
                select(values.values(), positions, within, has)
            }
            (ColumnValues::Double(values), Check::OneOf(OneOf::Numbers(numbers))) => {
                let has = |value| has_float(numbers, value);
                select(values.values(), positions, within, has)
            }
            (ColumnValues::Int(values), check) => match check.of_number() {
                Some((comparison, number)) => {
                    select_whole(values.values(), positions, within, comparison, number)
                }
                None => none(),
            },
            (ColumnValues::Double(values), check) => match check.of_number() {
                Some((comparison, number)) => {
                    let number = number.as_float();
                    select_floats(values.values(), |v| v, positions, within, comparison, number)
                }
                None => none(),
            },
            _ => select_slowly(positions, within, |position| {
                self.check.holds(&Scalar::of_value(column.value(position)))
            }),
        }
    }

    fn by_resource(
        &self,
        within: &RowSet,
        chunk: &Chunk,
        name: &str,
        source: &mut SourceState,
    ) -> RowSet {
        let of_resource = self.of_resources(&chunk.resources, name, source);
        by_number(chunk.resource.values(), within, of_resource)
    }

    fn by_scope(&self, within: &RowSet, chunk: &Chunk, source: &mut SourceState) -> RowSet {
        let of_scope = self.of_scopes(&chunk.scopes, source);
        by_number(chunk.scope.values(), within, of_scope)
    }

    fn of_resources<'a>(
        &self,
        resources: &Resources,
        name: &str,
        source: &'a mut SourceState,
    ) -> &'a [bool] {
        source.resources(resources, self.number, |number| {
            self.check.holds(&row::resource_value(resources, number, name))
        })
    }

    fn of_scopes<'a>(&self, scopes: &Scopes, source: &'a mut SourceState) -> &'a [bool] {
        source.scopes(scopes, self.number, |number| {
            self.check.holds(&row::scope_value(scopes, number, &self.of))
        })
    }

    /// Whether a span of these resources and scopes can pass, and whether one can fail to.
    pub(super) fn possible(
        &self,
        resources: &Resources,
        scopes: &Scopes,
        source: &mut SourceState,
    ) -> Possible {
        let answers = match &self.of {
            Attribute::Named { scope: AttributeScope::Resource, name } => {
                self.of_resources(resources, name, source)
            }
            Attribute::Named { scope: AttributeScope::Instrumentation, .. }
            | Attribute::Intrinsic(
                Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion,
            ) => self.of_scopes(scopes, source),
            _ => return Possible { pass: true, fail: true },
        };
        Possible { pass: answers.contains(&true), fail: answers.contains(&false) }
    }

    fn intrinsic(
        &self,
        intrinsic: Intrinsic,
        within: &RowSet,
        look: &Look<'_>,
        source: &mut SourceState,
    ) -> RowSet {
        let batch = look.batch;
        let chunk = &*batch.chunk;
        match intrinsic {
            Intrinsic::Name => self.texts(&chunk.name, within, source),
            Intrinsic::EventName => self.texts(&chunk.events.name, within, source),
            Intrinsic::StatusMessage => self.status_message(within, chunk, source),
            Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion => {
                self.by_scope(within, chunk, source)
            }
            Intrinsic::Duration => match (self.check.of_number(), &batch.duration_nanos) {
                (Some((comparison, number)), Some(durations)) => {
                    select_whole(durations, Positions::Dense, within, comparison, number)
                }
                _ => self.slowly(within, |row| Scalar::Nanos(batch.duration_nanos(row))),
            },
            Intrinsic::Status => match &self.check {
                Check::Compare(comparison @ Comparison::Equal, Scalar::Status(status))
                | Check::Compare(comparison @ Comparison::NotEqual, Scalar::Status(status)) => {
                    let is_equal = *comparison == Comparison::Equal;
                    let codes = chunk.status_code.values();
                    select(codes, Positions::Dense, within, |code| (code == *status) == is_equal)
                }
                _ => self.slowly(within, |row| Scalar::Status(codes_at(&chunk.status_code, row))),
            },
            Intrinsic::Kind => match &self.check {
                Check::Compare(comparison @ Comparison::Equal, Scalar::Kind(kind))
                | Check::Compare(comparison @ Comparison::NotEqual, Scalar::Kind(kind)) => {
                    let is_equal = *comparison == Comparison::Equal;
                    let kinds = chunk.kind.values();
                    select(kinds, Positions::Dense, within, |code| (code == *kind) == is_equal)
                }
                _ => self.slowly(within, |row| Scalar::Kind(codes_at(&chunk.kind, row))),
            },
            Intrinsic::SpanId => self.span_ids(within, chunk),
            Intrinsic::TraceId => self.trace_ids(within, chunk),
            _ => self.by_value(intrinsic, within, look),
        }
    }

    /// Whatever has no column of its own shape: row by row, if it can be known.
    fn by_value(&self, intrinsic: Intrinsic, within: &RowSet, look: &Look<'_>) -> RowSet {
        if !look.knows(intrinsic) {
            return look.unknown(within);
        }
        let mut rows = RowSet::none(within.n_rows());
        for row in within.iter() {
            if self.check.holds(&look.row(row).intrinsic(intrinsic)) {
                rows.insert(row);
            }
        }
        rows
    }

    fn slowly<'a>(&self, within: &RowSet, value: impl Fn(u32) -> Scalar<'a>) -> RowSet {
        select_slowly(Positions::Dense, within, |row| self.check.holds(&value(row as u32)))
    }

    fn texts(&self, strings: &Strings, within: &RowSet, source: &mut SourceState) -> RowSet {
        match (self.check.of_text(), &self.check) {
            (Some(test), _) => {
                select_texts(strings, Positions::Dense, within, test, self.number, source)
            }
            (None, check) => match check.holds(&Scalar::text("")) {
                // Only what asks whether it is there.
                true => within.clone(),
                false => RowSet::none(within.n_rows()),
            },
        }
    }

    /// A span without a message has an empty one.
    fn status_message(&self, within: &RowSet, chunk: &Chunk, source: &mut SourceState) -> RowSet {
        let messages = &chunk.status_message;
        let Some(test) = self.check.of_text() else {
            return self.all_or_none(within, &Scalar::text(""));
        };
        let positions = Positions::of(&messages.rows, within.n_rows());
        let mut rows = select_texts(&messages.values, positions, within, test, self.number, source);
        if test.passes("") {
            let mut others = within.clone();
            others.subtract(&positions.rows(within.n_rows()));
            rows.unite(&others);
        }
        rows
    }

    fn span_ids(&self, within: &RowSet, chunk: &Chunk) -> RowSet {
        let ids = chunk.span_id.values();
        match self.of_id() {
            Some(IdTest::Compare(comparison, number)) => {
                select(ids, Positions::Dense, within, |id| {
                    comparison.accepts(u128::from(id).cmp(&number))
                })
            }
            Some(IdTest::OneOf(list)) => select(ids, Positions::Dense, within, |id| {
                list.binary_search(&u128::from(id)).is_ok()
            }),
            None => self.slowly(within, |row| Scalar::Id(row::span_digits(ids[row as usize]))),
        }
    }

    fn trace_ids(&self, within: &RowSet, chunk: &Chunk) -> RowSet {
        let id = |row: u32| {
            let bytes = chunk.trace_id.value(row as usize);
            u128::from_be_bytes(bytes.try_into().expect("trace ids are arrays of 16 bytes"))
        };
        match self.of_id() {
            Some(test) => select_slowly(Positions::Dense, within, |row| match test {
                IdTest::Compare(comparison, number) => {
                    comparison.accepts(id(row as u32).cmp(&number))
                }
                IdTest::OneOf(list) => list.binary_search(&id(row as u32)).is_ok(),
            }),
            None => self.slowly(within, |row| Scalar::Id(row::trace_digits(id(row)))),
        }
    }

    /// The same for ids as numbers, if the texts are some.
    fn of_id(&self) -> Option<IdTest<'_>> {
        match &self.check {
            Check::Compare(comparison, Scalar::Text(text)) => {
                Some(IdTest::Compare(*comparison, id_number(text)?))
            }
            Check::OneOf(OneOf::Ids(list)) => Some(IdTest::OneOf(list)),
            _ => None,
        }
    }
}

/// A test of an id as a number.
#[derive(Clone, Copy)]
enum IdTest<'a> {
    Compare(Comparison, u128),
    OneOf(&'a [u128]),
}

fn codes_at(codes: &arrow_array::Int32Array, row: u32) -> i32 {
    codes.value(row as usize)
}

/// Rows by the number of their resource or scope; most often one passes, or none.
fn by_number(numbers: &[u32], within: &RowSet, passes: &[bool]) -> RowSet {
    let mut passing = (0..).zip(passes).filter(|(_, passes)| **passes).map(|(number, _)| number);
    let (first, second): (Option<u32>, Option<u32>) = (passing.next(), passing.next());
    match (first, second) {
        (None, _) => RowSet::none(within.n_rows()),
        (Some(only), None) => select(numbers, Positions::Dense, within, |number| number == only),
        _ => select(numbers, Positions::Dense, within, |number| {
            passes.get(number as usize).copied().unwrap_or_default()
        }),
    }
}

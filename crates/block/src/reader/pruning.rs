//! What a slice cannot hold, told without reading its data: by keys, bloom filters, bounds of pages
//! and dictionaries.
//!
//! In: a value that rows must have, or bounds between which it must lie. Out: whether there may be
//! such rows, and in which pages. A yes promises nothing; a no is certain. Never here: the rows.

use std::ops::Range;

use suyuan_ids::TraceId;
use suyuan_model::ValueType;
use suyuan_objects::ReadMeter;

use super::{BlockReader, OpenFile, ReadError};
use crate::column::Values;
use crate::directory::Presence;
use crate::file::read::NumberBounds;
use crate::layout::{Place, Scope, attribute_column_name};

/// A value that a span must have exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Probe<'a> {
    SpanText { key: &'a str, text: &'a str },
    SpanInt { key: &'a str, value: i64 },
    SpanDouble { key: &'a str, value: f64 },
    SpanBool { key: &'a str, value: bool },
    Name(&'a str),
    TraceId(TraceId),
}

/// Bounds, both included, between which a span's value must lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Between<'a> {
    SpanInt { key: &'a str, min: i64, max: i64 },
    SpanDouble { key: &'a str, min: f64, max: f64 },
    DurationNanos { min: i64, max: i64 },
    StartUnixNanos { min: i64, max: i64 },
    TraceId { min: TraceId, max: TraceId },
}

/// Where values of a key and type lie, if a tenant has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// No span, event, … of the tenant has it.
    Absent,
    /// In a column of their own.
    Column { has_bloom: bool },
    /// Among others: the key directory may not even know whether there are any.
    Mixed,
}

/// A text of every span that a dictionary may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextOf<'a> {
    Name,
    SpanKey(&'a str),
}

impl BlockReader {
    /// Where a key and type of a scope lies. Nothing is read.
    pub fn key_place(
        &self,
        tenant: u32,
        scope: Scope,
        key: &str,
        value_type: ValueType,
    ) -> KeyPlace {
        let keys = &self.meta.keys;
        let entry = match keys.may_have(tenant, scope, key, value_type) {
            Presence::Absent => return KeyPlace::Absent,
            Presence::Listed(entry) => Some(entry),
            Presence::Maybe => keys.entry(scope, key, value_type),
        };
        match entry.map(|entry| entry.place) {
            Some(Place::Column { has_bloom }) => KeyPlace::Column { has_bloom },
            Some(Place::Overflow | Place::List) | None => KeyPlace::Mixed,
        }
    }

    /// False: no row of the tenant in the slice has the value. Of a key that a row has twice with
    /// one type the first value counts. Filters, bounds and dictionaries are read once and kept.
    pub fn may_contain(
        &self,
        tenant: u32,
        slice: u32,
        probe: &Probe<'_>,
        meter: &ReadMeter,
    ) -> Result<bool, ReadError> {
        let spans = self.spans_metered(meter)?;
        let key_column = |key, value_type| self.key_column(&spans, tenant, slice, key, value_type);
        match *probe {
            Probe::Name(name) => {
                self.may_hold_text(&spans, slice, spans.column("name")?, name, meter)
            }
            Probe::SpanText { key, text } => match key_column(key, ValueType::String)? {
                KeyColumn::Nowhere => Ok(false),
                KeyColumn::Unknown => Ok(true),
                KeyColumn::Column(column) => self.may_hold_text(&spans, slice, column, text, meter),
            },
            Probe::SpanInt { key, value } => match key_column(key, ValueType::Int)? {
                KeyColumn::Nowhere => Ok(false),
                KeyColumn::Unknown => Ok(true),
                KeyColumn::Column(column) => {
                    let rows = self.slice_rows(tenant, slice)?;
                    self.may_hold_int(&spans, (slice, column), &rows, value, meter)
                }
            },
            Probe::SpanDouble { key, value } => {
                let between = Between::SpanDouble { key, min: value, max: value };
                Ok(!self.page_candidates(tenant, slice, &between, meter)?.is_empty())
            }
            Probe::SpanBool { key, value } => match key_column(key, ValueType::Bool)? {
                KeyColumn::Nowhere => Ok(false),
                KeyColumn::Unknown => Ok(true),
                KeyColumn::Column(column) => {
                    let bounds = spans.file.chunk_bounds(slice as usize, column);
                    let wanted = u64::from(value);
                    Ok(bounds.is_none_or(|[min, max]| min <= wanted && wanted <= max))
                }
            },
            Probe::TraceId(id) => {
                let (group, column) = (slice as usize, spans.column("trace_id")?);
                if !spans.file.may_contain(group, column, id.as_bytes(), meter)? {
                    return Ok(false);
                }
                let between = Between::TraceId { min: id, max: id };
                Ok(!self.page_candidates(tenant, slice, &between, meter)?.is_empty())
            }
        }
    }

    /// The tenant's rows of a slice among which all those are whose value lies between the bounds:
    /// whole pages, ascending, apart. Empty: there are none.
    ///
    /// Bounds of pages are exact: values of these kinds are never cut short. NaN lies between no
    /// two numbers. Where a file does not say bounds, or a key has no column, all rows remain.
    pub fn page_candidates(
        &self,
        tenant: u32,
        slice: u32,
        between: &Between<'_>,
        meter: &ReadMeter,
    ) -> Result<Vec<Range<u32>>, ReadError> {
        let rows = self.slice_rows(tenant, slice)?;
        let spans = self.spans_metered(meter)?;
        let group = slice as usize;
        let key_column = |key, value_type| self.key_column(&spans, tenant, slice, key, value_type);
        let (column, test) = match *between {
            Between::TraceId { min, max } => {
                let ids = (min.as_bytes(), max.as_bytes());
                let column = spans.column("trace_id")?;
                let rows = spans.file.rows_between_ids(group, column, &rows, ids)?;
                return Ok(if rows.is_empty() { Vec::new() } else { vec![rows] });
            }
            Between::DurationNanos { min, max } => {
                let column = KeyColumn::Column(spans.column("duration_nanos")?);
                (column, Test::Ints(min, max))
            }
            Between::StartUnixNanos { min, max } => {
                let column = KeyColumn::Column(spans.column("start_unix_nanos")?);
                (column, Test::Ints(min, max))
            }
            Between::SpanInt { key, min, max } => {
                (key_column(key, ValueType::Int)?, Test::Ints(min, max))
            }
            Between::SpanDouble { key, min, max } => {
                (key_column(key, ValueType::Double)?, Test::Doubles(min, max))
            }
        };
        match column {
            KeyColumn::Nowhere => Ok(Vec::new()),
            KeyColumn::Unknown => Ok(vec![rows]),
            KeyColumn::Column(column) => {
                let may_hold = |bounds| test.may_hold(bounds);
                Ok(spans.file.rows_where(group, column, &rows, meter, may_hold)?)
            }
        }
    }

    /// Visits each text of spans in the slice once, in no order, if dictionaries alone tell them.
    /// False: they do not, and nothing was visited. That is so where other tenants have rows in the
    /// slice, where a page holds texts and no codes, and where the key is or may be in a list.
    pub fn dictionary_texts(
        &self,
        tenant: u32,
        slice: u32,
        of: TextOf<'_>,
        meter: &ReadMeter,
        visit: &mut dyn FnMut(&str),
    ) -> Result<bool, ReadError> {
        if self.range(tenant, slice)?.n_rows != self.slice_meta(slice)?.n_rows {
            return Ok(false);
        }
        let spans = self.spans_metered(meter)?;
        let column = match of {
            TextOf::Name => spans.column("name")?,
            TextOf::SpanKey(key) => {
                match self.key_column(&spans, tenant, slice, key, ValueType::String)? {
                    KeyColumn::Nowhere => return Ok(true),
                    KeyColumn::Unknown => return Ok(false),
                    KeyColumn::Column(column) => column,
                }
            }
        };
        let values = spans.file.distinct_values(slice as usize, column, meter)?;
        let Some(Values::Text(texts)) = values.as_deref() else { return Ok(false) };
        (0..texts.len()).for_each(|place| visit(texts.value(place)));
        Ok(true)
    }

    /// Where a slice has the values of a key and type of spans.
    fn key_column(
        &self,
        spans: &OpenFile,
        tenant: u32,
        slice: u32,
        key: &str,
        value_type: ValueType,
    ) -> Result<KeyColumn, ReadError> {
        let is_null = |column: &usize| spans.file.is_null(slice as usize, *column);
        match self.key_place(tenant, Scope::Span, key, value_type) {
            KeyPlace::Absent => Ok(KeyColumn::Nowhere),
            KeyPlace::Column { .. } => {
                let column = spans.column(&attribute_column_name(key, value_type))?;
                Ok(if is_null(&column) { KeyColumn::Nowhere } else { KeyColumn::Column(column) })
            }
            KeyPlace::Mixed => {
                let column = self.shared_column(&spans.file, key);
                let has_some = column.is_some_and(|column| !is_null(&column));
                Ok(if has_some { KeyColumn::Unknown } else { KeyColumn::Nowhere })
            }
        }
    }

    fn may_hold_text(
        &self,
        spans: &OpenFile,
        slice: u32,
        column: usize,
        text: &str,
        meter: &ReadMeter,
    ) -> Result<bool, ReadError> {
        let group = slice as usize;
        if !spans.file.may_contain(group, column, text.as_bytes(), meter)? {
            return Ok(false);
        }
        let values = spans.file.distinct_values(group, column, meter)?;
        let Some(Values::Text(texts)) = values.as_deref() else { return Ok(true) };
        Ok((0..texts.len()).any(|place| texts.value(place) == text))
    }

    fn may_hold_int(
        &self,
        spans: &OpenFile,
        (slice, column): (u32, usize),
        rows: &Range<u32>,
        value: i64,
        meter: &ReadMeter,
    ) -> Result<bool, ReadError> {
        let group = slice as usize;
        let test = Test::Ints(value, value);
        let of_chunk = spans.file.chunk_bounds(group, column);
        if of_chunk.is_some_and(|bounds| !test.may_hold(bounds))
            || !spans.file.may_contain(group, column, &value.to_le_bytes(), meter)?
        {
            return Ok(false);
        }
        let values = spans.file.distinct_values(group, column, meter)?;
        if let Some(Values::I64(numbers)) = values.as_deref() {
            return Ok(numbers.contains(&value));
        }
        let pages =
            spans.file.rows_where(group, column, rows, meter, |bounds| test.may_hold(bounds))?;
        Ok(!pages.is_empty())
    }
}

/// Where a slice has the values of a key and type.
enum KeyColumn {
    /// No row has it.
    Nowhere,
    /// In a list with others, or not at all.
    Unknown,
    Column(usize),
}

/// What bounds of pages are held against.
#[derive(Clone, Copy)]
enum Test {
    Ints(i64, i64),
    Doubles(f64, f64),
}

impl Test {
    fn may_hold(self, [page_min, page_max]: NumberBounds) -> bool {
        match self {
            Self::Ints(min, max) => page_min.cast_signed() <= max && min <= page_max.cast_signed(),
            Self::Doubles(min, max) => {
                let (page_min, page_max) = (f64::from_bits(page_min), f64::from_bits(page_max));
                // A bound that is NaN says nothing of the other values.
                (page_min <= max || page_min.is_nan()) && (min <= page_max || page_max.is_nan())
            }
        }
    }
}

//! What a slice cannot hold, told without reading its data: by keys, bloom filters, bounds of pages
//! and dictionaries.
//!
//! In: a value that rows must have, or bounds between which it must lie. Out: whether there may be
//! such rows, and in which pages. A yes promises nothing; a no is certain. Never here: the rows.

use std::ops::Range;

use suyuan_ids::TraceId;
use suyuan_model::ValueType;
use suyuan_objects::ReadMeter;

use super::{BlockReader, ReadError};
use crate::directory::Presence;
use crate::layout::{Place, Scope};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let _ = (tenant, slice, probe, meter);
        todo!()
    }

    /// The tenant's rows of a slice among which all those are whose value lies between the bounds:
    /// whole pages, ascending, apart. Empty: there are none.
    ///
    /// Bounds of pages are exact: none of the kinds here is cut short. A page of doubles whose
    /// bounds are unknown, since it holds nothing but NaN, holds no number between any two.
    pub fn page_candidates(
        &self,
        tenant: u32,
        slice: u32,
        between: &Between<'_>,
        meter: &ReadMeter,
    ) -> Result<Vec<Range<u32>>, ReadError> {
        let _ = (tenant, slice, between, meter);
        todo!()
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
        let _ = (tenant, slice, of, meter, visit);
        todo!()
    }
}

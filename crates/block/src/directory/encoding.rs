//! The key directory as protobuf, inside a block's meta.

use std::collections::HashSet;
use std::sync::Arc;

use suyuan_model::ValueType;
use suyuan_wire::protobuf::Writer;

use super::{ENTRIES_MAX, KeyDirectory, TENANT_RUNS_MAX, TenantSet, UNLISTED_BYTES_MAX};
use crate::layout::{KeyEntry, LISTED_KEY_BYTES_MAX, Place, Scope};
use crate::meta::MetaError;
use crate::meta::check::demand;
use crate::meta::fields::{MetaField, each_field};

impl KeyDirectory {
    pub(crate) fn write(&self, w: &mut Writer) {
        for (index, entry) in self.entries.iter().enumerate() {
            w.message(1, |w| {
                w.varint(1, entry.scope as u64);
                w.bytes(2, entry.key.as_bytes());
                w.varint(3, entry.value_type as u64);
                w.varint(4, entry.count);
                w.varint(5, place_number(entry.place));
                if let Some(tenants) = &self.tenants {
                    write_tenants(w, &tenants[index]);
                }
            });
        }
        if self.tenants.is_some() {
            w.varint(2, 1);
        }
        if !self.unlisted.is_empty() {
            w.bytes(3, &self.unlisted);
        }
    }

    pub(crate) fn read(message: &[u8]) -> Result<Self, MetaError> {
        let mut entries = Vec::new();
        let mut tenants = Vec::new();
        let (mut has_tenants, mut unlisted) = (false, &[][..]);
        let mut n_runs = 0;
        each_field("keys", message, |field| {
            match field.number() {
                1 => {
                    demand(entries.len() < ENTRIES_MAX, "keys.entries", "are too many")?;
                    let (entry, set) = read_entry(field)?;
                    n_runs += set.n_runs();
                    demand(n_runs <= TENANT_RUNS_MAX, "keys.entries.tenants", "are too many")?;
                    entries.push(entry);
                    tenants.push(set);
                }
                2 => has_tenants = field.u64()? != 0,
                3 => unlisted = field.bytes()?,
                _ => {}
            }
            Ok(())
        })?;
        let are_blocks =
            unlisted.len() as u64 <= UNLISTED_BYTES_MAX && unlisted.len().is_multiple_of(32);
        demand(are_blocks, "keys.unlisted", "is not a filter")?;
        let mut seen = HashSet::new();
        let is_new =
            |entry: &KeyEntry| seen.insert((entry.scope, entry.value_type, entry.key.clone()));
        demand(entries.iter().all(is_new), "keys.entries", "say a key twice")?;
        Ok(Self::new(entries, has_tenants.then_some(tenants), unlisted.to_vec()))
    }
}

/// Packed pairs: how many tenants are passed over, how many follow that have the key. Nothing: it
/// is not known who has it.
fn write_tenants(w: &mut Writer, set: &TenantSet) {
    let TenantSet::Runs(runs) = set else { return };
    w.message(6, |w| {
        let mut next = 0;
        for (first, last) in runs {
            w.raw_varint((first - next).into());
            w.raw_varint((last - first + 1).into());
            next = last + 1;
        }
    });
}

fn read_entry(field: MetaField<'_>) -> Result<(KeyEntry, TenantSet), MetaError> {
    let (mut scope, mut key, mut value_type) = (0, "", 0);
    let (mut count, mut place) = (0, 0);
    let mut tenants = TenantSet::Unknown;
    each_field("keys.entries", field.bytes()?, |field| {
        match field.number() {
            1 => scope = field.u64()?,
            2 => key = field.long_text("keys.entries.key")?,
            3 => value_type = field.u64()?,
            4 => count = field.u64()?,
            5 => place = field.u64()?,
            6 => tenants = read_tenants(field)?,
            _ => {}
        }
        Ok(())
    })?;
    demand(key.len() <= LISTED_KEY_BYTES_MAX, "keys.entries.key", "is too long")?;
    let unknown = |field| MetaError::BadValue { field, problem: "is not one this program knows" };
    let entry = KeyEntry {
        scope: (Scope::ALL.into_iter().find(|known| *known as u64 == scope))
            .ok_or(unknown("keys.entries.scope"))?,
        key: Arc::from(key),
        value_type: (ValueType::ALL.into_iter().find(|known| *known as u64 == value_type))
            .ok_or(unknown("keys.entries.type"))?,
        count,
        place: (PLACES.into_iter().find(|known| place_number(*known) == place))
            .ok_or(unknown("keys.entries.place"))?,
    };
    Ok((entry, tenants))
}

fn read_tenants(field: MetaField<'_>) -> Result<TenantSet, MetaError> {
    const NAME: &str = "keys.entries.tenants";
    let mut numbers = field.packed()?;
    let mut runs = Vec::new();
    let mut next: u32 = 0;
    while let Some(distance) = numbers.next(NAME)? {
        let length = numbers.next(NAME)?.unwrap_or(0);
        let first = next.checked_add(distance);
        let end = first.and_then(|first| first.checked_add(length));
        let (Some(first), Some(end)) = (first, end) else {
            return Err(MetaError::BadValue { field: NAME, problem: "goes beyond 2^32" });
        };
        demand(length > 0, NAME, "has an empty run")?;
        runs.push((first, end - 1));
        demand(runs.len() <= TENANT_RUNS_MAX, NAME, "are too many")?;
        next = end;
    }
    Ok(TenantSet::Runs(runs.into()))
}

const PLACES: [Place; 4] = [
    Place::List,
    Place::Column { has_bloom: false },
    Place::Column { has_bloom: true },
    Place::Overflow,
];

fn place_number(place: Place) -> u64 {
    match place {
        Place::List => 0,
        Place::Column { has_bloom: false } => 1,
        Place::Column { has_bloom: true } => 2,
        Place::Overflow => 3,
    }
}

//! Resources and scopes of a block: each different one of a tenant is a row.
//!
//! In: resources and scopes of chunks, by what they say. Out: rows of `resources.parquet` and
//! `scopes.parquet`, numbered in the order of first use. Tenants come one after the other, so each
//! has one range of rows, and none can name a row of another one. Block-wide numbers of services
//! and span names stand here too, for the roll-up.

use std::ops::Range;

use arrow_array::{Array, BinaryArray};
use suyuan_model::{AttributeTable, Chunk, Strings, ValueRef};

use super::StageError;
use super::texts::Texts;
use crate::column::{Column, Values};
use crate::key_values;

/// Of more different names than this no roll-up would be small.
const NAMES_MAX: usize = 1 << 16;

/// See the module.
#[derive(Debug, Default)]
pub struct SharedRows {
    resources: SharedTable,
    scopes: SharedTable,
    tenants: Vec<TenantShared>,
    /// Number 0 is the empty text, for spans without a service.
    services: Texts,
    /// For each resource the number of its service.
    service_of_resource: Vec<u32>,
    names: Texts,
}

/// The rows of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantShared {
    pub tenant: u32,
    pub resources: Range<u32>,
    pub scopes: Range<u32>,
}

/// The side tables of a finished block.
#[derive(Debug)]
pub struct SharedColumns {
    pub n_resources: u32,
    /// As [`crate::layout::resource_columns`] says.
    pub resources: Vec<Column>,
    pub n_scopes: u32,
    /// As [`crate::layout::scope_columns`] says.
    pub scopes: Vec<Column>,
    /// In ascending order.
    pub tenants: Vec<TenantShared>,
    /// Block-wide numbers of services, as [`super::SliceColumns`] has them; 0 is "none".
    pub services: Vec<String>,
    /// Block-wide numbers of span names.
    pub names: Vec<String>,
}

/// Rows that are found again by all they say: a sequence of parts, each behind its length.
#[derive(Debug, Default)]
struct SharedTable {
    rows: Texts,
    message: Vec<u8>,
}

impl SharedRows {
    /// Begins the rows of a tenant, if it is not the one whose rows were added last.
    pub(super) fn begin_tenant(&mut self, tenant: u32) -> Result<(), StageError> {
        if self.services.len() == 0 {
            self.services.intern(b"");
        }
        let (n_resources, n_scopes) = (self.resources.rows.len() as u32, self.scopes.rows.len());
        let n_scopes = n_scopes as u32;
        if let Some(last) = self.tenants.last_mut() {
            if last.tenant == tenant {
                return Ok(());
            }
            if last.tenant > tenant {
                return Err(StageError::TenantsOutOfOrder { before: last.tenant, tenant });
            }
            last.resources.end = n_resources;
            last.scopes.end = n_scopes;
        }
        self.resources.rows.forget();
        self.scopes.rows.forget();
        self.tenants.push(TenantShared {
            tenant,
            resources: n_resources..n_resources,
            scopes: n_scopes..n_scopes,
        });
        Ok(())
    }

    /// The block's row for a row of the chunk's resources.
    pub(super) fn resource(&mut self, chunk: &Chunk, row: u32) -> u32 {
        let resources = &chunk.resources;
        let at = row as usize;
        let number = self.resources.intern(|message| {
            part(message, resources.schema_url.value(at).as_bytes());
            part(message, &resources.dropped_attributes.value(row).to_le_bytes());
            part(message, resources.entity_refs.value(at));
            list_part(message, &resources.attributes, row);
        });
        if number as usize == self.service_of_resource.len() {
            let service = service_name(&resources.attributes, row).unwrap_or_default();
            let service = self.services.intern(service.as_bytes());
            self.service_of_resource.push(service);
        }
        number
    }

    /// The block's row for a row of the chunk's scopes.
    pub(super) fn scope(&mut self, chunk: &Chunk, row: u32) -> u32 {
        let scopes = &chunk.scopes;
        let at = row as usize;
        self.scopes.intern(|message| {
            part(message, scopes.name.value(at).as_bytes());
            part(message, scopes.version.value(at).as_bytes());
            part(message, scopes.schema_url.value(at).as_bytes());
            part(message, &scopes.dropped_attributes.value(row).to_le_bytes());
            list_part(message, &scopes.attributes, row);
        })
    }

    /// The number of the service of a resource; 0 is "none".
    pub(super) fn service_of(&self, resource: u32) -> u32 {
        self.service_of_resource[resource as usize]
    }

    pub(super) fn service(&self, number: u32) -> &str {
        std::str::from_utf8(self.services.get(number)).expect("it was a text")
    }

    pub(super) fn n_services(&self) -> usize {
        self.services.len()
    }

    /// The block-wide number of each row's name; nothing if there are too many names.
    pub(super) fn name_codes(&mut self, names: &Strings) -> Option<Vec<u32>> {
        let Strings::Dictionary { codes, values } = names else {
            let Strings::Plain(values) = names else { unreachable!("there are two forms") };
            let number = |position| self.name_code(values.value(position));
            return (0..values.len()).map(number).collect();
        };
        let numbers: Option<Vec<u32>> =
            (0..values.len()).map(|code| self.name_code(values.value(code))).collect();
        let numbers = numbers?;
        Some(codes.iter().map(|code| numbers[*code as usize]).collect())
    }

    fn name_code(&mut self, name: &str) -> Option<u32> {
        (self.names.len() < NAMES_MAX).then(|| self.names.intern(name.as_bytes()))
    }

    /// All rows as columns.
    pub fn finish(mut self) -> Result<SharedColumns, StageError> {
        let (n_resources, n_scopes) = (self.resources.rows.len(), self.scopes.rows.len());
        if let Some(last) = self.tenants.last_mut() {
            last.resources.end = n_resources as u32;
            last.scopes.end = n_scopes as u32;
        }
        let services = self.service_of_resource.iter().map(|service| self.services.get(*service));
        let mut resources = vec![optional_texts(services, "service_name")?];
        resources.push(texts(self.resources.parts(0), "schema_url")?);
        resources.push(counts(self.resources.parts(1)));
        resources.push(optional_bytes(self.resources.parts(2), "entity_refs")?);
        resources.push(optional_bytes(self.resources.parts(3), "attributes")?);
        let scopes = vec![
            texts(self.scopes.parts(0), "name")?,
            texts(self.scopes.parts(1), "version")?,
            texts(self.scopes.parts(2), "schema_url")?,
            counts(self.scopes.parts(3)),
            optional_bytes(self.scopes.parts(4), "attributes")?,
        ];
        Ok(SharedColumns {
            n_resources: n_resources as u32,
            resources,
            n_scopes: n_scopes as u32,
            scopes,
            tenants: self.tenants,
            services: strings(&self.services),
            names: strings(&self.names),
        })
    }
}

impl SharedTable {
    /// The row that says what `write` writes.
    fn intern(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        self.message.clear();
        write(&mut self.message);
        self.rows.intern(&self.message)
    }

    /// The part with this number of each row.
    fn parts(&self, number: usize) -> impl Iterator<Item = &[u8]> + Clone {
        let part_of = move |row| {
            let mut rest = self.rows.get(row);
            let mut take_part = || {
                let (len, behind) = rest.split_first_chunk::<4>().expect("a part has a length");
                let (part, behind) = behind.split_at(u32::from_le_bytes(*len) as usize);
                rest = behind;
                part
            };
            for _ in 0..number {
                take_part();
            }
            take_part()
        };
        (0..self.rows.len() as u32).map(part_of)
    }
}

/// Appends a part to a row.
fn part(message: &mut Vec<u8>, part: &[u8]) {
    message.extend_from_slice(&(part.len() as u32).to_le_bytes());
    message.extend_from_slice(part);
}

/// Appends the attributes of a row as a part.
fn list_part(message: &mut Vec<u8>, table: &AttributeTable, row: u32) {
    let len_at = message.len();
    message.extend_from_slice(&[0; 4]);
    for (key, value) in table.row(row) {
        key_values::append(message, key, value);
    }
    let len = (message.len() - len_at - 4) as u32;
    message[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
}

/// What a resource calls its service.
fn service_name(table: &AttributeTable, row: u32) -> Option<&str> {
    table.row(row).find_map(|(key, value)| match (key, value) {
        ("service.name", ValueRef::String(name)) => Some(name),
        _ => None,
    })
}

fn strings(texts: &Texts) -> Vec<String> {
    let text = |number| String::from_utf8_lossy(texts.get(number)).into_owned();
    (0..texts.len() as u32).map(text).collect()
}

/// A column of texts that every row has.
fn texts<'a>(parts: impl Iterator<Item = &'a [u8]>, name: &str) -> Result<Column, StageError> {
    let mut values = Texts::default();
    let codes: Vec<u32> = parts.map(|part| values.intern(part)).collect();
    let values = values.to_array().ok_or_else(|| too_many_bytes(name))?;
    let values = Strings::Dictionary { codes: codes.into(), values };
    Ok(Column { rows: None, values: Values::Text(values) })
}

/// A column of texts without the empty ones.
fn optional_texts<'a>(
    parts: impl Iterator<Item = &'a [u8]> + Clone,
    name: &str,
) -> Result<Column, StageError> {
    let column = texts(parts.clone().filter(|part| !part.is_empty()), name)?;
    Ok(Column { rows: Some(rows_with_content(parts)), ..column })
}

/// A column of bytes without the empty ones.
fn optional_bytes<'a>(
    parts: impl Iterator<Item = &'a [u8]> + Clone,
    name: &str,
) -> Result<Column, StageError> {
    let mut values = Texts::default();
    let filled = parts.clone().filter(|part| !part.is_empty());
    let numbers: Vec<u32> = filled.map(|part| values.append(part)).collect();
    let (ends, bytes) = values.gather(&numbers).ok_or_else(|| too_many_bytes(name))?;
    let values = Values::Bytes(BinaryArray::new(ends, bytes, None));
    Ok(Column { rows: Some(rows_with_content(parts)), values })
}

/// A column of counts without zeros.
fn counts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Column {
    let count = |part: &[u8]| {
        let bytes = part.first_chunk().expect("a count has four bytes");
        u32::from_le_bytes(*bytes)
    };
    let (rows, values): (Vec<u32>, Vec<u32>) = parts
        .map(count)
        .enumerate()
        .map(|(row, n)| (row as u32, n))
        .filter(|(_, n)| *n > 0)
        .unzip();
    Column { rows: Some(rows.into()), values: Values::U32(values.into()) }
}

fn rows_with_content<'a>(parts: impl Iterator<Item = &'a [u8]>) -> arrow_buffer::ScalarBuffer<u32> {
    let has_content = |(row, part): (usize, &[u8])| (!part.is_empty()).then_some(row as u32);
    parts.enumerate().filter_map(has_content).collect()
}

fn too_many_bytes(column: &str) -> StageError {
    StageError::TooManyBytes { column: column.to_owned() }
}

//! A tenant's resources and scopes, which its spans name by their rows.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use suyuan_model::{Resources, Scopes};
use suyuan_objects::ReadMeter;

use super::{BlockReader, OpenFile, ReadError};
use crate::column::{Column, Values};
use crate::file::read::Keep;
use crate::unstage::{Part, read_shared};
use crate::writer::{RESOURCES, SCOPES};

/// Tenants of one block whose resources and scopes are kept.
const SHARED_TENANTS_MAX: usize = 64;

/// A tenant's resources and scopes; row 0 is the tenant's first.
pub struct Shared {
    pub resources: Resources,
    pub scopes: Scopes,
    pub(super) first_resource: u32,
    pub(super) first_scope: u32,
}

impl Shared {
    /// Resources and scopes are numbered from the tenant's first one.
    pub(super) fn renumber(&self, name: &str, column: &mut Column) {
        let first = match name {
            "resource" => self.first_resource,
            "scope" => self.first_scope,
            _ => return,
        };
        if let Values::U32(values) = &mut column.values {
            *values = values.iter().map(|row| row.wrapping_sub(first)).collect();
        }
    }
}

impl BlockReader {
    /// A tenant's resources and scopes, read once.
    pub fn shared(&self, tenant: u32, meter: &ReadMeter) -> Result<Arc<Shared>, ReadError> {
        if let Some(shared) =
            self.shared.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant)
        {
            return Ok(shared.clone());
        }
        let meta = self.tenant_meta(tenant)?;
        let resources = self.resources.get(|| self.open(RESOURCES, meter))?;
        let scopes = self.scopes.get(|| self.open(SCOPES, meter))?;
        let resource_columns = read_rows(&resources, &meta.resources, meter)?;
        let scope_columns = read_rows(&scopes, &meta.scopes, meter)?;
        let (resource_names, scope_names) = (resources.names(), scopes.names());
        let part = |rows: &Range<u32>, names, columns| Part {
            n_rows: rows.end - rows.start,
            names,
            columns,
        };
        let (own_resources, own_scopes) = read_shared(
            &part(&meta.resources, &resource_names[..], &resource_columns[..]),
            &part(&meta.scopes, &scope_names[..], &scope_columns[..]),
        )
        .map_err(|error| ReadError::Rows { file: RESOURCES, error })?;
        let shared = Arc::new(Shared {
            resources: own_resources,
            scopes: own_scopes,
            first_resource: meta.resources.start,
            first_scope: meta.scopes.start,
        });
        let mut all = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SHARED_TENANTS_MAX {
            all.clear();
        }
        all.insert(tenant, shared.clone());
        Ok(shared)
    }
}

/// Rows of a file that has one row group.
fn read_rows(
    file: &OpenFile,
    rows: &Range<u32>,
    meter: &ReadMeter,
) -> Result<Vec<Column>, ReadError> {
    let all: Vec<usize> = (0..file.file.columns().len()).collect();
    let rows = std::slice::from_ref(rows);
    Ok(file.file.read_rows(0, rows, &all, Keep::Nothing, meter)?)
}

//! Whose data a request may see.
//!
//! In: the `X-Scope-OrgID` header. Out: tenants, at least one. Off, the header is ignored, also an
//! empty one as `tempo-cli` sends it (`grafana.md 1.3b`). On, it must be there; several tenants
//! are joined by `|` (`tempo.md 1.0`).

use http::HeaderMap;
use suyuan_model::Tenant;

use crate::error::ApiError;

/// Whether data is told apart by tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    Off,
    On,
}

const HEADER: &str = "x-scope-orgid";
const TENANTS_MAX: usize = 64;

/// The tenants that a request names, each once.
pub(crate) fn tenants(tenancy: Tenancy, headers: &HeaderMap) -> Result<Vec<Tenant>, ApiError> {
    if tenancy == Tenancy::Off {
        return Ok(vec![Tenant::single()]);
    }
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Err(ApiError::NoTenant) };
    // Some versions of Grafana send it twice (`grafana.md 1.2`).
    if values.any(|other| other != value) {
        return Err(ApiError::SeveralTenantHeaders);
    }
    let names = String::from_utf8_lossy(value.as_bytes());
    if names.trim().is_empty() {
        return Err(ApiError::NoTenant);
    }
    let n_tenants = names.split('|').count();
    if n_tenants > TENANTS_MAX {
        return Err(ApiError::TooManyTenants { n_tenants, n_tenants_max: TENANTS_MAX });
    }
    let mut tenants =
        names.split('|').map(|name| Tenant::parse(name.trim())).collect::<Result<Vec<_>, _>>()?;
    tenants.sort();
    tenants.dedup();
    Ok(tenants)
}

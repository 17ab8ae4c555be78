//! What is old enough to go.
//!
//! In: the blocks with their tenants, the time. Out: which tenant's rows in which block have
//! expired: by age, counted from when they were received (so that an import of last year stays), or
//! because the tenant's newer blocks fill its budget already. Expired rows are hidden at once; a
//! block that holds nothing else is removed by the keeper, and a compaction leaves the rest out.
//! Never looked at here: the times that spans say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use suyuan_block::meta::BlockMeta;
use suyuan_model::Tenant;
use suyuan_wal::Uuid;

use crate::blocks::BlockMap;

/// How long what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Of tenants that have no limits of their own.
    pub limits: RetentionLimits,
    pub tenants: BTreeMap<Tenant, RetentionLimits>,
}

/// What is kept of a tenant; `None`: all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionLimits {
    /// Since the last span of a block was received.
    pub age_max: Option<Duration>,
    /// In blocks, as they lie in the store; the oldest go first.
    pub bytes_max: Option<u64>,
}

impl RetentionLimits {
    /// Nothing ever expires.
    pub const NONE: Self = Self { age_max: None, bytes_max: None };
}

impl Default for RetentionPolicy {
    /// 14 days, however much that is.
    fn default() -> Self {
        let limits =
            RetentionLimits { age_max: Some(Duration::from_hours(14 * 24)), bytes_max: None };
        Self { limits, tenants: BTreeMap::new() }
    }
}

impl RetentionPolicy {
    /// Nothing ever expires.
    pub fn keep_all() -> Self {
        Self { limits: RetentionLimits::NONE, tenants: BTreeMap::new() }
    }

    fn of(&self, tenant: &Tenant) -> &RetentionLimits {
        self.tenants.get(tenant).unwrap_or(&self.limits)
    }
}

/// Rows that have expired: a block and a tenant's number in it.
pub(crate) type Expired = BTreeSet<(Uuid, u32)>;

/// A tenant's rows in a block.
struct Part {
    block: Uuid,
    number: u32,
    received_unix_nanos: u64,
    bytes: u64,
}

/// What has expired at a moment.
pub(crate) fn expired(blocks: &BlockMap, policy: &RetentionPolicy, now_unix_nanos: u64) -> Expired {
    let mut parts: BTreeMap<&Tenant, Vec<Part>> = BTreeMap::new();
    for (id, meta) in blocks.iter().filter_map(|(id, block)| Some((*id, block.meta()?))) {
        for (number, tenant) in (0..).zip(&meta.tenants) {
            parts.entry(&tenant.tenant).or_default().push(Part {
                block: id,
                number,
                received_unix_nanos: tenant.received_unix_nanos.max,
                bytes: tenant.bytes_estimate,
            });
        }
    }
    let mut expired = Expired::new();
    for (tenant, mut parts) in parts {
        parts.sort_by_key(|part| std::cmp::Reverse((part.received_unix_nanos, part.block)));
        let limits = policy.of(tenant);
        let mut bytes = 0u64;
        for part in parts {
            bytes = bytes.saturating_add(part.bytes);
            let age = Duration::from_nanos(now_unix_nanos.saturating_sub(part.received_unix_nanos));
            let is_too_old = limits.age_max.is_some_and(|age_max| age > age_max);
            let is_too_much = limits.bytes_max.is_some_and(|bytes_max| bytes > bytes_max);
            if is_too_old || is_too_much {
                expired.insert((part.block, part.number));
            }
        }
    }
    expired
}

/// Whether a block holds nothing else.
pub(crate) fn is_all_expired(expired: &Expired, block: Uuid, meta: &BlockMeta) -> bool {
    (0..meta.tenants.len() as u32).all(|number| expired.contains(&(block, number)))
}

/// How many rows of a block have expired.
pub(crate) fn expired_rows(expired: &Expired, block: Uuid, meta: &BlockMeta) -> u64 {
    let parts = expired.range((block, 0)..=(block, u32::MAX));
    parts
        .filter_map(|(_, number)| meta.tenants.get(*number as usize))
        .map(|tenant| tenant.n_spans())
        .sum()
}

#[cfg(test)]
mod tests;

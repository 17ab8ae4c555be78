//! Whether a meta holds together.
//!
//! Invariant: every row of a block belongs to one slice and one tenant, every trace, resource and
//! scope to one tenant. A reader that keeps to a tenant's ranges can show nothing of another one.

use std::collections::HashSet;

use super::{
    BlockMeta, FILES_MAX, LOG_RANGES_MAX, MetaError, SLICES_MAX, SliceMeta, TENANT_RANGES_MAX,
    TENANTS_MAX, TEXT_BYTES_MAX, TenantMeta, TimeRange,
};

pub(super) fn check(meta: &BlockMeta) -> Result<(), MetaError> {
    check_counts(meta)?;
    check_slices(&meta.slices)?;
    check_tenants(meta)?;
    check_files(meta)?;
    demand(meta.shard.first <= meta.shard.last, "shard", "ends before it begins")?;
    let is_forward = meta.log_ranges.iter().all(|range| range.from <= range.to);
    demand(is_forward, "log_ranges", "ends before it begins")?;
    let received = meta.received_unix_nanos;
    demand(received.min <= received.max, "received", "ends before it begins")?;
    check_time(meta.span_time, "span_time")?;
    check_time(meta.trace_start, "trace_start")?;
    let rollup_steps = meta.rollup.is_none_or(|rollup| rollup.step_nanos > 0);
    demand(rollup_steps, "rollup.step_nanos", "is 0")?;
    demand(meta.writer.len() <= TEXT_BYTES_MAX, "writer", "is too long")?;
    demand(meta.key_id.len() <= TEXT_BYTES_MAX, "key_id", "is too long")
}

pub(crate) fn demand(
    holds: bool,
    field: &'static str,
    problem: &'static str,
) -> Result<(), MetaError> {
    if holds { Ok(()) } else { Err(MetaError::BadValue { field, problem }) }
}

fn check_counts(meta: &BlockMeta) -> Result<(), MetaError> {
    demand(!meta.slices.is_empty(), "slices", "are none")?;
    demand(meta.slices.len() <= SLICES_MAX, "slices", "are too many")?;
    demand(meta.tenants.len() <= TENANTS_MAX, "tenants", "are too many")?;
    let n_ranges: usize = meta.tenants.iter().map(|tenant| tenant.ranges.len()).sum();
    demand(n_ranges <= TENANT_RANGES_MAX, "tenants.ranges", "are too many")?;
    demand(meta.log_ranges.len() <= LOG_RANGES_MAX, "log_ranges", "are too many")?;
    demand(meta.files.len() <= FILES_MAX, "files", "are too many")
}

fn check_slices(slices: &[SliceMeta]) -> Result<(), MetaError> {
    let (mut next_row, mut next_trace) = (0u32, 0u32);
    for slice in slices {
        demand(slice.first_row == next_row, "slices.first_row", "leaves a gap")?;
        demand(slice.first_trace == next_trace, "slices.first_trace", "leaves a gap")?;
        demand(slice.n_traces > 0, "slices.n_traces", "is 0")?;
        demand(slice.n_traces <= slice.n_rows, "slices.n_traces", "is above the rows")?;
        next_row = sum(next_row, slice.n_rows, "slices.n_rows")?;
        next_trace = sum(next_trace, slice.n_traces, "slices.n_traces")?;
        check_time(slice.trace_start, "slices.trace_start")?;
        check_time(slice.span_time, "slices.span_time")?;
        for side in [slice.events, slice.links].into_iter().flatten() {
            demand(side.n_rows > 0, "slices.events", "has no rows")?;
            sum(side.first_row, side.n_rows, "slices.events")?;
        }
    }
    let goes_on = slices.last().is_some_and(|slice| slice.continues.is_some());
    demand(!goes_on, "slices.continues", "is said of the last slice")
}

/// Tenants by name; in each slice their rows and traces one after the other, none left over;
/// resources and scopes likewise.
fn check_tenants(meta: &BlockMeta) -> Result<(), MetaError> {
    let by_name = meta.tenants.is_sorted_by(|one, other| one.tenant < other.tenant);
    demand(by_name, "tenants.name", "is not in order, or stands twice")?;
    let firsts = |slice: &SliceMeta| (slice.first_row, slice.first_trace);
    let mut next: Vec<(u32, u32)> = meta.slices.iter().map(firsts).collect();
    let (mut next_resource, mut next_scope) = (0, 0);
    for tenant in &meta.tenants {
        check_ranges(tenant, &mut next)?;
        demand(tenant.resources.start == next_resource, "tenants.resources", "leaves a gap")?;
        demand(tenant.scopes.start == next_scope, "tenants.scopes", "leaves a gap")?;
        let is_forward = tenant.resources.start <= tenant.resources.end
            && tenant.scopes.start <= tenant.scopes.end;
        demand(is_forward, "tenants.resources", "ends before it begins")?;
        (next_resource, next_scope) = (tenant.resources.end, tenant.scopes.end);
        let received = tenant.received_unix_nanos;
        demand(received.min <= received.max, "tenants.received", "ends before it begins")?;
        check_time(tenant.span_time, "tenants.span_time")?;
    }
    let ends =
        |slice: &SliceMeta| (slice.first_row + slice.n_rows, slice.first_trace + slice.n_traces);
    let is_covered = meta.slices.iter().map(ends).eq(next);
    demand(is_covered, "tenants.ranges", "leave rows of a slice to nobody")
}

/// `next`: for each slice, the row and the trace behind those of the tenants before.
fn check_ranges(tenant: &TenantMeta, next: &mut [(u32, u32)]) -> Result<(), MetaError> {
    let by_slice = tenant.ranges.is_sorted_by(|one, other| one.slice < other.slice);
    demand(by_slice, "tenants.ranges", "are not in order of slices")?;
    demand(!tenant.ranges.is_empty(), "tenants.ranges", "are none")?;
    for range in &tenant.ranges {
        let Some(next) = next.get_mut(range.slice as usize) else {
            return demand(false, "tenants.ranges.slice", "is beyond the last slice");
        };
        let is_next = (range.first_row, range.first_trace) == *next;
        demand(is_next, "tenants.ranges", "leave a gap")?;
        demand(range.n_traces > 0, "tenants.ranges.n_traces", "is 0")?;
        demand(range.n_traces <= range.n_rows, "tenants.ranges.n_traces", "is above the rows")?;
        next.0 = sum(next.0, range.n_rows, "tenants.ranges.n_rows")?;
        next.1 = sum(next.1, range.n_traces, "tenants.ranges.n_traces")?;
    }
    Ok(())
}

fn check_files(meta: &BlockMeta) -> Result<(), MetaError> {
    let mut names = HashSet::new();
    for file in &meta.files {
        let in_alphabet =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
        let is_name = file.name.len() <= TEXT_BYTES_MAX
            && file.name.starts_with(|first: char| first.is_ascii_lowercase())
            && file.name.bytes().all(in_alphabet);
        demand(is_name, "files.name", "is not a name for a file")?;
        demand(names.insert(&file.name), "files.name", "stands twice")?;
    }
    Ok(())
}

fn check_time(range: TimeRange, field: &'static str) -> Result<(), MetaError> {
    demand(range.min_unix_nanos <= range.max_unix_nanos, field, "ends before it begins")
}

/// Of row numbers.
pub(super) fn sum(one: u32, other: u32, field: &'static str) -> Result<u32, MetaError> {
    one.checked_add(other).ok_or(MetaError::BadValue { field, problem: "goes beyond 2^32" })
}

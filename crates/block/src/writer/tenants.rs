//! What each tenant has in a block that is being written.

use suyuan_model::{Tenant, UnixNanosRange};

use crate::filter::TenantSeed;
use crate::meta::{TenantMeta, TenantRange, TimeRange};
use crate::stage::TenantShared;
use crate::traces::TraceRow;

pub(super) struct OpenTenant {
    tenant: Tenant,
    pub(super) seed: TenantSeed,
    ranges: Vec<TenantRange>,
    pub(super) received: Option<UnixNanosRange>,
    span_time: Option<TimeRange>,
}

impl OpenTenant {
    pub(super) fn new(tenant: Tenant) -> Self {
        let seed = TenantSeed::new(&tenant);
        Self { tenant, seed, ranges: Vec::new(), received: None, span_time: None }
    }

    /// Takes note of a trace: its slice, its first row and its place in the block.
    pub(super) fn add(
        &mut self,
        slice: u32,
        first_row: u32,
        trace: u32,
        row: &TraceRow,
        time: TimeRange,
    ) {
        self.received = Some(match self.received {
            Some(received) => received.union(row.received_unix_nanos),
            None => row.received_unix_nanos,
        });
        self.span_time = Some(union(self.span_time, time));
        match self.ranges.last_mut() {
            Some(range) if range.slice == slice => {
                range.n_rows += row.n_spans;
                range.n_traces += 1;
            }
            _ => self.ranges.push(TenantRange {
                slice,
                first_row,
                n_rows: row.n_spans,
                first_trace: trace,
                n_traces: 1,
            }),
        }
    }

    pub(super) fn into_meta(
        self,
        shared: Option<&TenantShared>,
        n_bytes: u64,
        n_rows: u64,
    ) -> TenantMeta {
        let own_rows: u64 = self.ranges.iter().map(|range| u64::from(range.n_rows)).sum();
        let share = u128::from(n_bytes) * u128::from(own_rows) / u128::from(n_rows.max(1));
        TenantMeta {
            tenant: self.tenant,
            ranges: self.ranges,
            resources: shared.map_or(0..0, |shared| shared.resources.clone()),
            scopes: shared.map_or(0..0, |shared| shared.scopes.clone()),
            received_unix_nanos: self.received.unwrap_or(UnixNanosRange::of(0)),
            span_time: self.span_time.unwrap_or(TimeRange::of(0)),
            bytes_estimate: share as u64,
        }
    }
}

pub(super) fn union(sum: Option<TimeRange>, other: TimeRange) -> TimeRange {
    sum.map_or(other, |sum| sum.union(other))
}

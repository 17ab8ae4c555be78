//! Which traces share a row group: the slices of a block, in the order of their rows.
//!
//! In: every trace that shall be in the block, with its start and size. Out: slices, each of one
//! large tenant's traces that began about the same time, or of several small tenants'. A search for
//! the newest stops after a slice or two, and a range of time reads the slices it touches
//! (`design.md 5`). Nothing of a span is looked at here.

/// Rows of a slice, unless one trace alone has more: on an object store a lookup reads one slice of
/// 1.7 MB, and a search for the newest ends after it.
pub(crate) const SLICE_ROWS: u32 = 49_152;
/// A tenant with fewer rows shares its slices with others: row groups of a few rows cost more than
/// their rows.
const OWN_SLICE_ROWS_MIN: u64 = 16_384;
/// A slice ends where the next trace starts this much later, so that one wrong clock does not
/// stretch the time of a whole slice.
const GAP_NANOS: i64 = 3_600_000_000_000;
/// Slices that a gap may end early, per tenant and block: clocks may lie in every trace.
const GAPS_MAX: usize = 16;

/// A trace that shall be in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlannedTrace {
    pub(crate) id: [u8; 16],
    /// Its earliest span in this block.
    pub(crate) start_unix_nanos: i64,
    pub(crate) n_rows: u32,
    /// Whatever finds its rows again.
    pub(crate) source: u32,
}

/// All traces of a tenant that shall be in the block.
#[derive(Clone, Debug, Default)]
pub(crate) struct TenantTraces {
    pub(crate) traces: Vec<PlannedTrace>,
}

/// One slice: traces in the order of their rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Number of the tenant in the block, and its traces by id; tenants ascend.
    pub(crate) tenants: Vec<(u32, Vec<PlannedTrace>)>,
}

impl TenantTraces {
    pub(crate) fn n_rows(&self) -> u64 {
        self.traces.iter().map(|trace| u64::from(trace.n_rows)).sum()
    }

    /// Whether the tenant gets slices of its own.
    pub(crate) fn is_large(&self) -> bool {
        self.n_rows() >= OWN_SLICE_ROWS_MIN
    }
}

/// Cuts the traces of all tenants into slices. `tenants` is in the order of the block's numbers.
/// All slices of a large tenant follow each other, and a small one is in one slice.
pub(crate) fn plan(tenants: Vec<TenantTraces>) -> Vec<Slice> {
    let mut slices = Vec::new();
    let mut shared = Slice::default();
    let mut shared_rows = 0;
    for (number, tenant) in (0..).zip(tenants) {
        if tenant.is_large() {
            // Tenants ascend through all slices, so what the small ones share ends here.
            if shared_rows > 0 {
                slices.push(std::mem::take(&mut shared));
                shared_rows = 0;
            }
            slices.extend(slices_of(number, tenant.traces));
            continue;
        }
        let n_rows = tenant.n_rows();
        if shared_rows > 0 && shared_rows + n_rows > u64::from(SLICE_ROWS) {
            slices.push(std::mem::take(&mut shared));
            shared_rows = 0;
        }
        shared_rows += n_rows;
        let mut traces = tenant.traces;
        traces.sort_unstable_by_key(|trace| trace.id);
        if !traces.is_empty() {
            shared.tenants.push((number, traces));
        }
    }
    if !shared.tenants.is_empty() {
        slices.push(shared);
    }
    slices
}

/// The slices of a tenant that shares none.
fn slices_of(tenant: u32, mut traces: Vec<PlannedTrace>) -> Vec<Slice> {
    traces.sort_unstable_by_key(|trace| (trace.start_unix_nanos, trace.id));
    let gaps = largest_gaps(&traces);
    let mut slices = Vec::new();
    let mut first = 0;
    let mut n_rows = 0;
    for (at, trace) in traces.iter().enumerate() {
        let is_full = n_rows + u64::from(trace.n_rows) > u64::from(SLICE_ROWS);
        if at > first && (is_full || gaps.contains(&at)) {
            slices.push(slice_of(tenant, &traces[first..at]));
            first = at;
            n_rows = 0;
        }
        n_rows += u64::from(trace.n_rows);
    }
    if first < traces.len() {
        slices.push(slice_of(tenant, &traces[first..]));
    }
    slices
}

fn slice_of(tenant: u32, traces: &[PlannedTrace]) -> Slice {
    let mut traces = traces.to_vec();
    traces.sort_unstable_by_key(|trace| trace.id);
    Slice { tenants: vec![(tenant, traces)] }
}

/// The traces before which the largest gaps lie.
fn largest_gaps(traces: &[PlannedTrace]) -> Vec<usize> {
    let mut gaps: Vec<(i64, usize)> = (traces.windows(2).zip(1..))
        .filter_map(|(pair, at)| {
            let gap = pair[1].start_unix_nanos.saturating_sub(pair[0].start_unix_nanos);
            (gap > GAP_NANOS).then_some((gap, at))
        })
        .collect();
    gaps.sort_unstable_by(|left, right| right.cmp(left));
    gaps.truncate(GAPS_MAX);
    gaps.into_iter().map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(id: u8, start_unix_nanos: i64, n_rows: u32) -> PlannedTrace {
        PlannedTrace { id: [id; 16], start_unix_nanos, n_rows, source: 0 }
    }

    fn ids(slices: &[Slice]) -> Vec<Vec<(u32, Vec<u8>)>> {
        let ids = |traces: &[PlannedTrace]| traces.iter().map(|trace| trace.id[0]).collect();
        let tenants = |slice: &Slice| {
            slice.tenants.iter().map(|(tenant, traces)| (*tenant, ids(traces))).collect()
        };
        slices.iter().map(tenants).collect()
    }

    #[test]
    fn a_large_tenant_is_cut_by_time_and_a_slice_is_sorted_by_id() {
        let traces = vec![
            trace(1, 3, 20_000),
            trace(9, 1, 20_000),
            trace(4, 2, 20_000),
            trace(7, 4, 20_000),
        ];
        let slices = plan(vec![TenantTraces { traces }]);
        assert_eq!(ids(&slices), [[(0, vec![4, 9])], [(0, vec![1, 7])]]);
    }

    #[test]
    fn a_span_of_1970_gets_a_small_slice_and_does_not_stretch_the_others() {
        let now = 1_700_000_000_000_000_000;
        let traces = vec![trace(1, now, 20_000), trace(2, 5, 3), trace(3, now + 1, 20_000)];
        let slices = plan(vec![TenantTraces { traces }]);
        assert_eq!(ids(&slices), [[(0, vec![2])], [(0, vec![1, 3])]]);
    }

    #[test]
    fn a_clock_that_lies_in_every_trace_does_not_make_a_slice_of_each() {
        let hour = GAP_NANOS + 1;
        let traces = (0..200).map(|n| trace(n, i64::from(n) * hour, 200)).collect();
        assert_eq!(plan(vec![TenantTraces { traces }]).len(), GAPS_MAX + 1);
    }

    #[test]
    fn small_tenants_share_a_slice_and_a_giant_trace_stands_alone() {
        let small = |id| TenantTraces { traces: vec![trace(id, 1, 30_000 / 3)] };
        let giant = TenantTraces { traces: vec![trace(1, 1, 1_000_000), trace(2, 2, 10)] };
        let slices = plan(vec![giant, small(3), TenantTraces::default(), small(4)]);
        assert_eq!(
            ids(&slices),
            [vec![(0, vec![1])], vec![(0, vec![2])], vec![(1, vec![3]), (3, vec![4])]]
        );
    }
}

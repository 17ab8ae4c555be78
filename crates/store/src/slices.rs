//! Which traces share a row group: the slices of a block, in the order of their rows.
//!
//! In: every trace that shall be in the block, with its start and size. Out: slices, each of one
//! large tenant's traces that began about the same time, or of several small tenants'. A search for
//! the newest stops after a slice or two, and a range of time reads the slices it touches
//! (`design.md 5`). Nothing of a span is looked at here.

/// Rows of a slice, unless one trace alone has more: on an object store a lookup reads one slice of
/// 1.7 MB, and a search for the newest ends after it.
pub(crate) const SLICE_ROWS: u32 = 49_152;
/// Bytes of values of a slice, unless one trace alone has more. It is in memory as a whole while it
/// is written, and when it is read.
pub(crate) const SLICE_BYTES: u64 = 128 << 20;
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
    /// Of its values, about.
    pub(crate) bytes: u64,
    /// Whatever finds its rows again.
    pub(crate) source: u32,
    /// Which of them comes first here: not 0 for a later part of a trace that had to be cut.
    pub(crate) first_row: u32,
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

    fn bytes(&self) -> u64 {
        self.traces.iter().map(|trace| trace.bytes).sum()
    }
}

/// Cuts the traces of all tenants into slices of [`SLICE_ROWS`].
pub(crate) fn plan(tenants: Vec<TenantTraces>) -> Vec<Slice> {
    plan_with(tenants, SLICE_ROWS)
}

/// Cuts the traces of all tenants into slices of at most `slice_rows` rows, unless one trace or one
/// small tenant alone has more. `tenants` is in the order of the block's numbers. All slices of a
/// large tenant follow each other, and a small one is in one slice. With less than [`SLICE_ROWS`]
/// every tenant of more rows than a slice is a large one.
pub(crate) fn plan_with(tenants: Vec<TenantTraces>, slice_rows: u32) -> Vec<Slice> {
    let own_slice_rows_min = OWN_SLICE_ROWS_MIN.min(u64::from(slice_rows));
    let mut slices = Vec::new();
    let mut shared = Slice::default();
    let (mut shared_rows, mut shared_bytes) = (0, 0);
    for (number, tenant) in (0..).zip(tenants) {
        let (n_rows, bytes) = (tenant.n_rows(), tenant.bytes());
        if n_rows >= own_slice_rows_min || bytes > SLICE_BYTES {
            // Tenants ascend through all slices, so what the small ones share ends here.
            if shared_rows > 0 {
                slices.push(std::mem::take(&mut shared));
                (shared_rows, shared_bytes) = (0, 0);
            }
            slices.extend(slices_of(number, tenant.traces, slice_rows));
            continue;
        }
        let is_full =
            shared_rows + n_rows > u64::from(slice_rows) || shared_bytes + bytes > SLICE_BYTES;
        if shared_rows > 0 && is_full {
            slices.push(std::mem::take(&mut shared));
            (shared_rows, shared_bytes) = (0, 0);
        }
        shared_rows += n_rows;
        shared_bytes += bytes;
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
fn slices_of(tenant: u32, mut traces: Vec<PlannedTrace>, slice_rows: u32) -> Vec<Slice> {
    traces.sort_unstable_by_key(|trace| (trace.start_unix_nanos, trace.id, trace.first_row));
    let gaps = largest_gaps(&traces);
    let mut slices = Vec::new();
    let mut first = 0;
    let (mut n_rows, mut bytes) = (0, 0);
    for (at, trace) in traces.iter().enumerate() {
        let is_full = n_rows + u64::from(trace.n_rows) > u64::from(slice_rows)
            || bytes + trace.bytes > SLICE_BYTES;
        // Of a trace that was cut no two parts are in one slice: there a trace stands once.
        let is_next_part = at > 0 && traces[at - 1].id == trace.id;
        if at > first && (is_full || is_next_part || gaps.contains(&at)) {
            slices.push(slice_of(tenant, &traces[first..at]));
            first = at;
            (n_rows, bytes) = (0, 0);
        }
        n_rows += u64::from(trace.n_rows);
        bytes += trace.bytes;
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
        PlannedTrace {
            id: [id; 16],
            start_unix_nanos,
            n_rows,
            bytes: u64::from(n_rows) * 100,
            source: 0,
            first_row: 0,
        }
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
    fn long_values_make_shorter_slices_and_a_trace_in_parts_stands_once_in_each() {
        let long =
            |id, first_row| PlannedTrace { bytes: SLICE_BYTES / 2, first_row, ..trace(id, 1, 9) };
        let traces = vec![long(1, 0), long(2, 0), long(3, 0), long(3, 9), long(3, 18)];
        let slices = plan(vec![TenantTraces { traces }]);
        assert_eq!(
            ids(&slices),
            [[(0, vec![1, 2])], [(0, vec![3])], [(0, vec![3])], [(0, vec![3])]]
        );
    }

    #[test]
    fn shorter_slices_hold_the_same_traces() {
        let traces = |n: u8| (0..n).map(|id| trace(id, id.into(), 100)).collect();
        let slices = plan_with(
            vec![TenantTraces { traces: traces(20) }, TenantTraces { traces: traces(3) }],
            512,
        );
        let expected: Vec<Vec<(u32, Vec<u8>)>> = vec![
            vec![(0, (0..5).collect())],
            vec![(0, (5..10).collect())],
            vec![(0, (10..15).collect())],
            vec![(0, (15..20).collect())],
            vec![(1, (0..3).collect())],
        ];
        assert_eq!(ids(&slices), expected);
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

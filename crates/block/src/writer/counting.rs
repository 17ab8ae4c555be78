//! The spans of a slice, counted for the roll-up.

use super::SliceTrace;
use super::slice_rows::SliceRows;
use crate::column::Values;
use crate::rollup::{RollupBuilder, RollupSpan};
use crate::stage::SliceColumns;
use crate::traces::TraceRow;

/// Adds a slice, whose first row is row `first_row` of the block.
pub(super) fn count(
    rollup: &mut RollupBuilder,
    first_row: u32,
    columns: &SliceColumns,
    slice: &SliceRows,
    traces: &[SliceTrace],
    trace_rows: &[TraceRow],
) {
    let Some(names) = &columns.name_codes else { return rollup.give_up() };
    let [_, _, _, _, start, duration, _, kind, status, ..] = &columns.spans[..] else { return };
    let (Values::I64(starts), Values::I64(durations)) = (&start.values, &duration.values) else {
        return;
    };
    let (Values::I32(kinds), Values::I32(statuses)) = (&kind.values, &status.values) else {
        return;
    };
    let mut kept_parents = slice.kept_parents.iter().map(|(row, _)| *row).peekable();
    let mut row = 0;
    for (trace, trace_row) in traces.iter().zip(trace_rows) {
        for _ in 0..trace_row.n_spans {
            let at = row as usize;
            let names_parent = kept_parents.next_if_eq(&row).is_some();
            rollup.push(&RollupSpan {
                tenant: trace.tenant,
                service: columns.service_codes[at],
                name: names[at],
                kind: kinds[at],
                status_code: statuses[at],
                is_root: slice.depth[at] == 0 && !names_parent,
                start_unix_nanos: starts[at],
                duration_nanos: durations[at],
                row: first_row + row,
            });
            row += 1;
        }
    }
}

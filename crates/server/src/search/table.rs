//! Found traces as a table.
//!
//! In: traces, a width. Out: lines, one for each trace below a heading. What does not fit is cut
//! off at the right; nothing that strangers wrote reaches the terminal as it is.

use super::answer::{Span, Trace};
use crate::civil_time::{format_length, format_utc};
use crate::quantity::grouped;
use crate::terminal::{fitted, harmless, width};

const HEADINGS: [&str; 7] =
    ["trace", "start (UTC)", "duration", "service", "root", "spans", "first span"];
/// Columns whose numbers are read from the right.
const RIGHT: [bool; 7] = [false, false, true, false, false, true, false];
/// No service or name takes more; the last column takes what is left.
const CELL_COLUMNS_MAX: usize = 32;

pub(super) fn draw(traces: &[Trace], columns: usize) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(traces.iter().map(cells));
    let mut widths = [0; HEADINGS.len()];
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            widths[column] = width(cell).max(widths[column]);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let line: Vec<String> =
            (0..row.len()).map(|n| padded(&row[n], widths[n], RIGHT[n])).collect();
        text.push_str(&fitted(line.join("  ").trim_end(), columns));
        text.push('\n');
    }
    text
}

fn cells(trace: &Trace) -> [String; HEADINGS.len()] {
    let start = format_utc(i64::try_from(trace.start_time_unix_nano).unwrap_or(i64::MAX));
    let duration = match trace.duration_ms {
        0 => "<1 ms".to_owned(),
        duration_ms => format_length(duration_ms.saturating_mul(1_000_000)),
    };
    let short = |text: &str| fitted(&harmless(text), CELL_COLUMNS_MAX);
    [
        harmless(&trace.id),
        start.trim_end_matches(" UTC").to_owned(),
        duration,
        short(&trace.root_service_name),
        short(&trace.root_trace_name),
        grouped(trace.n_matched()),
        trace.first_span().map_or_else(String::new, span_text),
    ]
}

fn span_text(span: &Span) -> String {
    let name = if span.name.is_empty() { &span.id } else { &span.name };
    let mut words = vec![harmless(name), format_length(span.duration_nanos)];
    words.extend(span.attributes().map(|attribute| harmless(&attribute)));
    words.join(" ")
}

fn padded(cell: &str, columns: usize, is_right: bool) -> String {
    let blanks = " ".repeat(columns.saturating_sub(width(cell)));
    if is_right { blanks + cell } else { cell.to_owned() + &blanks }
}

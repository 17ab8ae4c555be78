//! Found traces as a table.
//!
//! In: traces, a width. Out: lines, one for each trace below a heading. Texts that do not fit are
//! cut, and columns left out where few fit; nothing that strangers wrote reaches the terminal as it
//! is.

use super::answer::{Span, Trace};
use crate::civil_time::{format_length, format_utc};
use crate::quantity::grouped;
use crate::terminal::{fitted, harmless, width};

const COLUMNS: usize = 7;
/// Columns whose numbers are read from the right.
const RIGHT: [bool; COLUMNS] = [false, false, true, false, false, true, false];
const START: usize = 1;
const DURATION: usize = 2;
const SERVICE: usize = 3;
const ROOT: usize = 4;
const SPANS: usize = 5;
const FIRST_SPAN: usize = 6;
const TEXTS: [usize; 3] = [SERVICE, ROOT, FIRST_SPAN];
/// What a narrow terminal does without, from the first on.
const LEFT_OUT: [usize; 6] = [FIRST_SPAN, SERVICE, SPANS, ROOT, DURATION, START];
const GAP: &str = "  ";
/// Services, names and first spans that are shown have so much at least.
const TEXT_COLUMNS_MIN: usize = 10;

pub(super) fn draw(traces: &[Trace], columns: usize) -> String {
    let starts: Vec<String> = traces.iter().map(start).collect();
    let day = common_day(&starts);
    let mut rows = vec![[
        "trace".to_owned(),
        day.map_or("start (UTC)".to_owned(), |day| format!("{day} UTC")),
        "duration".to_owned(),
        "service".to_owned(),
        "root".to_owned(),
        "spans".to_owned(),
        "first span".to_owned(),
    ]];
    let time_at = day.map_or(0, |day| day.len() + 1);
    rows.extend(traces.iter().zip(&starts).map(|(trace, start)| cells(trace, &start[time_at..])));
    let (shown, widths) = widths(&rows, columns);
    let mut text = String::new();
    for row in &rows {
        let cell = |n: &usize| padded(&fitted(&row[*n], widths[*n]), widths[*n], RIGHT[*n]);
        let line: Vec<String> = shown.iter().map(cell).collect();
        text.push_str(&fitted(line.join(GAP).trim_end(), columns));
        text.push('\n');
    }
    text
}

/// Which columns are shown, and their widths: as wide as what they hold; where that is too wide,
/// texts share what numbers leave.
fn widths(rows: &[[String; COLUMNS]], columns: usize) -> (Vec<usize>, [usize; COLUMNS]) {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width_max, cell) in widths.iter_mut().zip(row) {
            *width_max = width(cell).max(*width_max);
        }
    }
    let least = |n: &usize| match TEXTS.contains(n) {
        true => widths[*n].min(TEXT_COLUMNS_MIN),
        false => widths[*n],
    };
    let gaps = |shown: &[usize]| GAP.len() * (shown.len() - 1);
    let mut shown: Vec<usize> = (0..COLUMNS).collect();
    for left_out in LEFT_OUT {
        if shown.iter().map(least).sum::<usize>() + gaps(&shown) > columns {
            shown.retain(|n| *n != left_out);
        }
    }
    let (texts, numbers): (Vec<usize>, Vec<usize>) = shown.iter().partition(|n| TEXTS.contains(n));
    let taken = numbers.iter().map(|n| widths[*n]).sum::<usize>() + gaps(&shown);
    let mut left = columns.saturating_sub(taken);
    for (place, n) in texts.iter().enumerate() {
        let share = (left / (texts.len() - place)).max(TEXT_COLUMNS_MIN);
        widths[*n] = widths[*n].min(share);
        left = left.saturating_sub(widths[*n]);
    }
    (shown, widths)
}

/// The day on which all of them are.
fn common_day(starts: &[String]) -> Option<&str> {
    let (day, _) = starts.first()?.split_once(' ')?;
    starts.iter().all(|start| start.starts_with(day)).then_some(day)
}

fn start(trace: &Trace) -> String {
    let start = format_utc(i64::try_from(trace.start_time_unix_nano).unwrap_or(i64::MAX));
    start.trim_end_matches(" UTC").to_owned()
}

fn cells(trace: &Trace, start: &str) -> [String; COLUMNS] {
    let duration = match trace.duration_ms {
        0 => "<1 ms".to_owned(),
        duration_ms => format_length(duration_ms.saturating_mul(1_000_000)),
    };
    [
        harmless(&trace.id),
        start.to_owned(),
        duration,
        harmless(&trace.root_service_name),
        harmless(&trace.root_trace_name),
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

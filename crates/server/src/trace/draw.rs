//! A trace as lines of text: a header, the services, then a tree with a bar for every span.
//!
//! In: spans, and what the terminal can do. Out: lines no wider than the terminal, written one
//! after the other, so that a pager shows the first of 100,000 at once. Everything that strangers
//! wrote goes through [`harmless`] first.

use std::io::{self, Write};

use suyuan_ids::TraceId;

use super::answer::{Span, Trace};
use super::scale::{Place, Scale};
use super::style::{BOLD, DIM, RED, Style, YELLOW, colour_of};
use super::tree::{Forest, Oddity, Row, forest};
use crate::civil_time::{format_length, format_utc};
use crate::quantity::{counted, grouped};
use crate::terminal::{harmless, width};

/// Below this a bar says nothing: the room goes to the names.
const BAR_COLUMNS_MIN: usize = 8;
const GAP: &str = "  ";
const SERVICE_LINES_MAX: usize = 4;

/// Writes the whole picture. `trace` has at least one span.
pub(super) fn waterfall(
    out: &mut dyn Write,
    id: TraceId,
    trace: &Trace,
    style: Style,
) -> io::Result<()> {
    let forest = forest(&trace.spans);
    let scale = Scale::of(&trace.spans);
    let layout = Layout::of(trace, &forest, style);
    let mut picture = Picture { trace, forest: &forest, scale, layout, style, out };
    picture.header(id)?;
    picture.services()?;
    picture.axis()?;
    picture.rows()
}

/// Columns of the three parts of a line: name, bar, length.
#[derive(Debug, Clone, Copy)]
struct Layout {
    name: usize,
    /// Zero when there is no room for bars.
    bar: usize,
    length: usize,
    /// Levels of the tree that are drawn as indents; deeper ones are numbers.
    depth_max: usize,
}

impl Layout {
    fn of(trace: &Trace, forest: &Forest, style: Style) -> Self {
        let length = trace.spans.iter().map(|span| width(&length_text(span, style)));
        let length = length.max().unwrap_or(0);
        let depth_max = (style.columns / 3 / INDENT_COLUMNS).max(1);
        let names_max = style.columns * 11 / 20;
        let names = forest.rows.iter().map(|row| {
            let indent = row.depth.min(depth_max + 2) * INDENT_COLUMNS;
            indent + label_columns(trace, row)
        });
        let name = names.max().unwrap_or(0).clamp(12.min(names_max), names_max);
        let bar = style.columns.saturating_sub(name + length + 2 * GAP.len());
        if bar >= BAR_COLUMNS_MIN {
            return Self { name, bar, length, depth_max };
        }
        let name = style.columns.saturating_sub(length + GAP.len());
        Self { name, bar: 0, length, depth_max }
    }
}

const INDENT_COLUMNS: usize = 3;

fn label_columns(trace: &Trace, row: &Row) -> usize {
    let span = &trace.spans[row.span];
    let service = service_shown(trace, row).map_or(0, |service| width(&harmless(service)) + 1);
    let mark = if span.failed { 2 } else { 0 };
    mark + service + width(&harmless(&span.name)) + width(&extras(span))
}

/// A span in its parent's service does not repeat the name.
fn service_shown<'a>(trace: &'a Trace, row: &Row) -> Option<&'a str> {
    let service = trace.spans[row.span].service;
    let parent_service = row.parent.map(|parent| trace.spans[parent].service);
    (parent_service != Some(service)).then(|| trace.services[service].as_str())
}

fn length_text(span: &Span, style: Style) -> String {
    let nanos = span.start_unix_nanos.abs_diff(span.end_unix_nanos);
    let sign = if span.end_unix_nanos < span.start_unix_nanos { "-" } else { "" };
    style.plain(format!("{sign}{}", format_length(nanos)))
}

struct Picture<'a> {
    trace: &'a Trace,
    forest: &'a Forest,
    scale: Scale,
    layout: Layout,
    style: Style,
    out: &'a mut dyn Write,
}

impl Picture<'_> {
    /// What it is, how long, how large, when.
    fn header(&mut self, id: TraceId) -> io::Result<()> {
        let spans = &self.trace.spans;
        let title = self.forest.rows.iter().find(|row| spans[row.span].parent.is_none());
        let title = title.or(self.forest.rows.first()).map_or(String::new(), |row| {
            let span = &spans[row.span];
            format!("{} {}", self.trace.services[span.service], span.name)
        });
        let columns = self.style.columns;
        writeln!(
            self.out,
            "{}",
            self.style.paint(BOLD, &self.style.fitted(&harmless(&title), columns))
        )?;

        let n_errors = spans.iter().filter(|span| span.failed).count();
        let facts = [
            (BOLD, self.style.plain(format_length(self.scale.length_nanos))),
            ("", counted(spans.len() as u64, "span")),
            ("", counted(self.trace.services.len() as u64, "service")),
            (if n_errors > 0 { RED } else { "" }, counted(n_errors as u64, "error")),
            (DIM, format_utc(self.scale.start_unix_nanos)),
            (DIM, format!("trace {id}")),
        ];
        self.wrapped(&facts, self.style.symbols().separator, usize::MAX)?;
        if let Some(reason) = &self.trace.incomplete {
            let text = self.style.fitted(&format!("incomplete: {}", harmless(reason)), columns);
            writeln!(self.out, "{}", self.style.paint(YELLOW, &text))?;
        }
        writeln!(self.out)
    }

    /// Each service with its spans and errors, in the colour of its bars.
    fn services(&mut self) -> io::Result<()> {
        let mut counts = vec![(0, 0); self.trace.services.len()];
        for span in &self.trace.spans {
            counts[span.service].0 += 1;
            counts[span.service].1 += usize::from(span.failed);
        }
        let symbols = self.style.symbols();
        let entries: Vec<_> = (self.trace.services.iter().zip(&counts).enumerate())
            .map(|(service, (name, (n_spans, n_errors)))| {
                let name = self.style.fitted(&harmless(name), self.style.columns / 2);
                let errors = match n_errors {
                    0 => String::new(),
                    n => format!(" {}{}", symbols.failed, grouped(*n as u64)),
                };
                let n_spans = grouped(*n_spans as u64);
                (colour_of(service), format!("{} {name} {n_spans}{errors}", symbols.service))
            })
            .collect();
        let entries: Vec<_> =
            entries.iter().map(|(colour, text)| (colour.as_str(), text.clone())).collect();
        self.wrapped(&entries, "  ", SERVICE_LINES_MAX)?;
        writeln!(self.out)
    }

    /// Writes pieces side by side, on new lines where the terminal ends. What does not fit into
    /// `lines_max` lines is counted.
    fn wrapped(
        &mut self,
        pieces: &[(&str, String)],
        separator: &str,
        lines_max: usize,
    ) -> io::Result<()> {
        let (mut columns, mut lines) = (0, 1);
        for (place, (paint, text)) in pieces.iter().enumerate() {
            let text = self.style.fitted(text, self.style.columns);
            let needed = width(separator) + width(&text);
            if place > 0 && columns + needed > self.style.columns {
                writeln!(self.out)?;
                (columns, lines) = (0, lines + 1);
            }
            if lines > lines_max {
                let rest = format!("and {} more", pieces.len() - place);
                return writeln!(self.out, "{}", self.style.paint(DIM, &rest));
            }
            if columns > 0 {
                write!(self.out, "{}", self.style.paint(DIM, separator))?;
            }
            columns += if columns > 0 { needed } else { width(&text) };
            write!(self.out, "{}", self.style.paint(paint, &text))?;
        }
        writeln!(self.out)
    }

    /// The ruler above the bars.
    fn axis(&mut self) -> io::Result<()> {
        let Layout { name, bar, .. } = self.layout;
        if bar == 0 {
            return Ok(());
        }
        let n_ticks = match bar {
            _ if self.scale.length_nanos == 0 => 0,
            48.. => 4,
            24.. => 2,
            _ => 1,
        };
        let mut ruler = "0".to_owned();
        for tick in 1..=n_ticks {
            let nanos = u128::from(self.scale.length_nanos) * tick as u128 / n_ticks as u128;
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            let text = self.style.plain(format_length(nanos));
            let at = bar * tick / n_ticks;
            let at = if tick == n_ticks { at.saturating_sub(width(&text)) } else { at };
            if at > width(&ruler) {
                ruler.push_str(&" ".repeat(at - width(&ruler)));
                ruler.push_str(&text);
            }
        }
        let ruler = self.style.paint(DIM, &ruler);
        writeln!(self.out, "{}{GAP}{ruler}", " ".repeat(name))
    }

    fn rows(&mut self) -> io::Result<()> {
        let rows = &self.forest.rows;
        // Whether each open level has more siblings to come: its line goes on below.
        let mut open = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            open.truncate(row.depth);
            let guides = self.guides(&open, row);
            self.row(row, &guides)?;
            open.push(!row.last);
            let has_children = rows.get(place + 1).is_some_and(|next| next.depth > row.depth);
            self.notes(row, &open, has_children)?;
        }
        Ok(())
    }

    /// The lines that lead from the parent to this row. Roots have none: they are no siblings.
    fn guides(&self, open: &[bool], row: &Row) -> String {
        let symbols = self.style.symbols();
        if row.depth == 0 {
            return String::new();
        }
        if row.depth > self.layout.depth_max {
            return self.deep(row.depth);
        }
        let mut guides: String = open.iter().skip(1).map(|on| symbols.pass(*on)).collect();
        guides.push_str(if row.last { symbols.last } else { symbols.branch });
        guides
    }

    /// A row too deep to indent says its depth instead.
    fn deep(&self, depth: usize) -> String {
        let number = format!("{} {depth}", self.style.symbols().deep);
        let columns = self.layout.depth_max * INDENT_COLUMNS;
        format!("{}{number} ", " ".repeat(columns.saturating_sub(width(&number) + 1)))
    }

    fn row(&mut self, row: &Row, guides: &str) -> io::Result<()> {
        let span = &self.trace.spans[row.span];
        let colour = colour_of(span.service);
        let name = self.name(row, guides, &colour);
        let length = length_text(span, self.style);
        let length = format!("{}{length}", " ".repeat(self.layout.length - width(&length)));
        let length = self.style.paint(if span.failed { RED } else { "" }, &length);
        if self.layout.bar == 0 {
            return writeln!(self.out, "{name}{GAP}{length}");
        }
        let bar = self.bar(span, &colour);
        writeln!(self.out, "{name}{GAP}{bar}{GAP}{length}")
    }

    /// Guides, error mark, service and name, filled up to the column's width.
    fn name(&self, row: &Row, guides: &str, colour: &str) -> String {
        let span = &self.trace.spans[row.span];
        let mut parts = vec![(DIM, guides.to_owned())];
        if span.failed {
            parts.push((RED, format!("{} ", self.style.symbols().failed)));
        }
        if let Some(service) = service_shown(self.trace, row) {
            parts.push((colour, format!("{} ", harmless(service))));
        }
        parts.push((if span.failed { RED } else { "" }, harmless(&span.name)));

        let (mut text, mut left) = (String::new(), self.layout.name);
        for (paint, part) in parts {
            let part = self.style.fitted(&part, left);
            left -= width(&part);
            text.push_str(&self.style.paint(paint, &part));
        }
        let extras = extras(span);
        if width(&extras) <= left {
            left -= width(&extras);
            text.push_str(&self.style.paint(DIM, &extras));
        }
        text.push_str(&" ".repeat(left));
        text
    }

    fn bar(&self, span: &Span, colour: &str) -> String {
        let symbols = self.style.symbols();
        let columns = self.layout.bar;
        let (from, to) = match self.scale.place(span, columns) {
            Place::Bar { from, to } => (from, to),
            Place::Before => {
                return self.style.paint(YELLOW, &format!("{:<columns$}", symbols.before));
            }
            Place::After => {
                return self.style.paint(YELLOW, &format!("{:>columns$}", symbols.after));
            }
        };
        let bar: String = (from / 2..to.div_ceil(2))
            .map(|column| symbols.cell(from <= column * 2, to >= column * 2 + 2))
            .collect();
        let before = " ".repeat(from / 2);
        let after = " ".repeat(columns - to.div_ceil(2));
        let paint = if span.failed { RED } else { colour };
        format!("{before}{}{after}", self.style.paint(paint, &bar))
    }

    /// Below the row: what went wrong, and what is odd about the span.
    fn notes(&mut self, row: &Row, open: &[bool], has_children: bool) -> io::Result<()> {
        let span = &self.trace.spans[row.span];
        let mut notes = Vec::new();
        if span.failed && !span.status_message.is_empty() {
            notes.push((RED, harmless(&span.status_message)));
        }
        for exception in &span.exceptions {
            notes.extend(what_it_adds(exception, span).map(|text| (RED, harmless(text))));
        }
        if span.n_exceptions > span.exceptions.len() {
            let more = span.n_exceptions - span.exceptions.len();
            notes.push((DIM, format!("and {}", counted(more as u64, "more exception"))));
        }
        notes.extend(self.oddities(row).into_iter().map(|text| (YELLOW, text)));
        if notes.is_empty() {
            return Ok(());
        }
        let guides = self.note_guides(open, has_children);
        let left = self.style.columns.saturating_sub(width(&guides));
        for (paint, note) in notes {
            let note = self.style.paint(paint, &self.style.fitted(&note, left));
            writeln!(self.out, "{}{note}", self.style.paint(DIM, &guides))?;
        }
        Ok(())
    }

    fn note_guides(&self, open: &[bool], has_children: bool) -> String {
        let symbols = self.style.symbols();
        let depth = open.len() - 1;
        if depth > self.layout.depth_max {
            return " ".repeat((self.layout.depth_max + 1) * INDENT_COLUMNS);
        }
        let mut guides: String = open.iter().skip(1).map(|on| symbols.pass(*on)).collect();
        guides.push_str(symbols.pass(has_children));
        guides
    }

    fn oddities(&self, row: &Row) -> Vec<String> {
        let span = &self.trace.spans[row.span];
        let mut texts = Vec::new();
        for oddity in self.forest.oddities.get(&row.span).into_iter().flatten() {
            texts.push(match oddity {
                Oddity::ParentMissing(parent) => format!("its parent {parent} is not here"),
                Oddity::OwnParent => "names itself as its parent".to_owned(),
                Oddity::Circle => "its parents form a circle, cut here".to_owned(),
                Oddity::IdSeenTwice => format!("another span has the same id {}", span.id),
            });
        }
        if span.end_unix_nanos < span.start_unix_nanos {
            texts.push("ends before it starts".to_owned());
        }
        texts.extend(self.odd_start(row));
        texts
    }

    /// Starts that no picture can show to scale, or that lie visibly before the parent's.
    fn odd_start(&self, row: &Row) -> Option<String> {
        let span = &self.trace.spans[row.span];
        let start = span.start_unix_nanos;
        let distance = |nanos: u64| self.style.plain(format_length(nanos));
        match self.scale.place(span, self.layout.bar.max(1)) {
            Place::Before => {
                let nanos = start.abs_diff(self.scale.start_unix_nanos);
                return Some(format!("starts {} before the others", distance(nanos)));
            }
            Place::After => {
                let nanos = start.abs_diff(self.scale.start_unix_nanos);
                return Some(format!("starts {} after the others", distance(nanos)));
            }
            Place::Bar { .. } => {}
        }
        let parent = &self.trace.spans[row.parent?];
        if start >= parent.start_unix_nanos {
            return None;
        }
        let nanos = parent.start_unix_nanos.abs_diff(start);
        let column_nanos = self.scale.length_nanos / self.layout.bar.max(1) as u64;
        (nanos > column_nanos).then(|| format!("starts {} before its parent", distance(nanos)))
    }
}

/// An exception beside the status message, which often repeats its text: then only the type.
fn what_it_adds<'a>(exception: &'a str, span: &Span) -> Option<&'a str> {
    let message = span.status_message.as_str();
    if !span.failed || message.is_empty() {
        return Some(exception);
    }
    match exception.strip_suffix(message) {
        Some("") => None,
        Some(kind) => Some(kind.strip_suffix(": ").unwrap_or(exception)),
        None => Some(exception),
    }
}

/// `2 events, 1 link`: what else the span carries. Exceptions are shown below it.
fn extras(span: &Span) -> String {
    let mut text = String::new();
    let n_events = span.n_events - span.n_exceptions;
    for (count, noun) in [(n_events, "event"), (span.n_links, "link")] {
        if count > 0 {
            text.push_str(&format!("  {}", counted(count as u64, noun)));
        }
    }
    text
}

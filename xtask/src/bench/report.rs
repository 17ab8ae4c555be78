//! The table of `docs/benchmarks.md`: what was measured, what it must not exceed, what others need.
//!
//! In: figures, in the order of the measurements. Out: Markdown. A figure above its bound is
//! marked and makes the run fail; one without a bound is there to be read.

use std::fmt::Write as _;

use super::machine::Machine;

pub(super) struct Report {
    machine: Machine,
    parts: Vec<Part>,
    failures: Vec<String>,
}

struct Part {
    title: String,
    figures: Vec<Figure>,
}

/// One line of a table; everything is better when it is smaller.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    must: Option<f64>,
    goal: Option<f64>,
    peers: Peers,
}

/// What other servers needed for the same data on a machine of the same kind (2 cores). The
/// figures do not come from the run at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peers {
    /// Tempo 3.1-dev, over HTTP.
    pub(super) tempo: Option<f64>,
    /// VictoriaTraces 0.1.
    pub(super) victoria: Option<f64>,
    /// ClickHouse 26.9 with the schema of the Collector's exporter, in process.
    pub(super) clickhouse: Option<f64>,
}

impl Peers {
    pub(super) const NONE: Self = Self { tempo: None, victoria: None, clickhouse: None };
}

impl Figure {
    pub(super) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let what = what.into();
        Self { what, value, unit, must: None, goal: None, peers: Peers::NONE }
    }

    pub(super) fn count(what: impl Into<String>, value: u64) -> Self {
        Self::new(what, value as f64, "")
    }

    /// The largest value that is accepted.
    pub(super) fn must(self, must: f64) -> Self {
        Self { must: Some(must), ..self }
    }

    pub(super) fn goal(self, goal: f64) -> Self {
        Self { goal: Some(goal), ..self }
    }

    pub(super) fn peers(self, peers: Peers) -> Self {
        Self { peers, ..self }
    }

    fn holds(&self) -> bool {
        self.must.is_none_or(|must| self.value <= must)
    }

    fn line(&self) -> String {
        let bound = |bound: Option<f64>| bound.map_or(String::new(), number);
        let peer = |peer: Option<f64>| match peer {
            Some(peer) => format!("{} ({:.0}x)", number(peer), peer / self.value),
            None => String::new(),
        };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let mark = if self.holds() { "" } else { " **above**" };
        format!(
            "| {} | {}{unit}{mark} | {} | {} | {} | {} | {} |",
            self.what,
            number(self.value),
            bound(self.must),
            bound(self.goal),
            peer(self.peers.tempo),
            peer(self.peers.victoria),
            peer(self.peers.clickhouse),
        )
    }
}

impl Report {
    pub(super) fn new(machine: Machine) -> Self {
        Self { machine, parts: Vec::new(), failures: Vec::new() }
    }

    /// A table of its own.
    pub(super) fn part(&mut self, title: &str) {
        self.parts.push(Part { title: title.to_owned(), figures: Vec::new() });
    }

    /// A line of the last table.
    pub(super) fn add(&mut self, figure: Figure) {
        if let Some(part) = self.parts.last_mut() {
            part.figures.push(figure);
        }
    }

    /// A measurement that did not come to its end; the others are made all the same.
    pub(super) fn fail(&mut self, failure: String) {
        self.failures.push(failure);
    }

    /// Whether everything was measured and no figure is above its bound.
    pub(super) fn holds(&self) -> bool {
        self.failures.is_empty()
            && self.parts.iter().flat_map(|part| &part.figures).all(Figure::holds)
    }

    pub(super) fn markdown(&self) -> String {
        let Machine { date, commit, processor, system } = &self.machine;
        let mut text = format!(
            "<!-- Written by `cargo xtask bench`. -->\n\n# Benchmarks\n\n\
             Measured on {date} at {commit}: {processor}, {system}. Every request is on the disk \
             (fsync) before it is answered. What a figure must not exceed and what it shall become \
             stand beside it; in parentheses, how many times as much another server needs. The \
             figures of Tempo 3.1-dev, VictoriaTraces 0.1 and ClickHouse 26.9 (insert and merges \
             alone, in process, with the schema of the Collector's exporter) are from one earlier \
             run with the same million spans on a machine with two cores.\n"
        );
        for part in &self.parts {
            write_part(&mut text, part);
        }
        for failure in &self.failures {
            let _ = write!(text, "\n**Failed**: {failure}\n");
        }
        text
    }
}

fn write_part(text: &mut String, part: &Part) {
    let head = "| what | Suyuan | must | goal | Tempo | VictoriaTraces | ClickHouse |";
    let line = "|---|---|---|---|---|---|---|";
    let _ = write!(text, "\n## {}\n\n{head}\n{line}\n", part.title);
    for figure in &part.figures {
        let _ = writeln!(text, "{}", figure.line());
    }
}

/// As many digits as mean something.
fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        return grouped(value as u64);
    }
    match value {
        ..10.0 => format!("{value:.2}"),
        ..1000.0 => format!("{value:.1}"),
        _ => grouped(value.round() as u64),
    }
}

/// With a comma between thousands.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(figures: &[Figure]) -> Report {
        let machine = Machine {
            date: "2026-01-01".into(),
            commit: "abc".into(),
            processor: "2 cores".into(),
            system: "Linux".into(),
        };
        let mut report = Report::new(machine);
        report.part("Spans");
        figures.iter().for_each(|figure| report.add(figure.clone()));
        report
    }

    #[test]
    fn a_line_has_its_bound_and_its_ratios() {
        let peers = Peers { tempo: Some(52.0), ..Peers::NONE };
        let figure = Figure::new("processor time", 1.625, "s").must(2.0).goal(1.4).peers(peers);
        let expected = "| processor time | 1.62 s | 2 | 1.40 | 52 (32x) |  |  |";
        assert_eq!(figure.line(), expected);
        assert!(report(&[figure]).holds());
    }

    #[test]
    fn a_figure_above_its_bound_fails_the_run() {
        let figure = Figure::count("refused", 1_234_567).must(0.0);
        assert_eq!(figure.line(), "| refused | 1,234,567 **above** | 0 |  |  |  |  |");
        let report = report(&[Figure::count("read", 1), figure]);
        assert!(!report.holds());
        assert!(report.markdown().contains("## Spans\n\n| what | Suyuan |"));
    }
}

//! What `generate` says at the end, and meanwhile.
//!
//! In: a tally. Out: text for people or JSON for machines, on stdout; whether everything arrived.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::tally::{Counts, Example, Latencies, Tally};
use super::target::endpoint_uri;
use super::{Options, Protocol};
use crate::greeting::{DEFAULT_SERVER, program};
use crate::quantity::{counted, grouped, rounded_bytes};

/// The end of a run. Durations are in milliseconds where the name says so.
#[derive(Debug, Serialize)]
pub struct Report {
    pub endpoint: String,
    pub protocol: Protocol,
    pub seconds: f64,
    pub traces: u64,
    pub requests: u64,
    pub spans_sent: u64,
    pub spans_acknowledged: u64,
    /// Refused by partial success.
    pub spans_refused: u64,
    /// Of requests that were given up.
    pub spans_failed: u64,
    /// While traces began, for so many seconds; after that only the long ones ended.
    pub spans_per_second: f64,
    pub seconds_open: f64,
    pub bytes: u64,
    pub retries: u64,
    /// From when a request was due until it was acknowledged.
    pub latency_ms: Latency,
    /// How often each status came, retries included.
    pub answers: BTreeMap<String, u64>,
    /// What the server said about refusals.
    pub reasons: BTreeMap<String, u64>,
    pub verified: Option<Verified>,
    /// A trace that was acknowledged wholly.
    pub example: Option<Suggestion>,
}

/// What to look at now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    pub trace_id: String,
    /// Its size and its name.
    pub what: String,
    /// How it is drawn; without `--verify` nobody said where a server on another machine answers.
    pub command: String,
}

/// Quantiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// What `--verify` saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verified {
    /// Sampled traces that were acknowledged wholly and looked up.
    pub traces: u64,
    /// Those that were found with all of their spans, each once.
    pub traces_found: u64,
    pub traces_missing: u64,
    /// Those with a span too many.
    pub traces_wrong: u64,
    /// From the acknowledgement of the last span until all were found.
    pub visible_after_ms: Latency,
    /// Some of those that were not found whole, and what was found.
    pub examples: Vec<String>,
}

impl From<&Latencies> for Latency {
    fn from(latencies: &Latencies) -> Self {
        Self {
            p50: latencies.quantile_ms(500),
            p90: latencies.quantile_ms(900),
            p99: latencies.quantile_ms(990),
            max: latencies.max_ms(),
        }
    }
}

impl Report {
    pub(super) fn new(
        options: &Options,
        tally: &Tally,
        sending: Range<Instant>,
        verified: Option<Verified>,
    ) -> Self {
        let counts = tally.counts();
        let seconds = (sending.end - sending.start).as_secs_f64();
        let (seconds_open, spans_open) = match tally.closing() {
            Some(closing) if closing.spans_acknowledged > 0 => {
                ((closing.at - sending.start).as_secs_f64(), closing.spans_acknowledged)
            }
            _ => (seconds, counts.spans_acknowledged),
        };
        Self {
            endpoint: options.endpoint.clone(),
            protocol: options.protocol,
            seconds,
            traces: counts.traces,
            requests: counts.requests,
            spans_sent: counts.spans_sent,
            spans_acknowledged: counts.spans_acknowledged,
            spans_refused: counts.spans_refused,
            spans_failed: counts.spans_failed,
            spans_per_second: spans_open as f64 / seconds_open.max(1e-9),
            seconds_open,
            bytes: counts.bytes,
            retries: counts.retries,
            latency_ms: Latency::from(&tally.latencies()),
            answers: tally.answers(),
            reasons: tally.reasons(),
            verified,
            example: tally.example().map(|example| Suggestion::new(&example, options)),
        }
    }

    /// Every span was acknowledged, and every trace that was looked up was found as it was sent.
    pub fn is_whole(&self) -> bool {
        self.spans_refused == 0
            && self.spans_failed == 0
            && self.verified.as_ref().is_none_or(|v| v.traces_missing == 0 && v.traces_wrong == 0)
    }

    /// Prints to stdout.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        if json {
            writeln!(stdout, "{}", serde_json::to_string(self)?)?;
        } else {
            write!(stdout, "{}", self.text())?;
        }
        Ok(())
    }

    /// A few lines for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, what: std::fmt::Arguments<'_>| {
            writeln!(text, "{label:<14}{what}").expect("a String takes everything");
        };
        let sent = counted(self.spans_sent, "span");
        line("endpoint", format_args!("{} ({})", self.endpoint, self.protocol.name()));
        line("sent", format_args!("{sent} of {}", counted(self.traces, "trace")));
        line(
            "acknowledged",
            format_args!(
                "{} in {}, {}",
                counted(self.spans_acknowledged, "span"),
                counted(self.requests, "request"),
                rounded_bytes(self.bytes)
            ),
        );
        line("refused", format_args!("{}", counted(self.spans_refused, "span")));
        line("failed", format_args!("{}", counted(self.spans_failed, "span")));
        line("retries", format_args!("{}", grouped(self.retries)));
        line(
            "throughput",
            format_args!(
                "{} spans/s for {:.1} s{}",
                grouped(self.spans_per_second as u64),
                self.seconds_open,
                ended_later(self.seconds - self.seconds_open)
            ),
        );
        if self.requests > 0 {
            line("latency", format_args!("{}", self.latency_ms));
        }
        for (status, n) in &self.answers {
            line("answers", format_args!("{} x {status}", grouped(*n)));
        }
        for (reason, n) in &self.reasons {
            line("because", format_args!("{} x {reason}", grouped(*n)));
        }
        if let Some(verified) = &self.verified {
            line(
                "looked up",
                format_args!(
                    "{}: {} found whole, {} missing, {} wrong",
                    counted(verified.traces, "trace"),
                    grouped(verified.traces_found),
                    grouped(verified.traces_missing),
                    grouped(verified.traces_wrong)
                ),
            );
            line("visible after", format_args!("{}", verified.visible_after_ms));
            for example in &verified.examples {
                line("", format_args!("{example}"));
            }
        }
        if let Some(Suggestion { command, what, .. }) = &self.example {
            line("try", format_args!("{command}"));
            line("", format_args!("({what})"));
        }
        text
    }
}

/// Traces that had begun are brought to their end after the last one began.
fn ended_later(seconds: f64) -> String {
    const WORTH_SAYING_S: f64 = 0.05;
    if seconds < WORTH_SAYING_S {
        return String::new();
    }
    format!(", the last traces ended {seconds:.1} s later")
}

impl Suggestion {
    fn new(example: &Example, options: &Options) -> Self {
        let trace_id = example.trace_id.to_string();
        let command = format!("{} trace {trace_id}{}", program(), flags(options));
        Self { trace_id, what: example.to_string(), command }
    }
}

/// What `suyuan trace` must be told to find what these options sent.
pub(super) fn flags(options: &Options) -> String {
    let mut flags = match &options.verify {
        Some(server) if server.trim_end_matches('/') == format!("http://{DEFAULT_SERVER}") => {
            String::new()
        }
        Some(server) => format!(" --server {server}"),
        None if is_on_this_machine(&options.endpoint) => String::new(),
        None => " --server <its address>".to_owned(),
    };
    let is_tenant = |name: &str| name.eq_ignore_ascii_case("X-Scope-OrgID");
    if let Some((_, tenant)) = options.headers.iter().find(|(name, _)| is_tenant(name)) {
        flags.push_str(&format!(" --tenant {tenant}"));
    }
    flags
}

fn is_on_this_machine(endpoint: &str) -> bool {
    let Ok(uri) = endpoint_uri(endpoint, "") else { return false };
    matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50, p90, p99, max } = self;
        write!(f, "p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")
    }
}

/// One line while it runs.
pub(super) fn progress_line(counts: &Counts, elapsed: Duration) -> String {
    let rate = counts.spans_acknowledged as f64 / elapsed.as_secs_f64().max(0.001);
    let mut line = format!(
        "{}, {} acknowledged, {} spans/s",
        counted(counts.traces, "trace"),
        counted(counts.spans_acknowledged, "span"),
        grouped(rate as u64),
    );
    for (n, what) in [
        (counts.traces_found, "traces found"),
        (counts.retries, "retries"),
        (counts.spans_refused, "spans refused"),
        (counts.spans_failed, "spans failed"),
    ] {
        if n > 0 {
            line.push_str(&format!(", {} {what}", grouped(n)));
        }
    }
    line
}

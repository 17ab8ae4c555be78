//! What a server read to answer, as text.
//!
//! In: the JSON of `/api/suyuan/explain`. Out: sums, then a line for each reason and for each
//! slice or live chunk that was read.

use serde::Deserialize;

use crate::listing::aligned;
use crate::quantity::{counted, grouped, rounded_bytes};
use crate::terminal::harmless;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explained {
    asked: Asked,
    pub(super) found: Found,
    elapsed_ms: f64,
    units: Vec<Unit>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    filter: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    pub(super) traces: u64,
    matched_spans: u64,
    missing: Option<String>,
    spans_inspected: u64,
    bytes_read: u64,
    units_total: u64,
    units_read: u64,
    units_pruned: u64,
    units_outside: u64,
    units_not_needed: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unit {
    block: Option<String>,
    slice: Option<u64>,
    live: Option<u64>,
    chunk: Option<u64>,
    fate: String,
    because: Option<String>,
    spans: u64,
    #[serde(default)]
    spans_read: u64,
    #[serde(default)]
    spans_found: u64,
    #[serde(default)]
    bytes_read: u64,
    #[serde(default)]
    elapsed_ms: f64,
}

pub(super) fn parse(body: &[u8]) -> Result<Explained, serde_json::Error> {
    serde_json::from_slice(body)
}

pub(super) fn text(explained: &Explained) -> String {
    let found = &explained.found;
    let mut text = format!(
        "{}\n{} in {:.1} ms: {} match, {} looked at, {} read\n",
        harmless(&explained.asked.filter),
        counted(found.traces, "trace"),
        explained.elapsed_ms,
        counted(found.matched_spans, "span"),
        counted(found.spans_inspected, "span"),
        rounded_bytes(found.bytes_read),
    );
    if let Some(missing) = &found.missing {
        text.push_str(&format!("something may be missing: {}\n", harmless(missing)));
    }
    text.push_str(&format!(
        "of {} (slices and live chunks): {} read, {} without what is asked for, {} out of range, \
         {} older than a full answer\n",
        counted(found.units_total, "unit"),
        grouped(found.units_read),
        grouped(found.units_pruned),
        grouped(found.units_outside),
        grouped(found.units_not_needed),
    ));
    let reasons = reasons(&explained.units);
    if !reasons.is_empty() {
        text.push_str("\nnot read:\n");
        for (reason, n_units, n_spans) in reasons {
            let units = grouped(n_units);
            text.push_str(&format!("  {units} ({}): {reason}\n", counted(n_spans, "span")));
        }
    }
    text.push_str(&read_units(&explained.units));
    text
}

/// Why units were not read, how many, and the spans in them; in the order in which they came up.
fn reasons(units: &[Unit]) -> Vec<(String, u64, u64)> {
    let mut reasons: Vec<(String, u64, u64)> = Vec::new();
    for unit in units.iter().filter(|unit| unit.fate != "read") {
        let because = unit.because.as_deref().unwrap_or(&unit.fate);
        let reason = harmless(&match unit.fate.as_str() {
            "failed" => format!("{} failed: {because}", unit.name()),
            _ => because.to_owned(),
        });
        match reasons.iter_mut().find(|(known, ..)| *known == reason) {
            Some((_, n_units, n_spans)) => {
                *n_units += 1;
                *n_spans += unit.spans;
            }
            None => reasons.push((reason, 1, unit.spans)),
        }
    }
    reasons
}

fn read_units(units: &[Unit]) -> String {
    let read = units.iter().filter(|unit| unit.fate == "read");
    let mut table = vec![["read", "spans", "looked at", "match", "bytes", "ms"].map(str::to_owned)];
    table.extend(read.map(|unit| {
        [
            unit.name(),
            grouped(unit.spans),
            grouped(unit.spans_read),
            grouped(unit.spans_found),
            rounded_bytes(unit.bytes_read),
            format!("{:.2}", unit.elapsed_ms),
        ]
    }));
    if table.len() == 1 { String::new() } else { format!("\n{}", aligned(&table)) }
}

impl Unit {
    fn name(&self) -> String {
        match (&self.block, self.slice, self.live, self.chunk) {
            (Some(block), Some(slice), ..) => format!("block {} slice {slice}", harmless(block)),
            (.., Some(live), Some(chunk)) => format!("live {live} chunk {chunk}"),
            _ => "?".to_owned(),
        }
    }
}

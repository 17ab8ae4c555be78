//! What was done for an answer, as headers say it: bodies are read strictly (`grafana.md 1.3`).

use std::time::Duration;

use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue};
use suyuan_query::search::Accounting;
use suyuan_store::Skipped;

/// What is missing, and why; not there if nothing is.
pub(crate) const INCOMPLETE_HEADER: HeaderName = HeaderName::from_static("x-suyuan-incomplete");
/// Whether the answer is what all of the data says.
const EXACT_HEADER: HeaderName = HeaderName::from_static("x-suyuan-exact");
/// Rows whose values were looked at.
const SPANS_HEADER: HeaderName = HeaderName::from_static("x-suyuan-spans-inspected");
const BYTES_HEADER: HeaderName = HeaderName::from_static("x-suyuan-bytes-read");
/// Slices and live chunks: read; without what is asked for; out of the range of time; older than
/// a full answer.
const UNITS_HEADER: HeaderName = HeaderName::from_static("x-suyuan-units");
/// From the arrival of the request to the head of the answer.
const ELAPSED_HEADER: HeaderName = HeaderName::from_static("x-suyuan-elapsed-ms");

/// Blocks that are named one by one.
const SKIPPED_NAMED_MAX: usize = 8;
const INCOMPLETE_BYTES_MAX: usize = 1_024;

pub(crate) fn accounting_headers(
    headers: &mut HeaderMap,
    accounting: &Accounting,
    elapsed: Duration,
) {
    let Accounting { units_read, units_pruned, units_outside, units_not_needed, .. } = accounting;
    let units = format!(
        "read={units_read} pruned={units_pruned} outside={units_outside} not-needed={units_not_needed}"
    );
    let missing = incomplete(accounting);
    headers.insert(EXACT_HEADER, if missing.is_none() { TRUE } else { FALSE });
    headers.insert(SPANS_HEADER, accounting.spans_inspected.into());
    headers.insert(BYTES_HEADER, accounting.bytes_read.into());
    headers.insert(UNITS_HEADER, header_text(&units));
    headers.insert(ELAPSED_HEADER, header_text(&format!("{:.3}", elapsed.as_secs_f64() * 1e3)));
    if let Some(missing) = missing {
        headers.insert(INCOMPLETE_HEADER, header_text(&missing));
    }
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
}

const TRUE: HeaderValue = HeaderValue::from_static("true");
const FALSE: HeaderValue = HeaderValue::from_static("false");

/// Why an answer may be not what all of the data says.
pub(crate) fn incomplete(accounting: &Accounting) -> Option<String> {
    let in_pieces = accounting.n_left_in_pieces;
    let in_pieces = (in_pieces > 0).then(|| {
        format!(
            "{in_pieces} traces were looked at in pieces, for want of memory: see store metrics"
        )
    });
    match (missing(&accounting.skipped), in_pieces) {
        (Some(missing), Some(in_pieces)) => Some(format!("{missing}; {in_pieces}")),
        (missing, in_pieces) => missing.or(in_pieces),
    }
}

/// The blocks that were left out, for people.
pub(crate) fn missing(skipped: &[Skipped]) -> Option<String> {
    if skipped.is_empty() {
        return None;
    }
    let named = skipped.iter().take(SKIPPED_NAMED_MAX);
    let mut named: Vec<String> =
        named.map(|skipped| format!("block {}: {}", skipped.block, skipped.reason)).collect();
    if skipped.len() > SKIPPED_NAMED_MAX {
        named.push(format!("and {} more", skipped.len() - SKIPPED_NAMED_MAX));
    }
    Some(named.join("; "))
}

/// As much of a text as a header can say.
pub(crate) fn header_text(text: &str) -> HeaderValue {
    let bytes: Vec<u8> = (text.bytes().take(INCOMPLETE_BYTES_MAX))
        .map(|byte| if matches!(byte, b' '..=b'~') { byte } else { b'?' })
        .collect();
    HeaderValue::from_bytes(&bytes).expect("printable ASCII can stand in a header")
}

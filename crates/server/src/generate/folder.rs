//! `generate --out`: request files and the truth about them.
//!
//! In: a seed, a time range, a number of spans. Out: `000000.pb` and so on (`.json` for OTLP JSON) in
//! the order in which a collector would send them, and `truth.json`. Request files that the folder
//! held before are removed, so that truth and files agree; other files stay.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::shop::{
    Batching, Departures, JsonEncoder, Pace, ProtobufEncoder, Shop, TRACE_DURATION_NANOS_MAX, Truth,
};

/// What is written where.
#[derive(Clone, Debug)]
pub(super) struct FolderOptions {
    pub(super) folder: PathBuf,
    /// OTLP protobuf, or else OTLP JSON.
    pub(super) protobuf: bool,
    pub(super) seed: u64,
    pub(super) batch_spans_max: usize,
    pub(super) spans_max: u64,
    pub(super) start_unix_nanos: u64,
    pub(super) end_unix_nanos: u64,
}

/// Writes everything; the same options give the same bytes.
pub(super) fn write(options: &FolderOptions) -> anyhow::Result<Truth> {
    let folder = &options.folder;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    remove_requests(folder)?;

    let shop = Shop::new(options.seed);
    let instances = shop.instances().to_vec();
    let (protobuf, json) = (ProtobufEncoder::new(&shop), JsonEncoder::new(&shop));
    let mut truth = Truth::new(options.start_unix_nanos, options.end_unix_nanos);
    let mut departures = Departures::new(shop, pace(options));
    let batching = Batching { spans_max: options.batch_spans_max, wait_nanos_max: u64::MAX };
    while let Some(batch) = departures.next_batch(batching, |trace| truth.add(&instances, trace)) {
        let (request, extension) = if options.protobuf {
            (protobuf.request(&batch.spans), "pb")
        } else {
            (json.request(&batch.spans), "json")
        };
        let path = folder.join(format!("{:06}.{extension}", truth.requests));
        fs::write(&path, &request).with_context(|| format!("writing {}", path.display()))?;
        truth.add_request(request.len());
    }
    truth.finish();
    let path = folder.join("truth.json");
    let text = serde_json::to_string_pretty(&truth).context("writing truth.json as JSON")?;
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(truth)
}

/// The last trace begins early enough to end before the end.
fn pace(options: &FolderOptions) -> Pace {
    let duration_nanos = options.end_unix_nanos - options.start_unix_nanos;
    let beginnings_nanos = duration_nanos.saturating_sub(TRACE_DURATION_NANOS_MAX).max(1);
    Pace {
        start_unix_nanos: options.start_unix_nanos,
        spans_per_second: options.spans_max as f64 / (beginnings_nanos as f64 / 1e9),
        spans_max: Some(options.spans_max),
        duration_nanos_max: None,
    }
}

fn remove_requests(folder: &Path) -> anyhow::Result<()> {
    let reading = || format!("reading {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        let is_numbered = path.file_stem().is_some_and(|stem| {
            stem.len() >= 6 && stem.to_string_lossy().chars().all(|c| c.is_ascii_digit())
        });
        if is_numbered && path.extension().is_some_and(|end| end == "pb" || end == "json") {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// One line of JSON: the figures of the truth without the answers.
pub(super) fn print_summary(truth: &Truth) -> anyhow::Result<()> {
    let line = serde_json::json!({
        "spans": truth.spans,
        "traces": truth.traces,
        "bytes": truth.bytes,
        "requests": truth.requests,
        "errors": truth.errors,
        "biggest": truth.biggest,
    });
    writeln!(std::io::stdout(), "{line}").context("writing to stdout")
}

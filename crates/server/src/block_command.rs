//! `suyuan block ls`, `inspect` and `verify`: which blocks there are, what is in one, whether it is
//! sound.
//!
//! In: a data directory, also that of a running server, or a configuration that names a bucket.
//! Out: tables for people or JSON for programs, and exit code 1 where something is damaged. Never
//! writes.

mod contents;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use suyuan_block::meta::{BlockMeta, TimeRange};
use suyuan_model::UnixNanosRange;

use crate::civil_time::format_utc;
use crate::listing::{aligned, push_list};
use crate::offline::{ListedBlock, OfflineArgs};
use crate::progress::Progress;
use crate::quantity::{counted, grouped, rounded_bytes};

use contents::Contents;
use verify::Verified;

const DAMAGED: u8 = 1;

/// Look into the blocks of a data directory or bucket, without changing them
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  suyuan block ls --data-dir /var/lib/suyuan",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub enum BlockCommand {
    /// List the blocks that the catalog names: size, what they hold, from when
    #[command(after_help = LS_HELP)]
    Ls(LsArgs),
    /// Show what is in a block: files, columns with their bytes, keys, tenants, slices
    #[command(after_help = INSPECT_HELP)]
    Inspect(InspectArgs),
    /// Read blocks wholly and say whether everything in them is sound
    ///
    /// Checksums of all files, every page decoded, traces whole and in order, depths, counts as the
    /// catalog says, every trace in the id filter.
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
}

const LS_HELP: &str = "\
Exit codes: 0 listed, 1 the catalog's words about a block cannot be read, 2 not listed.

Example:
  suyuan block ls
  suyuan block ls --config /etc/suyuan.toml --json";

const INSPECT_HELP: &str = "\
Exit codes: 0 shown, 2 not shown.

Example:
  suyuan block inspect 01938f2a
  suyuan block inspect 01938f2a-7c1e-7b3a-9d44-3f1f6a0c9b1e --data-dir /var/lib/suyuan --json";

const VERIFY_HELP: &str = "\
Exit codes: 0 sound, 1 damaged, 2 could not be read.

Example:
  suyuan block verify --data-dir /var/lib/suyuan && echo sound
  suyuan block verify 01938f2a";

#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    place: OfflineArgs,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Name of the block, or its first digits
    block: String,
    #[command(flatten)]
    place: OfflineArgs,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Name of the block, or its first digits; without it all blocks
    block: Option<String>,
    #[command(flatten)]
    place: OfflineArgs,
}

/// Reads and reports.
///
/// # Errors
/// A place without a store, a catalog or a disk that cannot be read.
pub fn run(command: &BlockCommand) -> anyhow::Result<ExitCode> {
    let (text, is_sound) = match command {
        BlockCommand::Ls(args) => {
            let blocks = args.place.open()?.blocks()?;
            let is_sound = blocks.iter().all(|block| block.meta.is_ok());
            let text = match args.place.json {
                true => format!("{:#}\n", list_json(&blocks)),
                false => list_text(&blocks),
            };
            (text, is_sound)
        }
        BlockCommand::Inspect(args) => {
            let store = args.place.open()?;
            let block = store.block(&args.block)?;
            let meta = block.meta.map_err(anyhow::Error::msg)?;
            let contents = Contents::read(&store.objects, &meta)?;
            let text = match args.place.json {
                true => format!("{:#}\n", contents.json()),
                false => contents.text(),
            };
            (text, true)
        }
        BlockCommand::Verify(args) => {
            let verified = verified(args)?;
            let is_sound = verified.iter().all(|block| block.problems.is_empty());
            let text = match args.place.json {
                true => format!("{:#}\n", verified_json(&verified)),
                false => verified_text(&verified),
            };
            (text, is_sound)
        }
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

fn verified(args: &VerifyArgs) -> anyhow::Result<Vec<Verified>> {
    let store = args.place.open()?;
    let blocks = match &args.block {
        Some(name) => vec![store.block(name)?],
        None => store.blocks()?,
    };
    let mut progress = Progress::on_stderr();
    let mut verified = Vec::with_capacity(blocks.len());
    for (number, block) in blocks.iter().enumerate() {
        progress.show(|| format!("block {} of {}: {}", number + 1, blocks.len(), block.id));
        verified.push(verify::verify(&store.objects, block)?);
    }
    Ok(verified)
}

fn list_text(blocks: &[ListedBlock]) -> String {
    const HEADINGS: [&str; 10] = [
        "block",
        "level",
        "spans",
        "traces",
        "tenants",
        "bytes",
        "B/span",
        "slices",
        "received",
        "spans from",
    ];
    let mut table = vec![HEADINGS.map(str::to_owned)];
    let metas = || blocks.iter().filter_map(|block| block.meta.as_ref().ok());
    table.extend(metas().map(list_row));
    let mut text = match blocks.is_empty() {
        true => String::new(),
        false => aligned(&table),
    };
    let n_spans: u64 = metas().map(BlockMeta::n_spans).sum();
    let bytes: u64 = metas().map(BlockMeta::bytes).sum();
    text.push_str(&format!(
        "{}, {}, {}\n",
        counted(blocks.len() as u64, "block"),
        counted(n_spans, "span"),
        rounded_bytes(bytes)
    ));
    push_list(&mut text, "Cannot be read", unreadable(blocks));
    text
}

fn list_row(meta: &BlockMeta) -> [String; 10] {
    [
        meta.id.to_string(),
        meta.compaction_level.to_string(),
        grouped(meta.n_spans()),
        grouped(meta.n_traces()),
        grouped(meta.tenants.len() as u64),
        rounded_bytes(meta.bytes()),
        format!("{:.1}", bytes_per_span(meta)),
        meta.slices.len().to_string(),
        received_text(meta.received_unix_nanos),
        time_text(meta.span_time),
    ]
}

fn bytes_per_span(meta: &BlockMeta) -> f64 {
    meta.bytes() as f64 / meta.n_spans().max(1) as f64
}

/// To the second; the end without what it has in common with the beginning.
fn received_text(range: UnixNanosRange) -> String {
    let nanos = |unix_nanos: u64| i64::try_from(unix_nanos).unwrap_or(i64::MAX);
    range_text(nanos(range.min), nanos(range.max))
}

fn time_text(range: TimeRange) -> String {
    range_text(range.min_unix_nanos, range.max_unix_nanos)
}

fn range_text(min_unix_nanos: i64, max_unix_nanos: i64) -> String {
    let seconds = |unix_nanos| {
        let text = format_utc(unix_nanos);
        text.split('.').next().unwrap_or_default().to_owned()
    };
    let (min, max) = (seconds(min_unix_nanos), seconds(max_unix_nanos));
    match (min.split_once(' '), max.split_once(' ')) {
        _ if min == max => min,
        (Some((day, _)), Some((last_day, time))) if day == last_day => format!("{min}..{time}"),
        _ => format!("{min}..{max}"),
    }
}

fn unreadable(blocks: &[ListedBlock]) -> impl Iterator<Item = String> {
    blocks.iter().filter_map(|block| {
        let reason = block.meta.as_ref().err()?;
        Some(format!("{}: {reason}", block.id))
    })
}

fn list_json(blocks: &[ListedBlock]) -> Value {
    blocks
        .iter()
        .map(|block| match &block.meta {
            Ok(meta) => meta_json(meta),
            Err(reason) => json!({ "id": block.id.to_string(), "unreadable": reason }),
        })
        .collect()
}

fn meta_json(meta: &BlockMeta) -> Value {
    let times = |range: TimeRange| json!([range.min_unix_nanos, range.max_unix_nanos]);
    json!({
        "id": meta.id.to_string(),
        "writer": meta.writer,
        "level": meta.compaction_level,
        "spans": meta.n_spans(),
        "traces": meta.n_traces(),
        "tenants": meta.tenants.len(),
        "bytes": meta.bytes(),
        "bytesPerSpan": bytes_per_span(meta),
        "slices": meta.slices.len(),
        "duplicatesRemoved": meta.n_duplicates_removed,
        "receivedUnixNanos": [meta.received_unix_nanos.min, meta.received_unix_nanos.max],
        "spanTimeUnixNanos": times(meta.span_time),
        "traceStartUnixNanos": times(meta.trace_start),
        "logRanges": meta.log_ranges.iter().map(|range| json!({
            "log": range.log.to_string(),
            "from": range.from.to_string(),
            "to": range.to.to_string(),
        })).collect::<Vec<_>>(),
    })
}

fn verified_text(verified: &[Verified]) -> String {
    let n_damaged = verified.iter().filter(|block| !block.problems.is_empty()).count();
    let verdict = match n_damaged {
        0 => "sound".to_owned(),
        damaged => format!("DAMAGED: {damaged} of {}", verified.len()),
    };
    let mut text = format!(
        "{verdict}: {}, {}, {}, {}\n",
        counted(verified.len() as u64, "block"),
        counted(verified.iter().map(|block| block.n_spans).sum(), "span"),
        counted(verified.iter().map(|block| block.n_traces).sum(), "trace"),
        rounded_bytes(verified.iter().map(|block| block.bytes).sum()),
    );
    for block in verified {
        let heading = format!("Block {}", block.id);
        push_list(&mut text, &heading, block.problems.iter().cloned());
    }
    if n_damaged > 0 {
        text.push_str(
            "\nA server sets such a block aside when a question meets it, says so in the answer, \
             and serves the rest.\nKeep a copy; restore the files from a backup under the same \
             names.\n",
        );
    }
    text
}

fn verified_json(verified: &[Verified]) -> Value {
    json!({
        "sound": verified.iter().all(|block| block.problems.is_empty()),
        "blocks": verified.iter().map(|block| json!({
            "id": block.id.to_string(),
            "spans": block.n_spans,
            "traces": block.n_traces,
            "bytes": block.bytes,
            "problems": block.problems,
        })).collect::<Vec<_>>(),
    })
}

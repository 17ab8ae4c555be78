//! `suyuan wal inspect` and `suyuan wal verify`: what is in the log, and whether it is sound.
//!
//! In: a data directory, also that of a running server. Out: tables for people or JSON for
//! programs, and exit code 1 where something is damaged. Never writes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use suyuan_wal::{Damage, Inspection, LocalDisk, Position, SegmentReport, Verification};

use crate::listing::{aligned, push_list};
use crate::quantity::{counted, grouped, rounded_bytes};
use crate::server::LOG_FOLDER;

const DAMAGED: u8 = 1;

/// Look into the log of a data directory, without changing it
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  suyuan wal verify --data-dir /var/lib/suyuan",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub enum WalCommand {
    /// List the segments of the log: size, records, what is damaged
    #[command(after_help = INSPECT_HELP)]
    Inspect(WalArgs),
    /// Read the whole log and say whether everything in it is sound
    #[command(after_help = VERIFY_HELP)]
    Verify(WalArgs),
}

const INSPECT_HELP: &str = "\
Exit codes: 0 sound, 1 damaged, 2 the log could not be read.

Example:
  suyuan wal inspect
  suyuan wal inspect --data-dir /var/lib/suyuan --json";

const VERIFY_HELP: &str = "\
Exit codes: 0 sound, 1 damaged, 2 the log could not be read.

Example:
  suyuan wal verify --data-dir /var/lib/suyuan && echo sound";

#[derive(Debug, Args)]
pub struct WalArgs {
    /// Data directory of the server; it may be running
    #[arg(
        long,
        value_name = "DIR",
        env = "SUYUAN_SERVER_DATA_DIR",
        default_value = "./suyuan-data"
    )]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Reads the log and reports.
///
/// # Errors
/// A directory without a log, a disk that cannot read it.
pub fn run(command: &WalCommand) -> anyhow::Result<ExitCode> {
    let (text, is_sound) = match command {
        WalCommand::Inspect(args) => {
            let inspection = suyuan_wal::inspect(&disk(args)?).context("cannot read the log")?;
            let is_sound = damage(&inspection).next().is_none();
            let text = match args.json {
                true => format!("{:#}\n", inspection_json(&inspection)),
                false => inspection_text(&inspection),
            };
            (text, is_sound)
        }
        WalCommand::Verify(args) => {
            let verification = suyuan_wal::verify(&disk(args)?).context("cannot read the log")?;
            let text = match args.json {
                true => format!("{:#}\n", verification_json(&verification)),
                false => verification_text(&verification),
            };
            (text, verification.is_sound())
        }
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

fn disk(args: &WalArgs) -> anyhow::Result<LocalDisk> {
    let folder = args.data_dir.join(LOG_FOLDER);
    LocalDisk::existing(&folder).with_context(|| no_log(&args.data_dir, &folder))
}

fn no_log(data_dir: &Path, folder: &Path) -> String {
    format!(
        "{} is no data directory of a server: cannot open {}; name one with --data-dir",
        data_dir.display(),
        folder.display()
    )
}

fn damage(inspection: &Inspection) -> impl Iterator<Item = &Damage> {
    let in_segments = inspection.segments.iter().flat_map(|segment| &segment.damage);
    inspection.damage.iter().chain(in_segments)
}

fn inspection_text(inspection: &Inspection) -> String {
    const HEADINGS: [&str; 8] =
        ["segment", "state", "file", "used", "records", "payload", "marks", "damage"];
    let mut table = vec![HEADINGS.map(str::to_owned)];
    table.extend(inspection.segments.iter().map(segment_row));
    let mut text = aligned(&table);
    text.push_str(&beginning(inspection.segments.first().map(|segment| segment.number)));
    push_list(&mut text, "Damage", damage(inspection).map(Damage::to_string));
    let torn = inspection.segments.iter().filter_map(|segment| segment.torn_tail);
    let torn = torn.map(|tail| {
        format!(
            "segment {}, byte {}: {} bytes of a group that was never acknowledged; the next start \
             cuts them (a running server may be writing them now)",
            tail.segment, tail.offset, tail.bytes
        )
    });
    push_list(&mut text, "Torn tail", torn);
    push_list(&mut text, "Set aside in quarantine/", inspection.quarantine.iter().cloned());
    push_list(&mut text, "Unfinished files", inspection.unfinished.iter().cloned());
    text
}

/// What an operator should know about the segments before the first one.
fn beginning(first_segment: Option<u64>) -> String {
    match first_segment {
        Some(number) if number > 1 => {
            format!("begins at segment {number}, earlier ones were removed\n")
        }
        _ => String::new(),
    }
}

fn segment_row(segment: &SegmentReport) -> [String; 8] {
    [
        segment.number.to_string(),
        if segment.is_closed { "closed" } else { "open" }.to_owned(),
        rounded_bytes(segment.file_bytes),
        rounded_bytes(segment.end),
        grouped(segment.records),
        rounded_bytes(segment.payload_bytes),
        grouped(segment.marks),
        match segment.damage.len() {
            0 => "-".to_owned(),
            places => places.to_string(),
        },
    ]
}

fn verification_text(verification: &Verification) -> String {
    let Verification {
        segments,
        first_segment,
        records,
        payload_bytes,
        damage,
        torn_tail,
        quarantined,
    } = verification;
    let verdict = match damage.len() {
        0 => "sound".to_owned(),
        1 => "DAMAGED in 1 place".to_owned(),
        places => format!("DAMAGED in {places} places"),
    };
    let mut text = format!(
        "{verdict}: {}, {}, {} of payload\n",
        counted(*segments, "segment"),
        counted(*records, "record"),
        rounded_bytes(*payload_bytes)
    );
    text.push_str(&beginning(*first_segment));
    if let Some(tail) = torn_tail {
        text.push_str(&format!(
            "a torn tail of {} bytes in segment {}: never acknowledged, the next start cuts it\n",
            tail.bytes, tail.segment
        ));
    }
    if *quarantined > 0 {
        text.push_str(&format!(
            "{} in quarantine/: set aside earlier\n",
            counted(*quarantined, "file")
        ));
    }
    push_list(&mut text, "Damage", damage.iter().map(Damage::to_string));
    if !damage.is_empty() {
        text.push_str(
            "\nThe server starts with such a log: it copies what is damaged to log/quarantine/ \
             and serves the rest.\nKeep a copy of the directory before anything else is tried.\n",
        );
    }
    text
}

fn inspection_json(inspection: &Inspection) -> Value {
    json!({
        "segments": inspection.segments.iter().map(segment_json).collect::<Vec<_>>(),
        "damage": inspection.damage.iter().map(damage_json).collect::<Vec<_>>(),
        "quarantine": inspection.quarantine,
        "unfinished": inspection.unfinished,
    })
}

fn segment_json(segment: &SegmentReport) -> Value {
    json!({
        "number": segment.number,
        "name": segment.name,
        "uuid": segment.uuid.map(|uuid| uuid.to_string()),
        "closed": segment.is_closed,
        "file_bytes": segment.file_bytes,
        "end": segment.end,
        "records": segment.records,
        "payload_bytes": segment.payload_bytes,
        "first_record": segment.range.map(|(first, _)| position_json(first)),
        "last_record": segment.range.map(|(_, last)| position_json(last)),
        "marks": segment.marks,
        "synced_end": segment.synced_end,
        "damage": segment.damage.iter().map(damage_json).collect::<Vec<_>>(),
        "torn_tail_bytes": segment.torn_tail.map(|tail| tail.bytes),
    })
}

fn verification_json(verification: &Verification) -> Value {
    json!({
        "sound": verification.is_sound(),
        "segments": verification.segments,
        "first_segment": verification.first_segment,
        "records": verification.records,
        "payload_bytes": verification.payload_bytes,
        "damage": verification.damage.iter().map(damage_json).collect::<Vec<_>>(),
        "torn_tail_bytes": verification.torn_tail.map(|tail| tail.bytes),
        "quarantined": verification.quarantined,
    })
}

fn damage_json(damage: &Damage) -> Value {
    json!({
        "segment": damage.segment,
        "offset": damage.offset,
        "bytes": damage.bytes,
        "what": damage.kind.to_string(),
    })
}

fn position_json(position: Position) -> Value {
    json!({ "segment": position.segment, "offset": position.offset })
}

#[cfg(test)]
mod tests;

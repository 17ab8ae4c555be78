//! `suyuan check`: whether a server could start here, and whether what it would find is whole.
//!
//! In: the configuration of a server, its data directory, its bucket. Out: a line for each thing
//! looked at: fine, odd, or wrong and what to do about it. May run beside the server. Writes
//! nothing but, to a bucket, the object by which a server proves that it can be used.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use suyuan_block::writer::folder;
use suyuan_objects::{Objects, prove_create_if_absent};
use suyuan_wal::LocalDisk;

use crate::config::address::Address;
use crate::config::storage::ObjectsKind;
use crate::config::{Config, Loaded};
use crate::offline::{self, ListedBlock, Offline, OfflineArgs};
use crate::quantity::{counted, rounded_bytes};
use crate::server::LOG_FOLDER;

const WRONG: u8 = 1;
/// Blocks whose problems are told one by one.
const BLOCKS_TOLD_MAX: usize = 10;

/// Check the configuration, the data directory and the object store of a server
///
/// Says what it found and what to do about it: keys, ports, log, catalog, that every file of every
/// block is there with its right size, that the object store answers and creates only if absent.
/// It does not read the blocks: `suyuan block verify` does.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 nothing is wrong, 1 something is, 2 it could not be checked.

Example:
  suyuan check --data-dir /var/lib/suyuan
  suyuan check --config /etc/suyuan.toml && systemctl restart suyuan")]
pub struct CheckArgs {
    #[command(flatten)]
    place: OfflineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Odd,
    Wrong,
}

struct Finding {
    verdict: Verdict,
    what: &'static str,
    text: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, verdict: Verdict, what: &'static str, text: impl Into<String>) {
        self.0.push(Finding { verdict, what, text: text.into() });
    }

    fn fine(&mut self, what: &'static str, text: impl Into<String>) {
        self.add(Verdict::Fine, what, text);
    }

    fn odd(&mut self, what: &'static str, text: impl Into<String>) {
        self.add(Verdict::Odd, what, text);
    }

    fn wrong(&mut self, what: &'static str, text: impl Into<String>) {
        self.add(Verdict::Wrong, what, text);
    }
}

/// Checks and reports.
///
/// # Errors
/// Nothing can be printed.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    match args.place.load() {
        Ok(loaded) => check(&loaded, &mut findings),
        Err(error) => findings.wrong("configuration", format!("{error:#}")),
    }
    let text = match args.place.json {
        true => findings.json(),
        false => findings.text(),
    };
    io::stdout().write_all(text.as_bytes())?;
    let is_wrong = findings.0.iter().any(|finding| finding.verdict == Verdict::Wrong);
    Ok(if is_wrong { ExitCode::from(WRONG) } else { ExitCode::SUCCESS })
}

fn check(loaded: &Loaded, findings: &mut Findings) {
    let config = &loaded.config;
    match loaded.warnings.is_empty() {
        true => findings.fine("configuration", "every key is known and within its bounds"),
        false => findings.odd("configuration", loaded.warnings.join("; ")),
    }
    let is_running = check_directory(config, findings);
    check_ports(config, is_running, findings);
    check_log(config, findings);
    check_store(config, findings);
}

/// Whether a server holds the directory.
fn check_directory(config: &Config, findings: &mut Findings) -> bool {
    let data_dir = &config.server.data_dir;
    let shown = data_dir.display();
    let Ok(metadata) = std::fs::metadata(data_dir) else {
        findings.odd("data directory", format!("{shown} does not exist: a server would make it"));
        return false;
    };
    if !metadata.is_dir() {
        findings.wrong(
            "data directory",
            format!("{shown} is no directory: name another one with `server.data_dir`"),
        );
        return false;
    }
    // Opened to read, so that the file is not made and says what it said.
    let lock = File::open(data_dir.join("LOCK"));
    let is_running =
        lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
    let state = if is_running { "a server runs on it" } else { "no server runs on it" };
    findings.fine("data directory", format!("{shown}, {state}"));
    is_running
}

fn check_ports(config: &Config, is_running: bool, findings: &mut Findings) {
    let doors = [
        ("server.http", &config.server.http),
        ("otlp.grpc", &config.otlp.grpc),
        ("otlp.http", &config.otlp.http),
    ];
    for (key, address) in doors {
        match bind(address) {
            Ok(()) => findings.fine("port", format!("{address} (`{key}`) is free")),
            Err(_) if is_running => {
                findings.fine(
                    "port",
                    format!("{address} (`{key}`) is taken, as by the running server"),
                );
            }
            Err(error) => findings.wrong(
                "port",
                format!("{address} (`{key}`): {error}; stop what listens there, or change the key"),
            ),
        }
    }
}

fn bind(address: &Address) -> io::Result<()> {
    match address.numeric() {
        Some(addresses) => TcpListener::bind(&addresses[..]).map(drop),
        None => TcpListener::bind((address.host.as_str(), address.port)).map(drop),
    }
}

fn check_log(config: &Config, findings: &mut Findings) {
    let folder = config.server.data_dir.join(LOG_FOLDER);
    let Ok(disk) = LocalDisk::existing(&folder) else {
        findings.odd("log", format!("{} does not exist: a server would make it", folder.display()));
        return;
    };
    match suyuan_wal::inspect(&disk) {
        Ok(inspection) => {
            let damage = inspection.segments.iter().map(|segment| segment.damage.len());
            let n_damages = damage.sum::<usize>() + inspection.damage.len();
            let bytes: u64 = inspection.segments.iter().map(|segment| segment.end).sum();
            let size = format!(
                "{}, {}",
                counted(inspection.segments.len() as u64, "segment"),
                rounded_bytes(bytes)
            );
            match n_damages {
                0 => findings.fine("log", size),
                n => findings.wrong(
                    "log",
                    format!(
                        "{size}, damaged in {}: `suyuan wal verify` says where; a server serves the \
                         rest",
                        counted(n as u64, "place")
                    ),
                ),
            }
        }
        Err(error) => findings.wrong("log", format!("{error}; ask the disk first")),
    }
}

fn check_store(config: &Config, findings: &mut Findings) {
    let place = config.objects.place();
    let store = match offline::open(config) {
        Ok(store) => store,
        Err(_) if config.objects.kind == ObjectsKind::Local => {
            findings
                .odd("object store", format!("there is no {place} yet: a server would make it"));
            return;
        }
        Err(error) => return findings.wrong("object store", format!("{error:#}")),
    };
    if config.objects.kind == ObjectsKind::S3 {
        match prove_create_if_absent(&*store.objects) {
            Ok(()) => {
                findings.fine("object store", format!("{place} answers and creates only if absent"))
            }
            Err(error) => return findings.wrong("object store", format!("{place}: {error}")),
        }
    } else {
        findings.fine("object store", place);
    }
    check_catalog(&store, findings);
}

fn check_catalog(store: &Offline, findings: &mut Findings) {
    let shards = match suyuan_catalog::inspect(&*store.objects) {
        Ok(shards) => shards,
        Err(error) => return findings.wrong("catalog", error.to_string()),
    };
    if shards.is_empty() {
        findings.odd("catalog", "there is none yet: no server has run here");
    }
    for shard in &shards {
        let state = match &shard.state {
            Ok(state) => state,
            Err(error) => {
                findings.wrong("catalog", format!("shard {}: {error}", shard.shard));
                continue;
            }
        };
        let text = format!(
            "shard {}: entry {}, {}",
            shard.shard,
            state.number,
            counted(state.blocks.len() as u64, "block")
        );
        findings.fine("catalog", text);
        // An entry that does not count any more may be damaged and hurt nobody yet.
        let damaged = shard.entries.iter().filter(|entry| entry.content.is_err()).count();
        if damaged > 0 {
            let entries = counted(damaged as u64, "old entry");
            findings
                .odd("catalog", format!("{entries} cannot be read; a snapshot stands in for them"));
        }
        check_blocks(&*store.objects, offline::blocks_of(state), findings);
    }
}

fn check_blocks(
    objects: &dyn Objects,
    blocks: impl Iterator<Item = ListedBlock>,
    findings: &mut Findings,
) {
    let (mut n_files, mut bytes, mut n_broken) = (0u64, 0u64, 0usize);
    for block in blocks {
        let (mut problems, mut files) = (Vec::new(), &Vec::new());
        match &block.meta {
            Ok(meta) => files = &meta.files,
            Err(reason) => problems.push(reason.clone()),
        }
        for file in files {
            let path = match &block.meta {
                Ok(meta) => format!("{}/{}", folder(meta.id), file.name),
                Err(_) => continue,
            };
            match objects.head(&path) {
                Ok(Some(found)) if found.bytes == file.bytes => {}
                Ok(Some(found)) => problems.push(format!(
                    "{} has {} bytes instead of {}",
                    file.name, found.bytes, file.bytes
                )),
                Ok(None) => problems.push(format!("{} is missing", file.name)),
                Err(error) => problems.push(error.to_string()),
            }
            n_files += 1;
            bytes += file.bytes;
        }
        if problems.is_empty() {
            continue;
        }
        n_broken += 1;
        if n_broken <= BLOCKS_TOLD_MAX {
            let text = format!(
                "{}: {}; restore it from a backup, the rest is served without it",
                block.id,
                problems.join(", ")
            );
            findings.wrong("block", text);
        }
    }
    if n_broken > BLOCKS_TOLD_MAX {
        findings.wrong("block", format!("and {} more", n_broken - BLOCKS_TOLD_MAX));
    }
    if n_broken == 0 {
        let text = format!("{}, {}, all there", counted(n_files, "file"), rounded_bytes(bytes));
        findings.fine("blocks", text);
    }
}

impl Findings {
    fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.0 {
            let verdict = match finding.verdict {
                Verdict::Fine => "ok   ",
                Verdict::Odd => "note ",
                Verdict::Wrong => "WRONG",
            };
            text.push_str(&format!("{verdict}  {:<14}  {}\n", finding.what, finding.text));
        }
        text
    }

    fn json(&self) -> String {
        let findings = self.0.iter().map(|finding| {
            let verdict = match finding.verdict {
                Verdict::Fine => "ok",
                Verdict::Odd => "note",
                Verdict::Wrong => "wrong",
            };
            json!({ "verdict": verdict, "what": finding.what, "text": finding.text })
        });
        format!("{:#}\n", serde_json::Value::from_iter(findings))
    }
}

#[cfg(test)]
mod tests;

//! `cargo xtask`: checks and chores that need no tool beyond Rust.
//!
//! In: the command line. Out: findings on standard output and an exit code. Each task stands in
//! a file of its own; this one only chooses among them.

mod bench;
mod tidy;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Checks and chores of the repository.

Usage: cargo xtask <task>

Tasks:
  tidy           check the rules of docs/STYLE.md that a machine can check
  tidy --bless   first write what tidy keeps: the hashes in docs/formats, the ratchet (downwards)
  bench          measure what a span costs (`cargo xtask bench --help`)
";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => tidy::run(&root(), tidy::Mode::Check),
        ["tidy", "--bless"] => tidy::run(&root(), tidy::Mode::Bless),
        ["bench", "--help" | "-h"] => {
            std::io::stdout().write_all(bench::HELP.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        ["bench", options @ ..] => bench::run(&root(), options),
        ["--help" | "-h" | "help"] => {
            std::io::stdout().write_all(HELP.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        _ => anyhow::bail!("no such task: `{}`\n\n{HELP}", words.join(" ")),
    }
}

/// The folder of the workspace: the one above this package.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package lies inside the workspace").to_path_buf()
}

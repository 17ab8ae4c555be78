//! `cargo xtask tidy`: the rules of `docs/STYLE.md` that a machine can check.
//!
//! In: every file that git knows or would add. Out: one finding for each breach, with its file,
//! its line and the fix. A check is a pure function from the tree to findings. What rustfmt,
//! clippy and the compiler already say is not said again here; that `docs/configuration.md` is
//! generated from the code is held by a test of the server.

mod decisions;
mod dependencies;
mod formats;
mod headers;
mod markdown;
mod names;
mod ratchet;
mod reasons;
mod source;
mod tree;
mod words;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use tree::{Finding, Tree};

/// Whether `tidy` only looks, or first writes the numbers that it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Check,
    Bless,
}

/// One rule: what it is called in the report, and where it looks.
type Check = (&'static str, fn(&Tree) -> Vec<Finding>);

const CHECKS: [Check; 9] = [
    ("file headers", headers::check),
    ("package order and fences", dependencies::check),
    ("names of files", names::check),
    ("words", words::check),
    ("reasons", reasons::check),
    ("described formats", formats::check),
    ("decisions", decisions::check),
    ("documents", markdown::check),
    ("ratchet", ratchet::check),
];

/// Runs every check over the repository at `root` and prints what it finds.
pub(crate) fn run(root: &Path, mode: Mode) -> anyhow::Result<ExitCode> {
    if mode == Mode::Bless {
        let tree = Tree::read(root)?;
        formats::bless(root, &tree)?;
        ratchet::bless(root, &tree)?;
    }
    let tree = Tree::read(root)?;
    let mut out = std::io::stdout().lock();
    let mut n_findings = 0;
    for (name, check) in CHECKS {
        let findings = check(&tree);
        for finding in &findings {
            writeln!(out, "{finding}\n    rule: {name}")?;
        }
        n_findings += findings.len();
    }
    writeln!(out, "tidy: {} files, {n_findings} findings", tree.files().len())?;
    Ok(if n_findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! The longest file and the longest function may only become shorter.
//!
//! In: `xtask/ratchet.toml` and the Rust files. Out: a finding when something is longer than the
//! number kept there, or when the number has so much slack that it holds nothing. `--bless` moves
//! a number down, never up: raising one is an edit by hand, in a commit that says why.

use std::path::Path;

use anyhow::Context as _;

use super::source::{functions, is_test_path};
use super::tree::{Finding, TextFile, Tree};

const PATH: &str = "xtask/ratchet.toml";
const OPENING: &str = "\
# The longest file and function, in lines; `cargo xtask tidy --bless` moves these numbers down.
# Raising one is an edit by hand, in a commit that says why.
";

/// A number may stand this much above what is measured before `tidy` asks for it to be lowered.
const SLACK_PERCENT: usize = 20;

/// One number: its key in the file, and the longest thing that it bounds.
struct Tooth<'a> {
    key: &'static str,
    longest: Option<Measured<'a>>,
}

struct Measured<'a> {
    file: &'a TextFile,
    line: usize,
    name: String,
    n_lines: usize,
}

impl Tooth<'_> {
    fn n_lines(&self) -> usize {
        self.longest.as_ref().map_or(0, |longest| longest.n_lines)
    }
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text_of(PATH) else {
        return vec![at_ratchet(1, "the file is missing", "run `cargo xtask tidy --bless`")];
    };
    teeth(tree).iter().filter_map(|tooth| compare(text, tooth)).collect()
}

fn compare(text: &str, tooth: &Tooth<'_>) -> Option<Finding> {
    let key = tooth.key;
    let Some(kept) = kept(text, key) else {
        return Some(at_ratchet(1, format!("no `{key}`"), "run `cargo xtask tidy --bless`"));
    };
    let longest = tooth.longest.as_ref()?;
    if longest.n_lines > kept {
        return Some(longest.file.finding(
            longest.line,
            format!("{} has {} lines, `{key}` is {kept}", longest.name, longest.n_lines),
            "split it where its story has a joint",
        ));
    }
    if kept * 100 > longest.n_lines * (100 + SLACK_PERCENT) {
        let problem = format!("`{key}` is {kept}, the longest has {}", longest.n_lines);
        return Some(at_ratchet(line_of(text, key), problem, "run `cargo xtask tidy --bless`"));
    }
    None
}

/// Writes each number as it is now, where that is lower than the one kept.
pub(super) fn bless(root: &Path, tree: &Tree) -> anyhow::Result<()> {
    let blessed = blessed(tree);
    let path = root.join(PATH);
    std::fs::write(&path, blessed).with_context(|| path.display().to_string())
}

pub(super) fn blessed(tree: &Tree) -> String {
    let text = tree.text_of(PATH).unwrap_or_default();
    let mut blessed = OPENING.to_string();
    for tooth in teeth(tree) {
        let measured = tooth.n_lines();
        let lowest = kept(text, tooth.key).map_or(measured, |kept| kept.min(measured));
        blessed.push_str(&format!("{} = {lowest}\n", tooth.key));
    }
    blessed
}

/// Tests have numbers of their own: a table of cases may be long where logic may not.
fn teeth(tree: &Tree) -> [Tooth<'_>; 4] {
    let longest = |tests: bool, measure: fn(&TextFile) -> Option<Measured<'_>>| {
        tree.with_extension("rs")
            .filter(|file| is_test_path(&file.path) == tests)
            .filter_map(measure)
            .max_by_key(|measured| measured.n_lines)
    };
    [
        Tooth { key: "source_file_lines_max", longest: longest(false, whole_file) },
        Tooth { key: "source_function_lines_max", longest: longest(false, longest_function) },
        Tooth { key: "test_file_lines_max", longest: longest(true, whole_file) },
        Tooth { key: "test_function_lines_max", longest: longest(true, longest_function) },
    ]
}

fn whole_file(file: &TextFile) -> Option<Measured<'_>> {
    let n_lines = file.text.lines().count();
    Some(Measured { file, line: 1, name: "the file".to_string(), n_lines })
}

fn longest_function(file: &TextFile) -> Option<Measured<'_>> {
    let longest = functions(&file.text).into_iter().max_by_key(|function| function.n_lines)?;
    Some(Measured {
        file,
        line: longest.line,
        name: format!("`fn {}`", longest.name),
        n_lines: longest.n_lines,
    })
}

fn kept(text: &str, key: &str) -> Option<usize> {
    let table: toml::Table = text.parse().ok()?;
    usize::try_from(table.get(key)?.as_integer()?).ok()
}

fn line_of(text: &str, key: &str) -> usize {
    text.lines().position(|line| line.starts_with(key)).map_or(1, |index| index + 1)
}

fn at_ratchet(line: usize, problem: impl Into<String>, fix: &str) -> Finding {
    Finding { path: PATH.to_string(), line, problem: problem.into(), fix: fix.to_string() }
}

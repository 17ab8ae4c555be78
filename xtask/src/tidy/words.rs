//! Words that may not stand in the repository: unfinished work without an issue, and traces of
//! one person's machine.
//!
//! The words are written here in two halves, so that this file does not break its own rule.

use super::tree::{Finding, TextFile, Tree};

/// Marks of unfinished work; each needs the number of its issue, as in `TODO(#12)`.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Paths and settings that are true on one machine only, with what to write instead.
const MACHINE_WORDS: [(&str, &str); 8] = [
    (concat!("/wo", "rk/"), "a path relative to the repository"),
    (concat!("/ro", "ot/"), "a path relative to the repository, or `~`"),
    (concat!("/ho", "me/"), "a path relative to the repository, or `~`"),
    (concat!("/Us", "ers/"), "a path relative to the repository, or `~`"),
    (concat!("index", "-url"), "nothing: where packages come from is the machine's affair"),
    (concat!("GOPR", "OXY"), "nothing: where packages come from is the machine's affair"),
    (concat!("npm config set ", "registry"), "nothing: the machine's affair"),
    (concat!("<mir", "ror>"), "nothing: where packages come from is the machine's affair"),
];

/// Hosts that a lock file may name.
const PACKAGE_HOSTS: [&str; 2] = ["github.com/rust-lang/crates.io-index", "registry.npmjs.org/"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        marks(file, &mut findings);
        machine_words(file, &mut findings);
        package_hosts(file, &mut findings);
    }
    findings
}

fn marks(file: &TextFile, findings: &mut Vec<Finding>) {
    if file.extension() == Some("md") {
        return;
    }
    for (number, line) in file.lines() {
        let Some(mark) = MARKS.iter().find(|mark| has_bare_mark(line, mark)) else { continue };
        findings.push(file.finding(
            number,
            format!("`{mark}` without an issue"),
            format!("do it now, or open an issue and write `{mark}(#number)`"),
        ));
    }
}

/// Whether `mark` stands in the line as a word of its own that no `(#number)` follows.
fn has_bare_mark(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = &line[start + mark.len()..];
        let is_word = !before.is_some_and(is_word_character)
            && !after.chars().next().is_some_and(is_word_character);
        is_word && !names_an_issue(after)
    })
}

fn names_an_issue(after_mark: &str) -> bool {
    after_mark
        .strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'))
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn machine_words(file: &TextFile, findings: &mut Vec<Finding>) {
    for (number, line) in file.lines() {
        for (word, instead) in MACHINE_WORDS {
            if !line.contains(word) {
                continue;
            }
            findings.push(file.finding(
                number,
                format!("`{word}` is true on one machine only"),
                format!("write {instead}"),
            ));
        }
    }
}

/// A lock file names the public registries, never a mirror.
fn package_hosts(file: &TextFile, findings: &mut Vec<Finding>) {
    let is_lock = file.path.ends_with("Cargo.lock") || file.path.ends_with("package-lock.json");
    if !is_lock {
        return;
    }
    for (number, line) in file.lines() {
        let line = line.trim_start();
        let names_source = line.starts_with("source = ") || line.starts_with("\"resolved\":");
        if names_source && !PACKAGE_HOSTS.iter().any(|host| line.contains(host)) {
            findings.push(file.finding(
                number,
                "a package comes from a place that others cannot reach",
                format!("resolve it from one of: {}", PACKAGE_HOSTS.join(", ")),
            ));
        }
    }
}

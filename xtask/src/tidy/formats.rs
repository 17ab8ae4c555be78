//! A document of a format names the code that it describes, with a hash of it.
//!
//! In: `docs/formats/*.md`, each with lines such as
//! `<!-- describes: crates/wal/src/format.rs fnv1a:0123456789abcdef -->`. Out: a finding when the
//! code has changed since. The hash proves nothing; it makes whoever changes the code look at the
//! document. White space and tests do not count.

use std::path::Path;

use anyhow::Context as _;

use super::tree::{Finding, TextFile, Tree};

const FOLDER: &str = "docs/formats/";
const OPENING: &str = "<!-- describes: ";
const CLOSING: &str = " -->";
const BLESS: &str = "read the document against the code, then run `cargo xtask tidy --bless`";

/// One `describes` line.
struct Description<'a> {
    line: usize,
    code_path: &'a str,
    hash: Option<&'a str>,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in documents(tree) {
        let descriptions = descriptions(document);
        if descriptions.is_empty() {
            findings.push(document.finding(
                1,
                "the format does not name the code that it describes",
                format!("add a line `{OPENING}PATH{CLOSING}`, then `cargo xtask tidy --bless`"),
            ));
        }
        for description in descriptions {
            findings.extend(compare(tree, document, &description));
        }
    }
    findings
}

fn compare(tree: &Tree, document: &TextFile, description: &Description<'_>) -> Option<Finding> {
    let code_path = description.code_path;
    let Some(code) = tree.text_of(code_path) else {
        return Some(document.finding(
            description.line,
            format!("describes `{code_path}`, which is not there"),
            "name the file that now holds the format",
        ));
    };
    if description.hash == Some(hash(code).as_str()) {
        return None;
    }
    Some(document.finding(description.line, format!("`{code_path}` has changed since"), BLESS))
}

/// Writes the present hashes into the documents.
pub(super) fn bless(root: &Path, tree: &Tree) -> anyhow::Result<()> {
    for document in documents(tree) {
        let blessed = blessed(tree, document);
        if blessed != document.text {
            let path = root.join(&document.path);
            std::fs::write(&path, blessed).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// The document with the present hash in each of its `describes` lines.
pub(super) fn blessed(tree: &Tree, document: &TextFile) -> String {
    let mut lines: Vec<String> = document.text.lines().map(str::to_string).collect();
    for description in descriptions(document) {
        let Some(code) = tree.text_of(description.code_path) else { continue };
        lines[description.line - 1] =
            format!("{OPENING}{} {}{CLOSING}", description.code_path, hash(code));
    }
    lines.join("\n") + "\n"
}

fn documents(tree: &Tree) -> impl Iterator<Item = &TextFile> {
    tree.with_extension("md").filter(|file| file.path.starts_with(FOLDER))
}

fn descriptions(document: &TextFile) -> Vec<Description<'_>> {
    document
        .lines()
        .filter_map(|(line, text)| {
            let inside = text.strip_prefix(OPENING)?.strip_suffix(CLOSING)?;
            let (code_path, hash) = match inside.split_once(' ') {
                Some((code_path, hash)) => (code_path, Some(hash)),
                None => (inside, None),
            };
            Some(Description { line, code_path, hash })
        })
        .collect()
}

/// FNV-1a of 64 bits over everything but white space and what stands below `#[cfg(test)]`.
fn hash(code: &str) -> String {
    let code = code.split("\n#[cfg(test)]").next().unwrap_or(code);
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in code.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("fnv1a:{hash:016x}")
}

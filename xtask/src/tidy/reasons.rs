//! Every exception from a lint and every ignored test says why.

use super::tree::{Finding, TextFile, Tree};

/// Attributes that must carry `reason = "..."`.
const EXCEPTIONS: [&str; 4] = ["#[expect(", "#![expect(", "#[allow(", "#![allow("];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.with_extension("rs") {
        let lines: Vec<&str> = file.text.lines().collect();
        for index in 0..lines.len() {
            exception(file, &lines, index, &mut findings);
            ignored_test(file, &lines, index, &mut findings);
        }
    }
    findings
}

fn exception(file: &TextFile, lines: &[&str], index: usize, findings: &mut Vec<Finding>) {
    let line = lines[index].trim_start();
    if !EXCEPTIONS.iter().any(|opening| line.starts_with(opening)) {
        return;
    }
    if line.contains("allow(") {
        findings.push(file.finding(
            index + 1,
            "`allow` stays when its cause is gone",
            "write `#[expect(lint, reason = \"...\")]`",
        ));
    }
    if !attribute(&lines[index..]).contains("reason = \"") {
        findings.push(file.finding(
            index + 1,
            "an exception from a lint without its reason",
            "add `reason = \"...\"`",
        ));
    }
}

fn ignored_test(file: &TextFile, lines: &[&str], index: usize, findings: &mut Vec<Finding>) {
    if lines[index].trim() == "#[ignore]" {
        findings.push(file.finding(
            index + 1,
            "an ignored test without its reason",
            "write `#[ignore = \"...\"]`, naming what it needs and the command that runs it",
        ));
    }
}

/// The text of the attribute that begins on the first of these lines.
fn attribute(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.trim());
        if line.trim_end().ends_with(']') {
            break;
        }
    }
    text
}

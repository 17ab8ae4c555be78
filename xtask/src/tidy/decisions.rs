//! Every external crate has a decision record, and every record a number of its own.
//!
//! In: `[workspace.dependencies]` of the root manifest and `docs/decisions/NNNN-title.md`. A
//! crate counts as decided when a record names it in backticks.

use std::collections::BTreeMap;

use toml::Table;

use super::tree::{Finding, TextFile, Tree};

const FOLDER: &str = "docs/decisions/";
const MANIFEST: &str = "Cargo.toml";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let records: Vec<&TextFile> =
        tree.with_extension("md").filter(|file| file.path.starts_with(FOLDER)).collect();
    let mut findings = numbers(&records);
    findings.extend(undecided_crates(tree, &records));
    findings
}

fn numbers(records: &[&TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for record in records {
        let name = &record.path[FOLDER.len()..];
        let number = name.split('-').next().unwrap_or(name);
        if number.len() != 4 || number.parse::<u16>().is_err() {
            findings.push(record.finding(
                1,
                "a decision without its number",
                "name the file NNNN-title.md, with the next free number",
            ));
            continue;
        }
        if let Some(first) = seen.insert(number, &record.path) {
            findings.push(record.finding(
                1,
                format!("the number {number} is taken by {first}"),
                "take the next free number",
            ));
        }
    }
    findings
}

fn undecided_crates(tree: &Tree, records: &[&TextFile]) -> Vec<Finding> {
    let Some(manifest) = tree.files().iter().find(|file| file.path == MANIFEST) else {
        return Vec::new();
    };
    external_crates(&manifest.text)
        .into_iter()
        .filter(|name| !records.iter().any(|record| record.text.contains(&format!("`{name}`"))))
        .map(|name| {
            let line = manifest.lines().find(|(_, text)| text.starts_with(&format!("{name} ")));
            manifest.finding(
                line.map_or(1, |(line, _)| line),
                format!("no decision record names `{name}`"),
                "say in docs/decisions what it saves, what it costs and who maintains it",
            )
        })
        .collect()
}

fn external_crates(manifest: &str) -> Vec<String> {
    let Ok(table) = manifest.parse::<Table>() else { return Vec::new() };
    let dependencies = table
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(toml::Value::as_table);
    dependencies
        .into_iter()
        .flatten()
        .filter(|(_, value)| value.get("path").is_none())
        .map(|(name, _)| name.clone())
        .collect()
}

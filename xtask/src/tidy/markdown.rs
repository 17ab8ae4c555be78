//! Documents hold together: links lead to files, paths in backticks exist, and the two READMEs tell
//! the same story.

use super::tree::{Finding, TextFile, Tree};

const TWINS: [&str; 2] = ["README.md", "README.zh-CN.md"];

/// A code span that begins so and goes on is taken for a path from the root, and must exist.
const PATH_STARTS: [&str; 6] = ["crates/", "docs/", "xtask/", "fuzz/", "testdata/", "tests/"];
const PLACEHOLDERS: [&str; 2] = ["NAME", "NNNN"];

/// The changelog speaks of files as they were at the time.
const HISTORY: &str = "CHANGELOG.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        tree.with_extension("md").flat_map(|file| broken_links(tree, file)).collect();
    findings.extend(tree.with_extension("md").flat_map(|file| missing_paths(tree, file)));
    findings.extend(twins(tree));
    findings
}

fn broken_links(tree: &Tree, file: &TextFile) -> Vec<Finding> {
    let outline = outline(file);
    outline
        .prose
        .iter()
        .flat_map(|(line, text)| link_targets(text).into_iter().map(move |target| (*line, target)))
        .filter(|(_, target)| !leads_somewhere(tree, &file.path, target))
        .map(|(line, target)| {
            file.finding(
                line,
                format!("the link leads to `{target}`, which is not there"),
                "link to the file as it is now called, relative to this document",
            )
        })
        .collect()
}

/// Links within the repository are checked; addresses and places on the same page are not.
fn leads_somewhere(tree: &Tree, document_path: &str, target: &str) -> bool {
    let is_address = target.contains("://") || target.starts_with("mailto:");
    let path = target.split('#').next().unwrap_or(target);
    if is_address || path.is_empty() {
        return true;
    }
    resolve(document_path, path).is_some_and(|path| tree.holds(&path))
}

/// The path from the root, or none when it leaves the repository.
fn resolve(document_path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = document_path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// What stands in the parentheses of `[text](target)`, outside of code spans.
fn link_targets(line: &str) -> Vec<String> {
    let outside_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join("_");
    outside_code
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .map(str::to_string)
        .collect()
}

fn missing_paths(tree: &Tree, file: &TextFile) -> Vec<Finding> {
    if file.path == HISTORY {
        return Vec::new();
    }
    let prose = outline(file).prose;
    prose
        .iter()
        .flat_map(|(line, text)| code_spans(text).map(move |span| (*line, span)))
        .filter(|(_, span)| is_path(span) && !tree.holds(span))
        .map(|(line, span)| {
            file.finding(
                line,
                format!("`{span}` is not there"),
                "name the file as it is now called",
            )
        })
        .collect()
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Patterns (`docs/*.md`) and placeholders (`crates/NAME`, `docs/decisions/NNNN-title.md`) are not
/// paths.
fn is_path(span: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    PATH_STARTS.iter().any(|start| span.len() > start.len() && span.starts_with(start))
        && span.chars().all(is_plain)
        && !PLACEHOLDERS.iter().any(|placeholder| span.contains(placeholder))
}

/// A document taken apart: prose lines with their numbers, heading levels, fenced code.
struct Outline<'a> {
    prose: Vec<(usize, &'a str)>,
    heading_levels: Vec<(usize, usize)>,
    code_blocks: Vec<(usize, String)>,
}

fn outline(file: &TextFile) -> Outline<'_> {
    let mut outline =
        Outline { prose: Vec::new(), heading_levels: Vec::new(), code_blocks: Vec::new() };
    let mut open_block: Option<(usize, String)> = None;
    for (number, line) in file.lines() {
        let is_fence = line.trim_start().starts_with("```");
        match (&mut open_block, is_fence) {
            (None, true) => open_block = Some((number, format!("{}\n", line.trim_start()))),
            (Some(_), true) => outline.code_blocks.extend(open_block.take()),
            (Some((_, code)), false) => {
                code.push_str(line);
                code.push('\n');
            }
            (None, false) => {
                outline.prose.push((number, line));
                let level = line.chars().take_while(|c| *c == '#').count();
                if level > 0 && line[level..].starts_with(' ') {
                    outline.heading_levels.push((number, level));
                }
            }
        }
    }
    outline
}

/// Both READMEs have the same headings in number and level, and the same code blocks.
fn twins(tree: &Tree) -> Vec<Finding> {
    let [Some(first), Some(second)] =
        TWINS.map(|path| tree.files().iter().find(|file| file.path == path))
    else {
        let missing: Vec<&str> =
            TWINS.into_iter().filter(|path| tree.text_of(path).is_none()).collect();
        return missing.into_iter().map(missing_twin).collect();
    };
    let (left, right) = (outline(first), outline(second));
    let left_levels: Vec<usize> = left.heading_levels.iter().map(|(_, level)| *level).collect();
    let right_levels: Vec<usize> = right.heading_levels.iter().map(|(_, level)| *level).collect();
    let mut findings = Vec::new();
    if left_levels != right_levels {
        findings.push(second.finding(
            1,
            format!("headings {right_levels:?}, in {} {left_levels:?}", first.path),
            "give both the same sections in the same order",
        ));
    }
    if left.code_blocks.len() != right.code_blocks.len() {
        findings.push(second.finding(
            1,
            format!(
                "{} code blocks, {} in the other",
                right.code_blocks.len(),
                left.code_blocks.len()
            ),
            "give both the same code blocks",
        ));
    }
    for ((left_line, left_code), (right_line, right_code)) in
        left.code_blocks.iter().zip(&right.code_blocks)
    {
        if left_code != right_code {
            findings.push(second.finding(
                *right_line,
                format!("the code block differs from {}:{left_line}", first.path),
                "write the same code in both; explain it in the prose",
            ));
        }
    }
    findings
}

fn missing_twin(path: &str) -> Finding {
    Finding {
        path: path.to_string(),
        line: 1,
        problem: "the file is missing".to_string(),
        fix: "README.md and README.zh-CN.md stand beside each other".to_string(),
    }
}

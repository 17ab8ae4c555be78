//! Every Rust file opens with `//!`, so that a reader knows what it is before any code.

use super::tree::{Finding, TextFile, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.with_extension("rs")
        .filter(|file| !opens_with_header(file))
        .map(|file| {
            file.finding(
                1,
                "the file does not say what it is",
                "open it with `//!`: what comes in, what goes out, what never happens here",
            )
        })
        .collect()
}

/// Inner attributes may stand before the header, on one line each or spread over several.
fn opens_with_header(file: &TextFile) -> bool {
    let mut inside_attribute = false;
    for (_, line) in file.lines() {
        let line = line.trim();
        if inside_attribute || line.starts_with("#![") {
            inside_attribute = !line.ends_with(']');
            continue;
        }
        if line.is_empty() {
            continue;
        }
        return line.strip_prefix("//!").is_some_and(|text| !text.trim().is_empty());
    }
    false
}

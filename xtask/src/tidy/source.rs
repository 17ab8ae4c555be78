//! As much of Rust's shape as the checks need, read from rustfmt's layout.
//!
//! In: the text of a Rust file. Out: its functions with their lengths. This is no parser: it
//! trusts that a body ends at a `}` in the column where its `fn` began, which rustfmt guarantees.

/// A function with a body, as it stands in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) n_lines: usize,
}

/// Every function of the file that has a body, in order. Those inside others are listed too.
pub(super) fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    (0..lines.len())
        .filter_map(|index| {
            let name = function_name(lines[index])?;
            let n_lines = body_lines(&lines[index..])?;
            Some(Function { name, line: index + 1, n_lines })
        })
        .collect()
}

/// Files that hold tests alone.
pub(super) fn is_test_path(path: &str) -> bool {
    path.ends_with("tests.rs")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || path.starts_with("crates/testkit/")
}

/// The name after `fn`, if this line opens a function item.
fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.trim_start().split_once("fn ")?;
    let qualifiers_only = before.split_whitespace().all(|word| {
        word.starts_with("pub")
            || matches!(word, "const" | "async" | "unsafe" | "extern" | "\"C\"" | "crate)")
    });
    if !qualifiers_only {
        return None;
    }
    let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Lines from the `fn` to its closing brace; none for a declaration without a body.
fn body_lines(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?;
    if first.trim_end().ends_with('}') {
        return Some(1);
    }
    let indent = &first[..first.len() - first.trim_start().len()];
    for (index, line) in lines.iter().enumerate() {
        let Some(text) = line.strip_prefix(indent).filter(|text| !text.starts_with(' ')) else {
            continue;
        };
        if text.starts_with('}') {
            return Some(index + 1);
        }
        if text.trim_end().ends_with(';') {
            return None;
        }
    }
    None
}

//! Names of files and folders: the noun of what they hold, never a drawer for leftovers.

use super::tree::{Finding, Tree};

/// Each name with what to write instead.
const NAMES_FORBIDDEN: [(&str, &str); 8] = [
    ("mod.rs", "name the file after its module and put it beside the folder: `block.rs`, `block/`"),
    ("utils", "name it after what it does; a helper of one file stays in that file"),
    ("util", "name it after what it does; a helper of one file stays in that file"),
    ("common", "name it after what it holds, or give it to the package that owns the idea"),
    ("helpers", "name it after what it does"),
    ("misc", "name it after what it holds"),
    ("v2", "replace the old one in the same change; a format version is a number inside the file"),
    ("lib2", "replace the old one in the same change"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in tree.paths() {
        for part in path.split('/') {
            let stem = part.split('.').next().unwrap_or(part);
            let forbidden = NAMES_FORBIDDEN.iter().find(|(name, _)| part == *name || stem == *name);
            if let Some((name, fix)) = forbidden {
                findings.push(Finding {
                    path: path.clone(),
                    line: 1,
                    problem: format!("`{name}` says nothing about what is inside"),
                    fix: fix.to_string(),
                });
            }
        }
    }
    findings
}

//! What the checks look at and what they answer.
//!
//! In: a folder under git. Out: its text files in memory, with paths relative to the root and
//! written with `/`. Files that git ignores are never read; files that are not text are only known
//! to exist.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// The repository as the checks see it.
pub(crate) struct Tree {
    files: Vec<TextFile>,
    paths: BTreeSet<String>,
}

/// One text file. `path` is relative to the root.
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// One breach of one rule: where it stands, what is wrong, how to put it right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) problem: String,
    pub(crate) fix: String,
}

impl Tree {
    /// Reads what git tracks and what it would add; a file deleted but not yet committed is left out.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("cannot run git to list the files")?;
        anyhow::ensure!(listing.status.success(), "git ls-files failed in {}", root.display());
        let listing = String::from_utf8(listing.stdout).context("a file name is not UTF-8")?;

        let mut tree = Self { files: Vec::new(), paths: BTreeSet::new() };
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
            tree.paths.insert(path.to_string());
            if let Ok(text) = String::from_utf8(bytes) {
                tree.files.push(TextFile { path: path.to_string(), text });
            }
        }
        Ok(tree)
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, text)| TextFile { path: path.to_string(), text: text.to_string() })
                .collect(),
            paths: files.iter().map(|(path, _)| path.to_string()).collect(),
        }
    }

    pub(crate) fn files(&self) -> &[TextFile] {
        &self.files
    }

    /// Files whose name ends in `.{extension}`.
    pub(crate) fn with_extension(&self, extension: &str) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(move |file| file.extension() == Some(extension))
    }

    pub(crate) fn text_of(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// Every path, of text files and of others.
    pub(crate) fn paths(&self) -> &BTreeSet<String> {
        &self.paths
    }

    /// Whether a file or a folder of this name exists.
    pub(crate) fn holds(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty()
            || self.paths.contains(path)
            || self.paths.range(format!("{path}/")..).next().is_some_and(|next| {
                next.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
            })
    }
}

impl TextFile {
    pub(crate) fn extension(&self) -> Option<&str> {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map(|(_, extension)| extension)
    }

    /// Lines with their numbers, which begin at one.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    pub(crate) fn finding(
        &self,
        line: usize,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding { path: self.path.clone(), line, problem: problem.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    fix: {}", self.path, self.line, self.problem, self.fix)
    }
}

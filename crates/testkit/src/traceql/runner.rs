//! Runs scripts: each query must answer what its script says.
//!
//! In: a folder of scripts, and something that answers questions about a scene. Out: how many
//! queries there were, and what was answered wrongly, as text.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::script::{self, Act, Case, answer_lines};
use super::search::{RefFound, RefQuestion};
use super::span::RefSpan;

/// What answers questions about a scene.
pub type Answerer = Box<dyn Fn(&RefQuestion) -> Result<Vec<RefFound>, String>>;

/// Queries that the scripts hold at least, so that none gets lost.
const N_CASES_MIN: usize = 500;

/// Runs every `*.test` of a folder; panics with all that was answered wrongly.
pub fn check(folder: &Path, answerer: impl Fn(&[RefSpan]) -> Answerer) {
    let mut failures = String::new();
    let (mut n_cases, mut n_failed) = (0, 0);
    for (name, acts) in scripts(folder) {
        for act in &acts {
            let answer = answerer(&act.scene.spans);
            for case in &act.cases {
                n_cases += 1;
                let lines = match answer_of(case, &answer) {
                    Ok(found) => answer_lines(&act.scene, &found),
                    Err(error) => vec![format!("error: {error}")],
                };
                if !is_expected(&case.expected, &lines) {
                    n_failed += 1;
                    let expected = case.expected.join("\n   ");
                    let _ = writeln!(failures, "{name}:{}: {}", case.line, case.query);
                    let _ = writeln!(failures, "   {expected}\nbut\n   {}", lines.join("\n   "));
                }
            }
        }
    }
    assert!(n_failed == 0, "{n_failed} of {n_cases} queries\n{failures}");
    assert!(n_cases >= N_CASES_MIN, "only {n_cases} queries");
}

fn scripts(folder: &Path) -> Vec<(String, Vec<Act>)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a text");
        let acts = script::parse(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        (name, acts)
    };
    paths.into_iter().map(read).collect()
}

fn answer_of(case: &Case, answer: &Answerer) -> Result<Vec<RefFound>, String> {
    let query = suyuan_traceql::parse(&case.query).map_err(|error| error.to_string())?;
    let filter = query.span_filter().map_err(|error| error.to_string())?.filter.clone();
    answer(&RefQuestion { filter, ..case.question.clone() })
}

/// `error` is any error, `error: part` one whose text has the part.
fn is_expected(expected: &[String], lines: &[String]) -> bool {
    let ([expected_line], [line]) = (expected, lines) else { return expected == lines };
    match (expected_line.strip_prefix("error"), line.strip_prefix("error: ")) {
        (Some(part), Some(error)) => error.contains(part.trim_start_matches(": ")),
        _ => expected_line == line,
    }
}

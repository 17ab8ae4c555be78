//! The questions of `queries.py`, asked of a server: how long each takes, and whether the answer is
//! right.
//!
//! In: a server and the corpora that it holds. Out: the median of each question in milliseconds,
//! until the last byte has come, and how many answers are not what the corpora's truth says.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Bench;
use super::corpora::Corpus;
use super::report::{Figure, Peers, Report};
use super::server::Server;

/// A question of `queries.py`.
struct Question {
    name: &'static str,
    must_ms: f64,
    goal_ms: f64,
    tempo_ms: Option<f64>,
    clickhouse_ms: Option<f64>,
}

const QUESTIONS: [Question; 9] = [
    question("svc_and_500", 6.0, 3.0, Some(32.0), Some(14.0)),
    question("needle_int", 2.0, 0.5, Some(53.0), Some(32.0)),
    question("needle_absent", 1.0, 0.5, Some(4.0), Some(7.0)),
    question("regex_name_dur", 8.0, 5.0, Some(39.0), Some(12.0)),
    question("regex_statement", 15.0, 10.0, Some(161.0), Some(19.0)),
    question("all_500_l10000", 15.0, 12.0, Some(214.0), Some(90.0)),
    question("no_match", 1.0, 0.5, Some(2.7), Some(3.4)),
    question("tags", 2.0, 1.0, Some(5.5), None),
    question("tag_values", 2.0, 1.0, Some(3.8), None),
];

const fn question(
    name: &'static str,
    must_ms: f64,
    goal_ms: f64,
    tempo_ms: Option<f64>,
    clickhouse_ms: Option<f64>,
) -> Question {
    Question { name, must_ms, goal_ms, tempo_ms, clickhouse_ms }
}

/// Against what the times are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// Those of one million spans.
    OneMillion,
    /// None: the data are more, or lie otherwise.
    Unbounded,
}

/// Asks everything and reports it. `state`: how the data lie.
pub(super) fn measure(
    bench: &Bench,
    server: &Server,
    corpora: &[&Corpus],
    report: &mut Report,
    bounds: Bounds,
    state: &str,
) -> anyhow::Result<()> {
    let rows = ask(bench, server, corpora)?;
    let mut n_wrong = 0;
    for question in &QUESTIONS {
        let row = rows.iter().find(|row| row["name"] == question.name);
        let row = row.with_context(|| format!("queries.py says nothing of {}", question.name))?;
        let answer = row["answer"].as_str().unwrap_or_default();
        let is_unchecked = question.name == "needle_int" && answer == "not checked";
        if answer != "ok" && !is_unchecked {
            super::say(&format!("{}, {state}: {answer}", question.name))?;
            n_wrong += 1;
        }
        let milliseconds = row["median_ms"].as_f64().unwrap_or(f64::NAN);
        let figure =
            Figure::new(format!("`{}`, {state}, median", question.name), milliseconds, "ms");
        report.add(match bounds {
            Bounds::Unbounded => figure,
            Bounds::OneMillion => {
                figure.must(question.must_ms).goal(question.goal_ms).peers(Peers {
                    tempo: question.tempo_ms,
                    victoria: None,
                    clickhouse: question.clickhouse_ms,
                })
            }
        });
    }
    report.add(Figure::count(format!("answers that are not right, {state}"), n_wrong).must(0.0));
    Ok(())
}

fn ask(bench: &Bench, server: &Server, corpora: &[&Corpus]) -> anyhow::Result<Vec<Value>> {
    let file = bench.folder.join("queries.json");
    let names: Vec<&str> = QUESTIONS.iter().map(|question| question.name).collect();
    let mut python = Command::new("python3");
    python.arg(&bench.queries).arg(format!("http://{}", server.http()));
    python.args(corpora.iter().map(|corpus| &corpus.folder));
    python.args(["--only", &names.join(","), "--json"]).arg(&file).stdout(std::io::stderr());
    let status = python.status().context("start python3")?;
    ensure!(status.success(), "{} failed", bench.queries.display());
    let rows = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_slice(&rows).context("queries.json")
}

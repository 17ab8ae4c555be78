//! `cargo xtask bench`: what a span costs, measured on the machine at hand.
//!
//! In: the options, and the folder of tools that `SUYUAN_TOOLS` names (`shop.py`, which makes
//! corpora, `otlpload`, which sends them, and `queries.py`, which asks). Out: a table of what was measured, what it must not
//! exceed and what other servers need for the same data, on standard output and, unless the run
//! was a quick one or a part, in `docs/benchmarks.md`. The exit code says whether all bounds hold.
//!
//! Every server runs on free ports with a data directory under `target/bench` that is deleted
//! afterwards. Corpora stay there: one takes longer to make than to send.

mod awkward;
mod corpora;
mod fairness;
mod http;
mod load;
mod lookup;
mod machine;
mod made_up;
mod million;
mod rare_key;
mod report;
mod search;
mod server;
mod tenants;
mod times;
mod twenty;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail, ensure};

use corpora::Corpora;
use load::Loader;
use machine::Machine;
use report::Report;
use server::Program;

pub(crate) const HELP: &str = "\
Measures what a span costs.

Usage: cargo xtask bench [options]

Options:
  --quick          a tenth of the spans: shows that everything works, writes no document
  --twenty         also twenty million spans at the default seals (about 7 GB of corpora)
  --only NAME,...  only some of: million, twenty, awkward, rare_key, fairness, tenants,
                   times
  --server FILE    measure this program instead of building one
  --corpora DIR    where corpora are kept: shop/, awkward/, twenty/1/ to twenty/20/
                   (default: target/bench/corpora; those that are missing are made)

Environment:
  SUYUAN_TOOLS     folder with shop.py, queries.py and otlpload/ (default: shared/tools beside the checkout)
";

/// One measurement: its name for `--only`, and how it is done.
type Measurement = (&'static str, fn(&Bench, &mut Report) -> anyhow::Result<()>);

const MEASUREMENTS: [Measurement; 7] = [
    ("million", million::measure),
    ("twenty", twenty::measure),
    ("awkward", awkward::measure),
    ("rare_key", rare_key::measure),
    ("fairness", fairness::measure),
    ("tenants", tenants::measure),
    ("times", times::measure),
];

/// The one that takes an hour with its corpora, so it must be asked for.
const LONG: &str = "twenty";

/// What every measurement uses.
struct Bench {
    /// Emptied by whoever uses it.
    folder: PathBuf,
    program: Program,
    loader: Loader,
    corpora: Corpora,
    /// Asks questions and checks the answers.
    queries: PathBuf,
    is_quick: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    is_quick: bool,
    only: Vec<String>,
    has_twenty: bool,
    server: Option<PathBuf>,
    corpora: Option<PathBuf>,
}

pub(crate) fn run(root: &Path, words: &[&str]) -> anyhow::Result<ExitCode> {
    let options = Options::parse(words)?;
    let folder = root.join("target/bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let tools = tools(root)?;
    let server = match &options.server {
        Some(server) => server.clone(),
        None => build_server(root)?,
    };
    let corpora = options.corpora.clone().unwrap_or_else(|| folder.join("corpora"));
    let bench = Bench {
        program: Program::new(server),
        loader: Loader::build(&tools.join("otlpload"), &folder)?,
        corpora: Corpora::new(tools.join("shop.py"), corpora, options.is_quick),
        queries: tools.join("queries.py"),
        is_quick: options.is_quick,
        folder,
    };

    let mut report = Report::new(Machine::look(root)?);
    for (name, measure) in MEASUREMENTS {
        if !options.wants(name) {
            continue;
        }
        say(&format!("{name} ..."))?;
        if let Err(error) = measure(&bench, &mut report) {
            report.fail(format!("{name}: {error:#}"));
        }
    }

    std::io::stdout().write_all(report.markdown().as_bytes())?;
    if !options.is_quick && options.only.is_empty() {
        let document = root.join("docs/benchmarks.md");
        std::fs::write(&document, report.markdown())
            .with_context(|| format!("write {}", document.display()))?;
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Options {
    fn parse(words: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word {
                "--quick" => options.is_quick = true,
                "--twenty" => options.has_twenty = true,
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--server" => options.server = Some(PathBuf::from(value()?)),
                "--corpora" => options.corpora = Some(PathBuf::from(value()?)),
                _ => bail!("no such option: `{word}`\n\n{HELP}"),
            }
        }
        let is_known = |name: &String| MEASUREMENTS.iter().any(|(known, _)| known == name);
        let unknown = options.only.iter().find(|name| !is_known(name));
        ensure!(unknown.is_none(), "no such measurement: {unknown:?}\n\n{HELP}");
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        if !self.only.is_empty() {
            return self.only.iter().any(|wanted| wanted == name);
        }
        name != LONG || self.has_twenty
    }
}

/// The folder of the tools, which are no part of the repository.
fn tools(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os("SUYUAN_TOOLS") {
        Some(folder) => PathBuf::from(folder),
        None => root.join("../shared/tools"),
    };
    for tool in ["shop.py", "queries.py", "otlpload/Cargo.toml"] {
        ensure!(
            folder.join(tool).exists(),
            "{} has no {tool}: let SUYUAN_TOOLS name the folder with shop.py, queries.py and otlpload",
            folder.display()
        );
    }
    Ok(folder)
}

fn build_server(root: &Path) -> anyhow::Result<PathBuf> {
    say("build the server ...")?;
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "--package", "suyuan-server"]).current_dir(root);
    ensure!(build.status().context("start cargo")?.success(), "the server does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    Ok(root.join(target).join("release/suyuan"))
}

/// How far it is, beside the report.
fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "{text}").context("write to standard error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_measurement_must_be_asked_for() {
        let wants = |words: &[&str], name: &str| Options::parse(words).unwrap().wants(name);
        assert!(wants(&[], "million") && !wants(&[], "twenty"));
        assert!(wants(&["--twenty"], "million") && wants(&["--twenty"], "twenty"));
        assert!(wants(&["--only", "twenty"], "twenty") && !wants(&["--only", "twenty"], "times"));
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert!(Options::parse(&["--fast"]).unwrap_err().to_string().contains("--fast"));
        assert!(Options::parse(&["--only", "five"]).unwrap_err().to_string().contains("five"));
        assert!(Options::parse(&["--server"]).unwrap_err().to_string().contains("needs a value"));
    }
}

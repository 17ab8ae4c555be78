//! Packages depend downwards, and a heavy dependency stays behind its fence.
//!
//! In: the `Cargo.toml` files. Out: findings on an edge that points upwards, on a package that
//! names a dependency fenced elsewhere, on a dependency that no code names, on a version written
//! outside the workspace's one table, and on a package that does not take the workspace's lints.

use toml::{Table, Value};

use super::tree::{Finding, TextFile, Tree};

const PREFIX: &str = "suyuan-";

/// Packages that never ship: the product may name `testkit` among its dev-dependencies only.
const DEV_PACKAGES: [&str; 2] = ["testkit", "xtask"];

/// Who may name a dependency outside of tests. A name ending in `*` stands for all that begin so.
const FENCES: [(&str, &[&str]); 15] = [
    ("arrow*", &["model", "wire", "ingest", "block", "store", "query"]),
    ("axum", &["ingest", "api", "server"]),
    ("clap", &["server"]),
    ("hyper*", &["ingest", "api", "server"]),
    ("libdeflater", &["wire", "ingest", "store", "server"]),
    ("mimalloc", &["server"]),
    ("object_store", &["objects"]),
    ("opentelemetry*", &[]),
    ("parquet", &["block"]),
    ("prost*", &[]),
    // `query` for the priority of its threads alone (docs/decisions/0017).
    ("rustix", &["wal", "store", "query", "server"]),
    ("tonic*", &[]),
    ("tower*", &["ingest", "api", "server"]),
    ("anyhow", &["server", "xtask"]),
    ("tracing-subscriber", &["server"]),
];

/// Tests speak with clients of other makers, so `testkit` may name these as well.
const TESTKIT_MAY: [&str; 6] = ["opentelemetry", "prost", "tonic", "hyper", "tower", "anyhow"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Product,
    Test,
}

/// One line of a dependency table.
struct Edge<'a> {
    name: &'a str,
    kind: Kind,
    has_own_version: bool,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(members) = tree.text_of("Cargo.toml").and_then(members) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let path = format!("{member}/Cargo.toml");
        let Some(manifest) = tree.files().iter().find(|file| file.path == path) else { continue };
        let earlier: Vec<&str> = members[..index].iter().map(|member| folder(member)).collect();
        let sources: Vec<&TextFile> = tree
            .with_extension("rs")
            .filter(|file| file.path.starts_with(&format!("{member}/")))
            .collect();
        package(manifest, folder(member), &earlier, &sources, &mut findings);
    }
    findings
}

fn package(
    manifest: &TextFile,
    name: &str,
    earlier: &[&str],
    sources: &[&TextFile],
    findings: &mut Vec<Finding>,
) {
    let table: Table = match manifest.text.parse() {
        Ok(table) => table,
        Err(error) => {
            findings.push(manifest.finding(1, format!("not TOML: {error}"), "put it right"));
            return;
        }
    };
    if !takes_workspace_lints(&table) {
        findings.push(manifest.finding(
            1,
            "does not take the workspace's lints",
            "add `[lints]` with `workspace = true`",
        ));
    }
    for edge in edges(&table) {
        let line = line_of(&manifest.text, edge.name);
        let problem = order(&edge, name, earlier)
            .or_else(|| fence(&edge, name))
            .or_else(|| one_version_table(&edge))
            .or_else(|| nobody_names(&edge, sources));
        if let Some((problem, fix)) = problem {
            findings.push(manifest.finding(line, problem, fix));
        }
    }
}

type Breach = (String, String);

fn order(edge: &Edge<'_>, package: &str, earlier: &[&str]) -> Option<Breach> {
    let target = edge.name.strip_prefix(PREFIX)?;
    if edge.kind == Kind::Test && target == "testkit" {
        return None;
    }
    if DEV_PACKAGES.contains(&target) && !DEV_PACKAGES.contains(&package) {
        return Some((
            format!("`{package}` ships and `{target}` does not"),
            "name it under [dev-dependencies], or not at all".to_string(),
        ));
    }
    if earlier.contains(&target) {
        return None;
    }
    Some((
        format!("`{package}` depends on `{target}`, which stands after it"),
        "move the code down to the package that owns the idea; the order is that of `members` in the root Cargo.toml".to_string(),
    ))
}

fn fence(edge: &Edge<'_>, package: &str) -> Option<Breach> {
    if edge.kind == Kind::Test {
        return None;
    }
    if package == "testkit" && TESTKIT_MAY.iter().any(|start| edge.name.starts_with(start)) {
        return None;
    }
    let (_, allowed) = FENCES.iter().find(|(pattern, _)| matches(pattern, edge.name))?;
    if allowed.contains(&package) {
        return None;
    }
    let allowed = if allowed.is_empty() { "tests alone".to_string() } else { allowed.join(", ") };
    Some((
        format!("`{package}` names `{}`, which is fenced", edge.name),
        format!("only {allowed} may name it; ask that package for what you need"),
    ))
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

fn one_version_table(edge: &Edge<'_>) -> Option<Breach> {
    edge.has_own_version.then(|| {
        (
            format!("`{}` has a version of its own", edge.name),
            "put it into [workspace.dependencies] and write `workspace = true` here".to_string(),
        )
    })
}

fn nobody_names(edge: &Edge<'_>, sources: &[&TextFile]) -> Option<Breach> {
    let name = edge.name.replace('-', "_");
    if sources.iter().any(|file| has_word(&file.text, &name)) {
        return None;
    }
    Some((
        format!("no code of this package names `{}`", edge.name),
        "remove it here, and from [workspace.dependencies] if it was the last one".to_string(),
    ))
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        !text[..start].ends_with(is_part) && !text[start + word.len()..].starts_with(is_part)
    })
}

/// The members of the workspace, in the order in which they may depend on each other.
fn members(root_manifest: &str) -> Option<Vec<String>> {
    let table: Table = root_manifest.parse().ok()?;
    let members = table.get("workspace")?.get("members")?.as_array()?;
    Some(members.iter().filter_map(|member| member.as_str().map(str::to_string)).collect())
}

fn folder(member: &str) -> &str {
    member.rsplit('/').next().unwrap_or(member)
}

fn takes_workspace_lints(table: &Table) -> bool {
    table.get("lints").and_then(|lints| lints.get("workspace")) == Some(&Value::Boolean(true))
}

/// Edges of the package itself and of its `[target.*]` tables.
fn edges(table: &Table) -> Vec<Edge<'_>> {
    let targets = table.get("target").and_then(Value::as_table);
    let target_tables = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let mut edges = Vec::new();
    for table in std::iter::once(table).chain(target_tables) {
        for (section, kind) in [
            ("dependencies", Kind::Product),
            ("build-dependencies", Kind::Product),
            ("dev-dependencies", Kind::Test),
        ] {
            let Some(section) = table.get(section).and_then(Value::as_table) else { continue };
            edges.extend(section.iter().map(|(name, value)| Edge {
                name,
                kind,
                has_own_version: value.get("workspace") != Some(&Value::Boolean(true)),
            }));
        }
    }
    edges
}

fn line_of(manifest: &str, dependency: &str) -> usize {
    let names_it = |line: &str| {
        line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    manifest.lines().position(names_it).map_or(1, |index| index + 1)
}

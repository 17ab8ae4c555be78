//! One small repository per rule: what is wrong in it, and what `tidy` says about that.

use super::tree::{Finding, Tree};
use super::*;

fn lines(findings: Vec<Finding>) -> Vec<String> {
    findings
        .into_iter()
        .map(|finding| format!("{}:{}: {}", finding.path, finding.line, finding.problem))
        .collect()
}

#[track_caller]
fn check(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(lines(rule(&Tree::of(files))), expected);
}

#[test]
fn a_file_opens_with_what_it_is() {
    check(
        headers::check,
        &[
            ("a.rs", "//! Says what it is.\n"),
            ("b.rs", "#![no_main]\n#![expect(\n    x\n)]\n\n//! After attributes.\n"),
            ("c.rs", "use std::fmt;\n//! too late\n"),
            ("d.rs", "//!\nfn f() {}\n"),
            ("e.rs", ""),
            ("f.md", "no header needed\n"),
        ],
        &[
            "c.rs:1: the file does not say what it is",
            "d.rs:1: the file does not say what it is",
            "e.rs:1: the file does not say what it is",
        ],
    );
}

#[test]
fn names_say_what_is_inside() {
    check(
        names::check,
        &[
            ("crates/a/src/mod.rs", ""),
            ("crates/common/src/lib.rs", ""),
            ("crates/a/src/utils.rs", ""),
            ("crates/a/src/commonplace.rs", ""),
        ],
        &[
            "crates/a/src/mod.rs:1: `mod.rs` says nothing about what is inside",
            "crates/a/src/utils.rs:1: `utils` says nothing about what is inside",
            "crates/common/src/lib.rs:1: `common` says nothing about what is inside",
        ],
    );
}

#[test]
fn unfinished_work_names_its_issue() {
    let mark = concat!("TO", "DO");
    let bare = format!("// {mark}: later\n");
    let with_issue = format!("// {mark}(#12): later\n");
    let part_of_a_word = format!("let x = \"a{mark}S\";\n");
    check(
        words::check,
        &[("a.rs", &bare), ("b.rs", &with_issue), ("c.rs", &part_of_a_word), ("d.md", &bare)],
        &[&format!("a.rs:1: `{mark}` without an issue")],
    );
}

#[test]
fn nothing_is_true_on_one_machine_only() {
    let path = concat!("/ro", "ot/");
    check(
        words::check,
        &[
            ("README.md", &format!("run it\nin {path}suyuan\n")),
            ("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n"),
            ("fuzz/Cargo.lock", "\nsource = \"registry+https://mirror.example/index\"\n"),
        ],
        &[
            &format!("README.md:2: `{path}` is true on one machine only"),
            "fuzz/Cargo.lock:2: a package comes from a place that others cannot reach",
        ],
    );
}

#[test]
fn exceptions_say_why() {
    let attributes = [
        concat!("#", "[expect(unsafe_code, reason = \"maps a file\")]"),
        concat!("#", "[expect(unsafe_code)]"),
        concat!("#", "[expect(\n    dead_code,\n    reason = \"spread over lines\"\n)]"),
        concat!("#", "[ignore]"),
        concat!("#", "[ignore = \"needs a network\"]"),
        concat!("#", "[allow(dead_code, reason = \"no\")]"),
    ];
    check(
        reasons::check,
        &[("a.rs", &attributes.join("\n"))],
        &[
            "a.rs:2: an exception from a lint without its reason",
            "a.rs:7: an ignored test without its reason",
            "a.rs:9: `allow` stays when its cause is gone",
        ],
    );
}

#[test]
fn a_format_follows_its_code() {
    let code = ("crates/wal/src/format.rs", "const MAGIC: u32 = 1;\n");
    let document = "# Log\n<!-- describes: crates/wal/src/format.rs -->\ntext\n";
    let before = Tree::of(&[code, ("docs/formats/wal.md", document)]);
    assert_eq!(
        lines(formats::check(&before)),
        ["docs/formats/wal.md:2: `crates/wal/src/format.rs` has changed since"]
    );

    let blessed = formats::blessed(&before, &before.files()[1]);
    check(formats::check, &[code, ("docs/formats/wal.md", &blessed)], &[]);

    let spaced = ("crates/wal/src/format.rs", "const MAGIC: u32 =\n    1;\n");
    check(formats::check, &[spaced, ("docs/formats/wal.md", &blessed)], &[]);

    let tested = "const MAGIC: u32 = 1;\n\n#[cfg(test)]\nmod tests {}\n";
    let tested = ("crates/wal/src/format.rs", tested);
    check(formats::check, &[tested, ("docs/formats/wal.md", &blessed)], &[]);

    let changed = ("crates/wal/src/format.rs", "const MAGIC: u32 = 2;\n");
    check(
        formats::check,
        &[changed, ("docs/formats/wal.md", &blessed)],
        &["docs/formats/wal.md:2: `crates/wal/src/format.rs` has changed since"],
    );
    check(
        formats::check,
        &[("docs/formats/wal.md", &blessed), ("docs/formats/block.md", "# Block\n")],
        &[
            "docs/formats/wal.md:2: describes `crates/wal/src/format.rs`, which is not there",
            "docs/formats/block.md:1: the format does not name the code that it describes",
        ],
    );
}

const ROOT: &str = "[workspace]\nmembers = [\"crates/ids\", \"crates/model\", \"crates/api\", \"crates/testkit\"]\n";

fn manifest(dependencies: &str) -> String {
    format!("[lints]\nworkspace = true\n\n{dependencies}")
}

fn uses(names: &[&str]) -> String {
    names.iter().map(|name| format!("use {name}::Thing;\n")).collect()
}

#[test]
fn packages_depend_downwards() {
    let ids = manifest("[dependencies]\nsuyuan-model.workspace = true\n");
    let model =
        manifest("[dependencies]\nsuyuan-ids.workspace = true\nsuyuan-testkit.workspace = true\n");
    let api = manifest("[dev-dependencies]\nsuyuan-testkit.workspace = true\n");
    check(
        dependencies::check,
        &[
            ("Cargo.toml", ROOT),
            ("crates/ids/Cargo.toml", &ids),
            ("crates/ids/src/lib.rs", &uses(&["suyuan_model"])),
            ("crates/model/Cargo.toml", &model),
            ("crates/model/src/lib.rs", &uses(&["suyuan_ids", "suyuan_testkit"])),
            ("crates/api/Cargo.toml", &api),
            ("crates/api/tests/whole.rs", &uses(&["suyuan_testkit"])),
        ],
        &[
            "crates/ids/Cargo.toml:5: `ids` depends on `model`, which stands after it",
            "crates/model/Cargo.toml:6: `model` ships and `testkit` does not",
        ],
    );
}

#[test]
fn heavy_dependencies_stay_behind_their_fence() {
    let api = manifest("[dependencies]\naxum.workspace = true\narrow-array.workspace = true\n");
    let ids = manifest(
        "[dependencies]\nprost.workspace = true\n[dev-dependencies]\ntonic.workspace = true\n",
    );
    let testkit = manifest("[dependencies]\nprost.workspace = true\n");
    check(
        dependencies::check,
        &[
            ("Cargo.toml", ROOT),
            ("crates/ids/Cargo.toml", &ids),
            ("crates/ids/src/lib.rs", &uses(&["prost", "tonic"])),
            ("crates/api/Cargo.toml", &api),
            ("crates/api/src/lib.rs", &uses(&["axum", "arrow_array"])),
            ("crates/testkit/Cargo.toml", &testkit),
            ("crates/testkit/src/lib.rs", &uses(&["prost"])),
        ],
        &[
            "crates/ids/Cargo.toml:5: `ids` names `prost`, which is fenced",
            "crates/api/Cargo.toml:6: `api` names `arrow-array`, which is fenced",
        ],
    );
}

#[test]
fn versions_and_lints_stand_in_the_workspace() {
    check(
        dependencies::check,
        &[
            ("Cargo.toml", ROOT),
            ("crates/ids/Cargo.toml", "[dependencies]\nthiserror = \"2\"\n"),
            ("crates/ids/src/lib.rs", &uses(&["thiserror"])),
        ],
        &[
            "crates/ids/Cargo.toml:1: does not take the workspace's lints",
            "crates/ids/Cargo.toml:2: `thiserror` has a version of its own",
        ],
    );
}

#[test]
fn dependencies_are_used() {
    let ids = manifest("[dependencies]\nbytes.workspace = true\nhttp-body.workspace = true\n");
    check(
        dependencies::check,
        &[
            ("Cargo.toml", ROOT),
            ("crates/ids/Cargo.toml", &ids),
            ("crates/ids/src/lib.rs", "let n_bytes = 1; use http_body::Body;\n"),
        ],
        &["crates/ids/Cargo.toml:5: no code of this package names `bytes`"],
    );
}

#[test]
fn crates_are_decided() {
    check(
        decisions::check,
        &[
            (
                "Cargo.toml",
                "[workspace.dependencies]\nsuyuan-ids = { path = \"crates/ids\" }\nbytes = \"1\"\nzstd = \"0.13\"\n",
            ),
            ("docs/decisions/0001-compression.md", "We take `zstd`.\n"),
            ("docs/decisions/0001-again.md", "Same number.\n"),
            ("docs/decisions/notes.md", "No number.\n"),
        ],
        &[
            "docs/decisions/0001-again.md:1: the number 0001 is taken by docs/decisions/0001-compression.md",
            "docs/decisions/notes.md:1: a decision without its number",
            "Cargo.toml:3: no decision record names `bytes`",
        ],
    );
}

const TWINS: [(&str, &str); 2] =
    [("README.md", "# A\n```sh\nrun\n```\n"), ("README.zh-CN.md", "# 甲\n```sh\nrun\n```\n")];

#[test]
fn links_lead_to_files() {
    let document = (
        "docs/a.md",
        "[up](../README.md) [folder](formats/) [site](https://example.org/x) [here](#there)\n\
         `[code](nowhere.md)`\n\
         ```\n[fenced](nowhere.md)\n```\n\
         [gone](gone.md) [out](../../x.md)\n",
    );
    check(
        markdown::check,
        &[TWINS[0], TWINS[1], document, ("docs/formats/wal.md", "")],
        &[
            "docs/a.md:6: the link leads to `gone.md`, which is not there",
            "docs/a.md:6: the link leads to `../../x.md`, which is not there",
        ],
    );
}

#[test]
fn named_paths_exist() {
    check(
        markdown::check,
        &[
            TWINS[0],
            TWINS[1],
            (
                "docs/a.md",
                "see `docs/a.md`, `crates/ids`, `crates/NAME/src`, `docs/*.md`, `gone.md`\n",
            ),
            ("docs/b.md", "see `crates/ids/src/gone.rs`\n"),
            ("CHANGELOG.md", "moved `docs/old.md`\n"),
            ("crates/ids/Cargo.toml", ""),
        ],
        &["docs/b.md:1: `crates/ids/src/gone.rs` is not there"],
    );
}

#[test]
fn both_readmes_tell_the_same_story() {
    check(markdown::check, &TWINS, &[]);
    check(
        markdown::check,
        &[TWINS[0], ("README.zh-CN.md", "# 甲\n## 乙\n```sh\nwalk\n```\n")],
        &[
            "README.zh-CN.md:1: headings [1, 2], in README.md [1]",
            "README.zh-CN.md:3: the code block differs from README.md:2",
        ],
    );
    check(markdown::check, &[TWINS[0]], &["README.zh-CN.md:1: the file is missing"]);
}

#[test]
fn functions_are_measured() {
    let text = "\
trait T {
    fn declared(&self);
    fn declared_over_lines(
        &self,
    ) -> u32;
    fn provided(&self) {
        work();
    }
}

pub(crate) async fn outer() {
    fn inner() {}
    let text = \"fn not_one() {\";
}
";
    let found: Vec<(String, usize, usize)> = source::functions(text)
        .into_iter()
        .map(|function| (function.name, function.line, function.n_lines))
        .collect();
    let expected = [("provided", 6, 3), ("outer", 11, 4), ("inner", 12, 1)];
    assert_eq!(found, expected.map(|(name, line, n)| (name.to_string(), line, n)));
}

const RATCHET: &str = "source_file_lines_max = 4\nsource_function_lines_max = 3\n\
                       test_file_lines_max = 9\ntest_function_lines_max = 9\n";

#[test]
fn the_longest_may_only_become_shorter() {
    let short = ("crates/a/src/lib.rs", "//! A.\nfn f() {\n    g();\n}\n");
    let long = ("crates/a/src/lib.rs", "//! A.\nfn f() {\n    g();\n    g();\n}\n");
    let ratchet = ("xtask/ratchet.toml", RATCHET);
    check(ratchet::check, &[short, ratchet], &[]);
    check(
        ratchet::check,
        &[long, ratchet],
        &[
            "crates/a/src/lib.rs:1: the file has 5 lines, `source_file_lines_max` is 4",
            "crates/a/src/lib.rs:2: `fn f` has 4 lines, `source_function_lines_max` is 3",
        ],
    );
    let loose = ("xtask/ratchet.toml", &*RATCHET.replace("= 4", "= 40"));
    check(
        ratchet::check,
        &[short, loose],
        &["xtask/ratchet.toml:1: `source_file_lines_max` is 40, the longest has 4"],
    );
    let blessed = ratchet::blessed(&Tree::of(&[long, loose]));
    assert!(blessed.contains("source_file_lines_max = 5\nsource_function_lines_max = 3\n"));
}

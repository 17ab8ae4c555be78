//! The promises of the command line that only a process can keep: exit codes, what goes to stdout
//! and what to stderr, how a server ends.

use std::path::Path;
use std::process::{Command, Output};

use suyuan_testkit::process::ServerProcess;

fn suyuan(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_suyuan"));
    for variable in ["SUYUAN_SERVER", "SUYUAN_CONFIG", "SUYUAN_LOG", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.args(arguments).output().expect("the program can be run")
}

fn server(data_dir: &Path) -> ServerProcess {
    ServerProcess::start(Path::new(env!("CARGO_BIN_EXE_suyuan")), data_dir, &[])
        .expect("the server starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("our output is UTF-8")
}

#[tokio::test]
async fn a_server_ends_with_exit_code_0_when_it_is_asked_to() {
    let data_dir = tempfile::tempdir().unwrap();
    let (status, said) = server(data_dir.path()).terminate().await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("everything that was acknowledged is on the disk"), "{said}");
}

#[test]
fn a_trace_that_is_not_there_is_exit_code_1_and_nothing_on_stdout() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = server(data_dir.path());
    let address = format!("http://{}", server.addresses().http);
    let output = suyuan(&["trace", "1f", "--server", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).starts_with("trace 0000000000000000000000000000001f is not at"));

    let output = suyuan(&["trace", "1f", "--server", &address, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("{\"trace\":{}"), "{}", text(&output.stdout));
}

#[test]
fn a_search_prints_a_table_and_says_the_rest_on_stderr() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = server(data_dir.path());
    let address = format!("http://{}", server.addresses().http);
    let search = |arguments: &[&str]| {
        let output = suyuan(&[&["search", "--server", &address], arguments].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let nothing = format!("no trace at {address} has such a span\n");
    assert_eq!(search(&[]), (Some(1), String::new(), nothing));
    let said = "error: parse error at line 1, col 8: found `}`, expected an attribute or a literal\n\
                { .a = }\n       ^\n";
    assert_eq!(search(&["{ .a = }"]), (Some(2), String::new(), said.to_owned()));
    let (code, json, _) = search(&["--json"]);
    assert_eq!((code, json.as_str()), (Some(1), "{\"traces\":[],\"metrics\":{}}"));

    let sender = format!("http://{}", server.addresses().otlp_http);
    let sent = suyuan(&[
        "generate",
        "--endpoint",
        &sender,
        "--rate",
        "0",
        "--count",
        "500",
        "--verify",
        &address,
    ]);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stderr));
    let (code, table, _) = search(&["{ } | select(name)", "--limit", "5"]);
    assert_eq!((code, table.lines().count()), (Some(0), 6), "{table}");
    assert!(table.starts_with("trace "), "{table}");
    let (code, explained, _) = search(&["{ span.no.such.key = 1 }", "--explain"]);
    assert_eq!(code, Some(1));
    assert!(explained.contains("0 traces in "), "{explained}");
    let refused = search(&["--since", "soon"]);
    assert_eq!(refused.0, Some(2));
    assert!(refused.2.contains("parameter `since` is `soon`"), "{}", refused.2);
}

#[test]
fn what_cannot_be_done_is_exit_code_2_and_one_line_on_stderr() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[server]\nport = 1\n").unwrap();
    let config = file.path().to_str().unwrap();
    for arguments in [
        &["trace", "xyz"][..],
        &["serve", "--config", config],
        &["serve", "--config", "/nowhere/suyuan.toml"],
        &["wal", "verify", "--data-dir", "/nowhere"],
    ] {
        let output = suyuan(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: "), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
}

#[test]
fn the_printed_configuration_is_a_configuration() {
    let printed = suyuan(&["serve", "--print-config", "--http", "[::1]:7"]);
    assert_eq!(printed.status.code(), Some(0), "{}", text(&printed.stderr));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &printed.stdout).unwrap();
    let again = suyuan(&["serve", "--print-config", "--config", file.path().to_str().unwrap()]);
    assert_eq!(text(&again.stdout), text(&printed.stdout));
    assert!(text(&again.stdout).contains("http = \"[::1]:7\""));
}

#[test]
fn the_log_of_a_server_that_was_killed_is_sound() {
    let data_dir = tempfile::tempdir().unwrap();
    server(data_dir.path()).kill();
    let output = suyuan(&["wal", "verify", "--data-dir", data_dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("sound: "), "{}", text(&output.stdout));
}

#[test]
fn a_demo_with_an_end_cleans_up_after_itself() {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_suyuan"))
        .args(["demo", "--rate", "500", "--duration", "2s"])
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("\nTry   ") && stdout.contains("\nSent "), "{stdout}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "the directory is gone");
}

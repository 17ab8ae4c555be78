//! What an operator reads about a place where a server would run.

use expect_test::expect;

use super::*;

fn config(data_dir: &std::path::Path) -> Config {
    let mut config = Config::default();
    config.server.data_dir = data_dir.to_owned();
    for address in [&mut config.server.http, &mut config.otlp.grpc, &mut config.otlp.http] {
        *address = "127.0.0.1:0".parse().unwrap();
    }
    config
}

fn told(config: Config, data_dir: &std::path::Path) -> String {
    let mut findings = Findings::default();
    check(&Loaded { config, warnings: Vec::new() }, &mut findings);
    findings.text().replace(&data_dir.display().to_string(), "DIR")
}

#[test]
fn a_place_where_no_server_has_run_is_fine() {
    let data_dir = tempfile::tempdir().unwrap();
    expect![[r#"
        ok     configuration   every key is known and within its bounds
        ok     data directory  DIR, no server runs on it
        ok     port            127.0.0.1:0 (`server.http`) is free
        ok     port            127.0.0.1:0 (`otlp.grpc`) is free
        ok     port            127.0.0.1:0 (`otlp.http`) is free
        note   log             DIR/log does not exist: a server would make it
        note   object store    there is no objects/ in the data directory yet: a server would make it
    "#]].assert_eq(&told(config(data_dir.path()), data_dir.path()));
}

#[test]
fn a_taken_port_and_a_file_for_a_directory_are_wrong() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(file.path());
    config.otlp.grpc.port = taken.local_addr().unwrap().port();
    let told = told(config, file.path());
    let port = format!(
        "127.0.0.1:{} (`otlp.grpc`): Address already in use",
        taken.local_addr().unwrap().port()
    );
    assert!(told.contains("WRONG  data directory  DIR is no directory"), "{told}");
    assert!(told.contains(&format!("WRONG  port            {port}")), "{told}");
}

#[test]
fn a_damaged_log_is_wrong_and_programs_get_the_same() {
    let data_dir = tempfile::tempdir().unwrap();
    let folder = data_dir.path().join(LOG_FOLDER);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("00000000000000000001.wal"), "rot").unwrap();
    std::fs::write(folder.join("00000000000000000002.wal"), "rot").unwrap();
    let mut findings = Findings::default();
    check_log(&config(data_dir.path()), &mut findings);
    let log = findings.0.first().unwrap();
    assert_eq!((log.what, log.verdict), ("log", Verdict::Wrong), "{}", log.text);
    let value: serde_json::Value = serde_json::from_str(&findings.json()).unwrap();
    assert_eq!(value[0]["verdict"], "wrong");
}

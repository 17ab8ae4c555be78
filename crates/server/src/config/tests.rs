//! Each mistake in a configuration as an example: what was written, what the writer reads.

use std::path::{Path, PathBuf};

use expect_test::{Expect, expect, expect_file};

use super::*;

fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("suyuan.toml");
    std::fs::write(&path, text).unwrap();
    load(&Sources { file: Some(path), ..Sources::default() })
}

/// The error a file's text gives, with the directory of the test left out.
fn check(text: &str, expected: Expect) {
    let error = load_text(text).unwrap_err().to_string();
    let file = error.find("suyuan.toml").map_or(error.as_str(), |start| &error[start..]);
    expected.assert_eq(file);
}

fn load_environment(name: &str, value: &str) -> Result<Loaded, ConfigError> {
    let environment = vec![(name.to_owned(), value.to_owned())];
    load(&Sources { environment, ..Sources::default() })
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    check(
        "[otlp]\n\ngprc = \":4317\"",
        expect!["suyuan.toml:3: unknown key `otlp.gprc`, did you mean `otlp.grpc`?"],
    );
    check(
        "[limits]\nspan_per_trace_max = 7",
        expect![
            "suyuan.toml:2: unknown key `limits.span_per_trace_max`, did you mean `limits.spans_per_trace_max`?"
        ],
    );
    check(
        "[sever]\nhttp = \":1\"",
        expect!["suyuan.toml:1: unknown section `[sever]`, did you mean `server`?"],
    );
    check(
        "# no section\ndata_dir = \"/tmp\"",
        expect!["suyuan.toml:2: unknown key `data_dir`, did you mean `server.data_dir`?"],
    );
    check(
        "[server]\nzzz = 1",
        expect!["suyuan.toml:2: unknown key `server.zzz`, did you mean `server.http`?"],
    );
}

#[test]
fn bad_values_are_refused_with_what_to_write() {
    check(
        "[server]\nhttp = \"3200\"",
        expect![[
            r#"suyuan.toml:2: `server.http` = "3200" is not an address: write host and port, such as "127.0.0.1:3200", "[::1]:3200", or ":3200" for all interfaces"#
        ]],
    );
    check(
        "[server]\nhttp = 3200",
        expect![[
            r#"suyuan.toml:2: `server.http` = 3200 is of the wrong kind: write an address such as "127.0.0.1:3200""#
        ]],
    );
    check(
        "[server]\ndata_dir = \"\"",
        expect!["suyuan.toml:2: `server.data_dir` is empty: name a directory"],
    );
    check(
        "[otlp]\nbody_bytes_max = \"20 Megs\"",
        expect![[
            r#"suyuan.toml:2: `otlp.body_bytes_max` = `20 Megs` is not a size: write a number of bytes, or one with a unit such as "64 MiB""#
        ]],
    );
    check(
        "[otlp]\nbody_bytes_max = \"2 GiB\"",
        expect!["suyuan.toml:2: `otlp.body_bytes_max` = 2 GiB is above the most, 512 MiB"],
    );
    check(
        "[otlp]\nbody_bytes_max = -1",
        expect!["suyuan.toml:2: `otlp.body_bytes_max` is negative"],
    );
    check(
        "[otlp]\nbody_bytes_max = 1.5",
        expect![[
            r#"suyuan.toml:2: `otlp.body_bytes_max` = (float) is of the wrong kind: write a size such as "64 MiB" or a number of bytes"#
        ]],
    );
    check(
        "[otlp]\ncors_allowed_origins = [1]",
        expect![[
            r#"suyuan.toml:2: `otlp.cors_allowed_origins` = (list of other things than texts) is of the wrong kind: write a list of texts such as ["https://shop.example"]"#
        ]],
    );
    check(
        "[tenancy]\nenabled = \"yes\"",
        expect![[
            r#"suyuan.toml:2: `tenancy.enabled` = "yes" is of the wrong kind: write true or false"#
        ]],
    );
    check(
        "[limits]\nspans_per_trace_max = 0",
        expect!["suyuan.toml:2: `limits.spans_per_trace_max` = 0 is below the least, 1"],
    );
    check(
        "[server]\ndrain_wait_max_ms = \"1h\"",
        expect![
            "suyuan.toml:2: `server.drain_wait_max_ms` = 3600000ms is above the most, 600000ms"
        ],
    );
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_line() {
    check(
        "[server]\nhttp = ",
        expect!["suyuan.toml:2: not TOML: string values must be quoted, expected literal string"],
    );
    check("[server]\n[server]\n", expect!["suyuan.toml:2: not TOML: duplicate key"]);
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    check(
        "[otlp]\nbody_bytes_max = \"20 MiB\"\ninflated_bytes_max = \"10 MiB\"",
        expect![
            "`otlp.body_bytes_max` is 20971520 bytes, more than `otlp.inflated_bytes_max` with 10485760: a request that is not compressed has to pass both, raise the second"
        ],
    );
    check(
        "[limits]\nmemory_bytes_max = \"100 MiB\"",
        expect![
            "`otlp.in_flight_bytes_max` is 67108864 bytes, more than half of `limits.memory_bytes_max` with 104857600: live data needs room too, lower the first or raise the second"
        ],
    );
}

#[test]
fn a_bucket_is_named_whole_or_not_at_all() {
    check(
        "[objects]\nkind = \"s3\"",
        expect!["`objects.kind` is \"s3\" and `objects.bucket` is not set: name the bucket"],
    );
    check(
        "[objects]\nbucket = \"spans\"",
        expect![[
            r#"`objects.bucket` is "spans" and `objects.kind` is "local", so the bucket would not be used: set `objects.kind` to "s3", or leave the bucket out"#
        ]],
    );
    check(
        "[objects]\nkind = \"s3\"\nbucket = \"spans\"\naccess_key_id = \"me\"",
        expect![
            "of `objects.access_key_id` and `objects.secret_access_key` one is set: set both, or neither to use what the environment or the machine has"
        ],
    );
    check(
        "[objects]\nkind = \"s3\"\nbucket = \"spans\"\nendpoint = \"http://minio:9000\"",
        expect![[
            r#"`objects.endpoint` is "http://minio:9000", which is not encrypted: use https, or set `objects.allow_http` to true if you trust the network in between"#
        ]],
    );
    check(
        "[objects]\nkind = \"azure\"",
        expect![[
            r#"suyuan.toml:2: `objects.kind` = "azure" is no kind of store: write "local" or "s3""#
        ]],
    );
}

#[test]
fn a_secret_is_never_shown() {
    const SECRET: &str = "swordfish";
    let text = format!(
        "[objects]\nkind = \"s3\"\nbucket = \"spans\"\naccess_key_id = \"me\"\n\
         secret_access_key = \"{SECRET}\""
    );
    let config = load_text(&text).unwrap().config;
    assert_eq!(config.objects.s3_options().secret_access_key.as_deref(), Some(SECRET));
    let shown = effective_toml(&config);
    assert!(shown.contains("# secret_access_key is set and not shown."), "{shown}");
    assert!(!shown.contains(SECRET));
    assert!(!format!("{config:?}").contains(SECRET));
    let error = load_text(&text.replace(&format!("\"{SECRET}\""), "7")).unwrap_err().to_string();
    assert!(error.ends_with("`objects.secret_access_key` is of the wrong kind: write a text"));
}

#[test]
fn days_are_written_as_people_say_them() {
    let config =
        load_text("[retention]\nage_max_s = \"30d\"\n[seal]\nage_max_s = 90").unwrap().config;
    assert_eq!(config.retention.age_max, Duration::from_hours(30 * 24));
    assert_eq!(config.seal.age_max, Duration::from_secs(90));
    check(
        "[retention]\nage_max_s = \"1000000d\"",
        expect!["suyuan.toml:2: `retention.age_max_s` = `1000000d` is too large"],
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let sources = Sources { file: Some(PathBuf::from("/nowhere/s.toml")), ..Sources::default() };
    expect![
        "cannot read the configuration file /nowhere/s.toml: No such file or directory (os error 2)"
    ]
    .assert_eq(&load(&sources).unwrap_err().to_string());
}

#[test]
fn a_bad_variable_is_named_and_a_misspelt_one_is_a_warning() {
    expect!["environment variable SUYUAN_LOG_SEGMENT_BYTES_MAX: `log.segment_bytes_max` = 1 KiB is below the least, 1 MiB"]
        .assert_eq(&load_environment("SUYUAN_LOG_SEGMENT_BYTES_MAX", "1KiB").unwrap_err().to_string());
    let loaded = load_environment("SUYUAN_OTLP_GPRC", ":1").unwrap();
    expect!["environment variable SUYUAN_OTLP_GPRC is no key and was ignored, did you mean SUYUAN_OTLP_GRPC?"]
        .assert_eq(&loaded.warnings.join("\n"));
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn variables_of_others_pass_in_silence() {
    for name in ["PATH", "SUYUAN_LOG", "SUYUAN_LOG_FORMAT", "SUYUAN_CONFIG", "SUYUAN_CORPORA"] {
        assert!(load_environment(name, "x").unwrap().warnings.is_empty(), "{name}");
    }
}

#[test]
fn flags_stand_above_the_environment_and_that_above_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("suyuan.toml");
    let file = "[server]\nhttp = \":1\"\n[otlp]\ngrpc = \":1\"\nhttp = \":1\"\n";
    std::fs::write(&path, file).unwrap();
    let variable = |name: &str| (name.to_owned(), "localhost:2".to_owned());
    let loaded = load(&Sources {
        file: Some(path),
        environment: vec![variable("SUYUAN_OTLP_GRPC"), variable("SUYUAN_OTLP_HTTP")],
        flags: vec![("--otlp-http", "[::1]:3".to_owned())],
    });
    let config = loaded.unwrap().config;
    assert_eq!(config.server.http.to_string(), "0.0.0.0:1");
    assert_eq!(config.otlp.grpc.to_string(), "localhost:2");
    assert_eq!(config.otlp.http.to_string(), "[::1]:3");
}

#[test]
fn lists_and_durations_are_read_in_every_form() {
    let loaded = load_text(
        "[otlp]\ncors_allowed_origins = [\"https://a\", \"https://b\"]\n[server]\ndrain_wait_max_ms = 7",
    );
    let config = loaded.unwrap().config;
    assert_eq!(config.otlp.cors_allowed_origins, ["https://a", "https://b"]);
    assert_eq!(config.server.drain_wait_max, Duration::from_millis(7));
    let config = load_environment("SUYUAN_OTLP_CORS_ALLOWED_ORIGINS", " https://a , ,*").unwrap();
    assert_eq!(config.config.otlp.cors_allowed_origins, ["https://a", "*"]);
    let config = load_environment("SUYUAN_SERVER_DRAIN_WAIT_MAX_MS", "1.5s").unwrap();
    assert_eq!(config.config.server.drain_wait_max, Duration::from_millis(1_500));
}

#[test]
fn what_print_config_writes_is_read_back_to_the_same_configuration() {
    let mut config = Config::default();
    config.server.data_dir = PathBuf::from("/data/\"追\" and a space");
    config.otlp.cors_allowed_origins = vec!["https://shop.example".to_owned()];
    config.otlp.body_bytes_max = 12_345;
    config.tenancy.enabled = true;
    config.server.drain_wait_max = Duration::ZERO;
    assert_eq!(load_text(&effective_toml(&config)).unwrap().config, config);
}

#[test]
fn names_are_not_used_twice() {
    for (place, key) in KEYS.iter().enumerate() {
        let twice = KEYS[..place].iter().any(|other| other.variable() == key.variable());
        assert!(!twice, "{}", key.path());
    }
}

#[test]
fn the_reference_is_the_table_of_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    expect_file![path].assert_eq(&reference_markdown());
}

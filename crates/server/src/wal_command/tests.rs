//! What an operator reads about a log, sound and damaged.

use std::sync::Arc;
use std::sync::mpsc;

use expect_test::{Expect, expect};
use suyuan_wal::Options;
use tempfile::TempDir;

use super::*;

/// A data directory whose log has three records of ten bytes.
fn data_dir() -> TempDir {
    let data_dir = tempfile::tempdir().unwrap();
    let disk = LocalDisk::create(data_dir.path().join(LOG_FOLDER)).unwrap();
    let (log, _) = suyuan_wal::open(Arc::new(disk), options()).unwrap();
    let (done, answers) = mpsc::channel();
    for _ in 0..3 {
        let done = done.clone();
        log.append(vec![bytes::Bytes::from_static(b"0123456789")], move |answer| {
            done.send(answer).unwrap();
        });
        answers.recv().unwrap().unwrap();
    }
    log.close();
    data_dir
}

fn options() -> Options {
    Options {
        segment_bytes_max: 1 << 20,
        record_bytes_max: 1 << 16,
        queue_bytes_max: 1 << 20,
        reserve_bytes: 0,
    }
}

/// Turns one byte of the second record's payload around.
fn damage_second_record(data_dir: &TempDir) {
    let inspection = inspection(data_dir);
    let segment = &inspection.segments[0];
    let path = data_dir.path().join(LOG_FOLDER).join(&segment.name);
    let mut bytes = std::fs::read(&path).unwrap();
    let starts: Vec<_> =
        (0..bytes.len() - 10).filter(|start| bytes[*start..].starts_with(b"0123456789")).collect();
    bytes[starts[1]] ^= 0xff;
    std::fs::write(&path, bytes).unwrap();
}

fn inspection(data_dir: &TempDir) -> Inspection {
    let disk = LocalDisk::existing(data_dir.path().join(LOG_FOLDER)).unwrap();
    suyuan_wal::inspect(&disk).unwrap()
}

fn verification(data_dir: &TempDir) -> Verification {
    let disk = LocalDisk::existing(data_dir.path().join(LOG_FOLDER)).unwrap();
    suyuan_wal::verify(&disk).unwrap()
}

fn run_verify(data_dir: &Path) -> anyhow::Result<ExitCode> {
    run(&WalCommand::Verify(WalArgs { data_dir: data_dir.to_owned(), json: false }))
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(text);
}

#[test]
fn a_sound_log_is_listed() {
    let data_dir = data_dir();
    check(
        &inspection_text(&inspection(&data_dir)),
        expect![[r#"
        segment  state     file     used  records  payload  marks  damage
              1   open  4.2 KiB  4.2 KiB        3     30 B      3       -
    "#]],
    );
    check(
        &verification_text(&verification(&data_dir)),
        expect![[r#"
            sound: 1 segment, 3 records, 30 B of payload
        "#]],
    );
    assert_eq!(run_verify(data_dir.path()).unwrap(), ExitCode::SUCCESS);
}

#[test]
fn a_log_whose_front_was_removed_is_sound() {
    let data_dir = data_dir();
    let folder = data_dir.path().join(LOG_FOLDER);
    let disk = Arc::new(LocalDisk::existing(&folder).unwrap());
    let (log, _) = suyuan_wal::open(disk, options()).unwrap();
    let (done, answers) = mpsc::channel();
    log.append(vec![bytes::Bytes::from_static(b"later")], move |answer| done.send(answer).unwrap());
    let position = answers.recv().unwrap().unwrap();
    assert_eq!(log.truncator().truncate(position).unwrap().segments, 1);
    log.close();
    check(
        &inspection_text(&inspection(&data_dir)),
        expect![[r#"
        segment  state     file     used  records  payload  marks  damage
              2   open  4.1 KiB  4.1 KiB        1      5 B      1       -
        begins at segment 2, earlier ones were removed
    "#]],
    );
    check(
        &verification_text(&verification(&data_dir)),
        expect![[r#"
            sound: 1 segment, 1 record, 5 B of payload
            begins at segment 2, earlier ones were removed
        "#]],
    );
    assert_eq!(run_verify(data_dir.path()).unwrap(), ExitCode::SUCCESS);
}

#[test]
fn damage_is_listed_with_its_place_and_gives_exit_code_1() {
    let data_dir = data_dir();
    damage_second_record(&data_dir);
    check(
        &inspection_text(&inspection(&data_dir)),
        expect![[r#"
        segment  state     file     used  records  payload  marks  damage
              1   open  4.2 KiB  4.2 KiB        2     20 B      2       1

        Damage:
          segment 1, bytes 4144 to 4192: the payload does not match its checksum
    "#]],
    );
    check(
        &verification_text(&verification(&data_dir)),
        expect![[r#"
            DAMAGED in 1 place: 1 segment, 2 records, 20 B of payload

            Damage:
              segment 1, bytes 4144 to 4192: the payload does not match its checksum

            The server starts with such a log: it copies what is damaged to log/quarantine/ and serves the rest.
            Keep a copy of the directory before anything else is tried.
        "#]],
    );
    assert_eq!(run_verify(data_dir.path()).unwrap(), ExitCode::from(DAMAGED));
}

#[test]
fn programs_get_the_same_as_json() {
    let data_dir = data_dir();
    damage_second_record(&data_dir);
    check(
        &format!("{:#}", verification_json(&verification(&data_dir))),
        expect![[r#"
        {
          "damage": [
            {
              "bytes": 48,
              "offset": 4144,
              "segment": 1,
              "what": "the payload does not match its checksum"
            }
          ],
          "first_segment": 1,
          "payload_bytes": 20,
          "quarantined": 0,
          "records": 2,
          "segments": 1,
          "sound": false,
          "torn_tail_bytes": null
        }"#]],
    );
    let inspection = inspection_json(&inspection(&data_dir));
    assert_eq!(inspection["segments"][0]["records"], 2);
    assert_eq!(inspection["segments"][0]["damage"][0]["bytes"], 48);
}

#[test]
fn a_directory_without_a_log_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let error = format!("{:#}", run_verify(empty.path()).unwrap_err());
    let expected = format!("{} is no data directory of a server", empty.path().display());
    assert!(error.starts_with(&expected) && error.contains("--data-dir"), "{error}");
}

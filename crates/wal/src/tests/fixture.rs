//! Format version 1, frozen: the files in `testdata/` are read forever, today's writer still makes
//! the same bytes, and the documentation shows them.

use std::fs;
use std::path::Path;

use super::*;
use crate::chain::segment_name;

const FIXTURE: [&[u8]; 3] = [b"hello", b"", b"a record of the second group"];
const FIXTURE_AFTER_RESTART: &[u8] = b"after a restart";

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/v1"))
}

fn fixture_file(number: u64) -> Vec<u8> {
    fs::read(folder().join(segment_name(number))).unwrap()
}

/// A log whose uuids are the fixture's, for they come from the seed.
fn written_today() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1 << 20, 2026);
    let (log, _) = open_simulated(&disk);
    for payload in FIXTURE {
        append(&log, payload.to_vec()).unwrap();
    }
    disk.restart(Survival::Nothing);
    drop(log);
    write_closed(&disk, &[FIXTURE_AFTER_RESTART]);
    disk
}

#[test]
fn version_1_is_read() {
    let disk = disk();
    for number in [1, 2] {
        disk.put(&segment_name(number), fixture_file(number));
    }
    let (_log, mut recovered) = open_simulated(&disk);
    let (found, report) = replay(&mut recovered);
    let expected = [FIXTURE.as_slice(), &[FIXTURE_AFTER_RESTART]].concat();
    assert_eq!(payloads(&found), expected);
    assert_eq!((report.damages, recovered.torn_tail), (0, None));

    let verification = verify(&LocalDisk::existing(folder()).unwrap()).unwrap();
    assert!(verification.is_sound());
    assert_eq!((verification.segments, verification.records), (2, 4));
}

#[test]
fn version_1_is_written() {
    let disk = written_today();
    for number in [1, 2] {
        let today = disk.bytes(&segment_name(number)).unwrap();
        assert!(today == fixture_file(number), "segment {number} differs from the fixture");
    }
}

/// Every line of the documentation that looks like `00001000  72 65 63 31` is bytes of the fixture.
#[test]
fn the_documentation_shows_these_bytes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/wal.md");
    let page = fs::read_to_string(page).unwrap();
    let fixture = fixture_file(1);
    let mut shown = 0;
    for line in page.lines() {
        let Some((offset, hex)) = line.split_once("  ") else { continue };
        let Ok(offset) = usize::from_str_radix(offset, 16) else { continue };
        let hex = hex.split("   ").next().unwrap_or_default();
        let bytes: Vec<u8> =
            hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert_eq!(fixture[offset..offset + bytes.len()], bytes, "{line}");
        shown += bytes.len();
    }
    assert_eq!(shown, 128 + 40, "the segment header and the first record");
}

#[test]
fn kept_inputs_of_the_fuzzer_scan_and_open() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/wal_record");
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let report = scan_bytes(&bytes);
        let disk = disk();
        disk.put(&segment_name(1), bytes);
        inputs += 1;
        // A segment that is not the first one is refused under the first one's name.
        let Ok((log, mut recovered)) = open(Arc::new(disk.clone()), options()) else {
            assert_ne!(report.number, 1);
            continue;
        };
        let found = replay(&mut recovered).0;
        assert_eq!(found.len() as u64, report.records);
        append(&log, b"appended".as_slice()).unwrap();
        log.close();
        let (_log, mut recovered) = open_simulated(&disk);
        assert_eq!(replay(&mut recovered).0.len(), found.len() + 1);
    }
    assert!(inputs >= 4, "the corpus is kept");
}

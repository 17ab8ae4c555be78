//! Bytes that change on the disk after they were synced, and files that do not belong.

use std::collections::BTreeMap;

use super::*;
use crate::chain::segment_name;

/// A log of three segments: two closed by their successors, the last one by its mark.
fn log_of_three() -> (SimulatedDisk, BTreeMap<Position, Vec<u8>>) {
    let disk = disk();
    let mut records = BTreeMap::new();
    for run in 0..3_u8 {
        let (log, _) = open_simulated(&disk);
        for (record, bytes) in [0_usize, 5, 64, 100, 8, 33].into_iter().enumerate() {
            let payload = vec![b'a' + run * 6 + record as u8; bytes];
            records.insert(append(&log, payload.clone()).unwrap(), payload);
        }
        log.close();
    }
    (disk, records)
}

fn change(disk: &SimulatedDisk, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.bytes(path).unwrap();
    change(&mut bytes);
    disk.put(path, bytes);
}

/// Bytes of a record that its checksums cover.
fn covered(position: Position, payload: &[u8]) -> std::ops::Range<u64> {
    position.offset..position.offset + RECORD_HEADER_BYTES + payload.len() as u64
}

/// Opens and replays, and holds what is found against all records but those that `range` of
/// `segment` touches.
fn check_damaged(
    disk: &SimulatedDisk,
    records: &BTreeMap<Position, Vec<u8>>,
    segment: u64,
    range: std::ops::Range<u64>,
) -> ReplayReport {
    let (log, mut recovered) = open_simulated(disk);
    let (found, report) = replay(&mut recovered);
    let is_hit = |position: Position, payload: &[u8]| {
        let covered = covered(position, payload);
        position.segment == segment
            && !range.is_empty()
            && covered.start < range.end
            && range.start < covered.end
    };
    let mut left = records.clone();
    left.retain(|position, payload| !is_hit(*position, payload));
    assert!(found == left.into_iter().collect::<Vec<_>>(), "segment {segment}, {range:?}");
    // Going on after damage, and starting again, gives the same and does not copy it twice.
    let files = inspect(disk).unwrap().quarantine.len();
    let later = append(&log, b"later".as_slice()).unwrap();
    drop(log);
    let (_log, mut recovered) = open_simulated(disk);
    let (mut found_again, report_again) = replay(&mut recovered);
    assert_eq!(found_again.pop(), Some((later, b"later".to_vec())));
    assert!(found_again == found, "segment {segment}, {range:?}");
    assert_eq!(report_again.damage, report.damage);
    assert_eq!(inspect(disk).unwrap().quarantine.len(), files);
    report
}

#[test]
fn any_byte_that_changes_costs_at_most_its_record() {
    let (disk, records) = log_of_three();
    let mut changed = 0;
    let mut damages = 0;
    for segment in 1..=3 {
        let path = segment_name(segment);
        let size = disk.bytes(&path).unwrap().len();
        let places = (0..130).chain(2040..2180).chain(4090..size);
        for place in places {
            let disk = disk.fork();
            change(&disk, &path, |bytes| bytes[place] ^= 0x10);
            let place = place as u64;
            let verification = verify(&disk).unwrap();
            let report = check_damaged(&disk, &records, segment, place..place + 1);
            changed += 1;
            damages += report.damages;
            let in_record = (records.iter()).any(|(at, payload)| {
                at.segment == segment && covered(*at, payload).contains(&place)
            });
            let in_header = place < 128 || (2048..2176).contains(&place);
            assert_eq!(report.damages, u64::from(in_record), "segment {segment}, byte {place}");
            assert_eq!(verification.is_sound(), !in_record && !in_header, "byte {place}");
        }
    }
    println!("changed bytes: {changed}, damaged records: {damages}, records lost beside: 0");
    assert!(damages > 1000);
}

#[test]
fn damage_is_copied_to_the_quarantine() {
    let (disk, records) = log_of_three();
    let (position, payload) = records.iter().nth(3).unwrap();
    change(&disk, &segment_name(1), |bytes| bytes[position.offset as usize + 40] = b'!');
    let report = check_damaged(&disk, &records, 1, position.offset + 40..position.offset + 41);
    let damage = &report.damage[0];
    assert_eq!((damage.offset, &damage.kind), (position.offset, &DamageKind::Payload));
    let names = inspect(&disk).unwrap().quarantine;
    let copy = disk.bytes(&format!("quarantine/{}", names[0])).unwrap();
    assert!(names[0].ends_with(".damage"), "{names:?}");
    let padding = payload.len().next_multiple_of(8) - payload.len();
    let bytes = &copy[..copy.len() - padding];
    assert!(bytes.ends_with(&payload[9..]), "the bytes themselves");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_range_that_changes_costs_at_most_its_records(
        segment in 1..=3_u64,
        start in 4096..4700_u64,
        bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 1..400),
    ) {
        let (disk, records) = log_of_three();
        let path = segment_name(segment);
        // The closing mark of the last segment stays: without it the end is a torn tail.
        let last = records.keys().next_back().unwrap();
        let size = disk.bytes(&path).unwrap().len().min(if segment == 3 { last.offset as usize } else { usize::MAX });
        let mut range = start..start;
        change(&disk, &path, |held| {
            for (held, byte) in held[..size].iter_mut().skip(start as usize).zip(&bytes) {
                *held = if held == byte { !*byte } else { *byte };
                range.end += 1;
            }
        });
        check_damaged(&disk, &records, segment, range);
    }

    #[test]
    fn no_bytes_make_a_scan_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..6000),
        place in 4096..4800_usize,
        cut in 0..5000_usize,
    ) {
        scan_bytes(&bytes);
        let (disk, _) = log_of_three();
        let mut segment = disk.bytes(&segment_name(2)).unwrap();
        for (held, byte) in segment.iter_mut().skip(place).zip(&bytes) {
            *held = *byte;
        }
        let report = scan_bytes(&segment);
        prop_assert!(report.records <= 6);
        segment.truncate(cut);
        scan_bytes(&segment);
    }
}

#[test]
fn damage_larger_than_a_window_is_crossed() {
    let disk = SimulatedDisk::new(64 << 20, 1);
    let mut options = options();
    options.segment_bytes_max = 16 << 20;
    options.record_bytes_max = 8 << 20;
    let (log, _) = open(Arc::new(disk.clone()), options.clone()).unwrap();
    let payloads: Vec<Vec<u8>> = [3 << 20, 100, (1 << 20) - 32, 5_000_003, 7]
        .map(|bytes: usize| (0..bytes).map(|i| (i * 7) as u8).collect())
        .to_vec();
    let positions: Vec<Position> =
        payloads.iter().map(|payload| append(&log, payload.clone()).unwrap()).collect();
    log.close();
    for hit in 0..positions.len() {
        let disk = disk.fork();
        change(&disk, &segment_name(1), |bytes| bytes[positions[hit].offset as usize] = 0);
        let (_log, mut recovered) = open(Arc::new(disk.clone()), options.clone()).unwrap();
        let (found, report) = replay(&mut recovered);
        let found: Vec<Position> = found.into_iter().map(|(position, _)| position).collect();
        let left: Vec<Position> =
            positions.iter().copied().filter(|at| *at != positions[hit]).collect();
        assert_eq!(found, left);
        assert_eq!(report.damage[0].kind, DamageKind::RecordHeader);
        assert_eq!(report.damage[0].offset, positions[hit].offset);
    }
}

#[test]
fn a_torn_tail_is_cut_and_stays_cut() {
    let disk = disk();
    let (log, _) = open_simulated(&disk);
    for payload in [b"one".as_slice(), b"two", b"three"] {
        append(&log, payload.to_vec()).unwrap();
    }
    disk.restart(Survival::Everything);
    drop(log);
    // The last group came to the disk in part: its record lacks a byte.
    let path = segment_name(1);
    change(&disk, &path, |bytes| bytes[4096 + 2 * 40 + 33] = b'?');
    let (log, mut recovered) = open_simulated(&disk);
    let torn_tail = TornTail { segment: 1, offset: 4096 + 80, bytes: 37 };
    assert_eq!(recovered.torn_tail, Some(torn_tail));
    let (found, report) = replay(&mut recovered);
    assert_eq!(payloads(&found), [b"one".as_slice(), b"two"]);
    assert_eq!(report.damages, 0);
    append(&log, b"four".as_slice()).unwrap();
    log.close();
    let (_log, mut recovered) = open_simulated(&disk);
    assert_eq!(recovered.torn_tail, None);
    let (found, report) = replay(&mut recovered);
    assert_eq!(payloads(&found), [b"one".as_slice(), b"two", b"four"]);
    assert_eq!(report.damages, 0, "what was cut is never taken for damage");
}

/// Blocks that an older file used, with its bytes still in them.
#[test]
fn leftovers_never_replay() {
    let (disk, records) = log_of_three();
    let older = disk.bytes(&segment_name(2)).unwrap();
    let path = segment_name(3);
    let end = disk.bytes(&path).unwrap().len();
    // Whole records of segment 2, and one of segment 3 itself, but not where they were written.
    let own = disk.bytes(&path).unwrap()[4096 + 32..4096 + 72].to_vec();
    change(&disk, &path, |bytes| {
        bytes.extend_from_slice(&own);
        bytes.extend_from_slice(&older[4096..]);
        bytes.resize(end + (16 << 10), 0);
        let same_place = bytes.len();
        bytes.extend_from_slice(&older);
        assert_eq!(same_place % 8, 0);
    });
    let (_log, mut recovered) = open_simulated(&disk);
    assert!(recovered.torn_tail.is_some());
    let (found, report) = replay(&mut recovered);
    assert_eq!(found, records.into_iter().collect::<Vec<_>>());
    assert_eq!(report.damages, 0);

    // The same offsets under another segment's header: a recycled file.
    let (disk, _) = log_of_three();
    let newer = disk.bytes(&path).unwrap();
    let mut recycled = newer[..4096].to_vec();
    recycled.extend_from_slice(&older[4096..]);
    disk.put(&path, recycled);
    let (_log, mut recovered) = open_simulated(&disk);
    assert_eq!(replay(&mut recovered).0.len(), 12, "nothing of the recycled file");
}

fn refusal(disk: &SimulatedDisk) -> String {
    match open(Arc::new(disk.clone()), options()) {
        Ok(_) => panic!("opened"),
        Err(error) => {
            assert_eq!(verify(disk).unwrap_err().to_string(), error.to_string());
            error.to_string()
        }
    }
}

#[test]
fn what_does_not_belong_is_refused() {
    let (disk, _) = log_of_three();
    let other = SimulatedDisk::new(1 << 20, 99);
    write_closed(&other, &[b"another log's"]);
    let foreign = other.bytes(&segment_name(1)).unwrap();

    let mixed = disk.fork();
    mixed.put(&segment_name(2), foreign.clone());
    let error = refusal(&mixed);
    assert!(error.contains("is segment 1 by its header"), "{error}");

    let mixed = disk.fork();
    let mut renumbered = format::SegmentHeader::decode(foreign[..128].try_into().unwrap()).unwrap();
    renumbered.number = 4;
    mixed.put(&segment_name(4), [renumbered.page(), foreign[4096..].to_vec()].concat());
    let error = refusal(&mixed);
    assert!(error.contains("belongs to log"), "{error}");

    let mixed = disk.fork();
    mixed.put(&segment_name(7), disk.bytes(&segment_name(2)).unwrap());
    let error = refusal(&mixed);
    assert!(error.contains("is segment 2 by its header"), "{error}");

    // The same log, but segment 2 comes from another history of it.
    let mixed = disk.fork();
    let second = disk.bytes(&segment_name(2)).unwrap();
    let mut fork = format::SegmentHeader::decode(second[..128].try_into().unwrap()).unwrap();
    fork.uuid = Uuid([9; 16]);
    mixed.put(&segment_name(2), fork.page());
    let error = refusal(&mixed);
    assert!(error.contains("mixes two histories"), "{error}");
}

#[test]
fn later_versions_are_refused() {
    for (place, value, expected) in [
        (8, 2, "has format version 2, this program reads 1: start a newer one"),
        (12, 4, "needs features 0x4 that this program lacks"),
    ] {
        let (disk, _) = log_of_three();
        change(&disk, &segment_name(2), |bytes| {
            for copy in [0, 2048] {
                bytes[copy + place] = value;
                let checksum = crc32c::crc32c(&bytes[copy..copy + 124]);
                bytes[copy + 124..copy + 128].copy_from_slice(&checksum.to_le_bytes());
            }
        });
        let error = refusal(&disk);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_segment_without_header_is_read_by_what_its_successor_says() {
    let (disk, records) = log_of_three();
    change(&disk, &segment_name(2), |bytes| bytes[..4096].fill(0xff));
    let (_log, mut recovered) = open_simulated(&disk);
    assert_eq!(recovered.damage.len(), 2);
    let (found, report) = replay(&mut recovered);
    assert_eq!(found, records.into_iter().collect::<Vec<_>>());
    assert_eq!(report.damages, 0);
}

#[test]
fn a_last_segment_without_header_is_set_aside_whole() {
    let (disk, records) = log_of_three();
    change(&disk, &segment_name(3), |bytes| bytes[..4096].fill(0xff));
    for _ in 0..2 {
        let (_log, mut recovered) = open_simulated(&disk);
        let (found, report) = replay(&mut recovered);
        assert_eq!(found, records.clone().into_iter().take(12).collect::<Vec<_>>());
        assert_eq!(report.damage[0].kind, DamageKind::Header);
        assert_eq!(inspect(&disk).unwrap().quarantine.len(), 1);
    }
    let (log, _) = open_simulated(&disk);
    let position = append(&log, b"after".as_slice()).unwrap();
    assert_eq!(position.segment, 4);
    log.close();
    let (_log, mut recovered) = open_simulated(&disk);
    let (found, report) = replay(&mut recovered);
    assert_eq!(found.len(), 13);
    assert_eq!(report.damages, 1);
}

#[test]
fn missing_and_shortened_files_are_reported_and_the_rest_is_served() {
    let (disk, records) = log_of_three();
    disk.remove(&segment_name(2)).unwrap();
    let (_log, mut recovered) = open_simulated(&disk);
    assert_eq!(recovered.damage[0].kind, DamageKind::Missing);
    assert_eq!(recovered.damage[0].segment, 2);
    assert_eq!(replay(&mut recovered).0.len(), 12);

    let (disk, _) = log_of_three();
    let (position, _) = records.iter().nth(9).unwrap();
    change(&disk, &segment_name(2), |bytes| bytes.truncate(position.offset as usize));
    let report = check_damaged(&disk, &records, 2, position.offset..u64::MAX);
    assert_eq!(report.damage[0].kind, DamageKind::Short);
    let report = {
        change(&disk, &segment_name(2), |bytes| bytes.truncate(100));
        let (_log, mut recovered) = open_simulated(&disk);
        replay(&mut recovered).1
    };
    assert_eq!(report.damages, 1);
}

#[test]
fn sectors_that_cannot_be_read_are_damage_but_never_the_end() {
    let (disk, records) = log_of_three();
    disk.spoil(&segment_name(2), 4096, 512);
    let (_log, mut recovered) = open_simulated(&disk);
    let (found, report) = replay(&mut recovered);
    assert_eq!(found.len(), 12, "segments 1 and 3");
    assert!(report.damages > 0);
    assert!(found.iter().all(|(position, payload)| records[position] == *payload));

    let (disk, _) = log_of_three();
    disk.spoil(&segment_name(3), 4096, 512);
    let error = refusal_of_disk(&disk);
    assert!(error.contains("the end of the log is unknown"), "{error}");
}

fn refusal_of_disk(disk: &SimulatedDisk) -> String {
    open(Arc::new(disk.clone()), options()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_full_disk_does_not_stop_a_replay_that_finds_damage() {
    let (disk, records) = log_of_three();
    let (position, _) = records.iter().nth(2).unwrap();
    change(&disk, &segment_name(1), |bytes| bytes[position.offset as usize] = 0);
    disk.resize(0);
    let (_log, mut recovered) = open_simulated(&disk);
    let (found, report) = replay(&mut recovered);
    assert_eq!(found.len(), 17);
    assert_eq!((report.damages, report.not_set_aside.len()), (1, 1));
}

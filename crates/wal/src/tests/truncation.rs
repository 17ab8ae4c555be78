//! The front of the log goes when it is kept elsewhere, and nothing else does.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::chain::segment_name;

/// A log of records that fill five segments: two in each, but for the last.
fn log_of_five(disk: &SimulatedDisk) -> Vec<(Position, Vec<u8>)> {
    let records = (0..9_u8).map(|record| vec![record; 6_000]);
    let contents: Vec<Vec<u8>> = records.collect();
    let parts: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    let positions = write_closed(disk, &parts);
    assert_eq!(
        positions.iter().map(|at| at.segment).collect::<Vec<_>>(),
        [1, 1, 2, 2, 3, 3, 4, 4, 5]
    );
    positions.into_iter().zip(contents).collect()
}

fn end_of((position, payload): &(Position, Vec<u8>)) -> Position {
    position.after_record(payload.len() as u64)
}

fn replay_from(
    recovered: &mut Recovered,
    position: Option<Position>,
) -> (Vec<(Position, Vec<u8>)>, ReplayReport) {
    let mut found = Vec::new();
    let report = recovered.replay_from(position, |position, payload| {
        found.push((position, payload.to_vec()));
        Verdict::Taken
    });
    (found, report.unwrap())
}

fn segments(disk: &SimulatedDisk) -> Vec<u64> {
    inspect(disk).unwrap().segments.iter().map(|segment| segment.number).collect()
}

#[test]
fn a_replay_begins_where_it_is_told_and_reads_nothing_before() {
    let disk = disk();
    let records = log_of_five(&disk);
    for n_kept_elsewhere in 0..=records.len() {
        let disk = disk.fork();
        let position = n_kept_elsewhere.checked_sub(1).map(|last| end_of(&records[last]));
        for (number, record) in (1..).zip(records.chunks(2)) {
            // Whoever reads a segment that is not needed finds damage.
            if record.iter().all(|record| Some(record.0) < position) && number < 5 {
                disk.spoil(&segment_name(number), 4096, 12 << 10);
            }
        }
        let (_log, mut recovered) = open_simulated(&disk);
        let (found, report) = replay_from(&mut recovered, position);
        assert_eq!(found, records[n_kept_elsewhere..]);
        assert_eq!((report.records, report.damages), (found.len() as u64, 0));
        let bytes = recovered.bytes_from(position);
        assert_eq!(bytes, found.iter().map(|(_, payload)| 32 + payload.len() as u64).sum());
    }
}

#[test]
fn whole_segments_go_and_the_last_one_stays() {
    let disk = disk();
    let records = log_of_five(&disk);
    let (log, _) = open_simulated(&disk);
    let uuid = log.uuid();
    let truncator = log.truncator();
    let before = log.stats();
    assert_eq!(truncator.truncate(records[1].0).unwrap(), Truncated::default());
    assert_eq!(segments(&disk), [1, 2, 3, 4, 5], "the second record lies in the first segment");
    let truncated = truncator.truncate(end_of(&records[1])).unwrap();
    assert_eq!((truncated.segments, segments(&disk)), (1, vec![2, 3, 4, 5]));
    assert_eq!(log.stats().disk_bytes, before.disk_bytes - truncated.bytes);
    assert_eq!(log.stats().segments, 4);
    assert_eq!(truncator.truncate(records[6].0).unwrap().segments, 2);
    assert_eq!(truncator.truncate(end_of(&records[8])).unwrap().segments, 1);
    assert_eq!(segments(&disk), [5], "who would know which log this is?");
    assert_eq!(truncator.truncate(end_of(&records[8])).unwrap(), Truncated::default());
    let position = append(&log, b"later".as_slice()).unwrap();
    assert_eq!((position.segment, position >= end_of(&records[8])), (6, true));
    log.close();
    assert_eq!(truncator.truncate(position).unwrap().segments, 1, "also when the log is closed");

    let (log, mut recovered) = open_simulated(&disk);
    assert_eq!(log.uuid(), uuid);
    let (found, report) = replay_from(&mut recovered, Some(position));
    assert_eq!((found, report.damages), (vec![(position, b"later".to_vec())], 0));
    let verification = verify(&disk).unwrap();
    assert_eq!((verification.first_segment, verification.is_sound()), (Some(6), true));
}

#[test]
fn the_name_of_the_log_survives_in_one_empty_segment() {
    let disk = disk();
    let (log, _) = open_simulated(&disk);
    let position = append(&log, b"one".as_slice()).unwrap();
    // The next segment is begun and its first record fails.
    let steps = disk.steps();
    disk.fail_at(steps + 1, Fault::Io);
    append(&log, b"two".as_slice()).unwrap_err();
    let uuid = log.uuid();
    assert_eq!(log.truncator().truncate(position.after_record(3)).unwrap().segments, 1);
    log.close();
    assert_eq!(segments(&disk), [2]);
    assert_eq!(inspect(&disk).unwrap().segments[0].records, 0);
    let (log, mut recovered) = open_simulated(&disk);
    assert_eq!(log.uuid(), uuid);
    assert_eq!(replay_from(&mut recovered, Some(position.after_record(3))).1.damages, 0);
    assert_eq!(append(&log, b"three".as_slice()).unwrap().segment, 3);
}

#[test]
fn a_segment_whose_successors_lost_their_headers_keeps_the_name_of_the_log() {
    let disk = disk();
    let records = log_of_five(&disk);
    let mut bytes = disk.bytes(&segment_name(5)).unwrap();
    bytes[..4096].fill(0xff);
    disk.put(&segment_name(5), bytes);
    let (log, _) = open_simulated(&disk);
    let uuid = log.uuid();
    log.truncator().truncate(Position { segment: 9, offset: 0 }).unwrap();
    drop(log);
    assert_eq!(segments(&disk), [4, 5]);
    let (log, mut recovered) = open_simulated(&disk);
    assert_eq!(log.uuid(), uuid);
    let (found, _) = replay_from(&mut recovered, Some(records[7].0));
    assert_eq!(found, records[7..8]);
}

#[test]
fn what_is_missing_at_the_front_is_damage_only_from_the_position_on() {
    let disk = disk();
    let records = log_of_five(&disk);
    let last_end = end_of(&records[3]).offset;
    for number in [1, 2] {
        disk.remove(&segment_name(number)).unwrap();
    }
    let missing = |position| {
        let (_log, mut recovered) = open_simulated(&disk);
        assert_eq!(recovered.damage, []);
        let (found, report) = replay_from(&mut recovered, position);
        assert_eq!(found, records[4..]);
        report.damage.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let whole = vec![format!("segment 2, bytes 4096 to {last_end}: the file is missing")];
    assert_eq!(missing(None), whole);
    assert_eq!(missing(Some(records[1].0)), whole);
    assert_eq!(missing(Some(records[2].0)), whole);
    let half =
        format!("segment 2, bytes {} to {last_end}: the file is missing", records[3].0.offset);
    assert_eq!(missing(Some(records[3].0)), [half]);
    assert_eq!(missing(Some(end_of(&records[3]))), [""; 0]);
    assert_eq!(missing(Some(records[4].0)), [""; 0]);
    assert!(verify(&disk).unwrap().is_sound(), "it begins at segment 3");
}

#[test]
fn a_log_older_than_what_was_read_of_it_is_refused() {
    let disk = disk();
    let records = log_of_five(&disk);
    disk.remove(&segment_name(5)).unwrap();
    let (_log, mut recovered) = open_simulated(&disk);
    let replayed = recovered.replay_from(Some(end_of(&records[8])), |_, _| Verdict::Taken);
    let error = replayed.unwrap_err().to_string();
    assert!(error.contains("ends in segment 4") && error.contains("older copy"), "{error}");
}

#[test]
fn damage_that_was_set_aside_stays_when_its_segment_goes() {
    let disk = disk();
    let records = log_of_five(&disk);
    let mut bytes = disk.bytes(&segment_name(1)).unwrap();
    bytes[4096 + 100] ^= 1;
    disk.put(&segment_name(1), bytes);
    let (log, mut recovered) = open_simulated(&disk);
    assert_eq!(replay_from(&mut recovered, None).1.damages, 1);
    log.truncator().truncate(records[8].0).unwrap();
    assert_eq!(segments(&disk), [5]);
    assert_eq!(inspect(&disk).unwrap().quarantine.len(), 1);
}

#[test]
fn a_log_is_truncated_and_inspected_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(LocalDisk::create(folder.path()).unwrap());
    let (log, _) = open(disk.clone(), options()).unwrap();
    let truncator = log.truncator();
    let released = Mutex::new(None);
    let is_done = AtomicBool::new(false);
    let records = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let before = *released.lock().unwrap();
                if let Some(before) = before {
                    truncator.truncate(before).unwrap();
                }
            }
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                inspect(disk.as_ref()).unwrap();
            }
        });
        let records: Vec<(Position, Vec<u8>)> = (0..400_u16)
            .map(|record| {
                let payload = record.to_le_bytes().repeat(1_500);
                let position = append(&log, payload.clone()).unwrap();
                *released.lock().unwrap() = Some(position);
                (position, payload)
            })
            .collect();
        is_done.store(true, Ordering::Relaxed);
        records
    });
    let last = records.last().unwrap().clone();
    let stats = log.stats();
    log.close();
    truncator.truncate(last.0).unwrap();
    let (_log, mut recovered) = open(disk.clone(), options()).unwrap();
    assert!(stats.segments < 100, "{stats:?}");
    assert_eq!(recovered.segments, 1);
    assert_eq!(replay_from(&mut recovered, Some(last.0)).0, [last]);
}

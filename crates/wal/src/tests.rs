//! The log by example: appends, restarts, limits, what is refused. Damage and power cuts have files
//! of their own.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;

use crate::simulated::{Fault, SimulatedDisk, Survival};
use crate::*;

mod damage;
mod fixture;
mod ledger;
mod power;
mod truncation;

/// Small segments, so that a test sees many.
fn options() -> Options {
    Options {
        segment_bytes_max: 16 << 10,
        record_bytes_max: 64 << 10,
        queue_bytes_max: 1 << 20,
        reserve_bytes: 8 << 10,
    }
}

fn disk() -> SimulatedDisk {
    SimulatedDisk::new(1 << 20, 1)
}

fn open_simulated(disk: &SimulatedDisk) -> (Log, Recovered) {
    open(Arc::new(disk.clone()), options()).unwrap()
}

/// Appends one record and waits for the answer.
fn append(log: &Log, payload: impl Into<Bytes>) -> Result<Position, AppendError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    log.append(vec![payload.into()], move |result| sender.send(result).unwrap());
    receiver.recv().unwrap()
}

fn replay(recovered: &mut Recovered) -> (Vec<(Position, Vec<u8>)>, ReplayReport) {
    let mut found = Vec::new();
    let report = recovered.replay(|position, payload| {
        found.push((position, payload.to_vec()));
        Verdict::Taken
    });
    (found, report.unwrap())
}

fn payloads(found: &[(Position, Vec<u8>)]) -> Vec<&[u8]> {
    found.iter().map(|(_, payload)| payload.as_slice()).collect()
}

/// A log on `disk` that holds `contents` and was closed.
fn write_closed(disk: &SimulatedDisk, contents: &[&[u8]]) -> Vec<Position> {
    let (log, _) = open_simulated(disk);
    let positions = contents.iter().map(|payload| append(&log, payload.to_vec()).unwrap());
    let positions = positions.collect();
    log.close();
    positions
}

#[test]
fn what_is_appended_is_replayed_after_a_restart() {
    let disk = disk();
    let (log, mut recovered) = open_simulated(&disk);
    assert_eq!(replay(&mut recovered).0, vec![]);
    let (sender, receiver) = mpsc::channel();
    let parts = vec![Bytes::from_static(b"head "), Bytes::new(), Bytes::from_static(b"body")];
    log.append(parts, move |result| sender.send(result).unwrap());
    let first = receiver.recv().unwrap().unwrap();
    let second = append(&log, Bytes::new()).unwrap();
    assert_eq!((first.segment, first.offset), (1, SEGMENT_HEADER_BYTES));
    assert!(second > first);
    log.close();

    let (_log, mut recovered) = open_simulated(&disk);
    assert_eq!(recovered.rewritten_bytes, 0, "the closing mark covers everything");
    let (found, report) = replay(&mut recovered);
    assert_eq!(found, vec![(first, b"head body".to_vec()), (second, vec![])]);
    assert_eq!((report.records, report.bytes, report.damages), (2, 9, 0));
}

#[test]
fn the_same_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(LocalDisk::create(folder.path().join("log")).unwrap());
    let mut expected = Vec::new();
    for restart in 0..3 {
        let (log, mut recovered) = open(disk.clone(), options()).unwrap();
        assert_eq!(replay(&mut recovered).0, expected);
        for record in 0..40_u16 {
            let payload = [restart, record].map(u16::to_le_bytes).concat().repeat(200);
            expected.push((append(&log, payload.clone()).unwrap(), payload));
        }
        assert_eq!(log.stats().records, 40);
        assert!(log.stats().fsyncs > 0);
        log.close();
    }
    let verification = verify(disk.as_ref()).unwrap();
    assert!(verification.is_sound());
    assert_eq!(verification.records, 120);
    let names = disk.list("").unwrap();
    let on_disk = names.iter().filter(|name| name.ends_with(".wal"));
    let sizes = on_disk.map(|name| disk.open(name).unwrap().size().unwrap());
    let (_log, recovered) = open(disk.clone(), options()).unwrap();
    assert_eq!(recovered.disk_bytes, sizes.sum::<u64>());
    assert_eq!(
        LocalDisk::existing(folder.path().join("nowhere")).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
}

#[test]
fn a_read_only_look_makes_nothing() {
    let disk = disk();
    write_closed(&disk, &[b"one", b"two"]);
    let steps = disk.steps();
    let inspection = inspect(&disk).unwrap();
    assert_eq!(verify(&disk).unwrap().records, 2);
    assert_eq!(disk.steps(), steps);
    let [segment] = inspection.segments.as_slice() else { panic!("one segment") };
    assert_eq!((segment.records, segment.payload_bytes, segment.is_closed), (2, 6, false));
    assert_eq!(segment.marks, 2, "the second record's and the closing one");
    assert_eq!(segment.synced_end, segment.end - RECORD_HEADER_BYTES);
}

#[test]
fn answers_come_in_append_order_from_many_threads() {
    let disk = disk();
    let (log, _) = open_simulated(&disk);
    let answers = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let answers = Arc::clone(&answers);
                    log.append(vec![Bytes::from_static(b"x")], move |result| {
                        answers.lock().unwrap().push(result.unwrap());
                    });
                }
            });
        }
    });
    log.close();
    let answers = answers.lock().unwrap().clone();
    assert_eq!(answers.len(), 400);
    assert!(answers.is_sorted());
    let (_log, mut recovered) = open_simulated(&disk);
    let found: Vec<_> =
        replay(&mut recovered).0.into_iter().map(|(position, _)| position).collect();
    assert_eq!(found, answers);
}

#[test]
fn a_record_larger_than_a_segment_gets_its_own() {
    let disk = disk();
    let large = vec![7; 40 << 10];
    write_closed(&disk, &[b"before", &large, b"after"]);
    let (_log, mut recovered) = open_simulated(&disk);
    assert_eq!(recovered.segments, 3);
    let (found, _) = replay(&mut recovered);
    assert_eq!(payloads(&found), [b"before".as_slice(), &large, b"after"]);
}

#[test]
fn limits_refuse_without_touching_the_log() {
    let disk = disk();
    let mut options = options();
    options.record_bytes_max = 10;
    options.queue_bytes_max = 15;
    let (log, _) = open(Arc::new(disk), options).unwrap();
    let error = append(&log, vec![0; 11]).unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { bytes: 11, bytes_max: 10 }), "{error}");

    // The log's thread is held inside an answer, so what comes after waits in the queue.
    let (hold, held) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    log.append(vec![Bytes::from_static(b"first")], move |_| {
        entered.send(()).unwrap();
        held.recv().unwrap();
    });
    inside.recv().unwrap();
    log.append(vec![Bytes::from(vec![0; 10])], |result| {
        result.unwrap();
    });
    let error = append(&log, vec![0; 10]).unwrap_err();
    assert!(matches!(error, AppendError::QueueFull { bytes: 10, bytes_max: 15 }), "{error}");
    hold.send(()).unwrap();
    append(&log, vec![0; 10]).unwrap_or_else(|error| {
        assert!(matches!(error, AppendError::QueueFull { .. }), "{error}");
        Position { segment: 0, offset: 0 }
    });
    let stats = log.stats();
    assert_eq!((stats.failures.too_large, stats.failures.queue_full >= 1), (1, true));
}

#[test]
fn a_panic_in_an_answer_does_not_stop_the_log() {
    let disk = disk();
    let (log, _) = open_simulated(&disk);
    log.append(vec![Bytes::from_static(b"one")], |_| panic!("the receiver is gone"));
    append(&log, Bytes::from_static(b"two")).unwrap();
    assert_eq!(log.stats().records, 2);
}

#[test]
fn restarts_without_appends_leave_no_segments_behind() {
    let disk = disk();
    write_closed(&disk, &[b"one"]);
    for _ in 0..5 {
        drop(open_simulated(&disk));
    }
    let (_log, recovered) = open_simulated(&disk);
    assert_eq!(recovered.segments, 1);
}

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    // Room for the reserve and one segment.
    let disk = SimulatedDisk::new(30 << 10, 1);
    let (log, _) = open_simulated(&disk);
    let mut kept = Vec::new();
    let error = loop {
        let payload = format!("record {}", kept.len()).repeat(100);
        match append(&log, payload.clone()) {
            Ok(_) => kept.push(payload.into_bytes()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::DiskFull), "{error}");
    assert!(kept.len() > 5);
    assert!(matches!(append(&log, vec![0; 4000]), Err(AppendError::DiskFull)));
    assert_eq!(log.stats().failures.disk_full, 2);

    disk.resize(1 << 20);
    append(&log, Bytes::from_static(b"space again")).unwrap();
    kept.push(b"space again".to_vec());
    log.close();
    let (_log, mut recovered) = open_simulated(&disk);
    assert_eq!(payloads(&replay(&mut recovered).0), kept);
}

#[test]
fn a_write_that_fails_on_a_full_disk_is_stated_through_the_reserve() {
    let disk = SimulatedDisk::new(24 << 10, 1);
    let (log, _) = open_simulated(&disk);
    append(&log, Bytes::from_static(b"kept")).unwrap();
    disk.fail_at(disk.steps() + 1, Fault::ShortWrite(40));
    disk.fail_at(disk.steps() + 2, Fault::Full);
    let error = append(&log, Bytes::from_static(b"never seen again")).unwrap_err();
    assert!(matches!(error, AppendError::DiskFull), "settled, for the reserve says so: {error}");
    assert!(disk.bytes("reserve").is_none(), "the reserve became the segment");
    assert!(matches!(append(&log, Bytes::from_static(b"x")), Err(AppendError::DiskFull)));

    disk.resize(1 << 20);
    append(&log, Bytes::from_static(b"after")).unwrap();
    assert!(disk.bytes("reserve").is_some(), "and was taken again");
    disk.restart(Survival::Nothing);
    drop(log);
    let (_log, mut recovered) = open_simulated(&disk);
    assert_eq!(payloads(&replay(&mut recovered).0), [b"kept".as_slice(), b"after"]);
}

#[test]
fn a_full_disk_keeps_the_reserve_it_has() {
    let disk = disk();
    write_closed(&disk, &[b"one"]);
    let steps = disk.steps();
    disk.resize(0);
    let (log, _) = open_simulated(&disk);
    log.close();
    assert!(disk.bytes("reserve").is_some());
    assert_eq!(disk.steps(), steps + 1, "a start only syncs the folder");
}

#[test]
fn a_failed_fsync_closes_the_segment() {
    let disk = disk();
    let (log, _) = open_simulated(&disk);
    let kept = append(&log, Bytes::from_static(b"kept")).unwrap();
    disk.fail_at(disk.steps() + 2, Fault::Sync);
    let error = append(&log, Bytes::from_static(b"lost")).unwrap_err();
    assert!(matches!(error, AppendError::Sync(_)), "{error}");
    let after = append(&log, Bytes::from_static(b"after")).unwrap();
    assert_eq!(after, Position { segment: 2, offset: SEGMENT_HEADER_BYTES });
    assert_eq!(log.stats().failures.sync, 1);
    disk.restart(Survival::Everything);
    drop(log);
    let (_log, mut recovered) = open_simulated(&disk);
    let (found, _) = replay(&mut recovered);
    assert_eq!(found, vec![(kept, b"kept".to_vec()), (after, b"after".to_vec())]);
}

#[test]
fn a_failure_that_cannot_be_stated_says_so() {
    let disk = disk();
    let (log, _) = open_simulated(&disk);
    append(&log, Bytes::from_static(b"kept")).unwrap();
    let step = disk.steps();
    disk.fail_at(step + 2, Fault::Sync);
    disk.fail_at(step + 3, Fault::Io);
    let error = append(&log, Bytes::from_static(b"perhaps")).unwrap_err();
    assert!(matches!(error, AppendError::Unsettled(_)), "{error}");
    assert_eq!((log.stats().failures.unsettled, log.stats().failures.sync), (1, 1));
    log.close();
    let (_log, mut recovered) = open_simulated(&disk);
    assert_eq!(payloads(&replay(&mut recovered).0), [b"kept"], "closing stated it after all");
}

#[test]
fn a_quarantined_record_is_never_met_again() {
    let disk = disk();
    write_closed(&disk, &[b"good", b"poison", b"also good", b"late poison"]);
    let (log, mut recovered) = open_simulated(&disk);
    let report = recovered.replay(|_, payload| match payload {
        b"poison" => Verdict::Quarantine("the reader\npanicked".to_owned()),
        _ => Verdict::Taken,
    });
    let report = report.unwrap();
    assert_eq!((report.records, report.quarantined.len()), (4, 1));
    let (found, report) = replay(&mut recovered);
    assert_eq!(payloads(&found), [b"good".as_slice(), b"also good", b"late poison"]);
    assert_eq!(report.skipped.len(), 1);

    let position = found[2].0;
    log.quarantine(position, "found out later").unwrap();
    let nowhere = Position { segment: 9, offset: 4096 };
    assert!(matches!(log.quarantine(nowhere, ""), Err(QuarantineError::NoRecord(_))));
    let between = Position { offset: position.offset + 8, ..position };
    assert!(matches!(log.quarantine(between, ""), Err(QuarantineError::NoRecord(_))));
    disk.restart(Survival::Nothing);
    drop(log);
    let (_log, mut recovered) = open_simulated(&disk);
    let (found, report) = replay(&mut recovered);
    assert_eq!(payloads(&found), [b"good".as_slice(), b"also good"]);
    assert_eq!(report.skipped.len(), 2);

    let names = inspect(&disk).unwrap().quarantine;
    assert_eq!(names.len(), 2);
    let file = disk.bytes(&format!("quarantine/{}", names[0])).unwrap();
    let text = String::from_utf8_lossy(&file);
    assert!(text.contains("reason the reader panicked\n\n"), "{text}");
    assert!(text.contains("poison"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever is appended, in whatever pieces and with restarts between, comes back.
    #[test]
    fn replay_gives_what_was_appended(
        runs in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..12),
            1..5,
        ),
    ) {
        let disk = disk();
        let mut expected = Vec::new();
        for run in runs {
            let (log, mut recovered) = open_simulated(&disk);
            prop_assert_eq!(&replay(&mut recovered).0, &expected);
            for payload in run {
                expected.push((append(&log, payload.clone()).unwrap(), payload));
            }
            log.close();
        }
        let (_log, mut recovered) = open_simulated(&disk);
        prop_assert_eq!(&replay(&mut recovered).0, &expected);
        prop_assert!(verify(&disk).unwrap().is_sound());
    }
}

//! Opens a log whose only segment is arbitrary bytes, appends to it and opens it again: no panic,
//! what was found is found again, and what was appended comes after it.

#![no_main]

use std::sync::{Arc, mpsc};

use libfuzzer_sys::fuzz_target;
use suyuan_wal::simulated::SimulatedDisk;
use suyuan_wal::{Options, Verdict, open};

fuzz_target!(|bytes: &[u8]| {
    let disk = SimulatedDisk::new(1 << 20, 1);
    disk.put("00000000000000000001.wal", bytes.to_vec());
    let Some(before) = payloads_then_append(&disk) else { return };
    let after = payloads_then_append(&disk).expect("a log that opened opens again");
    assert_eq!(after.split_last().expect("the appended record"), (&b"appended".to_vec(), &before[..]));
});

fn payloads_then_append(disk: &SimulatedDisk) -> Option<Vec<Vec<u8>>> {
    let options = Options {
        segment_bytes_max: 8 << 10,
        record_bytes_max: 1 << 10,
        queue_bytes_max: 1 << 20,
        reserve_bytes: 8 << 10,
    };
    let (log, mut recovered) = open(Arc::new(disk.clone()), options).ok()?;
    let mut payloads = Vec::new();
    let replayed = recovered.replay(|_, payload| {
        payloads.push(payload.to_vec());
        Verdict::Taken
    });
    replayed.expect("the disk is sound");
    let (done, answer) = mpsc::sync_channel(1);
    log.append(vec![b"appended".as_slice().into()], move |result| {
        done.send(result).expect("the target waits");
    });
    answer.recv().expect("an answer").expect("there is space");
    Some(payloads)
}

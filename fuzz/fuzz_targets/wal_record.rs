//! Scans arbitrary bytes as a segment of the log: no panic, and nothing counted that is not there.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let report = suyuan_wal::scan_bytes(bytes);
    assert!(report.payload_bytes <= bytes.len() as u64);
    assert!(report.records <= bytes.len() as u64 / suyuan_wal::RECORD_HEADER_BYTES);
    assert!(report.damage.iter().all(|damage| damage.offset + damage.bytes <= bytes.len() as u64));
});

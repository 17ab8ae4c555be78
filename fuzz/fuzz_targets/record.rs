//! Records of the log: never a panic, and what is decoded is encoded to what decodes equally.

#![no_main]

use suyuan_wire::record::RecordHeader;

libfuzzer_sys::fuzz_target!(|record: &[u8]| {
    if let Ok((header, _)) = RecordHeader::decode(record) {
        let encoded = header.encode();
        let (again, rest) = RecordHeader::decode(&encoded).expect("what we encode we decode");
        assert_eq!((again, rest.len()), (header, 0));
    }
});

//! Metas and id filters of blocks: never a panic, and what is decoded is encoded to what decodes
//! equally.

#![no_main]

use suyuan_block::{BlockMeta, IdFilter};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(meta) = BlockMeta::decode(bytes) {
        encodes_again(&meta);
    }
    // Without the frame around it, which the fuzzer would have to compress.
    if let Ok(meta) = BlockMeta::decode_body(bytes) {
        encodes_again(&meta);
    }
    if let Ok(filter) = IdFilter::decode(bytes.to_vec().into()) {
        assert_eq!(filter.encode(), bytes);
    }
});

fn encodes_again(meta: &BlockMeta) {
    let encoded = meta.encode().expect("what was decoded holds together");
    assert_eq!(BlockMeta::decode(&encoded).as_ref(), Ok(meta));
}

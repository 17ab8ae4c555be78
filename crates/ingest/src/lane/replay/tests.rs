//! Bodies that were taken when they came are inflated again, whatever decoder would frown at them.

use std::io::Write as _;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use suyuan_model::Tenant;
use suyuan_wire::record::{Format, Limits};

use super::*;
use crate::admission::Budget;
use crate::buffers::Pool;
use crate::inflate::Inflaters;

fn header(compression: Compression, inflated: &[u8]) -> RecordHeader {
    RecordHeader {
        received_unix_nanos: 7,
        tenant: Tenant::single(),
        format: Format::OtlpJson,
        compression,
        inflated_bytes: inflated.len() as u64,
        limits: Limits::default(),
        refused: Vec::new(),
        accepted_spans: 1,
    }
}

#[track_caller]
fn check(compression: Compression, sent: &[u8], inflated: &[u8]) {
    let again = inflate(&mut Codecs::new(), &header(compression, inflated), sent)
        .expect("it was taken once");
    assert!(again == inflated, "{} bytes instead of {}", again.len(), inflated.len());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

#[test]
fn gzip_of_one_member_and_of_several() {
    check(Compression::Gzip, &gzip(b"a body"), b"a body");
    check(Compression::Gzip, &[gzip(b"a "), gzip(b"body")].concat(), b"a body");
    check(Compression::Gzip, &[gzip(b"a body"), gzip(b"")].concat(), b"a body");
}

/// libdeflate takes a member whose trailer is repeated, a stream decoder does not.
#[test]
fn gzip_with_its_trailer_twice() {
    let mut sent = gzip(b"a body");
    sent.extend_from_within(sent.len() - 8..);
    check(Compression::Gzip, &sent, b"a body");
}

/// One call needs no window, so it takes a frame that claims one of a GiB; a stream does not.
#[test]
fn zstd_with_a_huge_window() {
    let inflated = vec![b'x'; 100_000];
    let mut sent = vec![0x28, 0xb5, 0x2f, 0xfd, 0x80, 20 << 3];
    sent.extend_from_slice(&(inflated.len() as u32).to_le_bytes());
    let last_raw_block = ((inflated.len() as u32) << 3) | 1;
    sent.extend_from_slice(&last_raw_block.to_le_bytes()[..3]);
    sent.extend_from_slice(&inflated);
    check(Compression::Zstd, &sent, &inflated);
}

#[test]
fn what_is_damaged_or_of_another_length_is_an_error() {
    for compression in Compression::ALL {
        assert!(
            inflate(&mut Codecs::new(), &header(compression, b"a longer body"), b"a body").is_err()
        );
    }
    assert!(
        inflate(&mut Codecs::new(), &header(Compression::Gzip, b"a longer body"), &gzip(b"a body"))
            .is_err()
    );
}

/// Whatever a stream has become on its way: if receipt took it, it was acknowledged.
#[tokio::test]
async fn what_receipt_takes_replay_takes() {
    const BYTES_MAX: usize = 1 << 17;
    let budget = Budget::new(BYTES_MAX * 8, Duration::ZERO, Gauge::default());
    let inflaters = Inflaters::new(2, Pool::new(BYTES_MAX), Metrics::new());
    let plain = b"a body that repeats itself, a body that repeats itself, and ends".repeat(9);
    let streamed = |bytes: &[u8]| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("a level");
        encoder.write_all(bytes).expect("into memory");
        encoder.finish().expect("into memory")
    };
    let sized = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).expect("into memory");
    let mut codecs = Codecs::new();
    let mut n_taken = 0;
    for (compression, whole) in [
        (Compression::Gzip, gzip(&plain)),
        (Compression::Gzip, [gzip(&plain), gzip(b"more")].concat()),
        (Compression::Gzip, gzip(&vec![0; BYTES_MAX])),
        (Compression::Zstd, sized(&plain)),
        (Compression::Zstd, streamed(&plain)),
        (Compression::Zstd, [sized(&plain), streamed(&plain)].concat()),
        (Compression::Zstd, streamed(&vec![0; BYTES_MAX])),
    ] {
        let flips = (0..whole.len()).flat_map(|at| [(at, 1), (at, 0x10), (at, 0xff)]);
        for (at, flip) in flips.chain([(0, 0)]) {
            let mut sent = whole.clone();
            sent[at] ^= flip;
            let reservation = budget.reserve();
            let body = Bytes::from(sent.clone());
            let inflated = inflaters.inflate(compression, body, BYTES_MAX, &reservation).await;
            let Ok(inflated) = inflated else { continue };
            n_taken += 1;
            let again = inflate(&mut codecs, &header(compression, &inflated), &sent);
            assert!(again.expect("receipt took it") == inflated, "byte {at}, {flip:#x}");
        }
    }
    assert!(n_taken > 7, "some changes make no difference, as in a gzip header's time");
}

//! What is inside, or why not: for whole, damaged, lying and endless streams.

use std::io::Write;

use flate2::write::GzEncoder;
use libdeflater::{CompressionLvl, Compressor};
use prometheus_client::metrics::gauge::Gauge;

use super::*;
use crate::admission::Budget;

const MIB: usize = 1 << 20;

struct Bench {
    inflaters: Arc<Inflaters>,
    budget: Arc<Budget>,
    held_bytes: Gauge,
}

fn bench() -> Bench {
    let held_bytes = Gauge::default();
    let wait = std::time::Duration::from_millis(10);
    let inflaters = Inflaters::new(2, Pool::new(8 * MIB), Metrics::new());
    Bench { inflaters, budget: Budget::new(64 * MIB, wait, held_bytes.clone()), held_bytes }
}

impl Bench {
    async fn inflate(
        &self,
        compression: Compression,
        sent: Vec<u8>,
        bytes_max: usize,
    ) -> Result<Bytes, InflateError> {
        let reservation = self.budget.reserve();
        self.inflaters.inflate(compression, sent.into(), bytes_max, &reservation).await
    }

    async fn why_not(&self, compression: Compression, sent: Vec<u8>) -> String {
        self.inflate(compression, sent, MIB).await.unwrap_err().to_string()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut compressed = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let n_bytes = compressor.gzip_compress(bytes, &mut compressed).unwrap();
    compressed.truncate(n_bytes);
    compressed
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

/// zstd as streaming writers send it: without the size.
fn zstd_streamed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Compresses about as well as spans do, and differently everywhere.
fn text(n_bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(n_bytes + 32);
    let mut state = 7_u64;
    while text.len() < n_bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        write!(text, "http.route=/cart/{} ", state >> 44).unwrap();
    }
    text.truncate(n_bytes);
    text
}

#[tokio::test]
async fn what_went_in_comes_out() {
    let bench = bench();
    for n_bytes in [0, 1, 100, 4_096, 65_536, 500_000, 5 * MIB] {
        let plain = text(n_bytes);
        let half = n_bytes / 2;
        let forms = [
            (Compression::None, plain.clone()),
            (Compression::Gzip, gzip(&plain)),
            (Compression::Gzip, [gzip(&plain[..half]), gzip(&plain[half..])].concat()),
            (Compression::Zstd, zstd(&plain)),
            (Compression::Zstd, zstd_streamed(&plain)),
            (Compression::Zstd, [zstd(&plain[..half]), zstd_streamed(&plain[half..])].concat()),
        ];
        for (form, (compression, sent)) in forms.into_iter().enumerate() {
            let inflated = bench.inflate(compression, sent, n_bytes).await;
            assert!(inflated.unwrap() == plain, "{n_bytes} bytes, form {form}");
        }
    }
    assert_eq!(bench.held_bytes.get(), 0);
}

/// libdeflate alone would answer with the first of them.
#[tokio::test]
async fn equal_members_are_both_read() {
    let member = gzip(b"span");
    let inflated = bench().inflate(Compression::Gzip, [&member[..], &member].concat(), MIB).await;
    assert_eq!(inflated.unwrap(), "spanspan");
}

#[tokio::test]
async fn limit_is_exact() {
    let bench = bench();
    let plain = text(10_000);
    let halves = [gzip(&plain[..5_000]), gzip(&plain[5_000..])].concat();
    for (compression, sent) in [
        (Compression::Gzip, gzip(&plain)),
        (Compression::Gzip, halves),
        (Compression::Zstd, zstd(&plain)),
        (Compression::Zstd, zstd_streamed(&plain)),
    ] {
        let whole = bench.inflate(compression, sent.clone(), 10_000).await;
        assert_eq!(whole.unwrap().len(), 10_000);
        let over = bench.inflate(compression, sent, 9_999).await;
        assert_eq!(over.unwrap_err(), InflateError::TooLarge { bytes_max: 9_999 });
    }
}

#[tokio::test]
async fn damage_is_named() {
    let bench = bench();
    let whole = gzip(&text(1_000));
    let mut shorter_than_said = whole.clone();
    *shorter_than_said.last_chunk_mut::<4>().unwrap() = 2_000_u32.to_le_bytes();
    let mut longer_than_said = whole.clone();
    *longer_than_said.last_chunk_mut::<4>().unwrap() = 10_u32.to_le_bytes();
    let mut wrong_checksum = whole.clone();
    let checksum_at = whole.len() - 8;
    wrong_checksum[checksum_at] ^= 1;
    let mut impossible = gzip(b"x");
    *impossible.last_chunk_mut::<4>().unwrap() = u32::MAX.to_le_bytes();
    let damaged = "it is cut short, changed on the way, or something else";
    let rows = [
        (Compression::Gzip, Vec::new(), "it does not begin as gzip does"),
        (Compression::Gzip, vec![0; 100], "it does not begin as gzip does"),
        (
            Compression::Gzip,
            whole[..whole.len() - 1].to_vec(),
            "its trailer says more than it can hold",
        ),
        (Compression::Gzip, shorter_than_said, damaged),
        (Compression::Gzip, longer_than_said, damaged),
        (Compression::Gzip, wrong_checksum, damaged),
        (Compression::Gzip, impossible, "its trailer says more than it can hold"),
        (Compression::Gzip, [&whole[..], &[7, 0, 0, 0]].concat(), "something follows the stream"),
        (
            Compression::Gzip,
            [&whole[..], b"\x1f\x8b\x08", &[0; 4]].concat(),
            "a member of it is cut short or changed on the way",
        ),
        (Compression::Zstd, Vec::new(), "it is empty"),
        (Compression::Zstd, vec![0; 100], "it does not begin as zstd does"),
        (Compression::Zstd, zstd(&text(1_000))[..200].to_vec(), "it is cut short"),
        (Compression::Zstd, [zstd(b"x"), vec![7; 9]].concat(), "Unknown frame descriptor"),
    ];
    for (compression, sent, why) in rows {
        let codec = if compression == Compression::Gzip { "gzip" } else { "zstd" };
        let expected = format!("the body is not valid {codec}: {why}");
        assert_eq!(bench.why_not(compression, sent).await, expected);
    }
    // Codecs that met damage are not used again.
    let inflated = bench.inflate(Compression::Zstd, zstd(b"span"), MIB).await;
    assert_eq!(inflated.unwrap(), "span");
}

/// However a stream is changed or cut, there is an answer, and it is within the limit.
#[tokio::test]
async fn any_change_gets_an_answer() {
    let bench = bench();
    let plain = text(300);
    let members = [gzip(&plain[..100]), gzip(&plain[100..])].concat();
    let forms = [
        (Compression::Gzip, gzip(&plain)),
        (Compression::Gzip, members),
        (Compression::Zstd, zstd(&plain)),
        (Compression::Zstd, zstd_streamed(&plain)),
    ];
    let (mut n_cuts, mut n_refused) = (0, 0);
    for (compression, sent) in forms {
        for at in 0..sent.len() {
            let cut = bench.inflate(compression, sent[..at].to_vec(), 1_000).await;
            n_cuts += 1;
            n_refused += u32::from(cut.is_err());
            for flip in [1, 0x80, 0xff] {
                let mut changed = sent.clone();
                changed[at] ^= flip;
                let inflated = bench.inflate(compression, changed, 1_000).await;
                assert!(inflated.is_err() || inflated.is_ok_and(|bytes| bytes.len() <= 1_000));
            }
        }
    }
    // Cut between two members a stream is whole.
    assert_eq!(n_refused, n_cuts - 1);
    assert_eq!(bench.held_bytes.get(), 0);
}

/// Streams that hold far more than they say are given up at the limit.
#[tokio::test]
async fn liars_are_stopped() {
    let bench = bench();
    let zeros = vec![0; 50 * MIB];
    let mut gzip_liar = gzip(&zeros);
    *gzip_liar.last_chunk_mut::<4>().unwrap() = 100_u32.to_le_bytes();
    let why = bench.why_not(Compression::Gzip, gzip_liar).await;
    assert_eq!(why, "the body is not valid gzip: it holds more than its trailer says");

    let mut encoder = GzEncoder::new(gzip(b"small"), flate2::Compression::fast());
    encoder.write_all(&zeros).unwrap();
    let mut members = encoder.finish().unwrap();
    members.extend(gzip(b"small"));
    for (compression, sent) in
        [(Compression::Gzip, members), (Compression::Zstd, zstd_streamed(&zeros))]
    {
        let over = bench.inflate(compression, sent, MIB).await;
        assert_eq!(over.unwrap_err(), InflateError::TooLarge { bytes_max: MIB });
    }
}

/// A frame that must be streamed and whose window would need more memory than we give is refused,
/// not obeyed; one that fits into its buffer at once needs no window.
#[tokio::test]
async fn huge_windows_are_refused() {
    let with_huge_window = |plain: &[u8]| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let fits = bench().inflate(Compression::Zstd, with_huge_window(&text(MIB)), MIB).await;
    assert!(fits.unwrap() == text(MIB));
    let why = bench().why_not(Compression::Zstd, with_huge_window(&[0; MIB])).await;
    assert!(why.contains("requires too much memory"), "{why}");
}

#[tokio::test]
async fn body_that_inflates_over_the_budget_waits_and_is_refused() {
    let bench = bench();
    let others = bench.budget.reserve();
    others.grow(64 * MIB - 4_096).await.unwrap();
    let refused = bench.inflate(Compression::Gzip, gzip(&text(100_000)), MIB).await;
    assert!(matches!(refused, Err(InflateError::BudgetTaken(_))));
    drop(others);
    assert!(bench.inflate(Compression::Gzip, gzip(&text(100_000)), MIB).await.is_ok());
}

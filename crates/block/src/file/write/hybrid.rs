//! Parquet's hybrid of runs and bit-packed groups, for dictionary codes and definition levels.
//!
//! In: the codes of a page, or the rows that have a value. Out: segments, each a varint and a body:
//! `length << 1` and one value (a run), or `groups << 1 | 1` and eight packed values per group.

use crate::file::thrift::varint;

/// A run of this many equal codes leaves its packed segment. Shorter ones stay: zstd sees them, and
/// every border costs it a match.
const RUN_CODES: usize = 256;
/// The same for definition levels, in bytes of eight rows.
const RUN_LEVEL_BYTES: usize = 8;

/// Bits for a code of a dictionary: whole bytes from five bits up, and a power of two below, so that
/// equal sequences of codes are equal bytes wherever they begin.
pub(crate) fn code_bits(n_values: usize) -> u8 {
    match n_values {
        0..=1 => 0,
        2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        17..=0x100 => 8,
        0x101..=0x1_0000 => 16,
        0x1_0001..=0x100_0000 => 24,
        _ => 32,
    }
}

/// Appends the codes of a page, with the leading byte that says their width.
pub(crate) fn codes(out: &mut Vec<u8>, codes: &[u32], bits: u8) {
    out.push(bits);
    let mut packed_from = 0;
    let mut at = 0;
    while at < codes.len() {
        let run = run_length(&codes[at..]);
        if run < RUN_CODES && run < codes.len() {
            at += (run & !7).max(8);
            continue;
        }
        pack_segment(out, &codes[packed_from..at], bits);
        run_segment(out, run, codes[at], bits);
        at += run;
        packed_from = at;
    }
    pack_segment(out, &codes[packed_from.min(codes.len())..], bits);
}

/// Appends the definition levels of `n_rows` rows, of which `rows` (ascending, counted from
/// `first_row`) have a value.
pub(crate) fn levels(
    out: &mut Vec<u8>,
    bitmap: &mut Vec<u8>,
    rows: &[u32],
    first_row: u32,
    n_rows: usize,
) {
    if rows.is_empty() {
        run_segment(out, n_rows, 0, 1);
        return;
    }
    if rows.len() == n_rows {
        all_present(out, n_rows);
        return;
    }
    bitmap.clear();
    bitmap.resize(n_rows.div_ceil(8), 0);
    for row in rows {
        let row = (row - first_row) as usize;
        bitmap[row / 8] |= 1 << (row % 8);
    }
    let mut packed_from = 0;
    let mut at = 0;
    // The last byte may be of fewer than eight rows, so it never belongs to a run.
    let n_whole = n_rows / 8;
    while at < n_whole {
        let run = byte_run(&bitmap[at..n_whole]);
        if run < RUN_LEVEL_BYTES {
            at += run.max(1);
            continue;
        }
        pack_levels(out, &bitmap[packed_from..at]);
        run_segment(out, run * 8, u32::from(bitmap[at] != 0), 1);
        at += run;
        packed_from = at;
    }
    pack_levels(out, &bitmap[packed_from..]);
}

/// Appends the definition levels of rows that all have a value.
pub(crate) fn all_present(out: &mut Vec<u8>, n_rows: usize) {
    run_segment(out, n_rows, 1, 1);
}

/// How many bytes from the first on are the same, if all eight rows of the first are.
fn byte_run(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(first @ (0 | 0xff)) => bytes.iter().take_while(|byte| *byte == first).count(),
        _ => 0,
    }
}

fn pack_levels(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    varint(out, (bytes.len() as u32) << 1 | 1);
    out.extend_from_slice(bytes);
}

fn run_length(codes: &[u32]) -> usize {
    codes.iter().take_while(|code| **code == codes[0]).count()
}

fn run_segment(out: &mut Vec<u8>, length: usize, value: u32, bits: u8) {
    varint(out, (length as u32) << 1);
    out.extend_from_slice(&value.to_le_bytes()[..usize::from(bits.div_ceil(8))]);
}

/// Appends codes bit-packed, the last group filled up with zeros.
fn pack_segment(out: &mut Vec<u8>, codes: &[u32], bits: u8) {
    if codes.is_empty() {
        return;
    }
    let n_groups = codes.len().div_ceil(8);
    varint(out, (n_groups as u32) << 1 | 1);
    let end = out.len() + n_groups * usize::from(bits);
    match bits {
        8 => out.extend(codes.iter().map(|code| *code as u8)),
        16 => {
            for code in codes {
                out.extend_from_slice(&(*code as u16).to_le_bytes());
            }
        }
        _ => pack_bits(out, codes, bits),
    }
    out.resize(end, 0);
}

fn pack_bits(out: &mut Vec<u8>, codes: &[u32], bits: u8) {
    let mut pending = 0u64;
    let mut n_pending = 0;
    for code in codes {
        pending |= u64::from(*code) << n_pending;
        n_pending += bits;
        while n_pending >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            n_pending -= 8;
        }
    }
    if n_pending > 0 {
        out.push(pending as u8);
    }
}

//! Values as `PLAIN` and `BYTE_STREAM_SPLIT`.
//!
//! In: a range of a column's values. Out: their bytes, appended to a page.

use std::ops::Range;

use suyuan_model::Strings;

use crate::column::Values;

/// Appends values as `PLAIN`.
pub(crate) fn plain(out: &mut Vec<u8>, values: &Values, range: Range<usize>) {
    match values {
        Values::Text(Strings::Dictionary { codes, values }) => {
            for code in &codes[range] {
                text(out, values.value(*code as usize).as_bytes());
            }
        }
        Values::Text(Strings::Plain(values)) => {
            texts(out, values.offsets(), values.values(), range)
        }
        Values::Bytes(values) => texts(out, values.offsets(), values.values(), range),
        Values::Id(values) => {
            out.extend_from_slice(&values.value_data()[range.start * 16..range.end * 16]);
        }
        Values::U64(values) => numbers(out, &values[range], |value| value.to_le_bytes()),
        Values::I64(values) => numbers(out, &values[range], |value| value.to_le_bytes()),
        Values::F64(values) => numbers(out, &values[range], |value| value.to_le_bytes()),
        Values::U32(values) => numbers(out, &values[range], |value| value.to_le_bytes()),
        Values::I32(values) => numbers(out, &values[range], |value| value.to_le_bytes()),
        Values::Bool(values) => {
            let from = out.len();
            out.resize(from + range.len().div_ceil(8), 0);
            for (at, bit) in values.slice(range.start, range.len()).iter().enumerate() {
                out[from + at / 8] |= u8::from(bit) << (at % 8);
            }
        }
    }
}

/// Appends values as `BYTE_STREAM_SPLIT`; false, and nothing appended, if their kind has none.
pub(crate) fn split(out: &mut Vec<u8>, values: &Values, range: Range<usize>) {
    match values {
        Values::U64(values) => split_eight(out, &values[range], |value| *value),
        Values::I64(values) => split_eight(out, &values[range], |value| value.cast_unsigned()),
        Values::F64(values) => split_eight(out, &values[range], |value| value.to_bits()),
        Values::U32(values) => split_four(out, &values[range], |value| *value),
        Values::I32(values) => split_four(out, &values[range], |value| value.cast_unsigned()),
        other => plain(out, other, range),
    }
}

/// Whether values of this kind can be split.
pub(crate) fn can_split(values: &Values) -> bool {
    matches!(
        values,
        Values::U64(_) | Values::I64(_) | Values::F64(_) | Values::U32(_) | Values::I32(_)
    )
}

/// Bytes that a range of values takes as `PLAIN`; for a page's limit, so bits count as bytes.
pub(crate) fn plain_bytes(values: &Values, range: Range<usize>) -> usize {
    let data = |offsets: &[i32]| (offsets[range.end] - offsets[range.start]) as usize;
    match values {
        Values::Text(Strings::Plain(values)) => data(values.offsets()) + 4 * range.len(),
        Values::Bytes(values) => data(values.offsets()) + 4 * range.len(),
        Values::Text(Strings::Dictionary { .. }) => range.map(|at| value_bytes(values, at)).sum(),
        _ if range.is_empty() => 0,
        _ => range.len() * value_bytes(values, range.start),
    }
}

/// The same of one value.
pub(crate) fn value_bytes(values: &Values, at: usize) -> usize {
    match values {
        Values::Text(Strings::Dictionary { codes, values }) => {
            4 + values.value_length(codes[at] as usize) as usize
        }
        Values::Text(Strings::Plain(values)) => 4 + values.value_length(at) as usize,
        Values::Bytes(values) => 4 + values.value_length(at) as usize,
        Values::Id(_) => 16,
        Values::U64(_) | Values::I64(_) | Values::F64(_) => 8,
        Values::U32(_) | Values::I32(_) => 4,
        Values::Bool(_) => 1,
    }
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn texts(out: &mut Vec<u8>, offsets: &[i32], data: &[u8], range: Range<usize>) {
    let offsets = &offsets[range.start..=range.end];
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    out.reserve((last - first) as usize + 4 * range.len());
    for pair in offsets.windows(2) {
        text(out, &data[pair[0] as usize..pair[1] as usize]);
    }
}

fn numbers<T, const WIDTH: usize>(out: &mut Vec<u8>, values: &[T], le: impl Fn(&T) -> [u8; WIDTH]) {
    out.reserve(values.len() * WIDTH);
    for value in values {
        out.extend_from_slice(&le(value));
    }
}

/// Byte `k` of every value, then byte `k + 1`. Eight values at a time are an 8 by 8 matrix of bytes
/// and transposed in three rounds of swaps, so that memory is touched by words.
fn split_eight<T>(out: &mut Vec<u8>, values: &[T], bits: impl Fn(&T) -> u64) {
    let n = values.len();
    let from = out.len();
    out.resize(from + n * 8, 0);
    let streams = &mut out[from..];
    let blocks = values.chunks_exact(8);
    for (place, value) in blocks.remainder().iter().enumerate() {
        let at = n - n % 8 + place;
        for (stream, byte) in bits(value).to_le_bytes().into_iter().enumerate() {
            streams[stream * n + at] = byte;
        }
    }
    for (block, eight) in blocks.enumerate() {
        let mut rows = [0u64; 8];
        for (row, value) in rows.iter_mut().zip(eight) {
            *row = bits(value);
        }
        transpose(&mut rows);
        for (stream, row) in rows.iter().enumerate() {
            let at = stream * n + block * 8;
            streams[at..at + 8].copy_from_slice(&row.to_le_bytes());
        }
    }
}

fn transpose(rows: &mut [u64; 8]) {
    for (distance, mask) in
        [(4, 0x0000_0000_ffff_ffffu64), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff)]
    {
        let shift = distance as u32 * 8;
        for low in (0..8).filter(|row| row & distance == 0) {
            let (upper, lower) = (rows[low], rows[low + distance]);
            rows[low] = (upper & mask) | ((lower & mask) << shift);
            rows[low + distance] = ((upper >> shift) & mask) | (lower & !mask);
        }
    }
}

fn split_four<T>(out: &mut Vec<u8>, values: &[T], bits: impl Fn(&T) -> u32) {
    for stream in 0..4 {
        out.extend(values.iter().map(|value| (bits(value) >> (stream * 8)) as u8));
    }
}

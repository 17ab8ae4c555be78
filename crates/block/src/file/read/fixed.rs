//! Values of a fixed width, one behind the other or split into streams of bytes.
//!
//! In: the bytes of a page (`PLAIN` or `BYTE_STREAM_SPLIT`) and a range of its values. Out: the
//! values. The page's length has been checked by the caller.

use std::ops::Range;

/// Bytes of an id ([`Kind::Id`](crate::column::Kind::Id)).
pub(super) const ID_BYTES: usize = 16;

/// A value of fixed width.
pub(super) trait Fixed: Copy {
    const BYTES: usize;
    /// `bytes` are `BYTES` long.
    fn from_bytes(bytes: &[u8]) -> Self;
    /// Appends the values `range` of the `n_values` whose first bytes stand together, then their
    /// second ones, and so on.
    fn append_split(values: &mut Vec<Self>, bytes: &[u8], n_values: usize, range: Range<usize>);
}

macro_rules! fixed {
    ($($value:ty, $from_bytes:expr, $append_split:ident);*) => {$(
        impl Fixed for $value {
            const BYTES: usize = size_of::<$value>();
            #[inline]
            fn from_bytes(bytes: &[u8]) -> Self {
                $from_bytes(bytes.try_into().expect("as long as a value"))
            }
            fn append_split(
                values: &mut Vec<Self>,
                bytes: &[u8],
                n_values: usize,
                range: Range<usize>,
            ) {
                let streams = std::array::from_fn(|place| {
                    &bytes[place * n_values..][range.start..][..range.len()]
                });
                $append_split(values, streams, $from_bytes);
            }
        }
    )*};
}

fixed!(
    u64, u64::from_le_bytes, append_split_words;
    i64, i64::from_le_bytes, append_split_words;
    f64, f64::from_le_bytes, append_split_words;
    u32, u32::from_le_bytes, append_split_bytes;
    i32, i32::from_le_bytes, append_split_bytes;
    [u8; ID_BYTES], std::convert::identity, append_split_bytes
);

/// Byte by byte.
fn append_split_bytes<T, const N: usize>(
    values: &mut Vec<T>,
    streams: [&[u8]; N],
    from_bytes: fn([u8; N]) -> T,
) {
    let n_values = streams.iter().map(|stream| stream.len()).min().unwrap_or(0);
    values.extend((0..n_values).map(|place| from_bytes(streams.map(|stream| stream[place]))));
}

/// Eight values at a time: eight bytes of each stream are the rows of a matrix whose columns are
/// the values. A million durations take 1 ms instead of 4.
fn append_split_words<T>(values: &mut Vec<T>, streams: [&[u8]; 8], from_bytes: fn([u8; 8]) -> T) {
    let split = streams.map(|stream| stream.as_chunks::<8>());
    for at in 0..split[0].0.len() {
        let rows = split.map(|(chunks, _)| u64::from_le_bytes(chunks[at]));
        values.extend(transposed(rows).map(|word| from_bytes(word.to_le_bytes())));
    }
    append_split_bytes(values, split.map(|(_, rest)| rest), from_bytes);
}

/// Turns rows of bytes into columns: blocks of four bytes change places, then of two, then of one.
#[inline]
fn transposed(mut rows: [u64; 8]) -> [u64; 8] {
    let mut swap = |upper: usize, lower: usize, n_bits: u32, mask: u64| {
        let changed = ((rows[upper] >> n_bits) ^ rows[lower]) & mask;
        rows[upper] ^= changed << n_bits;
        rows[lower] ^= changed;
    };
    for upper in 0..4 {
        swap(upper, upper + 4, 32, 0x0000_0000_ffff_ffff);
    }
    for upper in [0, 1, 4, 5] {
        swap(upper, upper + 2, 16, 0x0000_ffff_0000_ffff);
    }
    for upper in [0, 2, 4, 6] {
        swap(upper, upper + 1, 8, 0x00ff_00ff_00ff_00ff);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_any_length_are_put_together_again() {
        for n_values in 0..40_u64 {
            let numbers: Vec<u64> =
                (0..n_values).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let stream = |place: usize| numbers.iter().map(move |n| n.to_le_bytes()[place]);
            let bytes: Vec<u8> = (0..8).flat_map(stream).collect();
            for start in 0..=numbers.len() {
                let mut read: Vec<u64> = vec![7];
                u64::append_split(&mut read, &bytes, numbers.len(), start..numbers.len());
                assert_eq!(&read[1..], &numbers[start..]);
            }
        }
    }
}

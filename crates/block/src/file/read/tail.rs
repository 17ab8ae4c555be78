//! The end of a file, where its footer and page index lie.
//!
//! In: a store and the length of a file. Out: its last bytes, fetched by two ranges at most as long
//! as the file is one of ours.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use suyuan_objects::{Objects, ReadMeter};

use super::ReadError;

/// The end of a file that is fetched first: so many bytes hold the footer and the page index of a
/// file of this length, as a rule.
const TAIL_SHARE: u64 = 64;
const TAIL_BYTES_MIN: u64 = 32 << 10;
const TAIL_BYTES_MAX: u64 = 1 << 20;
/// Footer and page index; a hundred times what a full block has.
const METADATA_BYTES_MAX: u64 = 64 << 20;
/// The length of the footer and the magic number behind it.
const FILE_END_BYTES: u64 = 8;
const MAGIC: &[u8; 4] = b"PAR1";

/// The end of a file.
pub(super) struct Tail {
    pub(super) start: u64,
    pub(super) bytes: Bytes,
}

impl Tail {
    pub(super) fn slice(&self, range: &Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..end)
    }

    /// With what lies before it down to the start of `range`, which ends before `end`.
    pub(super) fn reaching(
        self,
        objects: &dyn Objects,
        path: &str,
        range: Range<u64>,
        end: u64,
        meter: &ReadMeter,
    ) -> Result<Self, ReadError> {
        if range.end > end || end - range.start > METADATA_BYTES_MAX {
            let what = Cow::Owned(format!("a page index at {range:?}, the footer at {end}"));
            return Err(ReadError::File { path: path.to_owned(), what });
        }
        if range.start >= self.start {
            return Ok(self);
        }
        let before = objects.get_range(path, range.start..self.start)?;
        meter.add(before.len() as u64, 1);
        let bytes = [&before[..], &self.bytes[..]].concat().into();
        Ok(Self { start: range.start, bytes })
    }
}

/// Fetches the end of the file, the footer at least; returns where the footer lies.
pub(super) fn read_tail(
    objects: &dyn Objects,
    path: &str,
    bytes: u64,
    meter: &ReadMeter,
) -> Result<(Tail, Range<u64>), ReadError> {
    let damaged = |what| ReadError::File { path: path.to_owned(), what };
    if bytes < FILE_END_BYTES + MAGIC.len() as u64 {
        return Err(damaged(format!("{bytes} bytes are too few").into()));
    }
    let likely = (bytes / TAIL_SHARE).clamp(TAIL_BYTES_MIN, TAIL_BYTES_MAX);
    let start = bytes.saturating_sub(likely);
    let tail = Tail { start, bytes: objects.get_range(path, start..bytes)? };
    meter.add(tail.bytes.len() as u64, 1);
    let Some((_, end)) = tail.bytes.split_last_chunk::<8>() else {
        return Err(damaged("the store gave fewer bytes than asked".into()));
    };
    let [a, b, c, d, magic @ ..] = *end;
    if magic != *MAGIC {
        return Err(damaged("it does not end as one".into()));
    }
    let footer_bytes = u64::from(u32::from_le_bytes([a, b, c, d]));
    let footer_end = bytes - FILE_END_BYTES;
    let Some(footer_start) = footer_end.checked_sub(footer_bytes) else {
        return Err(damaged("its footer is longer than itself".into()));
    };
    if footer_bytes > METADATA_BYTES_MAX {
        return Err(damaged(format!("a footer of {footer_bytes} bytes").into()));
    }
    // The page index stands before the footer and takes about as much.
    let reach = footer_start.saturating_sub((footer_bytes * 2).min(METADATA_BYTES_MAX));
    let tail = match footer_start < start {
        true => tail.reaching(objects, path, reach..footer_start, footer_start, meter)?,
        false => tail,
    };
    if tail.bytes.len() as u64 != bytes - tail.start {
        return Err(damaged("the store gave fewer bytes than asked".into()));
    }
    Ok((tail, footer_start..footer_end))
}

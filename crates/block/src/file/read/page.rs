//! One page: its header, its checksum, its levels and its values, inflated where they are deflated.
//!
//! In: the bytes of a page as the offset index places them. Out: slices of them, or of a buffer
//! that every page of this thread is inflated into; a context of zstd for each column chunk is what
//! makes the stock reader slow (`design.md 5`).

use std::cell::RefCell;
use std::ops::Range;

use zstd::bulk::Decompressor;

use super::damage::{Damage, damaged};
use super::thrift::{Field, Fields, Thrift};

/// A page's bytes, inflated. A span's attributes of the greatest number and length that the
/// defaults let in take 64 MiB.
const PAGE_BYTES_MAX: usize = 128 << 20;
/// A thread's buffer is given back when a page has made it larger.
const BUFFER_BYTES_KEPT: usize = 2 << 20;
/// The most that zstd can make of a block, and the bytes that a block takes at least.
const ZSTD_BLOCK_BYTES: usize = 128 << 10;
const ZSTD_BLOCK_BYTES_MIN: usize = 4;

/// How a column chunk is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Zstd,
}

/// How values lie in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageEncoding {
    Plain,
    Codes,
    RunLengths,
    Split,
}

/// What a page's header says.
#[derive(Debug)]
pub(super) struct PageHeader {
    form: PageForm,
    inflated_bytes: usize,
    stored_bytes: usize,
    crc32: Option<u32>,
    pub(super) n_values: usize,
    encoding: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageForm {
    Dictionary,
    Data,
    Data2 { level_bytes: usize, is_compressed: bool },
}

/// What a data page holds.
pub(super) struct Page<'a> {
    pub(super) encoding: PageEncoding,
    /// Of an optional column.
    pub(super) levels: Option<&'a [u8]>,
    pub(super) values: &'a [u8],
}

/// What a thread keeps for reading pages.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) inflater: Inflater,
    pub(super) codes: Vec<u32>,
    /// Rows asked for of a page, and which of its values are theirs.
    pub(super) asked: Vec<Range<usize>>,
    pub(super) selected: Vec<Range<usize>>,
}

#[derive(Default)]
pub(super) struct Inflater {
    context: Option<Decompressor<'static>>,
    inflated: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs `work`, which must not call this again, with the thread's buffers.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let outcome = work(scratch);
        if scratch.inflater.inflated.capacity() > BUFFER_BYTES_KEPT {
            scratch.inflater.inflated = Vec::new();
        }
        if scratch.codes.capacity() * size_of::<u32>() > BUFFER_BYTES_KEPT {
            scratch.codes = Vec::new();
        }
        outcome
    })
}

impl PageHeader {
    /// Reads the header at the start of `bytes`, which are one page, and returns it with what
    /// follows it.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Damage> {
        let mut thrift = Thrift::new(bytes);
        let mut header = Self {
            form: PageForm::Data,
            inflated_bytes: 0,
            stored_bytes: 0,
            crc32: None,
            n_values: 0,
            encoding: -1,
        };
        let mut kind = -1;
        let mut fields = Fields::default();
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => kind = thrift.int(field)?,
                2 => header.inflated_bytes = thrift.natural_u32(field)? as usize,
                3 => header.stored_bytes = thrift.natural_u32(field)? as usize,
                4 => header.crc32 = Some(thrift.int(field)? as u32),
                5 if kind == 0 => header.parse_data(&mut thrift, field)?,
                7 if kind == 2 => header.parse_dictionary(&mut thrift, field)?,
                8 if kind == 3 => header.parse_data2(&mut thrift, field)?,
                _ => thrift.skip(field)?,
            }
        }
        if header.encoding < 0 {
            return damaged(format!("a page of kind {kind} without its header"));
        }
        Ok((header, thrift.rest()))
    }

    fn parse_data(&mut self, thrift: &mut Thrift, field: Field) -> Result<(), Damage> {
        let mut fields = thrift.enter(field)?;
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => self.n_values = thrift.natural_u32(field)? as usize,
                2 => self.encoding = thrift.int(field)?,
                // Definition levels; 3 stands for the hybrid of runs.
                3 if thrift.int(field)? != 3 => return damaged("levels in an encoding of old"),
                3 => {}
                _ => thrift.skip(field)?,
            }
        }
        self.form = PageForm::Data;
        Ok(())
    }

    fn parse_dictionary(&mut self, thrift: &mut Thrift, field: Field) -> Result<(), Damage> {
        let mut fields = thrift.enter(field)?;
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => self.n_values = thrift.natural_u32(field)? as usize,
                2 => self.encoding = thrift.int(field)?,
                _ => thrift.skip(field)?,
            }
        }
        self.form = PageForm::Dictionary;
        Ok(())
    }

    fn parse_data2(&mut self, thrift: &mut Thrift, field: Field) -> Result<(), Damage> {
        let mut fields = thrift.enter(field)?;
        let (mut level_bytes, mut is_compressed) = (0, true);
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => self.n_values = thrift.natural_u32(field)? as usize,
                4 => self.encoding = thrift.int(field)?,
                5 => level_bytes = thrift.natural_u32(field)? as usize,
                6 if thrift.int(field)? != 0 => return damaged("repeated values in a flat column"),
                6 => {}
                7 => is_compressed = thrift.bool(field)?,
                _ => thrift.skip(field)?,
            }
        }
        self.form = PageForm::Data2 { level_bytes, is_compressed };
        Ok(())
    }

    /// The page's bytes as stored, checked.
    fn stored<'a>(&self, body: &'a [u8]) -> Result<&'a [u8], Damage> {
        let Some(stored) = body.get(..self.stored_bytes) else {
            return damaged(format!(
                "a page of {} bytes where {} are left",
                self.stored_bytes,
                body.len()
            ));
        };
        match self.crc32 {
            Some(expected) if crc32fast::hash(stored) != expected => {
                damaged("a page's checksum is not that of its bytes")
            }
            _ => Ok(stored),
        }
    }

    /// The values of a dictionary page, which are plain.
    pub(super) fn open_dictionary<'a>(
        &self,
        body: &'a [u8],
        codec: Codec,
        inflater: &'a mut Inflater,
    ) -> Result<&'a [u8], Damage> {
        // 2 is what old writers called the plain values of a dictionary.
        if self.form != PageForm::Dictionary || !matches!(self.encoding, 0 | 2) {
            return damaged("a dictionary was expected");
        }
        inflater.inflate(self.stored(body)?, codec, self.inflated_bytes)
    }

    pub(super) fn open_data<'a>(
        &self,
        body: &'a [u8],
        codec: Codec,
        is_optional: bool,
        inflater: &'a mut Inflater,
    ) -> Result<Page<'a>, Damage> {
        let stored = self.stored(body)?;
        let encoding = self.page_encoding()?;
        let (levels, values) = match self.form {
            PageForm::Dictionary => {
                return damaged("a dictionary where a page of data was expected");
            }
            PageForm::Data => {
                let bytes = inflater.inflate(stored, codec, self.inflated_bytes)?;
                if is_optional { split_levels(bytes)? } else { (&[][..], bytes) }
            }
            PageForm::Data2 { level_bytes, is_compressed } => {
                let Some((levels, values)) = stored.split_at_checked(level_bytes) else {
                    return damaged("a page ends within its levels");
                };
                let Some(inflated_bytes) = self.inflated_bytes.checked_sub(level_bytes) else {
                    return damaged("a page has more levels than bytes");
                };
                let codec = if is_compressed { codec } else { Codec::None };
                (levels, inflater.inflate(values, codec, inflated_bytes)?)
            }
        };
        Ok(Page { encoding, levels: is_optional.then_some(levels), values })
    }

    fn page_encoding(&self) -> Result<PageEncoding, Damage> {
        Ok(match self.encoding {
            0 => PageEncoding::Plain,
            2 | 8 => PageEncoding::Codes,
            3 => PageEncoding::RunLengths,
            9 => PageEncoding::Split,
            other => return damaged(format!("values in encoding {other}, which is not read here")),
        })
    }
}

/// A page of the first form begins with the length of its levels.
fn split_levels(bytes: &[u8]) -> Result<(&[u8], &[u8]), Damage> {
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return damaged("a page ends before its levels");
    };
    match rest.split_at_checked(u32::from_le_bytes(*len) as usize) {
        Some(split) => Ok(split),
        None => damaged("a page ends within its levels"),
    }
}

impl Inflater {
    fn inflate<'a>(
        &'a mut self,
        stored: &'a [u8],
        codec: Codec,
        inflated_bytes: usize,
    ) -> Result<&'a [u8], Damage> {
        let is_equal_length = stored.len() == inflated_bytes;
        match codec {
            Codec::None if is_equal_length => return Ok(stored),
            Codec::None => return damaged("a page's length is not that of its bytes"),
            // A page without a value may be empty in both forms.
            Codec::Zstd if stored.is_empty() && is_equal_length => return Ok(stored),
            Codec::Zstd => {}
        }
        let possible_bytes = (stored.len() / ZSTD_BLOCK_BYTES_MIN + 1) * ZSTD_BLOCK_BYTES;
        if inflated_bytes > possible_bytes.min(PAGE_BYTES_MAX) {
            return damaged(format!("{} bytes that claim {inflated_bytes}", stored.len()));
        }
        if self.context.is_none() {
            let context = Decompressor::new();
            self.context = Some(context.map_err(|error| format!("no context of zstd: {error}"))?);
        }
        self.inflated.clear();
        self.inflated.reserve(inflated_bytes);
        let context = self.context.as_mut().expect("made above");
        let n_bytes = context
            .decompress_to_buffer(stored, &mut self.inflated)
            .map_err(|error| format!("zstd: {error}"))?;
        if n_bytes != inflated_bytes {
            return damaged(format!("{n_bytes} bytes where a page claims {inflated_bytes}"));
        }
        Ok(&self.inflated)
    }
}

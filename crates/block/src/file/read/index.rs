//! The page index of a column chunk: where its pages lie, and between which values they lie; and how
//! long a bloom filter is.

use super::damage::{Damage, damaged};
use super::thrift::{Field, Fields, Form, Thrift};

/// Where the pages of a chunk lie.
#[derive(Default)]
pub(super) struct PagePlaces {
    pub(super) start: u64,
    pub(super) end: u64,
    /// From `start` on.
    pub(super) ends: Vec<u32>,
    pub(super) first_rows: Vec<u32>,
}

impl PagePlaces {
    pub(super) fn parse(&mut self, bytes: &[u8], n_rows: u32) -> Result<(), Damage> {
        let mut thrift = Thrift::new(bytes);
        let mut fields = Fields::default();
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => {
                    for _ in 0..thrift.list(field, Form::Struct)? {
                        self.parse_page(&mut thrift, n_rows)?;
                    }
                }
                _ => thrift.skip(field)?,
            }
        }
        match self.first_rows.first() {
            None if n_rows > 0 => damaged("rows without a page"),
            Some(first) if *first != 0 => damaged("rows before the first page"),
            _ => Ok(()),
        }
    }

    fn parse_page(&mut self, thrift: &mut Thrift, n_rows: u32) -> Result<(), Damage> {
        let (mut start, mut n_bytes, mut first_row) = (0, 0, 0);
        let mut fields = Fields::default();
        while let Some(field) = thrift.field(&mut fields)? {
            match field.id {
                1 => start = thrift.natural(field)?,
                2 => n_bytes = thrift.natural_u32(field)?,
                3 => first_row = thrift.natural(field)?,
                _ => thrift.skip(field)?,
            }
        }
        if self.ends.is_empty() {
            (self.start, self.end) = (start, start);
        }
        if start != self.end {
            return damaged("pages that do not follow one another");
        }
        let is_ascending = self.first_rows.last().is_none_or(|last| first_row > u64::from(*last));
        if !is_ascending || first_row >= u64::from(n_rows) {
            return damaged("pages whose rows do not follow one another");
        }
        self.end = start.checked_add(u64::from(n_bytes)).ok_or("a page beyond 64 bits")?;
        let end = u32::try_from(self.end - self.start).map_err(|_| "a column beyond 4 GiB")?;
        self.ends.push(end);
        self.first_rows.push(first_row as u32);
        Ok(())
    }

    /// Moves the start to the dictionary and returns its length, 0 if there is none.
    pub(super) fn start_with_dictionary(&mut self, dictionary_start: u64) -> Result<u32, Damage> {
        // Zero is what some writers say where there is none.
        if dictionary_start == 0 || dictionary_start >= self.start {
            return Ok(0);
        }
        let n_bytes = u32::try_from(self.start - dictionary_start)
            .map_err(|_| "a dictionary beyond 4 GiB")?;
        for end in &mut self.ends {
            *end = end.checked_add(n_bytes).ok_or("a column beyond 4 GiB")?;
        }
        self.start = dictionary_start;
        Ok(n_bytes)
    }
}

pub(super) fn parse_null_pages(bytes: &[u8]) -> Result<u64, Damage> {
    let mut thrift = Thrift::new(bytes);
    let mut fields = Fields::default();
    let mut null_pages = 0;
    while let Some(field) = thrift.field(&mut fields)? {
        if field.id != 1 {
            // It is the first field: the rest is read when bounds are asked for.
            break;
        }
        for page in 0..thrift.list(field, Form::True)? {
            let is_null = thrift.element_bool()?;
            if page < 64 {
                null_pages |= u64::from(is_null) << page;
            }
        }
    }
    Ok(null_pages)
}

/// The smallest and the greatest value of a page as plain bytes, those of texts cut to a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinMax {
    pub min: Box<[u8]>,
    pub max: Box<[u8]>,
}

/// The bounds of every page; `None`: it has no value.
pub(super) fn parse_bounds(bytes: &[u8]) -> Result<Vec<Option<MinMax>>, Damage> {
    let mut thrift = Thrift::new(bytes);
    let mut fields = Fields::default();
    let (mut nulls, mut min, mut max) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(field) = thrift.field(&mut fields)? {
        match field.id {
            1 => {
                for _ in 0..thrift.list(field, Form::True)? {
                    nulls.push(thrift.element_bool()?);
                }
            }
            2 => min = parse_binaries(&mut thrift, field)?,
            3 => max = parse_binaries(&mut thrift, field)?,
            _ => thrift.skip(field)?,
        }
    }
    if nulls.len() != min.len() || nulls.len() != max.len() {
        return damaged("a column index of different lengths");
    }
    let bounds = nulls.into_iter().zip(min.into_iter().zip(max));
    let bounds = bounds.map(|(is_null, (min, max))| {
        (!is_null).then(|| MinMax { min: min.into(), max: max.into() })
    });
    Ok(bounds.collect())
}

fn parse_binaries<'a>(thrift: &mut Thrift<'a>, field: Field) -> Result<Vec<&'a [u8]>, Damage> {
    (0..thrift.list(field, Form::Binary)?).map(|_| thrift.element_binary()).collect()
}

/// The length of a bloom filter with its header, of which `bytes` are the start.
pub(super) fn bloom_bytes(bytes: &[u8]) -> Result<u32, Damage> {
    let mut thrift = Thrift::new(bytes);
    let mut fields = Fields::default();
    let mut filter_bytes = 0;
    while let Some(field) = thrift.field(&mut fields)? {
        match field.id {
            1 => filter_bytes = thrift.natural_u32(field)?,
            _ => thrift.skip(field)?,
        }
    }
    let header_bytes = (bytes.len() - thrift.rest().len()) as u32;
    filter_bytes.checked_add(header_bytes).ok_or_else(|| "a bloom filter beyond 4 GiB".into())
}

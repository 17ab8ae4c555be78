//! Which overflow column a key without a column goes to, and which of them a file has.
//!
//! In: a key, or the names of a file's columns. Out: the number of a column `overflow_<nn>`, or a
//! mask of such numbers. A block has one number of overflow columns for all its files, which stands
//! in its meta. Never here: whether a key has a column of its own.
//!
//! Between blocks of 16 and of 64 masks go as numbers modulo 64: a key's number modulo 16 follows
//! from that modulo 64, and four of 64 follow from one of 16.

use super::{FNV_OFFSET, fnv1a};

/// How many columns the keys of a block that have no column of their own are spread over: a search
/// for one rare key reads one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OverflowColumns {
    #[default]
    Sixteen,
    /// For blocks with more than [`SIXTEEN_KEYS_MAX`] such keys.
    SixtyFour,
}

/// With more keys and types without a column, of one scope, there are 64 columns. 10,000 keys on a
/// million spans, ten on each, make 16 columns of 25 MB each when inflated: 7 ms for one key.
pub const SIXTEEN_KEYS_MAX: usize = 1_024;

impl OverflowColumns {
    /// As a meta says it; nothing if no block may have so many.
    pub fn from_count(count: u32) -> Option<Self> {
        [Self::Sixteen, Self::SixtyFour].into_iter().find(|columns| columns.count() == count)
    }

    pub fn count(self) -> u32 {
        match self {
            Self::Sixteen => 16,
            Self::SixtyFour => 64,
        }
    }

    /// The number for a block in which a scope has so many keys and types without a column.
    pub(super) fn for_keys(n_keys: usize) -> Self {
        if n_keys > SIXTEEN_KEYS_MAX { Self::SixtyFour } else { Self::Sixteen }
    }

    /// The mask of all columns.
    pub(super) fn all(self) -> u64 {
        u64::MAX >> (64 - self.count())
    }

    /// The columns in which keys lie whose numbers are given modulo 64.
    pub(super) fn fold(self, buckets: u64) -> u64 {
        match self {
            Self::Sixteen => (0..4).fold(0, |folded, n| folded | buckets >> (16 * n)) & self.all(),
            Self::SixtyFour => buckets,
        }
    }

    /// The numbers modulo 64 that keys in these columns may have.
    fn unfold(self, buckets: u64) -> u64 {
        match self {
            Self::Sixteen => (0..4).fold(0, |unfolded, n| unfolded | buckets << (16 * n)),
            Self::SixtyFour => buckets,
        }
    }
}

/// Which of the overflow columns a key goes to: FNV-1a (64 bits) of the key's bytes, its upper half
/// XORed into the lower one, modulo the number of columns. Part of the format.
pub fn overflow_bucket(key: &str, columns: OverflowColumns) -> usize {
    let hash = fnv1a(FNV_OFFSET, key.as_bytes());
    ((hash ^ (hash >> 32)) % u64::from(columns.count())) as usize
}

/// The name of the column of an overflow bucket.
pub(crate) fn overflow_column_name(bucket: usize) -> String {
    format!("overflow_{bucket:02}")
}

/// The bucket whose column has such a name; nothing if a block of so many has no such column.
pub(crate) fn parse_overflow_column_name(name: &str, columns: OverflowColumns) -> Option<usize> {
    let bucket = name.strip_prefix("overflow_")?.parse().ok()?;
    let is_one = bucket < columns.count() as usize && name == overflow_column_name(bucket);
    is_one.then_some(bucket)
}

/// The numbers modulo 64 of the keys that a file may have in its overflow, by the names of its
/// columns: bit `n` for number `n`. All of them for a list, which may hold keys twice.
pub fn overflow_buckets<'a>(
    names: impl IntoIterator<Item = &'a str>,
    columns: OverflowColumns,
) -> u64 {
    let bucket = |name: &str| match parse_overflow_column_name(name, columns) {
        Some(bucket) => 1 << bucket,
        None if name == "attributes" => columns.all(),
        None => 0,
    };
    columns.unfold(names.into_iter().map(bucket).fold(0, |buckets, bucket| buckets | bucket))
}

/// The numbers of the bits that are set, ascending.
pub(crate) fn buckets_of(mask: u64) -> impl Iterator<Item = usize> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        let bucket = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
        rest &= rest - 1;
        Some(bucket)
    })
}

//! The bloom filter of a column chunk.
//!
//! In: a chunk's values. Out: a split block filter of the distinct ones. Its size is a power of two,
//! since some readers refuse any other, and the least one that answers well enough: six id-like
//! columns of a shop's spans had filters of 0.8 bytes per span when size followed from the number of
//! values, rounded up.

use arrow_array::Array;
use parquet::bloom_filter::Sbbf;
use suyuan_model::Strings;

use crate::column::Values;
use crate::file::write::dictionary::Dictionary;

/// How many of a hundred absent values may pass. A block has tens of row groups, so that an absent
/// value costs a page or two of them at worst.
const WRONG_SHARE_MAX: f64 = 0.08;
/// Bits per value to begin with, before the filter is folded to what its distinct values need.
const VALUE_BITS: usize = 8;

/// The filter of all values of a chunk.
pub(crate) fn of(values: &Values, dictionary: Option<&Dictionary>) -> Sbbf {
    let n_distinct = match (values, dictionary) {
        (_, Some(dictionary)) => dictionary.n_values,
        (Values::Id(ids), None) => {
            let (ids, _) = ids.value_data().as_chunks::<16>();
            ids.chunk_by(|a, b| a == b).count()
        }
        (Values::Bool(_), None) => 2,
        _ => values.len(),
    };
    let mut filter = Sbbf::new_with_num_of_bytes(n_distinct * VALUE_BITS / 8);
    match values {
        Values::Text(Strings::Plain(values)) => {
            (0..values.len()).for_each(|at| filter.insert(values.value(at)));
        }
        Values::Text(Strings::Dictionary { codes, values }) => {
            let mut is_seen = vec![false; values.len()];
            for &code in codes.iter() {
                if !std::mem::replace(&mut is_seen[code as usize], true) {
                    filter.insert(values.value(code as usize));
                }
            }
        }
        Values::Bytes(values) => {
            (0..values.len()).for_each(|at| filter.insert(values.value(at)));
        }
        Values::Id(ids) => {
            let (ids, _) = ids.value_data().as_chunks::<16>();
            ids.chunk_by(|a, b| a == b).for_each(|same| filter.insert(&same[0][..]));
        }
        Values::U64(values) => values.iter().for_each(|value| filter.insert(&value.cast_signed())),
        Values::I64(values) => values.iter().for_each(|value| filter.insert(value)),
        Values::U32(values) => values.iter().for_each(|value| filter.insert(&value.cast_signed())),
        Values::I32(values) => values.iter().for_each(|value| filter.insert(value)),
        Values::F64(values) => values.iter().for_each(|value| filter.insert(value)),
        Values::Bool(values) => values.iter().for_each(|value| filter.insert(&value)),
    }
    filter.fold_to_target_fpp(WRONG_SHARE_MAX);
    filter
}

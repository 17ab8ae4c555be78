//! Random spans and random filters that meet: few keys, few values, of all types.
//!
//! In: a source of choices. Out: spans as senders with bad luck send them (clocks of 1970 and 2106,
//! parents missing, cycles, ids used twice, one span in ten sent again or updated), and filters
//! over all that can be asked. A filter may break the type rules; whoever parses it sees.

mod filters;
mod spans;

pub use filters::filter;
pub use spans::{RandomSpans, Shape, question};

/// Keys of attributes, whatever they belong to.
const KEYS: [&str; 7] = ["a", "b", "n", "flag", "tags", "odd key", "service.name"];
const TEXTS: [&str; 9] = ["", "x", "y", "X", "xy", "10", "x\ny", "cart", "溯源"];
const INTS: [i64; 8] = [0, 1, 5, -3, 500, 10_000_000, i64::MAX, i64::MIN];
const DOUBLES: [f64; 7] = [0.0, -0.0, 0.5, 5.0, -3.0, f64::NAN, f64::INFINITY];
const NAMES: [&str; 6] = ["GET /", "POST", "x", "xy", "", "cart"];
const SERVICES: [&str; 4] = ["cart", "pay", "x", "gateway"];
const DURATIONS_NANOS: [i64; 8] =
    [0, 1, 1_000, 5_000_000, 10_000_000, 100_000_000, 1_000_000_000, -5_000_000];
/// Traces of a large store; more of them than a page has rows share no text of [`UID`].
const N_TRACES_LARGE: u64 = 3_000;
/// Texts of their own, one for each span, so that a block keeps a filter of them; and the number of
/// the trace, which rises with its id.
const UID: &str = "uid";
const SEQUENCE: &str = "seq";
/// Keys so rare that a block has no column for each.
const N_RARE_KEYS: u64 = 300;

fn rare_key(number: u64) -> String {
    format!("rare{number}")
}

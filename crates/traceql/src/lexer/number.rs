//! Numbers and durations.
//!
//! Numbers are decimal. Durations are of Prometheus (`1d12h`, whole numbers, the largest unit
//! first) or of Go (`1.5s`, `2h0.5m`); the first has days, weeks and years, the second fractions.

use super::{Lexer, TokenKind};
use crate::advice;
use crate::error::ParseError;

/// The magnitude of the least integer.
const MAGNITUDE_MAX: u64 = 1 << 63;

/// Units of Prometheus, the largest first.
const WHOLE_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000_000_000),
    ("w", 7 * 24 * 3_600_000_000_000),
    ("d", 24 * 3_600_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

const GO_UNITS: [(&str, u64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

impl<'a> Lexer<'a> {
    /// A number or a duration; a digit, or a dot and a digit, comes next.
    pub(super) fn number(&mut self) -> Result<TokenKind<'a>, Box<ParseError>> {
        let rest = self.rest();
        let is_part = |c: char| c == '.' || c == '_' || c.is_alphanumeric();
        let run = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        if let Some(nanos) = duration_nanos(run) {
            let n_bytes = run.len();
            let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos <= MAGNITUDE_MAX);
            let nanos = nanos.ok_or_else(|| self.too_large(n_bytes, "a duration of 292 years"))?;
            self.at += n_bytes;
            return Ok(TokenKind::DurationNanos(nanos));
        }
        let n_bytes = number_length(rest);
        // A second point as well: a run of them is looked at once, not once for each.
        if rest[n_bytes..].starts_with(is_part) {
            return Err(self.no_number(run));
        }
        let digits = &rest[..n_bytes];
        let (kind, limit) = if digits.contains(['.', 'e', 'E']) {
            let number: Option<f64> = digits.parse().ok();
            (number.filter(|number| number.is_finite()).map(TokenKind::Float), "1.8e308")
        } else {
            let number: Option<u64> = digits.parse().ok();
            let number = number.filter(|number| *number <= MAGNITUDE_MAX);
            (number.map(TokenKind::Int), "9223372036854775807")
        };
        let kind = kind.ok_or_else(|| self.too_large(n_bytes, limit))?;
        self.at += n_bytes;
        Ok(kind)
    }

    fn too_large(&self, n_bytes: usize, limit: &str) -> Box<ParseError> {
        let place = self.place_of(self.at, n_bytes);
        ParseError::new(self.text, place, "a number that is too large", format!("at most {limit}"))
    }

    fn no_number(&self, run: &str) -> Box<ParseError> {
        let place = self.place_of(self.at, run.len());
        let found = format!("`{}`", advice::cut(run));
        let error = ParseError::new(self.text, place, found, "a number or a duration");
        if let Some(name) = run.strip_prefix('.') {
            return error.advise(format!(
                "a name that begins with a digit stands in quotes: `.\"{}\"`",
                advice::cut(name)
            ));
        }
        error.advise(
            "numbers are decimal; units of time are ns, us, ms, s, m, h, and without fractions \
             d, w, y",
        )
    }
}

/// The length of the number at the start: digits, a fraction, an exponent.
fn number_length(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = &text[from..];
        from + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
    };
    let mut end = digits(0);
    if text[end..].starts_with('.') {
        end = digits(end + 1);
    }
    if let Some(exponent) = text[end..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let first = end + 1 + sign;
        let last = digits(first);
        if last > first {
            end = last;
        }
    }
    end
}

/// `None`: no duration.
fn duration_nanos(text: &str) -> Option<u128> {
    whole_nanos(text).or_else(|| go_nanos(text))
}

fn whole_nanos(mut text: &str) -> Option<u128> {
    let mut units = WHOLE_UNITS.iter();
    let mut nanos = 0_u128;
    while !text.is_empty() {
        let (count, unit, rest) = part(text)?;
        let (_, unit_nanos) = units.find(|(name, _)| *name == unit)?;
        nanos += u128::from(count.parse::<u64>().ok()?) * u128::from(*unit_nanos);
        text = rest;
    }
    Some(nanos)
}

fn go_nanos(mut text: &str) -> Option<u128> {
    let mut nanos = 0_u128;
    while !text.is_empty() {
        let (count, unit, rest) = part(text)?;
        let (_, unit_nanos) = GO_UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = count.split_once('.').unwrap_or((count, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_nanos = u128::from(*unit_nanos);
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        nanos += u128::from(whole) * unit_nanos + fraction_of(fraction, unit_nanos)?;
        text = rest;
    }
    Some(nanos)
}

/// Digits behind a nanosecond's hundredth say nothing.
const FRACTION_DIGITS_MAX: usize = 18;

fn fraction_of(fraction: &str, unit_nanos: u128) -> Option<u128> {
    if fraction.is_empty() {
        return Some(0);
    }
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let number: u128 = digits.parse().ok()?;
    Some(number * unit_nanos / 10_u128.pow(u32::try_from(digits.len()).ok()?))
}

/// The number and the unit at the start, and what follows.
fn part(text: &str) -> Option<(&str, &str, &str)> {
    let unit = text.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let behind = &text[unit..];
    let end = behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len());
    let count = &text[..unit];
    (!count.is_empty()).then_some((count, &behind[..end], &behind[end..]))
}

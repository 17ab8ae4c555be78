//! Sizes and durations as people write them.
//!
//! In: text such as `64 MiB`, `1.5s`, `2m` from the command line, the environment and the
//! configuration file. Out: bytes and [`Duration`]s, and the way back. No clocks, no I/O.

use std::time::Duration;

/// Units of size, largest first within each family: binary ones first, so that writing picks them.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Units of time in nanoseconds, largest first.
const TIME_UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is neither a size nor a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("`{0}` is not a size: write a number of bytes, or one with a unit such as \"64 MiB\"")]
    NotASize(String),
    #[error(
        "`{0}` is not a duration: write a number with a unit such as \"5ms\", \"30s\" or \"2m\""
    )]
    NotADuration(String),
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// Bytes from `1048576`, `64 MiB`, `64MiB`, `20 MB`, `1.5 GiB`; units in either case.
pub fn parse_bytes(text: &str) -> Result<u64, QuantityError> {
    let (number, unit) = split_unit(text);
    let bytes_per_unit = if unit.is_empty() { Some(1) } else { unit_of(&SIZE_UNITS, unit) };
    let Some((number, bytes_per_unit)) = parse_decimal(number).zip(bytes_per_unit) else {
        return Err(QuantityError::NotASize(text.to_owned()));
    };
    number.times(bytes_per_unit).ok_or_else(|| QuantityError::TooLarge(text.to_owned()))
}

/// A duration from `5ms`, `1.5s`, `2m`, `1h`, `7d`. A bare number is refused unless it is zero:
/// its unit would be a guess.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let (number, unit) = split_unit(text);
    let unit = if unit == "µs" { "us" } else { unit };
    let nanos_per_unit = match unit_of(&TIME_UNITS, unit) {
        None if text.trim() == "0" => Some(1),
        found => found,
    };
    let Some((number, nanos_per_unit)) = parse_decimal(number).zip(nanos_per_unit) else {
        return Err(QuantityError::NotADuration(text.to_owned()));
    };
    let nanos =
        number.times(nanos_per_unit).ok_or_else(|| QuantityError::TooLarge(text.to_owned()));
    nanos.map(Duration::from_nanos)
}

/// The text that [`parse_bytes`] reads back to the same number: `64 MiB`, or plain digits where no
/// binary unit divides it.
pub fn format_bytes(bytes: u64) -> String {
    let binary = SIZE_UNITS[..4].iter().find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
    match binary {
        Some((unit, size)) => format!("{} {unit}", bytes / size),
        None => bytes.to_string(),
    }
}

/// The text that [`parse_duration`] reads back to the same duration: `5ms`, `2m`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let exact = TIME_UNITS.iter().find(|(_, size)| nanos > 0 && nanos.is_multiple_of(*size));
    match exact {
        Some((unit, size)) => format!("{}{unit}", nanos / size),
        None => "0s".to_owned(),
    }
}

/// A size for eyes: at most three digits and a unit, rounded.
pub fn rounded_bytes(bytes: u64) -> String {
    let Some((unit, size)) = SIZE_UNITS[..4].iter().find(|(_, size)| bytes >= *size) else {
        return format!("{bytes} B");
    };
    let amount = bytes as f64 / *size as f64;
    if amount < 9.95 { format!("{amount:.1} {unit}") } else { format!("{amount:.0} {unit}") }
}

/// A whole number with its thousands set apart, for eyes: `1,000,014`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 span`, `2,929 spans`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A number of the form `whole + tenths of a power of ten`, kept exact: `1.5` is 15 over 10.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u128,
    divisor: u128,
}

impl Decimal {
    fn times(self, unit: u64) -> Option<u64> {
        let scaled = self.digits.checked_mul(u128::from(unit))? / self.divisor;
        u64::try_from(scaled).ok()
    }
}

fn parse_decimal(text: &str) -> Option<Decimal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some(Decimal { digits, divisor: 10u128.pow(fraction.len() as u32) })
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn unit_of(units: &[(&str, u64)], name: &str) -> Option<u64> {
    units.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name)).map(|(_, size)| *size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_write_back() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("64 MiB", 64 << 20),
            ("64mib", 64 << 20),
            ("1.5 GiB", 3 << 29),
            ("20 MB", 20_000_000),
            (" 7 B ", 7),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
            assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes), "{text}");
        }
        assert_eq!(format_bytes(64 << 20), "64 MiB");
        assert_eq!(format_bytes(1500), "1500");
    }

    #[test]
    fn durations_read_and_write_back() {
        for (text, millis) in
            [("0", 0), ("5ms", 5), ("1.5s", 1_500), ("2m", 120_000), ("1 h", 3_600_000)]
        {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration), "{text}");
        }
        assert_eq!(parse_duration("3µs"), Ok(Duration::from_micros(3)));
        assert_eq!(format_duration(Duration::from_millis(90_000)), "90s");
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "MiB", "-1", "1..5 MiB", "64 MiBs", "1.0000000001", "１"] {
            assert_eq!(parse_bytes(text), Err(QuantityError::NotASize(text.to_owned())));
        }
        for text in ["", "5", "ms", "five ms", "5 minutes"] {
            assert_eq!(parse_duration(text), Err(QuantityError::NotADuration(text.to_owned())));
        }
        let huge = "99999999999 TiB";
        assert_eq!(parse_bytes(huge), Err(QuantityError::TooLarge(huge.to_owned())));
    }

    #[test]
    fn figures_for_eyes() {
        assert_eq!(rounded_bytes(0), "0 B");
        assert_eq!(rounded_bytes(1_536), "1.5 KiB");
        assert_eq!(rounded_bytes(342_000_000), "326 MiB");
        assert_eq!(grouped(7), "7");
        assert_eq!(counted(1, "span"), "1 span");
        assert_eq!(counted(2_929, "span"), "2,929 spans");
        assert_eq!(grouped(1_000_014), "1,000,014");
    }
}

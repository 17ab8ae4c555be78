//! Moments and lengths of time as requests write them.
//!
//! In: parameters and the server's clock. Out: a range in nanoseconds since 1970, both ends
//! included, or none, which means any time: nothing that was acknowledged is hidden by a default
//! (`tempo.md 1.0`, `design.md 10`). A moment is a number of seconds (up to ten digits), of
//! nanoseconds (more), of seconds with a fraction, or a date as RFC 3339 writes it.

use suyuan_block::meta::TimeRange;

use crate::error::ApiError;
use crate::parameters::{Parameters, shortened};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// What `start`, `end` and `since` say; `since` reaches back from now and goes before the others.
pub(crate) fn time_range(
    parameters: &Parameters,
    now_unix_nanos: i64,
) -> Result<Option<TimeRange>, ApiError> {
    let (start, end) = bounds(parameters)?;
    if let Some(since) = parameters.text("since")
        && let since_nanos @ 1.. = duration("since", since)?
    {
        let since_nanos = i64::try_from(since_nanos).unwrap_or(i64::MAX);
        return Ok(Some(TimeRange {
            min_unix_nanos: now_unix_nanos.saturating_sub(since_nanos),
            max_unix_nanos: now_unix_nanos,
        }));
    }
    match (start, end) {
        (None, None) => Ok(None),
        (Some(min_unix_nanos), Some(max_unix_nanos)) => {
            Ok(Some(TimeRange { min_unix_nanos, max_unix_nanos }))
        }
        // A zero beside an end is a time: 1970.
        (None, Some(max_unix_nanos)) if parameters.text("start").is_some() => {
            Ok(Some(TimeRange { min_unix_nanos: 0, max_unix_nanos }))
        }
        (Some(_), None) | (None, Some(_)) => Err(ApiError::HalfARange),
    }
}

/// `start` and `end`, each as far as it was given; not out of order.
pub(crate) fn bounds(parameters: &Parameters) -> Result<(Option<i64>, Option<i64>), ApiError> {
    let start = parameters.text("start").map_or(Ok(None), |text| moment("start", text))?;
    let end = parameters.text("end").map_or(Ok(None), |text| moment("end", text))?;
    match (start, end) {
        (Some(start), Some(end)) if end <= start => Err(ApiError::EndBeforeStart),
        bounds => Ok(bounds),
    }
}

/// Nanoseconds since 1970; `None` for zero, which clients send for "not given".
fn moment(name: &'static str, text: &str) -> Result<Option<i64>, ApiError> {
    const SECONDS_DIGITS_MAX: usize = 10;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let nanos = match text.split_once('.') {
        None if is_digits(text) => match text.parse::<i64>() {
            Ok(number) if text.len() <= SECONDS_DIGITS_MAX => number.checked_mul(NANOS_PER_SECOND),
            Ok(number) => Some(number),
            Err(_) => None,
        },
        Some((whole, fraction)) if is_digits(whole) && is_digits(fraction) && text.len() > 1 => {
            seconds_and_fraction(whole, fraction)
        }
        _ => rfc3339(text),
    };
    match nanos {
        Some(nanos) => Ok((nanos != 0).then_some(nanos)),
        None => Err(ApiError::NotATime { name }),
    }
}

fn seconds_and_fraction(whole: &str, fraction: &str) -> Option<i64> {
    let seconds: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(fraction_nanos(fraction))
}

/// Nanoseconds of the digits behind a point; what is finer is cut off.
fn fraction_nanos(digits: &str) -> i64 {
    let mut nanos = 0;
    for place in 0..9 {
        let digit = digits.as_bytes().get(place).map_or(0, |digit| i64::from(digit - b'0'));
        nanos = nanos * 10 + digit;
    }
    nanos
}

/// `2026-11-22T22:30:00.5Z`, `2026-11-22T23:30:00+01:00`.
fn rfc3339(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let is_at = |at: usize, letters: &[u8]| {
        text.as_bytes().get(at).is_some_and(|byte| letters.contains(byte))
    };
    let separators = [(4, &b"-"[..]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    if !separators.iter().all(|(at, letters)| is_at(*at, letters)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // A leap second is the last moment of its minute.
    let is_a_time = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_a_time {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let n_digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if n_digits == 0 {
            return None;
        }
        nanos = fraction_nanos(&fraction[..n_digits]);
        rest = &fraction[n_digits..];
    }
    let days = days_since_1970(year, month, day);
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_seconds(rest)?;
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
}

/// `Z`, `+08:00`, `-03:30`.
fn offset_seconds(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let two_digits = |text: &str| -> Option<i64> {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())?
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of the proleptic Gregorian calendar. Years are counted from March, so that the leap day is the
/// last of its year; 400 years have 146,097 days.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_FROM_YEAR_0_MARCH: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year.div_euclid(400) * 146_097 + day_of_era - DAYS_FROM_YEAR_0_MARCH
}

/// Nanoseconds from `1.5s`, `250ms`, `1h30m`, `7d`: what Go's durations and Prometheus' both are.
pub(crate) fn duration(name: &'static str, text: &str) -> Result<u64, ApiError> {
    duration_nanos(text)
        .ok_or_else(|| ApiError::NotADuration { name, value: shortened(text).to_owned() })
}

fn duration_nanos(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 11] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
        ("d", 86_400_000_000_000),
        ("w", 604_800_000_000_000),
        ("y", 31_536_000_000_000_000),
    ];
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let unit_start = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(unit_start);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let (_, nanos_per_unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(times(number, *nanos_per_unit)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(nanos)
}

/// A decimal number of units, exactly; what is finer than a nanosecond is cut off.
fn times(number: &str, unit: u64) -> Option<u64> {
    const DIGITS_MAX: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let n_digits = whole.len() + fraction.len();
    if !(1..=DIGITS_MAX).contains(&n_digits) || fraction.contains('.') {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let nanos = digits * u128::from(unit) / 10u128.pow(fraction.len() as u32);
    u64::try_from(nanos).ok()
}

#[cfg(test)]
mod tests;

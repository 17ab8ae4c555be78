//! Moments and spans of time as people read them.
//!
//! In: nanoseconds since 1970 as spans carry them, of any year that 64 bits can hold. Out: text.
//! Always UTC: a trace crosses machines, and whose zone would it be?

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// `2026-11-22 15:51:53.120 UTC`, milliseconds cut off, not rounded.
pub fn format_utc(unix_nanos: i64) -> String {
    let seconds = unix_nanos.div_euclid(NANOS_PER_SECOND);
    let millis = unix_nanos.rem_euclid(NANOS_PER_SECOND) / 1_000_000;
    let (year, month, day) = civil_date(seconds.div_euclid(SECONDS_PER_DAY));
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute) = (second_of_day / 3_600, second_of_day / 60 % 60);
    let second = second_of_day % 60;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03} UTC")
}

/// The date of the proleptic Gregorian calendar, from days since 1970-01-01. Years are counted
/// from March, so that the leap day is the last of its year; 400 years have 146,097 days.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const DAYS_FROM_YEAR_0_MARCH: i64 = 719_468;
    const DAYS_PER_ERA: i64 = 146_097;
    let days = days + DAYS_FROM_YEAR_0_MARCH;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// A length of time in at most three digits and the unit that fits: `850 ns`, `1.24 s`, `3 min 20 s`.
pub fn format_length(nanos: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let whole_seconds = nanos / 1_000_000_000;
    match whole_seconds {
        0..=59 => {}
        60..=3_599 => return two_parts(whole_seconds, (60, "min"), (1, "s")),
        3_600..=86_399 => return two_parts(whole_seconds, (3_600, "h"), (60, "min")),
        86_400..=31_535_999 => return two_parts(whole_seconds, (86_400, "d"), (3_600, "h")),
        _ => return two_parts(whole_seconds, (31_536_000, "y"), (86_400, "d")),
    }
    if nanos < 1_000 {
        return format!("{nanos} ns");
    }
    // 999.6 µs is 1 ms, not 1000 µs: a unit ends where rounding to a whole number leaves it.
    let (unit, size) = UNITS
        .into_iter()
        .find(|(_, size)| nanos * 2 < size * 1_999)
        .unwrap_or(("s", 1_000_000_000));
    let amount = nanos as f64 / size as f64;
    let decimals = match amount {
        amount if amount < 9.995 => 2,
        amount if amount < 99.95 => 1,
        _ => 0,
    };
    let figure = format!("{amount:.decimals$}");
    let figure = match figure.contains('.') {
        true => figure.trim_end_matches('0').trim_end_matches('.'),
        false => figure.as_str(),
    };
    format!("{figure} {unit}")
}

fn two_parts(seconds: u64, large: (u64, &str), small: (u64, &str)) -> String {
    let larges = seconds / large.0;
    match seconds % large.0 / small.0 {
        0 => format!("{larges} {}", large.1),
        smalls => format!("{larges} {} {smalls} {}", large.1, small.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_any_year() {
        for (nanos, text) in [
            (0, "1970-01-01 00:00:00.000 UTC"),
            (-1, "1969-12-31 23:59:59.999 UTC"),
            (951_782_400 * NANOS_PER_SECOND, "2000-02-29 00:00:00.000 UTC"),
            (1_795_362_713_123_456_789, "2026-11-22 15:51:53.123 UTC"),
            (4_107_542_399 * NANOS_PER_SECOND, "2100-02-28 23:59:59.000 UTC"),
            (4_107_542_400 * NANOS_PER_SECOND, "2100-03-01 00:00:00.000 UTC"),
            (i64::MIN, "1677-09-21 00:12:43.145 UTC"),
            (i64::MAX, "2262-04-11 23:47:16.854 UTC"),
        ] {
            assert_eq!(format_utc(nanos), text);
        }
    }

    #[test]
    fn lengths_keep_three_digits() {
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (1_234, "1.23 µs"),
            (99_960, "100 µs"),
            (999_400, "999 µs"),
            (999_600, "1 ms"),
            (41_000_000, "41 ms"),
            (1_240_000_000, "1.24 s"),
            (59_949_000_000, "59.9 s"),
            (200_000_000_000, "3 min 20 s"),
            (3_600_000_000_000, "1 h"),
            (90_000_000_000_000, "1 d 1 h"),
            (u64::MAX, "584 y 343 d"),
        ] {
            assert_eq!(format_length(nanos), text);
        }
    }
}

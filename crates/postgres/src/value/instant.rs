//! Dates, times, instants and intervals: text, and distance from PostgreSQL's epoch (2000-01-01).

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::{DateTime, NaiveDate, Offset as _};

const DAYS_1970_TO_2000: i32 = 10_957;
const MICROS_1970_TO_2000: i64 = 946_684_800_000_000;

/// Microseconds since 1970, floored, of a timestamp in `unit`; saturates.
pub(super) fn micros(value: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => value.saturating_mul(1_000_000),
        TimeUnit::Millisecond => value.saturating_mul(1_000),
        TimeUnit::Microsecond => value,
        TimeUnit::Nanosecond => value.div_euclid(1_000),
    }
}

/// Microseconds since 2000, as the binary form wants them.
pub(super) fn binary_timestamp(micros: i64) -> i64 {
    micros.saturating_sub(MICROS_1970_TO_2000)
}

/// Microseconds since 1970 of the binary form.
pub(super) fn from_binary_timestamp(value: i64) -> i64 {
    value.saturating_add(MICROS_1970_TO_2000)
}

/// Days since 2000, as the binary form wants them.
pub(super) fn binary_date(days: i32) -> i32 {
    days.saturating_sub(DAYS_1970_TO_2000)
}

/// Days since 1970 of the binary form.
pub(super) fn from_binary_date(value: i32) -> i32 {
    value.saturating_add(DAYS_1970_TO_2000)
}

/// `2024-02-29 01:02:03.5`
pub(super) fn timestamp_text(micros: i64) -> String {
    let Some(at) = DateTime::from_timestamp_micros(micros) else { return infinity(micros) };
    format!("{}{}", at.format("%Y-%m-%d %H:%M:%S"), fraction(micros.rem_euclid(1_000_000)))
}

/// `2024-02-29 02:02:03.5+01`: the time of a clock in `zone`, and how far it is from UTC then.
pub(super) fn zoned_text(micros: i64, zone: Tz) -> String {
    let Some(at) = DateTime::from_timestamp_micros(micros) else { return infinity(micros) };
    let at = at.with_timezone(&zone);
    let fraction = fraction(micros.rem_euclid(1_000_000));
    format!("{}{fraction}{}", at.format("%Y-%m-%d %H:%M:%S"), offset(at.offset().fix().local_minus_utc()))
}

/// `+01`, `-03:30`, and seconds where a zone had them.
fn offset(seconds: i32) -> String {
    let (sign, size) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let mut text = format!("{sign}{:02}", size / 3_600);
    if size % 3_600 != 0 {
        text += &format!(":{:02}", size / 60 % 60);
    }
    if size % 60 != 0 {
        text += &format!(":{:02}", size % 60);
    }
    text
}

fn infinity(micros: i64) -> String {
    if micros < 0 { "-infinity".to_owned() } else { "infinity".to_owned() }
}

/// `2024-02-29`
pub(super) fn date_text(days: i32) -> String {
    days.checked_add(719_163)
        .and_then(NaiveDate::from_num_days_from_ce_opt)
        .map_or_else(|| "infinity".to_owned(), |date| date.format("%Y-%m-%d").to_string())
}

/// `01:02:03.5`
pub(super) fn time_text(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    format!(
        "{:02}:{:02}:{:02}{}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        fraction(micros.rem_euclid(1_000_000))
    )
}

/// `1 year 2 mons 3 days 04:05:06.7`
pub(super) fn interval_text(months: i32, days: i32, micros: i64) -> String {
    let mut parts = Vec::new();
    let mut part = |count: i32, one: &str| {
        if count != 0 {
            parts.push(format!("{count} {one}{}", if count == 1 { "" } else { "s" }));
        }
    };
    part(months / 12, "year");
    part(months % 12, "mon");
    part(days, "day");
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { "" };
        let size = i64::try_from(micros.unsigned_abs()).unwrap_or(i64::MAX);
        parts.push(format!("{sign}{}", time_text(size)));
    }
    parts.join(" ")
}

fn fraction(micros: i64) -> String {
    if micros == 0 {
        return String::new();
    }
    format!(".{micros:06}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_print_as_in_postgresql() {
        let zoned = |micros, zone: &str| zoned_text(micros, zone.parse().expect("a zone"));
        assert_eq!(timestamp_text(0), "1970-01-01 00:00:00");
        assert_eq!(timestamp_text(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(zoned(1_500_000, "UTC"), "1970-01-01 00:00:01.5+00");
        assert_eq!(zoned(1_719_835_200_000_000, "Europe/Berlin"), "2024-07-01 14:00:00+02");
        assert_eq!(zoned(1_704_067_200_000_000, "America/St_Johns"), "2023-12-31 20:30:00-03:30");
        assert_eq!(zoned(-5_000_000_000_000_000, "Europe/Berlin"), "1811-07-23 16:00:08+00:53:28");
        assert_eq!(date_text(19_782), "2024-02-29");
        assert_eq!(time_text(3_723_500_000), "01:02:03.5");
        assert_eq!(interval_text(14, 1, 0), "1 year 2 mons 1 day");
        assert_eq!(interval_text(0, 0, -1_500_000), "-00:00:01.5");
        assert_eq!(interval_text(0, 0, 0), "00:00:00");
    }

    #[test]
    fn the_binary_epoch_is_2000() {
        assert_eq!(binary_timestamp(946_684_800_000_000), 0);
        assert_eq!(from_binary_timestamp(binary_timestamp(-5)), -5);
        assert_eq!((binary_date(10_957), from_binary_date(0)), (0, 10_957));
        assert_eq!(micros(-1, TimeUnit::Nanosecond), -1);
    }
}

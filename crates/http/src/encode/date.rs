//! Instants, dates and times as text: digits by hand, because they are most of a time-series answer.

/// Ticks of one second in a unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ticks {
    Second,
    Milli,
    Micro,
    Nano,
}

impl Ticks {
    fn per_second(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Milli => 1_000,
            Self::Micro => 1_000_000,
            Self::Nano => 1_000_000_000,
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Second => 0,
            Self::Milli => 3,
            Self::Micro => 6,
            Self::Nano => 9,
        }
    }
}

const SECONDS_PER_DAY: i64 = 86_400;

/// `2024-01-02T03:04:05.123456Z`
pub(super) fn write_timestamp(value: i64, ticks: Ticks, out: &mut Vec<u8>) {
    let seconds = value.div_euclid(ticks.per_second());
    let fraction = value.rem_euclid(ticks.per_second());
    write_date(seconds.div_euclid(SECONDS_PER_DAY), out);
    out.push(b'T');
    write_clock(seconds.rem_euclid(SECONDS_PER_DAY), fraction, ticks, out);
    out.push(b'Z');
}

/// `03:04:05.123456` of a time since midnight.
pub(super) fn write_time(value: i64, ticks: Ticks, out: &mut Vec<u8>) {
    let seconds = value.div_euclid(ticks.per_second());
    write_clock(seconds, value.rem_euclid(ticks.per_second()), ticks, out);
}

/// `2024-01-02` of days since 1970; years outside 0 to 9999 carry a sign and more digits (ISO 8601).
pub(super) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        write_digits(year, 4, out);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        write_digits(year.abs(), 6, out);
    }
    out.push(b'-');
    write_digits(month, 2, out);
    out.push(b'-');
    write_digits(day, 2, out);
}

fn write_clock(seconds: i64, fraction: i64, ticks: Ticks, out: &mut Vec<u8>) {
    write_digits(seconds / 3600, 2, out);
    out.push(b':');
    write_digits(seconds / 60 % 60, 2, out);
    out.push(b':');
    write_digits(seconds % 60, 2, out);
    if ticks.digits() > 0 {
        out.push(b'.');
        write_digits(fraction, ticks.digits(), out);
    }
}

/// The digits of a number that is not negative, at least `width` of them.
pub(super) fn write_digits(mut number: i64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

/// Year, month and day of days since 1970-01-01 in the proleptic Gregorian calendar; eras of 400 years from 1 March 0000.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn instants_of_every_unit_keep_their_digits() {
        assert_eq!(text(|out| write_timestamp(0, Ticks::Second, out)), "1970-01-01T00:00:00Z");
        assert_eq!(text(|out| write_timestamp(-1, Ticks::Milli, out)), "1969-12-31T23:59:59.999Z");
        assert_eq!(
            text(|out| write_timestamp(1_704_164_645_123_456, Ticks::Micro, out)),
            "2024-01-02T03:04:05.123456Z"
        );
        assert_eq!(text(|out| write_timestamp(1, Ticks::Nano, out)), "1970-01-01T00:00:00.000000001Z");
    }

    #[test]
    fn dates_agree_with_chrono_over_four_centuries() {
        let first = chrono::NaiveDate::from_ymd_opt(1800, 1, 1).expect("a date");
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");
        for offset in 0..146_097 {
            let date = first + chrono::Days::new(offset);
            let days = date.signed_duration_since(epoch).num_days();
            assert_eq!(text(|out| write_date(days, out)), date.to_string());
        }
    }

    #[test]
    fn years_beyond_four_digits_carry_a_sign() {
        assert_eq!(text(|out| write_date(-719_529, out)), "-000001-12-31");
        assert_eq!(text(|out| write_timestamp(i64::MIN, Ticks::Second, out)).chars().next(), Some('-'));
    }

    #[test]
    fn times_of_day_are_padded() {
        assert_eq!(text(|out| write_time(3_661_000_007, Ticks::Micro, out)), "01:01:01.000007");
    }
}

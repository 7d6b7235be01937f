//! `to_char` by Postgres's patterns: a timestamp as text.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, FixedOffset, Timelike};

use crate::pattern::{Case, Field, Part};

const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
/// Names are padded to the longest, `September` and `Wednesday`.
const NAME_WIDTH: usize = 9;

/// Writes `at` after the parts of a format. `zone`: the name that `TZ` shows.
pub(crate) fn write(parts: &[Part], at: &DateTime<FixedOffset>, zone: &str, into: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => into.push_str(text),
            Part::Field { field, case, bare, ordinal } => {
                let text = field_text(*field, *case, *bare, at, zone);
                into.push_str(&text);
                if let Some(case) = ordinal {
                    into.push_str(&case_all(*case, ending(&text)));
                }
            }
        }
    }
}

fn field_text(field: Field, case: Case, bare: bool, at: &DateTime<FixedOffset>, zone: &str) -> String {
    let number = |value: i64, digits: usize| match (bare, value < 0) {
        (true, _) => value.to_string(),
        (false, false) => format!("{value:0digits$}"),
        (false, true) => format!("-{:0digits$}", -value),
    };
    let name = |text: String| {
        let text = case.write(&text);
        if bare { text } else { format!("{text:NAME_WIDTH$}") }
    };
    let era = || if at.year() > 0 { ("AD", "A.D.") } else { ("BC", "B.C.") };
    let meridiem = || if at.hour() < 12 { ("AM", "A.M.") } else { ("PM", "P.M.") };
    let offset = at.offset().local_minus_utc();
    match field {
        Field::YearComma => {
            let year = i64::from(shown_year(at.year()));
            format!("{},{:03}", year / 1000, year % 1000)
        }
        Field::Year(digits) => last_digits(shown_year(at.year()), digits, &number),
        Field::IsoYear(digits) => last_digits(shown_year(at.iso_week().year()), digits, &number),
        Field::Century => number(century(at.year()), 2),
        Field::Quarter => (at.month0() / 3 + 1).to_string(),
        Field::Month => number(at.month().into(), 2),
        Field::MonthName => name(at.format("%B").to_string()),
        Field::MonthShort => case.write(&at.format("%b").to_string()),
        Field::MonthRoman => {
            let roman = case_all(case, ROMAN[at.month0() as usize]);
            if bare { roman } else { format!("{roman:4}") }
        }
        Field::Week => number((at.ordinal0() / 7 + 1).into(), 2),
        Field::WeekOfMonth => (at.day0() / 7 + 1).to_string(),
        Field::IsoWeek => number(at.iso_week().week().into(), 2),
        Field::Day => number(at.day().into(), 2),
        Field::DayOfYear => number(at.ordinal().into(), 3),
        Field::IsoDayOfYear => {
            number((at.iso_week().week0() * 7 + at.weekday().number_from_monday()).into(), 3)
        }
        Field::Weekday => at.weekday().number_from_sunday().to_string(),
        Field::IsoWeekday => at.weekday().number_from_monday().to_string(),
        Field::DayName => name(at.format("%A").to_string()),
        Field::DayShort => case.write(&at.format("%a").to_string()),
        // Days since 4714-11-24 BC; 1970-01-01 is 2440588.
        Field::Julian => (at.naive_local().and_utc().timestamp().div_euclid(86_400) + 2_440_588).to_string(),
        Field::Hour24 => number(at.hour().into(), 2),
        Field::Hour12 => number(at.hour12().1.into(), 2),
        Field::Minute => number(at.minute().into(), 2),
        Field::Second => number(at.second().into(), 2),
        Field::SecondOfDay => at.num_seconds_from_midnight().to_string(),
        Field::Fraction(digits) => {
            let fraction = at.nanosecond() % 1_000_000_000 / 10_u32.pow(9 - u32::from(digits));
            format!("{fraction:0width$}", width = usize::from(digits))
        }
        Field::Meridiem => case_all(case, meridiem().0),
        Field::MeridiemDots => case_all(case, meridiem().1),
        Field::Era => case_all(case, era().0),
        Field::EraDots => case_all(case, era().1),
        Field::ZoneName => case_all(case, zone),
        Field::Offset => {
            let mut text = format!("{}{:02}", sign(offset), offset.abs() / 3600);
            if offset % 3600 != 0 {
                // Writing to a string cannot fail.
                write!(text, ":{:02}", offset.abs() / 60 % 60).unwrap_or_default();
            }
            text
        }
        Field::OffsetHours => format!("{}{:02}", sign(offset), offset.abs() / 3600),
        Field::OffsetMinutes => format!("{:02}", offset.abs() / 60 % 60),
    }
}

/// Upper unless the pattern begins small: abbreviations have no capitalised form.
fn case_all(case: Case, text: &str) -> String {
    match case {
        Case::Lower => text.to_lowercase(),
        Case::Upper | Case::Capital => text.to_owned(),
    }
}

/// The year before 1 AD is 1 BC.
fn shown_year(year: i32) -> i32 {
    if year > 0 { year } else { 1 - year }
}

fn last_digits(year: i32, digits: u8, number: &dyn Fn(i64, usize) -> String) -> String {
    let year = i64::from(year);
    match digits {
        4 => number(year, 4),
        digits => number(year % 10_i64.pow(digits.into()), digits.into()),
    }
}

fn century(year: i32) -> i64 {
    let year = i64::from(year);
    if year > 0 { (year + 99) / 100 } else { (year - 100) / 100 }
}

fn sign(offset: i32) -> char {
    if offset < 0 { '-' } else { '+' }
}

fn ending(number: &str) -> &'static str {
    let digits: Vec<_> = number.bytes().filter(u8::is_ascii_digit).collect();
    match digits.as_slice() {
        [.., b'1', _] => "TH",
        [.., b'1'] => "ST",
        [.., b'2'] => "ND",
        [.., b'3'] => "RD",
        _ => "TH",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::parts;

    #[test]
    fn patterns_write_as_postgres_writes_them() {
        let at = DateTime::parse_from_rfc3339("2024-03-05T07:08:09.012345+05:30").expect("a timestamp");
        for (format, expected) in [
            ("YYYY-MM-DD HH24:MI:SS.US", "2024-03-05 07:08:09.012345"),
            ("Day, DDth Month YYYY", "Tuesday  , 05th March     2024"),
            ("FMDay, FMDDth FMMonth YYYY", "Tuesday, 5th March 2024"),
            ("Dy DY dy Mon MON mon", "Tue TUE tue Mar MAR mar"),
            ("HH12:MI AM p.m. HH", "07:08 AM a.m. 07"),
            ("\"Week\" IW \"of\" IYYY, \"day\" ID; D WW W DDD Q", "Week 10 of 2024, day 2; 3 10 1 065 1"),
            ("Y,YYY YYY YY Y CC AD", "2,024 024 24 4 21 AD"),
            ("MS FF1 SSSS J RM FMrm", "012 0 25689 2460375 III  iii"),
            ("TZ OF TZH:TZM", "IST +05:30 +05:30"),
        ] {
            let mut text = String::new();
            write(&parts(format).expect("a format"), &at, "IST", &mut text);
            assert_eq!(text, expected, "{format}");
        }
        assert!(parts("YYYY \"open").is_err());
    }
}

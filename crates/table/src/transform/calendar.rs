//! Years and months of days since 1970-01-01, in the proleptic Gregorian calendar.

use cenote_vocab::Transform;

/// Days from 0000-03-01, where a cycle of 400 years begins, to 1970-01-01.
const EPOCH_DAYS: i128 = 719_468;
const CYCLE_DAYS: i128 = 146_097;

/// Whole years or months since 1970 of a day; all other transforms: the day itself.
pub(crate) fn unit_of_days(days: i128, transform: Transform) -> i128 {
    let (year, month) = year_and_month(days);
    match transform {
        Transform::Year => year - 1970,
        Transform::Month => (year - 1970) * 12 + month - 1,
        _ => days,
    }
}

/// The first day of a year or month since 1970; all other transforms: the day itself.
pub(crate) fn day_unit_start(unit: i128, transform: Transform) -> i128 {
    match transform {
        Transform::Year => first_of_month(unit + 1970, 1),
        Transform::Month => first_of_month(unit.div_euclid(12) + 1970, unit.rem_euclid(12) + 1),
        _ => unit,
    }
}

fn year_and_month(days: i128) -> (i128, i128) {
    let days = days + EPOCH_DAYS;
    let cycle = days.div_euclid(CYCLE_DAYS);
    let day = days.rem_euclid(CYCLE_DAYS);
    // leap days of 4, 100 and 400 years are taken out, so that years have one length
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (cycle * 400 + year + i128::from(month <= 2), month)
}

fn first_of_month(year: i128, month: i128) -> i128 {
    let year = if month <= 2 { year - 1 } else { year };
    let cycle = year.div_euclid(400);
    let of_cycle = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5;
    cycle * CYCLE_DAYS + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + day_of_year - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_are_in_their_years_and_months() {
        for (day, year, month) in
            [(0, 0, 0), (-1, -1, -1), (59, 0, 2), (31, 0, 1), (19_782, 54, 649), (11_016, 30, 361)]
        {
            assert_eq!(unit_of_days(day, Transform::Year), year, "year of {day}");
            assert_eq!(unit_of_days(day, Transform::Month), month, "month of {day}");
        }
    }

    proptest! {
        #[test]
        fn a_day_lies_between_the_starts_of_its_unit_and_the_next(day in -100_000_000_i128..100_000_000) {
            for transform in [Transform::Year, Transform::Month] {
                let unit = unit_of_days(day, transform);
                prop_assert!(day_unit_start(unit, transform) <= day);
                prop_assert!(day < day_unit_start(unit + 1, transform));
            }
        }
    }
}

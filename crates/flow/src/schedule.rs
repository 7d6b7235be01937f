//! When a cron schedule is due, in its time zone.

use cenote_catalog::Schedule;
use cenote_vocab::Micros;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::Error;

/// After a pause of the node, what was missed is made up for so many times …
pub(crate) const CATCH_UP_MAX: usize = 10;
/// … of the last day.
pub(crate) const CATCH_UP: std::time::Duration = std::time::Duration::from_secs(86_400);

/// A schedule that is understood.
pub(crate) struct Cadence {
    cron: Cron,
    zone: TimeZone,
}

impl Cadence {
    /// Five fields, or six with seconds first; `Schedule` says what cannot be understood.
    pub(crate) fn of(schedule: &Schedule) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Schedule { text: schedule.cron.clone(), reason };
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(&schedule.cron).map_err(|error| wrong(error.to_string()))?;
        let zone = TimeZone::get(&schedule.zone).map_err(|_| Error::Schedule {
            text: schedule.zone.clone(),
            reason: "it is no time zone of the IANA database".to_owned(),
        })?;
        Ok(Self { cron, zone })
    }

    /// The first time after an instant; `None` if there is none.
    pub(crate) fn after(&self, instant: Micros) -> Option<Micros> {
        self.search(instant, false)
    }

    /// The times from one to another, both counted, at most `max`.
    pub(crate) fn between(&self, from: Micros, to: Micros, max: usize) -> Vec<Micros> {
        let mut times = Vec::new();
        let mut next = self.search(from, true);
        while let Some(at) = next.filter(|at| *at <= to && times.len() < max) {
            times.push(at);
            next = self.after(at);
        }
        times
    }

    fn search(&self, instant: Micros, inclusive: bool) -> Option<Micros> {
        let start = Zoned::new(Timestamp::from_microsecond(instant.0).ok()?, self.zone.clone());
        let found = self.cron.find_next_occurrence(&start, inclusive).ok()?;
        Some(Micros(found.timestamp().as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cadence(cron: &str, zone: &str) -> Cadence {
        let schedule = Schedule { cron: cron.to_owned(), zone: zone.to_owned(), if_stale: false };
        Cadence::of(&schedule).unwrap_or_else(|error| panic!("{error}"))
    }

    fn at(text: &str) -> Micros {
        Micros(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn a_fixed_time_runs_once_on_days_when_clocks_change() {
        let daily = cadence("30 2 * * *", "Europe/Rome");
        for (from, to, expected) in [
            // 2026-03-29: 02:00 becomes 03:00
            ("2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", "2026-03-29T01:00:00Z"),
            // 2026-10-25: 03:00 becomes 02:00
            ("2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z", "2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(daily.between(at(from), at(to), 10), [at(expected)], "{from}");
        }
    }

    #[test]
    fn seconds_come_first_and_nicknames_are_known() {
        let start = at("2026-01-01T00:00:00Z");
        assert_eq!(cadence("*/20 * * * * *", "UTC").after(start), Some(at("2026-01-01T00:00:20Z")));
        assert_eq!(cadence("@hourly", "UTC").after(start), Some(at("2026-01-01T01:00:00Z")));
        assert_eq!(cadence("0 6 * * *", "Asia/Tokyo").after(start), Some(at("2026-01-01T21:00:00Z")));
        assert_eq!(cadence("0 0 30 2 *", "UTC").after(start), None, "there is no such day");
        let hourly = cadence("0 * * * *", "UTC");
        assert_eq!(hourly.between(start, at("2026-01-02T00:00:00Z"), 5).len(), 5);
        assert_eq!(hourly.between(start, start, 5), [start]);
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        for (cron, zone, expected) in [
            ("61 * * * *", "UTC", "61 * * * *"),
            ("every day", "UTC", "every day"),
            ("* * * *", "UTC", "* * * *"),
            ("0 6 * * *", "Europe/Atlantis", "Europe/Atlantis"),
        ] {
            let schedule = Schedule { cron: cron.to_owned(), zone: zone.to_owned(), if_stale: false };
            match Cadence::of(&schedule) {
                Err(error) => assert!(error.to_string().contains(expected), "{error}"),
                Ok(_) => panic!("{cron} in {zone}"),
            }
        }
    }
}

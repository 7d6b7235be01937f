//! Options of connectors: each is declared where it is taken, and what nobody took is refused.

use std::collections::BTreeMap;

use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;

use crate::Error;

/// `WITH (…)` while it is read.
#[derive(Clone, Debug)]
pub struct Options {
    left: BTreeMap<String, String>,
}

impl Options {
    /// Names in lower case, values as texts.
    pub fn new(options: BTreeMap<String, String>) -> Self {
        Self { left: options }
    }

    /// Takes one out.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    /// Takes one out that must be there.
    pub fn require(&mut self, name: &str) -> Result<String, Error> {
        self.take(name).ok_or_else(|| Error::Options(format!("option '{name}' is required")))
    }

    /// Takes a whole number out.
    pub fn number(&mut self, name: &str) -> Result<Option<u64>, Error> {
        let wrong = |text: &str| Error::Options(format!("option '{name}' is a whole number, got '{text}'"));
        self.take(name).map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
    }

    /// Takes a number of 0 or more out.
    pub fn rate(&mut self, name: &str) -> Result<Option<f64>, Error> {
        let wrong =
            |text: &str| Error::Options(format!("option '{name}' is a number of 0 or more, got '{text}'"));
        let parse = |text: String| {
            let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0);
            rate.ok_or_else(|| wrong(&text))
        };
        self.take(name).map(parse).transpose()
    }

    /// Takes a length of time out, in µs.
    pub fn micros(&mut self, name: &str) -> Result<Option<i64>, Error> {
        let wrong = |text: &str| Error::Options(format!("option '{name}' is an interval, got '{text}'"));
        let parse = |text: String| interval_micros(&text).ok_or_else(|| wrong(&text));
        self.take(name).map(parse).transpose()
    }

    /// Fails with the names that nobody took.
    pub fn end(self) -> Result<(), Error> {
        if self.left.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.left.keys().map(|name| format!("'{name}'")).collect();
        Err(Error::Options(format!("unknown options provided in WITH clause: {}", names.join(", "))))
    }
}

/// `5s`, `10 seconds`, `1 day`: µs. `None` for what is no interval, or one with months.
pub fn interval_micros(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '-').filter(|at| *at > 0)?;
    let spelled = match text[digits..].trim() {
        "ms" => format!("{} milliseconds", &text[..digits]),
        "s" => format!("{} seconds", &text[..digits]),
        "m" => format!("{} minutes", &text[..digits]),
        "h" => format!("{} hours", &text[..digits]),
        "d" => format!("{} days", &text[..digits]),
        _ => text.to_owned(),
    };
    let interval = parse_interval_month_day_nano(&spelled).ok().filter(|interval| interval.months == 0)?;
    i64::from(interval.days).checked_mul(86_400_000_000)?.checked_add(interval.nanoseconds / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_short_and_long() {
        for (text, micros) in [
            ("5s", Some(5_000_000)),
            ("250ms", Some(250_000)),
            ("10 seconds", Some(10_000_000)),
            ("1 day 2 hours", Some(93_600_000_000)),
            ("1 month", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(interval_micros(text), micros, "{text}");
        }
    }

    #[test]
    fn what_nobody_took_is_named() {
        let given = ["event_rate", "x", "y"].map(|name| (name.to_owned(), "1".to_owned()));
        let mut options = Options::new(given.into());
        assert_eq!(options.rate("event_rate").expect("a rate"), Some(1.0));
        let error = options.end().expect_err("two are left").to_string();
        assert_eq!(error, "unknown options provided in WITH clause: 'x', 'y'");
    }
}

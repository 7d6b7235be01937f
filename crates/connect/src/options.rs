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

    /// True if one has this value, and is not taken yet.
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.left.get(name).is_some_and(|given| given == value)
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

    /// Takes one out under the name of today or one of before.
    pub fn either(&mut self, name: &str, before: &str) -> Option<String> {
        let old = self.take(before);
        self.take(name).or(old)
    }

    /// Takes a yes or no out.
    pub fn flag(&mut self, name: &str) -> Result<bool, Error> {
        match self.take(name).map(|text| text.to_lowercase()).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Error::Options(format!("option '{name}' is true or false, got '{other}'"))),
        }
    }

    /// Takes one of some words out; the first is what is meant without it.
    pub fn choice<T: Clone>(&mut self, name: &str, choices: &[(&str, T)]) -> Result<T, Error> {
        let given = self.take(name);
        self.chosen(name, given, choices)
    }

    /// The meaning of a word that was taken.
    pub fn chosen<T: Clone>(
        &self,
        name: &str,
        given: Option<String>,
        choices: &[(&str, T)],
    ) -> Result<T, Error> {
        let Some(text) = given else { return Ok(choices[0].1.clone()) };
        let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        found.map(|(_, meaning)| meaning.clone()).ok_or_else(|| {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("'{word}'")).collect();
            Error::Options(format!("option '{name}' is one of {}, got '{text}'", words.join(", ")))
        })
    }

    /// Takes out all that begin so, without their beginning.
    pub fn below(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let names: Vec<String> = self.left.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        names
            .into_iter()
            .filter_map(|name| {
                let value = self.left.remove(&name)?;
                Some((name[prefix.len()..].to_owned(), value))
            })
            .collect()
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

/// `100MB`, `32 MiB`, `1024`: bytes.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim().to_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
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
    fn sizes_are_read_with_their_units() {
        for (text, expected) in [
            ("1024", Some(1024)),
            ("128MB", Some(128_000_000)),
            ("32 MiB", Some(32 << 20)),
            ("1.5MB", None),
            ("x", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn words_and_beginnings_are_taken() {
        let given = [("storage.region", "r"), ("storage.endpoint", "e"), ("c", "GZIP"), ("f", "maybe")];
        let mut options = Options::new(given.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(options.below("storage.").into_keys().collect::<Vec<_>>(), ["endpoint", "region"]);
        assert_eq!(options.choice("c", &[("none", 0), ("gzip", 1)]).expect("a word"), 1);
        assert_eq!(options.choice("c", &[("none", 0), ("gzip", 1)]).expect("the first"), 0);
        let error = options.flag("f").expect_err("no flag").to_string();
        assert_eq!(error, "option 'f' is true or false, got 'maybe'");
        options.end().expect("all are taken");
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

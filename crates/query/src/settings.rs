//! Settings of a session: known names, their defaults, what is a right value.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_vocab::{ErrorKind, nearest};

use crate::Error;

/// A setting that is known.
struct Known {
    name: &'static str,
    default: &'static str,
    check: fn(&str) -> Result<String, &'static str>,
}

/// All that are known, sorted by name.
const KNOWN: &[Known] = &[
    Known { name: "application_name", default: "", check: any },
    Known { name: "as_of", default: "", check: any },
    Known { name: "bytea_output", default: "hex", check: |value| word(value, &["hex", "escape"]) },
    Known { name: "client_encoding", default: "UTF8", check: utf8 },
    Known { name: "client_min_messages", default: "notice", check: any },
    Known { name: "datestyle", default: "ISO, MDY", check: iso },
    Known { name: "default_transaction_isolation", default: "read committed", check: isolation },
    Known { name: "default_transaction_read_only", default: "off", check: switch },
    Known { name: "extra_float_digits", default: "1", check: |value| integer(value, -15, 3) },
    Known { name: "freshness", default: "all", check: |value| word(value, &["all", "committed"]) },
    Known { name: "idempotency_key", default: "", check: any },
    Known { name: "idle_in_transaction_session_timeout", default: "0", check: milliseconds },
    Known { name: "intervalstyle", default: "postgres", check: any },
    Known { name: "jit", default: "off", check: switch },
    Known { name: "labels", default: "", check: any },
    Known { name: "lc_collate", default: "C", check: any },
    Known { name: "lc_ctype", default: "C", check: any },
    Known { name: "lc_messages", default: "C", check: any },
    Known { name: "lc_monetary", default: "C", check: any },
    Known { name: "lc_numeric", default: "C", check: any },
    Known { name: "lc_time", default: "C", check: any },
    Known { name: "lock_timeout", default: "0", check: milliseconds },
    Known { name: "max_rows", default: "0", check: |value| integer(value, 0, i64::MAX) },
    Known { name: "min_txn", default: "0", check: |value| integer(value, 0, i64::MAX) },
    Known { name: "row_security", default: "on", check: switch },
    Known { name: "search_path", default: "default", check: any },
    Known { name: "standard_conforming_strings", default: "on", check: |value| word(value, &["on"]) },
    Known { name: "statement_timeout", default: "0", check: milliseconds },
    Known { name: "synchronous_commit", default: "on", check: any },
    Known { name: "target_partitions", default: "0", check: |value| integer(value, 0, 1024) },
    Known { name: "timezone", default: "UTC", check: zone },
    Known { name: "transaction_isolation", default: "read committed", check: isolation },
    Known { name: "transaction_read_only", default: "off", check: switch },
    Known { name: "workload_group", default: "interactive", check: |value| word(value, &["interactive"]) },
];

/// Values that no session can change, for SHOW.
const FIXED: &[(&str, &str)] = &[
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("max_identifier_length", "255"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "150010"),
];

/// The generation of Postgres that the answers match.
pub(crate) const SERVER_VERSION: &str = concat!("15.10 (Cenote ", env!("CARGO_PKG_VERSION"), ")");

/// Settings that Postgres reports to its client when they change, as it spells them.
const REPORTED: &[(&str, &str)] = &[
    ("application_name", "application_name"),
    ("client_encoding", "client_encoding"),
    ("datestyle", "DateStyle"),
    ("default_transaction_read_only", "default_transaction_read_only"),
    ("intervalstyle", "IntervalStyle"),
    ("search_path", "search_path"),
    ("standard_conforming_strings", "standard_conforming_strings"),
    ("timezone", "TimeZone"),
];

/// The settings of one session: what differs from the defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    values: BTreeMap<String, String>,
    /// What the session began with: `RESET` goes back to it.
    initial: BTreeMap<String, String>,
}

impl Settings {
    /// Sets a value that RESET goes back to.
    pub(crate) fn begin_with(&mut self, name: &str, value: &str) -> Result<(), Error> {
        self.set(name, Some(value))?;
        let name = canonical(name);
        if let Some(value) = self.values.get(&name) {
            self.initial.insert(name, value.clone());
        }
        Ok(())
    }

    /// Sets a value, or with `None` the one of the session's start.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), Error> {
        let name = canonical(name);
        let Some(value) = value else {
            self.reset(&name);
            return Ok(());
        };
        if let Some((fixed, _)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
            return Err(Error::new(ErrorKind::Invalid, format!("parameter \"{fixed}\" cannot be changed"))
                .with_sqlstate("55P02"));
        }
        if name.starts_with("datafusion.") {
            return Err(Error::new(
                ErrorKind::Denied,
                format!("parameter \"{name}\" is set by the node's configuration only"),
            ));
        }
        let value = match KNOWN.iter().find(|known| known.name == name) {
            Some(known) => (known.check)(value.trim()).map_err(|rule| {
                Error::new(
                    ErrorKind::Invalid,
                    format!("invalid value for parameter \"{name}\": \"{value}\" ({rule})"),
                )
                .with_sqlstate("22023")
            })?,
            None if name.contains('.') => value.to_owned(),
            None => return Err(unknown(&name)),
        };
        self.values.insert(name, value);
        Ok(())
    }

    /// Back to the value of the session's start.
    pub(crate) fn reset(&mut self, name: &str) {
        let name = canonical(name);
        match self.initial.get(&name) {
            Some(value) => self.values.insert(name, value.clone()),
            None => self.values.remove(&name),
        };
    }

    /// All back to the session's start.
    pub(crate) fn reset_all(&mut self) {
        self.values = self.initial.clone();
    }

    /// The value; `None` if the name is not known.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let name = canonical(name);
        let known = || KNOWN.iter().find(|known| known.name == name).map(|known| known.default.to_owned());
        let fixed = || FIXED.iter().find(|(fixed, _)| *fixed == name).map(|(_, value)| (*value).to_owned());
        self.values.get(&name).cloned().or_else(known).or_else(fixed)
    }

    /// The value, or the error of an unknown name.
    pub(crate) fn show(&self, name: &str) -> Result<String, Error> {
        self.get(name).ok_or_else(|| unknown(&canonical(name)))
    }

    /// All names with value and origin (`default`, `session`), sorted.
    pub(crate) fn all(&self) -> Vec<(String, String, &'static str)> {
        let mut all: BTreeMap<String, (String, &'static str)> = KNOWN
            .iter()
            .map(|known| (known.name.to_owned(), (known.default.to_owned(), "default")))
            .chain(FIXED.iter().map(|(name, value)| ((*name).to_owned(), ((*value).to_owned(), "default"))))
            .collect();
        all.extend(self.values.iter().map(|(name, value)| (name.clone(), (value.clone(), "session"))));
        all.into_iter().map(|(name, (value, origin))| (name, value, origin)).collect()
    }

    /// What Postgres reports, under its spellings.
    pub(crate) fn reported(&self) -> BTreeMap<String, String> {
        REPORTED.iter().filter_map(|(name, shown)| Some(((*shown).to_owned(), self.get(name)?))).collect()
    }

    /// Schemas of bare names, in order, without those that are always searched.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let text = self.get("search_path").unwrap_or_default();
        text.split(',')
            .map(|name| name.trim().trim_matches('"').to_owned())
            .filter(|name| !name.is_empty() && name != "$user" && name != "pg_catalog")
            .collect()
    }

    /// `None` for 0: no limit.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        match self.number("statement_timeout") {
            0 => None,
            milliseconds => Some(Duration::from_millis(milliseconds)),
        }
    }

    /// A number; 0 if it is not set.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// True for `on`.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).as_deref() == Some("on")
    }

    /// A value that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

fn canonical(name: &str) -> String {
    let name = name.to_lowercase();
    if name == "time zone" { "timezone".into() } else { name }
}

fn unknown(name: &str) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("unrecognized configuration parameter \"{name}\""))
        .with_sqlstate("42704");
    match nearest(name, KNOWN.iter().map(|known| known.name)) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

fn any(value: &str) -> Result<String, &'static str> {
    Ok(value.to_owned())
}

fn word(value: &str, words: &[&str]) -> Result<String, &'static str> {
    let lower = value.to_lowercase();
    if words.contains(&lower.as_str()) {
        Ok(lower)
    } else {
        Err("not one of the values that this server knows")
    }
}

fn utf8(value: &str) -> Result<String, &'static str> {
    if matches!(value.to_lowercase().as_str(), "utf8" | "utf-8" | "unicode") {
        Ok("UTF8".into())
    } else {
        Err("only UTF8")
    }
}

fn iso(value: &str) -> Result<String, &'static str> {
    let words = value.to_uppercase();
    let known = ["ISO", "MDY", "DMY", "YMD"];
    if words.split(',').all(|word| known.contains(&word.trim())) {
        Ok("ISO, MDY".into())
    } else {
        Err("only ISO")
    }
}

fn switch(value: &str) -> Result<String, &'static str> {
    match value.to_lowercase().as_str() {
        "on" | "true" | "yes" | "1" | "t" => Ok("on".into()),
        "off" | "false" | "no" | "0" | "f" => Ok("off".into()),
        _ => Err("neither on nor off"),
    }
}

fn isolation(value: &str) -> Result<String, &'static str> {
    match value.to_lowercase().as_str() {
        "read committed" | "read uncommitted" => Ok("read committed".into()),
        "repeatable read" => Ok("repeatable read".into()),
        _ => Err("read committed or repeatable read"),
    }
}

fn integer(value: &str, low: i64, high: i64) -> Result<String, &'static str> {
    match value.parse::<i64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number.to_string()),
        Ok(_) => Err("out of range"),
        Err(_) => Err("not a whole number"),
    }
}

/// Milliseconds, or a number with a unit.
fn milliseconds(value: &str) -> Result<String, &'static str> {
    let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = value.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "not a time")?;
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("not a unit of time"),
    };
    number.checked_mul(factor).map(|value| value.to_string()).ok_or("out of range")
}

fn zone(value: &str) -> Result<String, &'static str> {
    if matches!(value.to_uppercase().as_str(), "UTC" | "Z" | "ETC/UTC" | "GMT" | "+00:00" | "0" | "+00") {
        return Ok("UTC".into());
    }
    value.parse::<arrow::array::timezone::Tz>().map(|_| value.to_owned()).map_err(|_| "not a time zone")
}

#[cfg(test)]
mod tests {
    use cenote_vocab::Fault;

    use super::*;

    #[test]
    fn unknown_names_are_refused_and_dotted_ones_kept() {
        let mut settings = Settings::default();
        let error = settings.set("serch_path", Some("a")).unwrap_err();
        assert_eq!(
            (error.sqlstate().0, error.hint().as_deref()),
            ("42704", Some("did you mean \"search_path\"?"))
        );
        settings.set("my.app", Some("x")).unwrap();
        assert_eq!(settings.get("MY.APP").as_deref(), Some("x"));
        assert_eq!(
            settings.set("datafusion.execution.batch_size", Some("1")).unwrap_err().sqlstate().0,
            "42501"
        );
    }

    #[test]
    fn reset_goes_back_to_the_start_of_the_session() {
        let mut settings = Settings::default();
        settings.begin_with("search_path", "metrics").unwrap();
        settings.set("search_path", Some("\"A\", pg_catalog")).unwrap();
        assert_eq!(settings.search_path(), ["A"]);
        settings.set("search_path", None).unwrap();
        assert_eq!(settings.search_path(), ["metrics"]);
    }

    #[test]
    fn times_take_units() {
        let mut settings = Settings::default();
        settings.set("statement_timeout", Some("2s")).unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(2)));
        assert_eq!(settings.set("statement_timeout", Some("soon")).unwrap_err().sqlstate().0, "22023");
    }
}

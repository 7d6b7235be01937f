//! Keys of section `table` of the configuration that acts on tables need, and a table's own values of them.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_catalog::{Names, TableDef};

use crate::Error;

/// Below this an upload in progress could be taken for an orphan.
const ORPHAN_GRACE_MIN: Duration = Duration::from_secs(3600);

/// Keys of section `table` that acts on tables need; a table's own options win.
#[derive(Clone, Debug)]
pub struct TableOptions {
    /// `target_file_size` in bytes.
    pub target_file_bytes: u64,
    /// `history_keep`
    pub history_keep: Duration,
    /// `orphan_grace`
    pub orphan_grace: Duration,
    /// `retention`: rows older than this go; `None`: never.
    pub retention: Option<Duration>,
    /// `inline_max`: rows that take at most so many bytes are kept in the catalog until they are flushed; 0: none are.
    pub inline_bytes_max: u64,
    /// `compaction.enabled`: small files are merged without being asked.
    pub compaction_enabled: bool,
    /// `dedup` of new tables, which keep it as an option of their own.
    pub dedup: Dedup,
}

/// Option `dedup`: whether a row takes the place of those before it with the same key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dedup {
    /// All rows stay.
    #[default]
    None,
    /// The newest row of a key stays.
    Last,
}

impl Dedup {
    /// As options name it; `None` if it is no such name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "last" => Some(Self::Last),
            _ => None,
        }
    }

    /// The table's own; `Option` for a value that cannot be understood.
    pub fn of(table: &TableDef) -> Result<Self, Error> {
        let Some(value) = table.properties.get("dedup") else { return Ok(Self::None) };
        Self::parse(value).ok_or_else(|| Error::Option {
            owner: format!("table {}", table.full_name()),
            option: "dedup".to_owned(),
            value: value.clone(),
            rule: "must be none or last",
        })
    }
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            target_file_bytes: 512 << 20,
            history_keep: Duration::from_secs(24 * 3600),
            orphan_grace: Duration::from_secs(24 * 3600),
            retention: None,
            inline_bytes_max: 64 << 10,
            compaction_enabled: true,
            dedup: Dedup::None,
        }
    }
}

impl TableOptions {
    /// What holds for `table`: its own options before these. `Option` for a value that cannot be understood.
    pub fn of(&self, table: &TableDef) -> Result<Self, Error> {
        self.under(&table.properties, || format!("table {}", table.full_name()))
    }

    /// What holds for `table` in its schema: the table's own options before the schema's, and those before these.
    pub fn within(&self, names: &Names, table: &TableDef) -> Result<Self, Error> {
        match names.schema_of(table) {
            Some(schema) => self.under(&schema.properties, || format!("schema {}", schema.name))?.of(table),
            None => self.of(table),
        }
    }

    fn under(&self, options: &BTreeMap<String, String>, owner: impl Fn() -> String) -> Result<Self, Error> {
        let mut all = self.clone();
        for (name, value) in options {
            let name = name.as_str();
            if let Some(rule) = option_fault(name, value) {
                return Err(Error::Option {
                    owner: owner(),
                    option: name.to_owned(),
                    value: value.clone(),
                    rule,
                });
            }
            match name {
                "target_file_size" => all.target_file_bytes = parse_bytes(value).unwrap_or_default(),
                "history_keep" => all.history_keep = parse_duration(value).unwrap_or_default(),
                "orphan_grace" => all.orphan_grace = parse_duration(value).unwrap_or_default(),
                "retention" => all.retention = parse_retention(value).flatten(),
                "inline_max" => all.inline_bytes_max = parse_bytes(value).unwrap_or_default(),
                "compaction.enabled" => all.compaction_enabled = parse_switch(value).unwrap_or_default(),
                _ => {}
            }
        }
        Ok(all)
    }
}

/// Below this a slip of the pen would empty a table.
const RETENTION_MIN: Duration = Duration::from_secs(3600);
/// An inline batch is a value in a row of the catalog.
const INLINE_BYTES_MAX: u64 = 1 << 20;

/// What a value of one of [`TableOptions`] should be and is not; `None`: it is, or the option is none of these.
pub fn option_fault(option: &str, value: &str) -> Option<&'static str> {
    let (fits, rule) = match option {
        "target_file_size" => {
            (parse_bytes(value).is_some_and(|bytes| bytes > 0), "must be a size above 0 such as 512MiB")
        }
        "history_keep" => (parse_duration(value).is_some(), "must be a duration such as 24h"),
        "orphan_grace" => (
            parse_duration(value).is_some_and(|grace| grace >= ORPHAN_GRACE_MIN),
            "must be a duration of at least 1h",
        ),
        "retention" => (
            parse_retention(value).is_some(),
            "must be a duration of at least 1h such as 90d, or empty to keep rows for ever",
        ),
        "inline_max" => (
            parse_bytes(value).is_some_and(|bytes| bytes <= INLINE_BYTES_MAX),
            "must be a size of at most 1MiB such as 64KiB, or 0",
        ),
        "compaction.enabled" => (parse_switch(value).is_some(), "must be on or off"),
        _ => return None,
    };
    (!fits).then_some(rule)
}

/// How long rows stay; empty: for ever. `None` if it is no such text.
fn parse_retention(text: &str) -> Option<Option<Duration>> {
    if text.is_empty() {
        return Some(None);
    }
    parse_duration(text).filter(|keep| *keep >= RETENTION_MIN).map(Some)
}

fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        _ => None,
    }
}

/// Bytes, or a number with `KiB` to `TiB` or `kB` to `TB`.
fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text.trim())?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A number with its unit, or `0`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text.trim())?;
    let seconds: u64 = match unit {
        "" if number == 0 => 1,
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_need_a_known_unit() {
        assert_eq!(parse_bytes("128MiB"), Some(128 << 20));
        assert_eq!(parse_bytes("5 kB"), Some(5_000));
        assert_eq!(parse_bytes("5 mb"), None);
        assert_eq!(parse_bytes("99999999999 TiB"), None);
        assert_eq!((option_fault("inline_max", "0"), option_fault("inline_max", "1MiB")), (None, None));
        assert!(option_fault("inline_max", "1025KiB").is_some());
        assert_eq!(parse_duration("36h"), Some(Duration::from_secs(36 * 3600)));
        assert_eq!(parse_duration("0"), Some(Duration::ZERO));
        assert_eq!(parse_duration("24"), None);
        assert_eq!(parse_duration("h"), None);
    }
}

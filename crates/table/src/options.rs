//! Keys of section `table` of the configuration that acts on tables need, and a table's own values of them.

use std::time::Duration;

use cenote_catalog::TableDef;

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
        Ok(own(table, "dedup", "must be none or last", Self::parse)?.unwrap_or_default())
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
        Ok(Self {
            target_file_bytes: own(
                table,
                "target_file_size",
                "must be a size above 0 such as 512MiB",
                |text| parse_bytes(text).filter(|bytes| *bytes > 0),
            )?
            .unwrap_or(self.target_file_bytes),
            history_keep: own(table, "history_keep", "must be a duration such as 24h", parse_duration)?
                .unwrap_or(self.history_keep),
            orphan_grace: own(table, "orphan_grace", "must be a duration of at least 1h", |text| {
                parse_duration(text).filter(|grace| *grace >= ORPHAN_GRACE_MIN)
            })?
            .unwrap_or(self.orphan_grace),
            retention: own(table, "retention", RETENTION_RULE, parse_retention)?.unwrap_or(self.retention),
            inline_bytes_max: own(table, "inline_max", INLINE_RULE, parse_inline_max)?
                .unwrap_or(self.inline_bytes_max),
            compaction_enabled: own(table, "compaction.enabled", "must be on or off", parse_switch)?
                .unwrap_or(self.compaction_enabled),
            dedup: self.dedup,
        })
    }
}

const RETENTION_RULE: &str = "must be a duration of at least 1h such as 90d, or empty to keep rows for ever";
/// Below this a slip of the pen would empty a table.
const RETENTION_MIN: Duration = Duration::from_secs(3600);

const INLINE_RULE: &str = "must be a size of at most 1MiB such as 64KiB, or 0";
/// An inline batch is a value in a row of the catalog.
const INLINE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of an inline batch, at most; `None` if it is no such text.
pub fn parse_inline_max(text: &str) -> Option<u64> {
    parse_bytes(text).filter(|bytes| *bytes <= INLINE_BYTES_MAX)
}

/// How long rows stay; empty: for ever. `None` if it is no such text.
pub fn parse_retention(text: &str) -> Option<Option<Duration>> {
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

fn own<T>(
    table: &TableDef,
    option: &'static str,
    reason: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let Some(value) = table.properties.get(option) else {
        return Ok(None);
    };
    let wrong = || Error::Option { table: table.full_name(), option, value: value.clone(), reason };
    parse(value.trim()).map(Some).ok_or_else(wrong)
}

/// Bytes, or a number with `KiB` to `TiB` or `kB` to `TB`.
fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
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
fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
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
        assert_eq!((parse_inline_max("0"), parse_inline_max("1MiB")), (Some(0), Some(1 << 20)));
        assert_eq!(parse_inline_max("1025KiB"), None);
        assert_eq!(parse_duration("36h"), Some(Duration::from_secs(36 * 3600)));
        assert_eq!(parse_duration("0"), Some(Duration::ZERO));
        assert_eq!(parse_duration("24"), None);
        assert_eq!(parse_duration("h"), None);
    }
}

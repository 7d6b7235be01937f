//! Options of a pipeline, and the numbers that bound an epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_connect::{bytes, interval_micros};

use crate::Error;
use crate::pieces::cores;

/// Options that are known by name and that this version cannot do.
const LATER: [&str; 1] = ["key_groups"];

/// Begins the names of options that only say something about a pipeline.
const LABEL: &str = "label.";

/// Bounds of `checkpoint_interval`.
const CHECKPOINT_INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Most of `parallelism`.
const PARALLELISM_MAX: u32 = 1_024;

/// What becomes of rows that cannot be used: they cannot be decoded, have no event time, or a column of them cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadData {
    /// The pipeline fails, naming the row.
    Fail,
    /// They are counted.
    Drop,
    /// They are kept in a table.
    Table,
}

impl BadData {
    /// `fail`, `drop`, `table`
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        match text.to_lowercase().as_str() {
            "fail" => Ok(Self::Fail),
            "drop" => Ok(Self::Drop),
            "table" => Ok(Self::Table),
            _ => Err(Error::Invalid(format!("option 'bad_data' is fail, drop or table, got '{text}'"))),
        }
    }
}

/// After how long without rows a source no longer holds the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdleTimeout {
    /// As the pipeline says.
    OfPipeline,
    After(Duration),
    Never,
}

impl IdleTimeout {
    /// The option `idle_micros` of a source: a number of µs, or an interval; 0 or less is never.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let micros = text.parse().ok().or_else(|| interval_micros(text));
        let micros = micros.ok_or_else(|| {
            Error::Invalid(format!("option 'idle_micros' is a number of microseconds, got '{text}'"))
        })?;
        let positive = u64::try_from(micros).ok().filter(|micros| *micros > 0);
        Ok(positive.map_or(Self::Never, |micros| Self::After(Duration::from_micros(micros))))
    }

    /// `None`: it always holds it.
    pub(crate) fn of(self, options: &PipelineOptions) -> Option<Duration> {
        match self {
            Self::OfPipeline => options.idle_timeout,
            Self::After(timeout) => Some(timeout),
            Self::Never => None,
        }
    }
}

/// `WITH (…)` and `SET` of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineOptions {
    /// How late rows may come, in µs.
    pub watermark_delay: i64,
    /// After so long without rows a source no longer holds the watermark; `None`: it always does.
    pub idle_timeout: Option<Duration>,
    /// What becomes of rows that cannot be used.
    pub bad_data: BadData,
    /// The table that keeps them; `None`: it is named as the pipeline, with `_bad` behind.
    pub bad_data_table: Option<String>,
    /// The table that keeps rows which came too late; `None`: they are counted.
    pub late_rows: Option<String>,
    /// Between two emissions of results that change, at least, while nothing is left behind.
    pub update_interval: Duration,
    /// How often the results of open windows are shown; `None`: only those of closed ones are.
    pub early_emit: Option<Duration>,
    /// Keys that were quiet for so long are forgotten, in µs of event time; `None`: never.
    pub updating_ttl: Option<i64>,
    /// Of a materialized view whose windows close: the column with the times of its tables' rows.
    pub view_time: Option<String>,
    is_view: bool,
    /// Failures in a row before a person is needed; `None`: no limit.
    pub restarts_max: Option<u32>,
    /// Bytes of state in memory at most, the rest is on disk; `None`: what all pipelines of the node may hold.
    pub state_memory: Option<u64>,
    /// Pieces of an epoch's rows that are worked on at once, at most; `None`: as many as there are cores.
    pub parallelism: Option<u32>,
    /// Queries that write nothing show their rows to whoever looks on.
    pub preview: bool,
    /// State is durable after so long at the latest; each epoch makes it so.
    pub checkpoint_interval: Option<Duration>,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            watermark_delay: 1_000_000,
            idle_timeout: Some(Duration::from_secs(300)),
            bad_data: BadData::Fail,
            bad_data_table: None,
            late_rows: None,
            update_interval: Duration::from_secs(1),
            early_emit: None,
            view_time: None,
            updating_ttl: Some(24 * 3_600_000_000),
            is_view: false,
            restarts_max: Some(20),
            state_memory: None,
            parallelism: None,
            preview: false,
            checkpoint_interval: None,
        }
    }
}

impl PipelineOptions {
    /// The options of a pipeline. `Invalid` for one that is unknown, or a value that does not fit.
    pub fn of(options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut read = Self::default();
        for (name, value) in options {
            read.set(name, value)?;
        }
        Ok(read)
    }

    /// Pieces of an epoch's rows that are worked on at once, at most.
    pub(crate) fn pieces(&self) -> usize {
        self.parallelism.and_then(|most| usize::try_from(most).ok()).unwrap_or_else(cores)
    }

    /// Sets one.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let wrong = |expected: &str| Error::Invalid(format!("option '{name}' is {expected}, got '{value}'"));
        let micros =
            || interval_micros(value).or_else(|| value.parse::<i64>().ok().filter(|micros| *micros <= 0));
        match name {
            "watermark_delay" => {
                let delay = micros().filter(|micros| *micros >= 0);
                self.watermark_delay = delay.ok_or_else(|| wrong("an interval of 0 or more"))?;
            }
            "idle_timeout" => {
                let timeout = micros().ok_or_else(|| wrong("an interval"))?;
                self.idle_timeout =
                    u64::try_from(timeout).ok().filter(|micros| *micros > 0).map(Duration::from_micros);
            }
            "bad_data" => self.bad_data = BadData::parse(value)?,
            "state_memory" => {
                let most = bytes(value).filter(|most| *most > 0);
                self.state_memory = Some(most.ok_or_else(|| wrong("a size, such as '100MB'"))?);
            }
            "late_rows" => self.late_rows = (value != "drop").then(|| value.to_owned()),
            "bad_data.table" => self.bad_data_table = Some(value.to_owned()),
            "update_interval" => {
                let interval = micros().and_then(|micros| u64::try_from(micros).ok());
                let interval = interval.ok_or_else(|| wrong("an interval of 0 or more"))?;
                self.update_interval = Duration::from_micros(interval);
            }
            "early_emit" => {
                let interval = if value.eq_ignore_ascii_case("off") { Some(0) } else { micros() };
                let interval = interval.ok_or_else(|| wrong("an interval or off"))?;
                self.early_emit =
                    u64::try_from(interval).ok().filter(|micros| *micros > 0).map(Duration::from_micros);
            }
            "updating_ttl" | "state_ttl" => {
                let ttl = if value.eq_ignore_ascii_case("off") { Some(0) } else { micros() };
                self.updating_ttl =
                    Some(ttl.ok_or_else(|| wrong("an interval or off"))?).filter(|ttl| *ttl > 0);
            }
            "restarts_max" => {
                let restarts: i64 = value.parse().map_err(|_| wrong("a whole number"))?;
                self.restarts_max = u32::try_from(restarts).ok();
            }
            "parallelism" => {
                let most = value.parse().ok().filter(|most| (1..=PARALLELISM_MAX).contains(most));
                self.parallelism = match value {
                    "auto" => None,
                    _ => Some(most.ok_or_else(|| wrong("auto, or a number from 1 to 1024"))?),
                };
            }
            "preview" => {
                self.preview = value.parse().map_err(|_| wrong("true or false"))?;
            }
            "checkpoint_interval" => {
                let interval =
                    micros().and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros);
                let interval = interval.filter(|interval| CHECKPOINT_INTERVAL.contains(interval));
                self.checkpoint_interval =
                    Some(interval.ok_or_else(|| wrong("an interval from a second to a day"))?);
            }
            label if label.strip_prefix(LABEL).is_some_and(|name| !name.is_empty()) => {}
            // The table of a materialized view; the statement about pipelines does not take it.
            cenote_catalog::MATERIALIZED => {
                (self.update_interval, self.updating_ttl) = (Duration::ZERO, None);
                self.is_view = true;
            }
            "watermark" if self.is_view => {
                let (column, delay) = view_watermark(value).ok_or_else(|| {
                    wrong("a time column, or one less an interval, such as time - INTERVAL '10 minutes'")
                })?;
                (self.view_time, self.watermark_delay) = (Some(column), delay);
            }
            later if LATER.contains(&later) => return Err(Error::Unsupported(format!("option '{later}'"))),
            _ => {
                return Err(Error::Invalid(format!(
                    "invalid option '{name}'; supported options are watermark_delay, idle_timeout, bad_data, bad_data.table, late_rows, update_interval, early_emit, updating_ttl, restarts_max, state_memory, parallelism, checkpoint_interval, preview, label.<name>"
                )));
            }
        }
        Ok(())
    }
}

/// A column, and how late rows may come by it, in µs: `time - INTERVAL '10 minutes'`.
fn view_watermark(text: &str) -> Option<(String, i64)> {
    let column = |text: &str| {
        let name = text.trim();
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        is_name.then(|| name.to_owned())
    };
    let Some((name, interval)) = text.split_once('-') else { return Some((column(text)?, 0)) };
    let interval = interval.trim();
    let rest = interval.get(..8).filter(|word| word.eq_ignore_ascii_case("interval"))?;
    let interval = interval[rest.len()..].replace('\'', " ");
    let interval = interval.split_whitespace().collect::<Vec<_>>().join(" ");
    let delay = interval_micros(&interval).filter(|delay| *delay >= 0)?;
    Some((column(name)?, delay))
}

/// What bounds an epoch; only tests set it otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows of one epoch's input.
    pub epoch_rows: usize,
    /// Between the starts of two epochs, at least.
    pub epoch_interval: Duration,
    /// The same, as a multiple of how long the last commit took.
    pub commits_apart: u32,
    /// Wait after the first row when idle.
    pub linger: Duration,
    /// State up to this stands in the catalog beside the epoch; more becomes an object.
    pub inline_state_bytes: usize,
    /// A part of the state of so many bytes is not merged with others any more.
    pub full_block_bytes: usize,
    /// State in memory at most, though there may be more memory.
    pub state_bytes: u64,
    /// Open windows of an operator up to this are written whole with each epoch; of more, what an epoch changes.
    pub open_bytes: u64,
    /// Rows of a piece that is worked on beside others, at least.
    pub piece_rows: usize,
    /// Fewer rows than these stay together.
    pub wide_rows: usize,
    /// A lookup table up to this is held whole.
    pub lookup_bytes: usize,
    /// An idle pipeline whose sources moved on without rows says so this often.
    pub idle_commit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            epoch_rows: 500_000,
            epoch_interval: Duration::from_millis(10),
            commits_apart: 4,
            linger: Duration::from_millis(5),
            inline_state_bytes: 64 << 10,
            full_block_bytes: 16 << 20,
            state_bytes: u64::MAX,
            open_bytes: 32 << 20,
            piece_rows: 8192,
            wide_rows: 20_000,
            lookup_bytes: 64 << 20,
            idle_commit: Duration::from_secs(3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> Result<PipelineOptions, Error> {
        PipelineOptions::of(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn options_are_read_or_named() {
        assert_eq!(of("watermark_delay", "5 seconds").expect("fits").watermark_delay, 5_000_000);
        assert_eq!(of("watermark_delay", "0").expect("fits").watermark_delay, 0);
        assert_eq!(of("idle_timeout", "-1").expect("fits").idle_timeout, None);
        assert_eq!(of("state_ttl", "10s").expect("fits").updating_ttl, Some(10_000_000));
        assert_eq!(of("updating_ttl", "off").expect("fits").updating_ttl, None);
        assert_eq!(of("updating_ttl", "0").expect("fits").updating_ttl, None);
        let time = |value: &str| view_watermark(value);
        assert_eq!(time("time - INTERVAL '10 minutes'"), Some(("time".to_owned(), 600_000_000)));
        assert_eq!(time("\"At\" - interval '5' second"), Some(("At".to_owned(), 5_000_000)));
        assert_eq!(time("at"), Some(("at".to_owned(), 0)));
        assert_eq!((time("at - 5"), time("lower(at)"), time("")), (None, None, None));
        assert!(of("watermark", "time").is_err(), "a pipeline has none");
        let idle = |text: &str| IdleTimeout::parse(text).expect("fits");
        assert_eq!(idle("1500"), IdleTimeout::After(Duration::from_micros(1500)));
        assert_eq!(idle("5 seconds"), IdleTimeout::After(Duration::from_secs(5)));
        assert_eq!((idle("0"), idle("-1")), (IdleTimeout::Never, IdleTimeout::Never));
        let error = IdleTimeout::parse("soon").expect_err("no number").to_string();
        assert_eq!(error, "option 'idle_micros' is a number of microseconds, got 'soon'");
        assert_eq!(of("restarts_max", "-1").expect("fits").restarts_max, None);
        for (name, value, message) in [
            ("watermark_delay", "soon", "option 'watermark_delay' is an interval of 0 or more, got 'soon'"),
            ("bad_data", "keep", "option 'bad_data' is fail, drop or table, got 'keep'"),
            ("state_memory", "much", "option 'state_memory' is a size, such as '100MB', got 'much'"),
            ("parallelism", "0", "option 'parallelism' is auto, or a number from 1 to 1024, got '0'"),
            (
                "checkpoint_interval",
                "2 days",
                "option 'checkpoint_interval' is an interval from a second to a day, got '2 days'",
            ),
            ("updating_ttl", "soon", "option 'updating_ttl' is an interval or off, got 'soon'"),
            ("key_groups", "128", "option 'key_groups' is not supported yet"),
            (
                "x",
                "1",
                "invalid option 'x'; supported options are watermark_delay, idle_timeout, bad_data, bad_data.table, late_rows, update_interval, early_emit, updating_ttl, restarts_max, state_memory, parallelism, checkpoint_interval, preview, label.<name>",
            ),
        ] {
            assert_eq!(of(name, value).expect_err(name).to_string(), message);
        }
    }
}

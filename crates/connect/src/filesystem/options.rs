//! `WITH (connector = 'filesystem', …)`

use std::time::Duration;

use arrow::datatypes::Schema;
use chrono::format::{Item, StrftimeItems};
use regex::Regex;

use super::location::Location;
use crate::connector::Column;
use crate::file_reader::check_columns;
use crate::format::FileFormat;
use crate::options::bytes;
use crate::{Error, FileCompression, Options, Reach, interval_micros};

/// Bytes of a file without an option.
const FILE_BYTES: u64 = 128_000_000;

/// What is read.
#[derive(Clone, Debug)]
pub struct FilesystemSourceOptions {
    pub(super) location: Location,
    pub(super) format: FileFormat,
    pub(super) compression: FileCompression,
    /// Of the paths below the location.
    pub(super) pattern: Option<Regex>,
    /// How often new files are looked for; `None`: once.
    pub(super) watch: Option<Duration>,
}

impl FilesystemSourceOptions {
    pub(crate) fn take(options: &mut Options, columns: &[Column]) -> Result<Self, Error> {
        let compressions = [
            ("none", FileCompression::None),
            ("zstd", FileCompression::Zstd),
            ("gzip", FileCompression::Gzip),
        ];
        let compression = options.either("source.compression", "compression_format");
        let compression = options.chosen("source.compression", compression, &compressions)?;
        let pattern = options.either("source.regex_pattern", "source.regex-pattern");
        let pattern = pattern.map(|text| {
            Regex::new(&text).map_err(|error| {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim().to_owned();
                Error::Options(format!("option 'source.regex_pattern' is no pattern: {reason}"))
            })
        });
        let watch = match options.take("source.watch").as_deref() {
            None | Some("off" | "false") => None,
            Some(text) => {
                let micros = interval_micros(text).and_then(|micros| u64::try_from(micros).ok());
                let micros = micros.filter(|micros| *micros > 0).ok_or_else(|| {
                    Error::Options(format!("option 'source.watch' is off or an interval, got '{text}'"))
                })?;
                Some(Duration::from_micros(micros))
            }
        };
        let taken = Self {
            location: Location::take(options)?,
            format: FileFormat::take(options)?,
            compression,
            pattern: pattern.transpose()?,
            watch,
        };
        check_columns(&taken.format, columns)?;
        Ok(taken)
    }

    /// Where its files are.
    pub(crate) fn place(&self) -> String {
        self.location.identity()
    }

    pub(crate) fn check_reach(&self, reach: &Reach) -> Result<(), Error> {
        self.location.check(reach)
    }

    /// How its files are written.
    pub(crate) fn format(&self) -> &FileFormat {
        &self.format
    }
}

/// When a file is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    /// At so many bytes.
    pub file_bytes: u64,
    /// So long after its first row.
    pub interval: Option<Duration>,
    /// So long after its last row.
    pub inactivity: Option<Duration>,
}

/// Which files rows go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitioning {
    /// Of their event time, as strftime has it.
    pub time_pattern: Option<String>,
    /// By the values of these columns.
    pub fields: Vec<String>,
}

/// How the names of files are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Sorts by time.
    UuidV7,
    /// In no order.
    Uuid,
    /// Sorts by time, in other letters.
    Ulid,
    /// Epoch and number.
    Serial,
}

/// What is written.
#[derive(Clone, Debug)]
pub struct FilesystemSinkOptions {
    pub(super) location: Location,
    pub(super) format: FileFormat,
    pub(super) rolling: Rolling,
    pub(super) partitioning: Partitioning,
    pub(super) prefix: Option<String>,
    pub(super) suffix: Option<String>,
    pub(super) strategy: Strategy,
}

impl FilesystemSinkOptions {
    /// Takes the options of a sink with these columns; none: its first rows say.
    pub(crate) fn take(options: &mut Options, columns: &[&str]) -> Result<Self, Error> {
        let file_bytes = match options.either("rolling_policy.file_size", "target_file_size") {
            None => FILE_BYTES,
            Some(text) => bytes(&text).filter(|bytes| *bytes > 0).ok_or_else(|| {
                Error::Options(format!("option 'rolling_policy.file_size' is a size, got '{text}'"))
            })?,
        };
        let rolling = Rolling {
            file_bytes,
            interval: duration(options, "rolling_policy.interval", "rollover_seconds")?,
            inactivity: duration(
                options,
                "rolling_policy.inactivity_interval",
                "inactivity_rollover_seconds",
            )?,
        };
        let fields = options.either("partitioning.fields", "partition_fields").unwrap_or_default();
        let fields = fields.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        let time_pattern = options.either("partitioning.time_pattern", "time_partition_pattern");
        if let Some(pattern) = &time_pattern
            && StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error))
        {
            return Err(Error::Options(format!(
                "option 'partitioning.time_pattern' is no pattern: {pattern}"
            )));
        }
        let partitioning = Partitioning { time_pattern, fields: fields.collect() };
        drop(options.take("multipart.target_part_size")); // parts are the store's own
        let taken = Self {
            location: Location::take(options)?,
            format: FileFormat::take(options)?,
            rolling,
            partitioning,
            prefix: options.take("filename.prefix"),
            suffix: options.take("filename.suffix"),
            strategy: options.choice(
                "filename.strategy",
                &[
                    ("uuid_v7", Strategy::UuidV7),
                    ("uuid", Strategy::Uuid),
                    ("ulid", Strategy::Ulid),
                    ("serial", Strategy::Serial),
                ],
            )?,
        };
        if !columns.is_empty() {
            taken.check_fields(columns)?;
        }
        Ok(taken)
    }

    pub(crate) fn format(&self) -> &FileFormat {
        &self.format
    }

    /// True if rows go to files by when they happened.
    pub(crate) fn wants_event_time(&self) -> bool {
        self.partitioning.time_pattern.is_some()
    }

    /// True if all rows go to one place.
    pub(crate) fn is_one_place(&self) -> bool {
        self.partitioning.fields.is_empty() && self.partitioning.time_pattern.is_none()
    }

    /// Fails if rows with these columns cannot be written so.
    pub(crate) fn check(&self, columns: &Schema) -> Result<(), Error> {
        self.format.check_sink(columns)?;
        self.check_fields(&columns.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>())
    }

    fn check_fields(&self, columns: &[&str]) -> Result<(), Error> {
        let is_column = |name: &String| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
        match self.partitioning.fields.iter().find(|name| !is_column(name)) {
            Some(name) => {
                Err(Error::Options(format!("partition field '{name}' does not exist in the schema")))
            }
            None => Ok(()),
        }
    }

    /// Where its files are.
    pub(crate) fn place(&self) -> String {
        self.location.identity()
    }

    pub(crate) fn check_reach(&self, reach: &Reach) -> Result<(), Error> {
        self.location.check(reach)
    }
}

/// A length of time; under its name of before a number of seconds.
fn duration(options: &mut Options, name: &str, before: &str) -> Result<Option<Duration>, Error> {
    let seconds = options.number(before)?.map(Duration::from_secs);
    let given = options.micros(name)?.and_then(|micros| u64::try_from(micros).ok());
    Ok(given.map(Duration::from_micros).or(seconds))
}

//! `WITH (connector = 'kafka', …)`

mod topic;

use arrow::datatypes::{DataType, Schema};
use cenote_codec::record::{AvroEncoder, JsonOptions, RecordFormat};

use super::columns;
use crate::connector::{Column, sql_type};
use crate::format::{check_records, record_format};
use crate::{Error, Options, Reach};

pub use topic::{KafkaTopic, RegistryOptions};

/// Between two looks for new partitions, µs, without an option.
const DISCOVERY: i64 = 60_000_000;
/// The same, at least.
const DISCOVERY_MIN: i64 = 1_000_000;

/// How the value of a message is written.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueFormat {
    /// A record.
    Record(RecordFormat),
    /// Records with newlines between.
    Lines(RecordFormat),
    /// JSON behind the number of its schema.
    RegisteredJson(JsonOptions),
    /// Avro behind the number of its schema; `unstructured`: the whole record as JSON.
    Avro {
        /// `avro.into_unstructured_json`
        unstructured: bool,
    },
}

/// Where a source without a position begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOffset {
    /// With what comes after its start.
    Latest,
    /// With the oldest message.
    Earliest,
    /// Where its group stands; where it stands nowhere, as [`Self::Latest`].
    Group,
}

/// What becomes of a position whose messages are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The pipeline fails.
    Fail,
    /// It goes on with the oldest that is there, and counts.
    Skip,
}

/// A topic that is read.
#[derive(Clone, Debug)]
pub struct KafkaSourceOptions {
    /// It.
    pub topic: KafkaTopic,
    /// Its values.
    pub format: ValueFormat,
    /// Where to begin.
    pub start: StartOffset,
    /// The group that is told how far the source is.
    pub group: Option<Group>,
    /// Only messages of transactions that were committed are read.
    pub committed_only: bool,
    /// Between two looks for new partitions, µs.
    pub discovery: i64,
    /// What becomes of a position whose messages are gone.
    pub missing: Missing,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// `source.group_id`
    Named(String),
    /// `source.group_id_prefix`: the pipeline and the table follow.
    Prefixed(String),
}

/// A topic that is written.
#[derive(Clone, Debug)]
pub struct KafkaSinkOptions {
    /// It.
    pub topic: KafkaTopic,
    /// Its values.
    pub format: ValueFormat,
    /// The column that is the message's key.
    pub key_field: Option<String>,
    /// The column that is the message's time; without one the row's event time.
    pub timestamp_field: Option<String>,
}

impl ValueFormat {
    fn take(options: &mut Options, topic: &KafkaTopic) -> Result<Self, Error> {
        let with_registry = |format: &str| match &topic.registry {
            Some(_) => Ok(()),
            None => Err(Error::Options(format!(
                "option '{format}.confluent_schema_registry' needs 'schema_registry.endpoint'"
            ))),
        };
        if options.is("format", "avro") {
            drop(options.take("format"));
            let is_registered = options.flag("avro.confluent_schema_registry")?;
            let is_raw = options.flag("avro.raw_datums")?;
            let unstructured = options.flag("avro.into_unstructured_json")?;
            if is_raw {
                return Err(Error::Unsupported("option 'avro.raw_datums'".to_owned()));
            }
            if !is_registered {
                return Err(Error::Unsupported(
                    "format 'avro' of messages without 'avro.confluent_schema_registry'".to_owned(),
                ));
            }
            with_registry("avro")?;
            return Ok(Self::Avro { unstructured });
        }
        if options.flag("json.confluent_schema_registry")? {
            with_registry("json")?;
            return match record_format(options)? {
                RecordFormat::Json(json) => Ok(Self::RegisteredJson(json)),
                _ => Err(Error::Options(
                    "option 'json.confluent_schema_registry' is one of format 'json'".to_owned(),
                )),
            };
        }
        let is_framed = options.is("framing", "newline");
        let format = record_format(options)?;
        Ok(if is_framed { Self::Lines(format) } else { Self::Record(format) })
    }

    /// True if messages are changes of rows.
    pub(crate) fn is_changelog(&self) -> bool {
        matches!(
            self,
            Self::Record(RecordFormat::DebeziumJson(_)) | Self::Lines(RecordFormat::DebeziumJson(_))
        )
    }
}

impl KafkaSourceOptions {
    pub(crate) fn take(connector: &str, options: &mut Options, given: &[Column]) -> Result<Self, Error> {
        let topic = KafkaTopic::take(connector, options)?;
        let format = ValueFormat::take(options, &topic)?;
        let starts = [
            ("latest", StartOffset::Latest),
            ("earliest", StartOffset::Earliest),
            ("group", StartOffset::Group),
        ];
        let start = options.choice("source.offset", &starts)?;
        let prefix = options.take("source.group_id_prefix");
        let group = options.take("source.group_id").map(Group::Named);
        let group = group.or_else(|| prefix.map(Group::Prefixed));
        if start == StartOffset::Group && group.is_none() {
            return Err(Error::Options("source.offset = 'group' needs 'source.group_id'".to_owned()));
        }
        let modes = [("read_uncommitted", false), ("read_committed", true)];
        let committed_only = options.choice("source.read_mode", &modes)?;
        let discovery = options.micros("source.discovery")?.unwrap_or(DISCOVERY);
        if discovery < DISCOVERY_MIN {
            return Err(Error::Options("option 'source.discovery' is at least a second".to_owned()));
        }
        let missing =
            options.choice("source.missing", &[("fail", Missing::Fail), ("skip", Missing::Skip)])?;
        let taken = Self { topic, format, start, group, committed_only, discovery, missing };
        columns::check(&taken.format, given)?;
        Ok(taken)
    }

    /// What its positions are positions in. Servers may change, as long as they are of the same cluster: positions know it.
    pub fn identity(&self) -> String {
        format!("kafka {}", self.topic.topic)
    }

    pub(crate) fn check_reach(&self, reach: &Reach) -> Result<(), Error> {
        self.topic.check_reach(reach)
    }
}

impl KafkaSinkOptions {
    pub(crate) fn take(connector: &str, options: &mut Options) -> Result<Self, Error> {
        let topic = KafkaTopic::take(connector, options)?;
        let format = ValueFormat::take(options, &topic)?;
        let modes = [("at_least_once", false), ("exactly_once", true)];
        if options.choice("sink.commit_mode", &modes)? {
            return Err(Error::Unsupported("sink.commit_mode = 'exactly_once'".to_owned()));
        }
        if let Some(changes) = options.take("sink.changes") {
            options.chosen("sink.changes", Some(changes), &[("upsert", ())])?;
            return Err(Error::Unsupported("sink.changes = 'upsert'".to_owned()));
        }
        let (key_field, timestamp_field) =
            (options.take("sink.key_field"), options.take("sink.timestamp_field"));
        Ok(Self { topic, format, key_field, timestamp_field })
    }

    pub(crate) fn check_reach(&self, reach: &Reach) -> Result<(), Error> {
        self.topic.check_reach(reach)
    }

    /// Fails if rows with these columns cannot go there.
    pub(crate) fn check(&self, given: &Schema) -> Result<(), Error> {
        if let Some(name) = &self.key_field {
            let field = given.field(columns::named(given, "sink.key_field", name)?);
            if field.data_type().is_nested() {
                return Err(Error::Options(format!(
                    "option 'sink.key_field' is a column that has a text, {name} is {}",
                    sql_type(field.data_type())
                )));
            }
        }
        if let Some(name) = &self.timestamp_field {
            let field = columns::named(given, "sink.timestamp_field", name)?;
            if !matches!(given.field(field).data_type(), DataType::Timestamp(..)) {
                return Err(Error::Options(format!(
                    "option 'sink.timestamp_field' is a column of type TIMESTAMP, {name} is {}",
                    sql_type(given.field(field).data_type())
                )));
            }
        }
        match &self.format {
            ValueFormat::Record(format) | ValueFormat::Lines(format) => check_records(format, given),
            ValueFormat::RegisteredJson(_) => Ok(()),
            ValueFormat::Avro { unstructured: true } => {
                Err(Error::Options("option 'avro.into_unstructured_json' is one of a source".to_owned()))
            }
            ValueFormat::Avro { .. } => {
                let encoder = AvroEncoder::new(given, &self.topic.topic);
                encoder.map(drop).map_err(|error| Error::Options(error.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests;

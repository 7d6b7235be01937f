//! What a table of a script says about its connector, before anything is opened.

use arrow::datatypes::{DataType, Field, Schema};
use cenote_codec::record::RecordFormat;
use cenote_vocab::{Clock, Micros};

use crate::filesystem::{FilesystemSink, FilesystemSinkOptions, FilesystemSource, FilesystemSourceOptions};
use crate::kafka::{KafkaSinkOptions, KafkaSourceOptions};
use crate::single_file::{SingleFileOptions, SingleFileSink, SingleFileSource};
use crate::webhook::{WebhookOptions, WebhookSink};
use crate::{
    Blackhole, Error, Impulse, ImpulseOptions, Nexmark, NexmarkOptions, Options, Reach, Sink, SinkClass,
    Source, Stdout,
};

/// A column that a table declares and that is not made from others.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name as written, its type, whether it may be NULL.
    pub field: Field,
    /// What the connector tells of each row, instead of what stands in it.
    pub metadata: Option<String>,
}

/// A table of a script with a connector.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// Its name.
    pub name: String,
    /// None: the connector, or what is written first, says which.
    pub columns: Vec<Column>,
    /// `PRIMARY KEY`
    pub has_key: bool,
    /// Columns are made from others.
    pub has_generated: bool,
    /// What stands behind WITH; what is left of it at the end is unknown.
    pub options: Options,
}

/// Where rows come from.
#[derive(Clone, Debug)]
pub enum SourceOptions {
    /// The counter.
    Impulse(ImpulseOptions),
    /// The auction house.
    Nexmark(NexmarkOptions),
    /// A file.
    SingleFile(SingleFileOptions, Vec<Column>),
    /// The files of a place.
    Filesystem(FilesystemSourceOptions, Vec<Column>),
    /// A topic.
    Kafka(KafkaSourceOptions, Vec<Column>),
}

/// Where rows go.
#[derive(Clone, Debug)]
pub enum SinkOptions {
    /// A file.
    SingleFile(SingleFileOptions),
    /// Files of a place.
    Filesystem(FilesystemSinkOptions),
    /// A topic.
    Kafka(KafkaSinkOptions),
    /// Standard output of the process.
    Stdout(RecordFormat),
    /// Calls.
    Webhook(WebhookOptions),
    /// To whoever looks on.
    Preview,
    /// Nowhere.
    Blackhole,
}

/// What a table is.
#[derive(Clone, Debug)]
pub enum Connector {
    /// It is read.
    Source(SourceOptions),
    /// It is written.
    Sink(SinkOptions),
}

/// `type`
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Source,
    Sink,
    Lookup,
}

impl Connector {
    /// Reads what is declared. Errors name the option, the column, or what this version cannot do.
    pub fn of(declaration: Declaration) -> Result<Self, Error> {
        let Declaration { name, columns, has_key, has_generated, mut options } = declaration;
        let connector = options.require("connector")?;
        let given = options.take("type");
        let uses = [("source", Use::Source), ("sink", Use::Sink), ("lookup", Use::Lookup)];
        let wanted = given.map(|given| options.chosen("type", Some(given), &uses)).transpose()?;
        if wanted == Some(Use::Lookup) {
            return Err(Error::Unsupported(format!("a lookup table with connector '{connector}'")));
        }
        let only = |only: Use| match wanted {
            Some(other) if other != only => {
                let what = if only == Use::Source { "source" } else { "sink" };
                Err(Error::Options(format!("connector '{connector}' is only a {what}")))
            }
            _ => Ok(()),
        };
        let either = || {
            wanted.ok_or_else(|| {
                Error::Options(format!(
                    "table '{name}': connector '{connector}' is both, say type = 'source' or 'sink'"
                ))
            })
        };
        let generated = || match columns.is_empty() {
            true => Ok(()),
            false => Err(Error::Unsupported(format!("a column list of connector '{connector}'"))),
        };
        let made = match connector.as_str() {
            "impulse" => {
                only(Use::Source)?;
                generated()?;
                Self::Source(SourceOptions::Impulse(ImpulseOptions::take(&mut options)?))
            }
            "nexmark" => {
                only(Use::Source)?;
                generated()?;
                Self::Source(SourceOptions::Nexmark(NexmarkOptions::take(&mut options)?))
            }
            "single_file" => match either()? {
                Use::Source => {
                    check_source(&name, &columns, &mut options, (has_key, has_generated))?;
                    let options = SingleFileOptions::source(&mut options, &columns)?;
                    Self::Source(SourceOptions::SingleFile(options, columns))
                }
                _ => Self::Sink(SinkOptions::SingleFile(SingleFileOptions::sink(&mut options)?)),
            },
            "filesystem" => match either()? {
                Use::Source => {
                    check_source(&name, &columns, &mut options, (has_key, has_generated))?;
                    let options = FilesystemSourceOptions::take(&mut options, &columns)?;
                    Self::Source(SourceOptions::Filesystem(options, columns))
                }
                _ => {
                    let fields =
                        columns.iter().map(|column| column.field.name().as_str()).collect::<Vec<_>>();
                    Self::Sink(SinkOptions::Filesystem(FilesystemSinkOptions::take(&mut options, &fields)?))
                }
            },
            "kafka" | "confluent" => {
                crate::kafka::check_built(&connector)?;
                match either()? {
                    Use::Source => {
                        check_source(&name, &columns, &mut options, (has_key, has_generated))?;
                        let options = KafkaSourceOptions::take(&connector, &mut options, &columns)?;
                        Self::Source(SourceOptions::Kafka(options, columns))
                    }
                    _ => Self::Sink(SinkOptions::Kafka(KafkaSinkOptions::take(&connector, &mut options)?)),
                }
            }
            "stdout" => {
                only(Use::Sink)?;
                Self::Sink(SinkOptions::Stdout(crate::format::record_format(&mut options)?))
            }
            "webhook" => {
                only(Use::Sink)?;
                Self::Sink(SinkOptions::Webhook(WebhookOptions::take(&mut options)?))
            }
            "preview" => {
                only(Use::Sink)?;
                drop(options.take("format"));
                Self::Sink(SinkOptions::Preview)
            }
            "blackhole" => {
                only(Use::Sink)?;
                drop(options.take("format"));
                Self::Sink(SinkOptions::Blackhole)
            }
            other => return Err(Error::Unsupported(format!("connector '{other}'"))),
        };
        options.end()?;
        Ok(made)
    }
}

/// What every source with a format asks of its table.
fn check_source(
    name: &str,
    columns: &[Column],
    options: &mut Options,
    (has_key, has_generated): (bool, bool),
) -> Result<(), Error> {
    if options.is("changelog", "upsert") {
        return Err(Error::Unsupported("option 'changelog' = 'upsert'".to_owned()));
    }
    if options.is("format", "debezium_json") {
        if has_generated || columns.iter().any(|column| column.metadata.is_some()) {
            return Err(Error::Options("can't use virtual fields with debezium format".to_owned()));
        }
        if !has_key {
            return Err(Error::Options(
                "Debezium source must have at least one PRIMARY KEY field".to_owned(),
            ));
        }
        let before = options.take("changelog.before");
        if before.as_deref() == Some("state") {
            return Err(Error::Unsupported("option 'changelog.before' = 'state'".to_owned()));
        }
        options.chosen(
            "changelog.before",
            Some(before.unwrap_or("message".to_owned())),
            &[("message", ())],
        )?;
    }
    match columns.is_empty() {
        true => Err(Error::Unsupported(format!("source '{name}' without a column list"))),
        false => Ok(()),
    }
}

impl SourceOptions {
    /// The connector's name.
    pub fn connector(&self) -> &'static str {
        match self {
            Self::Impulse(_) => "impulse",
            Self::Nexmark(_) => "nexmark",
            Self::SingleFile(..) => "single_file",
            Self::Filesystem(..) => "filesystem",
            Self::Kafka(..) => "kafka",
        }
    }

    /// What its positions are positions in: where this is another, they mean nothing.
    pub fn identity(&self) -> String {
        match self {
            Self::Impulse(_) => "impulse".to_owned(),
            Self::Nexmark(options) => format!("nexmark {}", options.random_start),
            Self::SingleFile(options, _) => format!("single_file {}", options.path),
            Self::Filesystem(options, _) => format!("filesystem {}", options.place()),
            Self::Kafka(options, _) => options.identity(),
        }
    }

    /// True if its rows may be taken back.
    pub fn is_changelog(&self) -> bool {
        match self {
            Self::Impulse(_) | Self::Nexmark(_) => false,
            Self::SingleFile(options, _) => options.format.is_changelog(),
            Self::Filesystem(options, _) => options.format().is_changelog(),
            Self::Kafka(options, _) => options.format.is_changelog(),
        }
    }

    /// Columns of its rows, without the event time.
    pub fn columns(&self) -> Schema {
        match self {
            Self::Impulse(_) => Impulse::columns(),
            Self::Nexmark(_) => Nexmark::columns(),
            Self::SingleFile(_, columns) | Self::Filesystem(_, columns) | Self::Kafka(_, columns) => {
                Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>())
            }
        }
    }

    /// `Denied` if it reads from where this node lets nobody read.
    pub fn check_reach(&self, reach: &Reach) -> Result<(), Error> {
        match self {
            Self::Impulse(_) | Self::Nexmark(_) => Ok(()),
            Self::SingleFile(options, _) => reach.path(&options.path).map(drop),
            Self::Filesystem(options, _) => options.check_reach(reach),
            Self::Kafka(options, _) => options.check_reach(reach),
        }
    }

    /// The reader, for the pipeline `owner`, which was made at `created`. `Denied` for a place out of reach.
    pub fn open(
        &self,
        (name, owner): (&str, uuid::Uuid),
        at_bad: cenote_codec::record::AtBad,
        (created, clock): (Micros, &Clock),
        reach: &Reach,
    ) -> Result<Box<dyn Source>, Error> {
        Ok(match self {
            Self::Impulse(options) => Box::new(Impulse::new(options.clone(), created, clock.clone())),
            Self::Nexmark(options) => Box::new(Nexmark::new(options.clone(), created, clock.clone())),
            Self::SingleFile(options, columns) => {
                Box::new(SingleFileSource::open(name, options, columns, at_bad, reach)?)
            }
            Self::Filesystem(options, columns) => {
                Box::new(FilesystemSource::open(name, options, columns, at_bad, clock.clone(), reach)?)
            }
            Self::Kafka(options, columns) => {
                crate::kafka::source((name, owner), options, columns, at_bad, clock, reach)?
            }
        })
    }
}

impl SinkOptions {
    /// The connector's name.
    pub fn connector(&self) -> &'static str {
        match self {
            Self::SingleFile(_) => "single_file",
            Self::Filesystem(_) => "filesystem",
            Self::Kafka(_) => "kafka",
            Self::Stdout(_) => "stdout",
            Self::Webhook(_) => "webhook",
            Self::Preview => "preview",
            Self::Blackhole => "blackhole",
        }
    }

    /// What its state is about: where this is another, the state means nothing.
    pub fn identity(&self) -> String {
        match self {
            Self::SingleFile(options) => format!("single_file {}", options.path),
            Self::Filesystem(options) => format!("filesystem {}", options.place()),
            Self::Kafka(_) | Self::Stdout(_) | Self::Webhook(_) | Self::Preview | Self::Blackhole => {
                self.connector().to_owned()
            }
        }
    }

    /// True if single rows may be refused there for what they are.
    pub fn may_refuse(&self) -> bool {
        matches!(self, Self::Webhook(_))
    }

    /// What it promises.
    pub fn class(&self) -> SinkClass {
        match self {
            Self::SingleFile(_) | Self::Filesystem(_) => SinkClass::Finish,
            Self::Kafka(_) | Self::Stdout(_) | Self::Webhook(_) => SinkClass::AtLeastOnce,
            Self::Preview | Self::Blackhole => SinkClass::Nothing,
        }
    }

    /// True if the rows for it come with [`EVENT_TIME`](crate::EVENT_TIME) behind their columns.
    pub fn wants_event_time(&self) -> bool {
        match self {
            Self::Filesystem(options) => options.wants_event_time(),
            Self::Kafka(options) => options.timestamp_field.is_none(),
            _ => false,
        }
    }

    /// The one file that it writes, as it was named, if it is one.
    pub fn file(&self) -> Option<String> {
        let Self::SingleFile(options) = self else { return None };
        let path = std::path::absolute(&options.path);
        Some(path.map_or_else(|_| options.path.clone(), |path| path.display().to_string()))
    }

    /// Fails unless it can be said there that rows are taken back.
    pub fn check_changes(&self) -> Result<(), Error> {
        let says = match self {
            Self::SingleFile(options) => options.format.is_changelog(),
            Self::Filesystem(options) => match (options.format().is_changelog(), options.is_one_place()) {
                (true, false) => {
                    return Err(Error::Unsupported("updating input of a sink with partitions".to_owned()));
                }
                (says, _) => says,
            },
            Self::Stdout(format) => {
                matches!(format, RecordFormat::Json(options) if !options.unstructured)
                    || matches!(format, RecordFormat::DebeziumJson(_))
            }
            Self::Kafka(options) => options.format.is_changelog(),
            Self::Webhook(_) => false,
            Self::Preview | Self::Blackhole => true,
        };
        match says {
            true => Ok(()),
            false => Err(Error::Options(
                "input is updating, but sink is not configured as an updating sink (hint: use format = \
                 'debezium_json')"
                    .to_owned(),
            )),
        }
    }

    /// `Denied` if it writes to where this node lets nobody write.
    pub fn check_reach(&self, reach: &Reach) -> Result<(), Error> {
        match self {
            Self::SingleFile(options) => reach.path(&options.path).map(drop),
            Self::Filesystem(options) => options.check_reach(reach),
            Self::Kafka(options) => options.check_reach(reach),
            Self::Webhook(options) => options.check_reach(reach),
            Self::Stdout(_) => match reach {
                Reach::Everything => Ok(()),
                Reach::Named { .. } => Err(Error::Denied(
                    "connector 'stdout' is for cenote run: nobody reads a server's".to_owned(),
                )),
            },
            Self::Preview | Self::Blackhole => Ok(()),
        }
    }

    /// Fails if rows with these columns cannot go there.
    pub fn check(&self, columns: &Schema) -> Result<(), Error> {
        match self {
            Self::SingleFile(options) => options.format.check_sink(columns),
            Self::Filesystem(options) => options.check(columns),
            Self::Kafka(options) => options.check(columns),
            Self::Stdout(format) => crate::format::check_records(format, columns),
            Self::Webhook(_) | Self::Preview | Self::Blackhole => Ok(()),
        }
    }

    /// Tells a registry what the rows with these columns will be, if the sink has one: before the pipeline is made, so that a
    /// refusal is the answer to who makes it.
    pub async fn announce(&self, name: &str, columns: &Schema, reach: &Reach) -> Result<(), Error> {
        match self {
            Self::Kafka(options) => crate::kafka::announce(name, options, columns, reach).await,
            _ => Ok(()),
        }
    }

    /// The writer of rows with these columns; `owner` tells its pipeline from others. `Denied` for a place out of reach.
    pub fn open(
        &self,
        name: &str,
        owner: uuid::Uuid,
        columns: &Schema,
        clock: &Clock,
        reach: &Reach,
    ) -> Result<Box<dyn Sink>, Error> {
        Ok(match self {
            Self::SingleFile(options) => Box::new(SingleFileSink::open(name, options, columns, reach)?),
            Self::Filesystem(options) => {
                Box::new(FilesystemSink::open(name, owner, options, columns, reach)?)
            }
            Self::Kafka(options) => crate::kafka::sink(name, options, columns, reach)?,
            Self::Stdout(format) => Box::new(Stdout::new(name, format.clone())),
            Self::Webhook(options) => Box::new(WebhookSink::open(name, options, clock.clone(), reach)?),
            Self::Preview | Self::Blackhole => Box::new(Blackhole),
        })
    }
}

/// The type as SQL calls it, for messages.
pub(crate) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Utf8 => "TEXT".to_owned(),
        DataType::Binary => "BYTEA".to_owned(),
        DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
        other => other.to_string(),
    }
}

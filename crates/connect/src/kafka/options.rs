//! `WITH (connector = 'kafka', …)`

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};
use cenote_codec::record::{AvroEncoder, JsonOptions, RecordFormat};

use super::columns;
use crate::connector::{Column, sql_type};
use crate::format::{check_records, record_format};
use crate::{Error, Options, Reach};

/// Most characters of a topic's name, as brokers have it.
const TOPIC_LENGTH_MAX: usize = 249;
/// Between two looks for new partitions, µs, without an option.
const DISCOVERY: i64 = 60_000_000;
/// The same, at least.
const DISCOVERY_MIN: i64 = 1_000_000;

/// What of the client's own configuration an option may set: nothing that runs a program, loads a library, or weakens what
/// this connector promises. Of files, only those that [`FILES`] names, where the node lets connectors read.
const CLIENT_CONFIGS: &[&str] = &[
    "api.version.request.timeout.ms",
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "broker.address.ttl",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "delivery.timeout.ms",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "linger.ms",
    "max.partition.fetch.bytes",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.max.age.ms",
    "partitioner",
    "queue.buffering.max.ms",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "sticky.partitioning.linger.ms",
    "topic.metadata.refresh.interval.ms",
];

/// Those of them that name a file.
const FILES: [&str; 4] =
    ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location"];

/// A topic, and how to get there.
#[derive(Clone)]
pub struct KafkaTopic {
    /// `host:port`, each.
    pub servers: Vec<String>,
    /// Its name.
    pub topic: String,
    /// Configuration of the client, by its own names. Some of it is secret.
    pub configs: BTreeMap<String, String>,
    /// Where schemas are.
    pub registry: Option<RegistryOptions>,
    /// What schemas of its values are kept under.
    pub subject: String,
}

impl std::fmt::Debug for KafkaTopic {
    /// Its configuration holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KafkaTopic({} at {})", self.topic, self.servers.join(","))
    }
}

/// `schema_registry.…`
#[derive(Clone)]
pub struct RegistryOptions {
    /// A URL of http or https, without `/` at its end.
    pub endpoint: String,
    /// Name and password.
    pub login: Option<(String, String)>,
}

impl std::fmt::Debug for RegistryOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistryOptions({})", self.endpoint)
    }
}

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

impl KafkaTopic {
    fn take(connector: &str, options: &mut Options) -> Result<Self, Error> {
        let servers = options.require("bootstrap_servers")?;
        let servers: Vec<String> = servers.split(',').map(|server| server.trim().to_owned()).collect();
        if let Some(server) = servers.iter().find(|server| !is_server(server)) {
            return Err(Error::Options(format!(
                "option 'bootstrap_servers' is a list of 'host:port' with commas between, got '{server}'"
            )));
        }
        let topic = options.require("topic")?;
        if !is_topic(&topic) {
            return Err(Error::Options(format!(
                "option 'topic' is a name of letters, digits, '.', '_' and '-', got '{topic}'"
            )));
        }
        let mut configs = match connector {
            "confluent" => confluent_login(options)?,
            _ => login(options)?,
        };
        if let Some(given) = options.take("client_configs") {
            configs.extend(client_configs(&given)?);
        }
        let subject = options.take("value.subject").unwrap_or_else(|| format!("{topic}-value"));
        Ok(Self { servers, topic, configs, registry: RegistryOptions::take(options)?, subject })
    }

    /// `Denied` if the brokers, the registry or a file of the configuration are out of reach.
    fn check_reach(&self, reach: &Reach) -> Result<(), Error> {
        for server in &self.servers {
            reach.url(&format!("kafka://{server}/{}", self.topic))?;
        }
        if let Some(registry) = &self.registry {
            reach.url(&registry.endpoint)?;
        }
        for file in FILES {
            if let Some(path) = self.configs.get(file) {
                reach.path(path)?;
            }
        }
        Ok(())
    }

    /// What lineage and errors call it.
    pub fn shown(&self) -> String {
        format!("kafka://{}/{}", self.servers.first().map_or("", String::as_str), self.topic)
    }
}

impl RegistryOptions {
    fn take(options: &mut Options) -> Result<Option<Self>, Error> {
        let Some(endpoint) = options.take("schema_registry.endpoint") else { return Ok(None) };
        let url = reqwest::Url::parse(&endpoint).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        if url.is_none_or(|url| url.password().is_some()) {
            return Err(Error::Options(
                "option 'schema_registry.endpoint' is a URL of http or https, without a password".to_owned(),
            ));
        }
        let login =
            match (options.take("schema_registry.api_key"), options.take("schema_registry.api_secret")) {
                (None, None) => None,
                (Some(key), Some(secret)) => Some((key, secret)),
                _ => {
                    return Err(Error::Options(
                        "options 'schema_registry.api_key' and 'schema_registry.api_secret' go together"
                            .to_owned(),
                    ));
                }
            };
        Ok(Some(Self { endpoint: endpoint.trim_end_matches('/').to_owned(), login }))
    }
}

/// `auth.…`
fn login(options: &mut Options) -> Result<BTreeMap<String, String>, Error> {
    let mut configs = BTreeMap::new();
    if !options.choice("auth.type", &[("none", false), ("sasl", true)])? {
        return Ok(configs);
    }
    let protocols = [("SASL_PLAINTEXT", "SASL_PLAINTEXT"), ("SASL_SSL", "SASL_SSL")];
    let mechanisms =
        [("PLAIN", "PLAIN"), ("SCRAM-SHA-256", "SCRAM-SHA-256"), ("SCRAM-SHA-512", "SCRAM-SHA-512")];
    let protocol = options.require("auth.protocol")?;
    let protocol = options.chosen("auth.protocol", Some(protocol), &protocols)?;
    let mechanism = options.require("auth.mechanism")?;
    let mechanism = options.chosen("auth.mechanism", Some(mechanism), &mechanisms)?;
    configs.insert("security.protocol".to_owned(), protocol.to_owned());
    configs.insert("sasl.mechanism".to_owned(), mechanism.to_owned());
    configs.insert("sasl.username".to_owned(), options.require("auth.username")?);
    configs.insert("sasl.password".to_owned(), options.require("auth.password")?);
    Ok(configs)
}

/// `key`, `secret`
fn confluent_login(options: &mut Options) -> Result<BTreeMap<String, String>, Error> {
    let configs = [
        ("security.protocol", "SASL_SSL".to_owned()),
        ("sasl.mechanism", "PLAIN".to_owned()),
        ("sasl.username", options.require("key")?),
        ("sasl.password", options.require("secret")?),
    ];
    Ok(configs.map(|(name, value)| (name.to_owned(), value)).into())
}

/// `name=value, other=value`; a value may be a secret, so none is shown.
fn client_configs(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut configs = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Error::Options(
                "option 'client_configs' is a list of 'name=value', with commas between".to_owned(),
            )
        })?;
        let (name, value) = (name.trim(), value.trim());
        if !CLIENT_CONFIGS.contains(&name) {
            return Err(Error::Options(format!("option 'client_configs' cannot set '{name}'")));
        }
        configs.insert(name.to_owned(), value.to_owned());
    }
    Ok(configs)
}

fn is_server(text: &str) -> bool {
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.chars().all(is_host) && port.parse::<u16>().is_ok()
    })
}

fn is_topic(text: &str) -> bool {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty()
        && text.len() <= TOPIC_LENGTH_MAX
        && text.chars().all(is_fit)
        && !matches!(text, "." | "..")
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

    /// True if rows that are taken back can be said.
    pub(crate) fn is_debezium(&self) -> bool {
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
            columns::named(given, "sink.key_field", name)?;
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

//! Where a topic is: brokers, the login there, the client's own configuration, and the registry of its schemas.

use std::collections::BTreeMap;

use crate::{Error, Options, Reach};

/// Most characters of a topic's name, as brokers have it.
const TOPIC_LENGTH_MAX: usize = 249;
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

impl KafkaTopic {
    pub(super) fn take(connector: &str, options: &mut Options) -> Result<Self, Error> {
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
    pub(super) fn check_reach(&self, reach: &Reach) -> Result<(), Error> {
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

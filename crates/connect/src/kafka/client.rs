//! What consumers and producers share: configuration, what the client says of itself, and its errors in our words.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};

use super::options::KafkaTopic;

/// A client's configuration for a topic; what `ours` says is not to be changed by options.
pub(super) fn config(topic: &KafkaTopic, ours: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", topic.servers.join(","));
    config.set("client.id", "cenote");
    // broker errors are told by our own events
    config.set("log.connection.close", "false");
    for (name, value) in &topic.configs {
        config.set(name, value);
    }
    for (name, value) in ours {
        config.set(*name, *value);
    }
    config.set_log_level(RDKafkaLogLevel::Notice);
    config
}

/// A client. It is ended on a thread for calls that block, as its own threads may take a moment.
pub(super) struct Ending<T: Send + 'static>(Option<T>);

impl<T: Send> Ending<T> {
    pub(super) fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send> Deref for Ending<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T: Send + 'static> Drop for Ending<T> {
    fn drop(&mut self) {
        if let (Some(client), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(client));
        }
    }
}

/// What the client says of its brokers.
#[derive(Default)]
pub(super) struct Brokers {
    /// None of them answers.
    pub(super) away: AtomicBool,
    last: Mutex<Option<String>>,
    /// Behind the last message of each partition, as it was known a moment ago.
    ends: Mutex<BTreeMap<i32, i64>>,
}

impl Brokers {
    /// Behind the last message of these partitions, if all of them are known.
    pub(super) fn ends(&self, partitions: impl Iterator<Item = i32>) -> Option<BTreeMap<i32, i64>> {
        let ends = self.ends.lock();
        partitions.map(|partition| Some((partition, *ends.get(&partition)?))).collect()
    }

    /// Why nothing works, as far as is known.
    pub(super) fn reason(&self, error: &KafkaError) -> String {
        let said = said(error);
        match self.last.lock().as_deref() {
            Some(last) if !last.contains(&said) => format!("{said} ({last})"),
            _ => said,
        }
    }
}

impl ClientContext for Brokers {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "kafka client");
    }

    fn stats(&self, statistics: rdkafka::Statistics) {
        let mut ends = self.ends.lock();
        for (partition, known) in statistics.topics.values().flat_map(|topic| &topic.partitions) {
            if *partition >= 0 && known.hi_offset >= 0 {
                ends.insert(*partition, known.hi_offset);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.away.store(true, Ordering::SeqCst);
        } else {
            *self.last.lock() = Some(reason.to_owned());
        }
        tracing::debug!(reason, "kafka client");
    }
}

impl ConsumerContext for Brokers {
    fn commit_callback(
        &self,
        result: rdkafka::error::KafkaResult<()>,
        _offsets: &rdkafka::TopicPartitionList,
    ) {
        if let Err(error) = result {
            tracing::debug!(error = said(&error), "the group was not told how far its source is");
        }
    }
}

/// An error without the values of options, which may be secrets.
pub(super) fn said(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, name, _) => format!("configuration '{name}': {reason}"),
        KafkaError::ClientCreation(reason) => reason.clone(),
        error => match error.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => error.to_string(),
        },
    }
}

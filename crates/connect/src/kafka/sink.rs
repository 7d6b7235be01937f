//! Sends rows and waits until the brokers have them all, before the commit: a crash sends those of its epoch again. Each
//! carries the epoch, so that readers can tell what was repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_codec::record::{AvroEncoder, CHANGE, REPLACED, RecordFormat, json_schema};
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};

use super::client::{Brokers, Ending, config, said};
use super::columns::named;
use super::options::{KafkaSinkOptions, ValueFormat};
use super::registry::Registry;
use super::written::{Writer, bytes_of};
use crate::sink::{EpochRows, Sink, SinkClass};
use crate::{EVENT_TIME, Error, Reach};

/// What readers know a repeated row by.
const EPOCH_HEADER: &str = "cenote-epoch";
/// How long a message is tried, ms.
const MESSAGE_TIMEOUT: &str = "30000";
/// KiB of messages that wait for their brokers.
const QUEUE_KIB: &str = "65536";
/// Between two looks at what was delivered.
const LOOK: Duration = Duration::from_millis(50);

/// The writer of a topic.
pub struct KafkaSink {
    name: String,
    options: KafkaSinkOptions,
    config: ClientConfig,
    columns: SchemaRef,
    key: Option<usize>,
    timestamp: Option<usize>,
    registry: Option<Registry>,
    /// From the first start on.
    writing: Option<Writing>,
}

/// What sends, and how.
#[derive(Clone)]
struct Writing {
    producer: Arc<Ending<ThreadedProducer<Deliveries>>>,
    writer: Writer,
}

/// What became of messages.
#[derive(Default)]
struct Deliveries {
    brokers: Brokers,
    failed: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.brokers.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.brokers.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failed.lock().get_or_insert_with(|| error.clone());
        }
    }
}

impl KafkaSink {
    /// `Denied` for a place out of reach; no broker is asked yet.
    pub fn open(
        name: &str,
        options: &KafkaSinkOptions,
        columns: &Schema,
        reach: &Reach,
    ) -> Result<Self, Error> {
        options.check_reach(reach)?;
        options.check(columns)?;
        let mut ours = vec![
            // nothing is lost, and the order of a partition is that of its rows
            ("enable.idempotence", "true"),
            ("queue.buffering.max.kbytes", QUEUE_KIB),
        ];
        let has_timeout = ["message.timeout.ms", "delivery.timeout.ms"]
            .iter()
            .any(|name| options.topic.configs.contains_key(*name));
        if !has_timeout {
            ours.push(("message.timeout.ms", MESSAGE_TIMEOUT));
        }
        let place = |option: &str, name: &Option<String>| {
            name.as_ref().map(|name| named(columns, option, name)).transpose()
        };
        let registry = options.topic.registry.as_ref().map(|registry| Registry::open(registry, reach));
        Ok(Self {
            name: name.to_owned(),
            config: config(&options.topic, &ours),
            columns: Arc::new(columns.clone()),
            key: place("sink.key_field", &options.key_field)?,
            timestamp: place("sink.timestamp_field", &options.timestamp_field)?,
            registry: registry.transpose()?,
            options: options.clone(),
            writing: None,
        })
    }

    /// Makes the schema of its rows known to the registry, if it has one.
    pub(super) async fn announce(&self) -> Result<(), Error> {
        self.writer().await.map(drop)
    }

    /// How values are made; their schema is made known to the registry.
    async fn writer(&self) -> Result<Writer, Error> {
        let topic = &self.options.topic;
        let register = async |kind: &str, schema: &str| {
            let Some(registry) = &self.registry else {
                return Err(Error::Options("option 'schema_registry.endpoint' is required".to_owned()));
            };
            let number = registry.register(&topic.subject, kind, schema).await;
            number.map_err(|failure| failure.of_sink(&self.name))
        };
        Ok(match &self.options.format {
            ValueFormat::Record(format) | ValueFormat::Lines(format) => Writer::Records(format.clone()),
            ValueFormat::RegisteredJson(json) => {
                let schema = json_schema(&self.columns, &topic.topic);
                Writer::Json(RecordFormat::Json(*json), register("JSON", &schema).await?)
            }
            ValueFormat::Avro { .. } => {
                let encoder = AvroEncoder::new(&self.columns, &topic.topic)?;
                let number = register("AVRO", encoder.schema()).await?;
                Writer::Avro(encoder, number)
            }
        })
    }

    /// What sends; it is made once.
    async fn writing(&mut self) -> Result<Writing, Error> {
        if let Some(writing) = &self.writing {
            return Ok(writing.clone());
        }
        let writer = self.writer().await?;
        let producer = ThreadedProducer::from_config_and_context(&self.config, Deliveries::default());
        let producer: ThreadedProducer<Deliveries> = producer.map_err(|error| self.refused(said(&error)))?;
        let writing = Writing { producer: Arc::new(Ending::new(producer)), writer };
        self.writing = Some(writing.clone());
        Ok(writing)
    }

    fn refused(&self, reason: String) -> Error {
        Error::SinkRefused { sink_name: self.name.clone(), reason }
    }
}

/// Messages of some rows, while they are made and sent, on a thread for that.
struct Sending {
    name: String,
    topic: String,
    shown: String,
    writing: Writing,
    headers: OwnedHeaders,
    key: Option<usize>,
    timestamp: Option<usize>,
    /// Nobody waits for it any longer.
    is_over: Arc<AtomicBool>,
}

impl Sending {
    fn send_all(&self, batches: &[RecordBatch]) -> Result<(), Error> {
        for batch in batches {
            self.send_batch(batch)?;
        }
        let producer = &self.writing.producer;
        while producer.in_flight_count() > 0 {
            // undelivered ones are no failure: their time is not over
            drop(producer.flush(LOOK));
            self.check()?;
        }
        self.check()
    }

    fn send_batch(&self, batch: &RecordBatch) -> Result<(), Error> {
        let event_time = batch.schema().index_of(EVENT_TIME).ok();
        let columns: Vec<usize> = (0..batch.num_columns()).filter(|at| Some(*at) != event_time).collect();
        let values = self.writing.writer.values(&batch.project(&columns)?)?;
        let keys = self.key.map(|at| bytes_of(batch.column(at))).transpose()?;
        let times = self.timestamp.or(event_time).map(|at| batch.column(at));
        let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
        let times = times.map(|times| cast(times, &millis)).transpose()?;
        let times = times.as_ref().map(|times| times.as_primitive::<TimestampMillisecondType>());
        // A row that another takes the place of is in that one's message.
        let changes =
            batch.column_by_name(CHANGE).and_then(|changes| changes.as_primitive_opt::<Int64Type>());
        let is_said = |row: &usize| changes.is_none_or(|changes| changes.value(*row) != REPLACED);
        for (number, row) in (0..batch.num_rows()).filter(is_said).enumerate() {
            let mut record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&self.topic).headers(self.headers.clone());
            let value = values.row(number);
            if let Some(value) = &value {
                record = record.payload(value);
            }
            if let Some(keys) = &keys
                && keys.is_valid(row)
            {
                record = record.key(keys.value(row));
            }
            // the client takes 0 for now, and brokers nothing before 1970
            if let Some(times) = times
                && times.is_valid(row)
                && times.value(row) > 0
            {
                record = record.timestamp(times.value(row));
            }
            self.send(record)?;
        }
        Ok(())
    }

    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), Error> {
        loop {
            match self.writing.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    record = back;
                    self.writing.producer.poll(LOOK);
                    self.check()?;
                }
                Err((error, _)) => return Err(self.failed(&error)),
            }
        }
    }

    /// Fails if a message was not delivered, or nobody waits.
    fn check(&self) -> Result<(), Error> {
        let failed = self.writing.producer.context().failed.lock().clone();
        match failed {
            Some(error) => Err(self.failed(&error)),
            None if self.is_over.load(Ordering::SeqCst) => Err(Error::SinkUnavailable {
                sink_name: self.name.clone(),
                reason: "the epoch was given up".to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// What is left of the rows is not sent.
    fn failed(&self, error: &KafkaError) -> Error {
        use RDKafkaErrorCode::{
            ClusterAuthorizationFailed, InvalidMessageSize, InvalidRecord, MessageSizeTooLarge,
            PolicyViolation, SaslAuthenticationFailed, TopicAuthorizationFailed, UnknownTopic,
            UnknownTopicOrPartition,
        };
        self.writing.producer.purge(PurgeConfig::default().queue().inflight());
        let sink_name = self.name.clone();
        let reason = |text: String| format!("{}: {text}", self.shown);
        match error.rdkafka_error_code() {
            Some(
                ClusterAuthorizationFailed
                | InvalidMessageSize
                | InvalidRecord
                | MessageSizeTooLarge
                | PolicyViolation
                | SaslAuthenticationFailed
                | TopicAuthorizationFailed
                | UnknownTopic
                | UnknownTopicOrPartition,
            ) => Error::SinkRefused { sink_name, reason: reason(said(error)) },
            _ => {
                let text = self.writing.producer.context().brokers.reason(error);
                Error::SinkUnavailable { sink_name, reason: reason(text) }
            }
        }
    }
}

/// Says that nobody waits for the messages any longer.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn class(&self) -> SinkClass {
        SinkClass::AtLeastOnce
    }

    async fn restore(&mut self, _state: &str) -> Result<(), Error> {
        self.writing().await.map(drop)
    }

    async fn stage(&mut self, _state: &str, rows: EpochRows<'_>) -> Result<String, Error> {
        if rows.rows.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(String::new());
        }
        let writing = self.writing().await?;
        let waiting = Waiting(Arc::default());
        let epoch = rows.epoch.to_string();
        let sending = Sending {
            name: self.name.clone(),
            topic: self.options.topic.topic.clone(),
            shown: self.options.topic.shown(),
            writing,
            headers: OwnedHeaders::new().insert(Header { key: EPOCH_HEADER, value: Some(&epoch) }),
            key: self.key,
            timestamp: self.timestamp,
            is_over: waiting.0.clone(),
        };
        let batches = rows.rows.to_vec();
        let sent = tokio::task::spawn_blocking(move || sending.send_all(&batches)).await;
        drop(waiting);
        let sent = sent.unwrap_or_else(|error| {
            Err(Error::SinkUnavailable { sink_name: self.name.clone(), reason: error.to_string() })
        });
        if sent.is_err() {
            // what it still reports is about these rows
            self.writing = None;
        }
        sent.map(|()| String::new())
    }

    async fn finish(&mut self, _state: &str) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

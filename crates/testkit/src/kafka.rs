//! A Kafka cluster and a schema registry, both doubles.
//!
//! The cluster is the one inside librdkafka: brokers on ports of this machine, with topics, groups, offsets and injected
//! failures, without transactions. A partition keeps 5 MiB; older messages are gone, as retention would have it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use crate::PATIENCE;
use crate::double::{Request, serve};

/// Bytes that a partition keeps.
pub const PARTITION_BYTES: usize = 5 << 20;

/// A cluster of one broker.
pub struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

/// A message as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub partition: i32,
    /// Where it stands.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// ms.
    pub time: Option<i64>,
    /// The header `cenote-epoch`.
    pub epoch: Option<String>,
}

impl Record {
    /// Its value as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

impl Cluster {
    /// Starts it.
    pub fn start() -> Self {
        let mock = MockCluster::new(1).expect("a cluster");
        let producer = ClientConfig::new()
            .set("bootstrap.servers", mock.bootstrap_servers())
            .set("linger.ms", "0")
            .create()
            .expect("a producer");
        Self { mock, producer }
    }

    /// `host:port`
    pub fn servers(&self) -> String {
        self.mock.bootstrap_servers()
    }

    /// Makes a topic.
    pub fn topic(&self, topic: &str, partitions: i32) {
        self.mock.create_topic(topic, partitions, 1).expect("a topic");
    }

    /// Writes values to a partition and waits until they are there.
    pub fn produce(&self, topic: &str, partition: i32, values: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        for value in values {
            self.send(BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(value.as_ref()));
        }
        self.flush();
    }

    /// Writes a message with a key and a time in ms.
    pub fn produce_message(
        &self,
        (topic, partition): (&str, i32),
        key: &str,
        value: Option<&[u8]>,
        millis: i64,
    ) {
        let mut record =
            BaseRecord::<[u8], [u8]>::to(topic).partition(partition).key(key.as_bytes()).timestamp(millis);
        record.payload = value;
        self.send(record);
        self.flush();
    }

    fn send(&self, record: BaseRecord<'_, [u8], [u8]>) {
        let mut record = record;
        while let Err((error, back)) = self.producer.send(record) {
            let code = error.rdkafka_error_code();
            assert_eq!(code, Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{error}");
            record = back;
            self.producer.poll(Duration::from_millis(10));
        }
    }

    fn flush(&self) {
        self.producer.flush(PATIENCE).expect("the messages are there");
    }

    /// All messages of a topic, by partition and offset.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.servers())
            .set("group.id", "testkit")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("a topic");
        let (mut ends, mut list) = (BTreeMap::new(), TopicPartitionList::new());
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE).expect("bounds");
            if high > low {
                ends.insert(partition.id(), high);
                list.add_partition_offset(topic, partition.id(), Offset::Offset(low)).expect("a place");
            }
        }
        consumer.assign(&list).expect("assigns");
        let mut records = Vec::new();
        while !ends.is_empty() {
            let message = consumer.poll(PATIENCE).expect("a message").expect("no failure");
            let epoch = message.headers().and_then(|headers| {
                let header = headers.iter().find(|header| header.key == "cenote-epoch")?;
                Some(String::from_utf8_lossy(header.value?).into_owned())
            });
            records.push(Record {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                time: message.timestamp().to_millis(),
                epoch,
            });
            ends.retain(|partition, end| *partition != message.partition() || message.offset() + 1 < *end);
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Where a group stands, by partition.
    pub fn committed(&self, topic: &str, partitions: i32, group: &str) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.servers())
            .set("group.id", group)
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let committed = consumer.committed_offsets(list, PATIENCE).expect("offsets");
        let offset = |offset| match offset {
            Offset::Offset(at) => Some(at),
            _ => None,
        };
        committed.elements().iter().map(|place| offset(place.offset())).collect()
    }

    /// Nobody is let in any longer, and who was in is out.
    pub fn go_down(&self) {
        self.mock.broker_down(-1).expect("down");
    }

    /// The brokers are back.
    pub fn come_back(&self) {
        self.mock.broker_up(-1).expect("up");
    }
}

/// A schema registry that answers as Confluent's does.
pub struct Registry {
    /// Where.
    pub url: String,
    state: Arc<Mutex<Schemas>>,
}

#[derive(Default)]
struct Schemas {
    /// Subject, type and text, by number from 1 on.
    all: Vec<(String, String, String)>,
    login: Option<String>,
    is_down: bool,
    refuses: bool,
    calls: usize,
}

impl Registry {
    /// Starts it.
    pub fn start() -> Self {
        let state: Arc<Mutex<Schemas>> = Arc::default();
        let shared = state.clone();
        let url = serve(move |request| {
            let (status, text) = shared.lock().unwrap_or_else(PoisonError::into_inner).answer(request);
            (status.to_owned(), text)
        });
        Self { url, state }
    }

    fn state(&self) -> MutexGuard<'_, Schemas> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a schema known; its number.
    pub fn add(&self, subject: &str, schema: &str) -> u32 {
        self.state().add(subject, "AVRO", schema)
    }

    /// Subject, type and text of all schemas.
    pub fn schemas(&self) -> Vec<(String, String, String)> {
        self.state().all.clone()
    }

    /// Asks for this header `authorization`.
    pub fn wants_login(&self, header: &str) {
        self.state().login = Some(header.to_owned());
    }

    /// Answers 503 from now on, or no longer.
    pub fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Finds every new schema incompatible from now on.
    pub fn refuse(&self) {
        self.state().refuses = true;
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.state().calls
    }
}

impl Schemas {
    fn add(&mut self, subject: &str, kind: &str, schema: &str) -> u32 {
        let new = (subject.to_owned(), kind.to_owned(), schema.to_owned());
        let at = self.all.iter().position(|known| *known == new).unwrap_or_else(|| {
            self.all.push(new);
            self.all.len() - 1
        });
        u32::try_from(at + 1).expect("few schemas")
    }

    fn answer(&mut self, request: &Request) -> (&'static str, String) {
        self.calls += 1;
        if self.is_down {
            return ("503 Service Unavailable", "{}".to_owned());
        }
        if self.login.is_some() && self.login.as_deref() != request.header("authorization") {
            return ("401 Unauthorized", r#"{"error_code":401}"#.to_owned());
        }
        let parts: Vec<&str> = request.path.split('/').skip(1).collect();
        match (request.method.as_str(), &parts[..]) {
            ("GET", ["schemas", "ids", number]) => {
                let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                match at.and_then(|at| self.all.get(at)) {
                    Some((_, kind, schema)) => {
                        ("200 OK", serde_json::json!({"schema": schema, "schemaType": kind}).to_string())
                    }
                    None => ("404 Not Found", r#"{"error_code":40403}"#.to_owned()),
                }
            }
            ("POST", ["subjects", subject, "versions"]) if !self.refuses => {
                let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let schema = body["schema"].as_str().unwrap_or_default();
                let number = self.add(subject, body["schemaType"].as_str().unwrap_or("AVRO"), schema);
                ("200 OK", serde_json::json!({"id": number}).to_string())
            }
            ("POST", _) => ("409 Conflict", r#"{"error_code":409,"message":"incompatible"}"#.to_owned()),
            _ => ("404 Not Found", "{}".to_owned()),
        }
    }
}

//! Reads what the client has fetched. A position says the next offset of each partition.
//!
//! The messages of an epoch come partition by partition, each in its order. The client fetches on while an epoch runs, and
//! stops at its bound; while brokers are away there is nothing to read, and nothing grows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_codec::record::AtBad;
use cenote_vocab::{Clock, Micros};
use futures::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use uuid::Uuid;

use super::columns::{Told, stored, told};
use super::options::{Group, KafkaSourceOptions};
use super::received::{Messages, Received};
use super::registry::Registry;
use super::topic::{Consumer, Place, Topic};
use super::values::{BadValue, DecodedValues, Values};
use crate::connector::Column;
use crate::{Available, BadRow, Error, Pulled, Reach, RowPlace, RowPlaces, Source, Wanted, logged, stamped};

/// Bytes of values and keys that one epoch takes, about.
const EPOCH_BYTES_MAX: usize = 64 << 20;

/// The reader of a topic.
pub struct KafkaSource {
    name: String,
    options: KafkaSourceOptions,
    /// Of each column: what the message tells, or the next one of its value.
    told: Vec<Option<Told>>,
    schema: SchemaRef,
    values: Values,
    registry: Option<Registry>,
    at_bad: AtBad,
    clock: Clock,
    topic: Topic,
    /// Where the client stands, once it does.
    stands: Option<Place>,
    /// When partitions were looked for.
    looked: Micros,
    /// What came while the source waited.
    early: Mutex<Early>,
}

#[derive(Default)]
struct Early {
    received: Received,
    error: Option<KafkaError>,
}

/// What an epoch may have of the client.
enum Drained {
    Messages(Received),
    /// An offset is not there.
    Lost,
    Failed(KafkaError),
}

impl KafkaSource {
    /// For the pipeline `owner`. `Denied` for a place out of reach; no broker is asked yet.
    pub fn open(
        (name, owner): (&str, Uuid),
        options: &KafkaSourceOptions,
        columns: &[Column],
        at_bad: AtBad,
        clock: Clock,
        reach: &Reach,
    ) -> Result<Self, Error> {
        options.check_reach(reach)?;
        let all = Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>());
        let registry = options.topic.registry.as_ref().map(|registry| Registry::open(registry, reach));
        let group = match &options.group {
            Some(Group::Named(group)) => group.clone(),
            Some(Group::Prefixed(prefix)) => format!("{prefix}-cenote-{owner}-{name}"),
            None => format!("cenote-{owner}-{name}"),
        };
        Ok(Self {
            name: name.to_owned(),
            options: options.clone(),
            told: columns.iter().map(told).collect::<Result<_, _>>()?,
            schema: if options.format.is_changelog() { logged(&all) } else { stamped(&all) },
            values: Values::new(&options.format, stored(columns))?,
            registry: registry.transpose()?,
            at_bad,
            topic: Topic::open(name, options, &group)?,
            stands: None,
            looked: clock.now(),
            clock,
            early: Mutex::default(),
        })
    }

    fn place(&self, position: &str) -> Result<Place, Error> {
        if position.is_empty() {
            return Ok(Place::default());
        }
        serde_json::from_str(position)
            .map_err(|_| Error::Position { source_name: self.name.clone(), position: position.to_owned() })
    }

    fn position(&self, place: &Place) -> Result<String, Error> {
        serde_json::to_string(place)
            .map_err(|error| Error::Position { source_name: self.name.clone(), position: error.to_string() })
    }

    /// How far there are messages behind a place, as the client knew a moment ago.
    fn available(&self, place: &Place) -> Result<Option<Available>, Error> {
        let partitions = place.partitions.keys().copied();
        let Some(mut ends) = self.topic.consumer.context().ends(partitions) else { return Ok(None) };
        let mut rows = 0;
        for (partition, end) in &mut ends {
            let at = place.partitions.get(partition).copied().unwrap_or(*end);
            *end = at.max(*end);
            rows += u64::try_from(*end - at).unwrap_or(0);
        }
        let position = self.position(&Place { cluster: place.cluster.clone(), partitions: ends })?;
        Ok(Some(Available { position, rows }))
    }

    /// How long until new partitions are looked for.
    fn discovery_due(&self, now: Micros) -> Duration {
        let every = Duration::from_micros(u64::try_from(self.options.discovery).unwrap_or(0));
        self.looked.plus(every).since(now)
    }

    /// Brings the client to a place, if it is elsewhere; how many offsets had to be left out.
    async fn stand_at(&mut self, from: Place, now: Micros) -> Result<(Place, u64), Error> {
        let stands = self.stands.take().filter(|stands| *stands == from);
        let is_due = self.discovery_due(now).is_zero();
        let topic = self.topic.clone();
        let (place, skipped) = match stands {
            Some(stands) if !is_due => return Ok((stands, 0)),
            Some(stands) => {
                let place = self.blocking(move || topic.discover(stands)).await?;
                if place != from {
                    *self.early.lock() = Early::default();
                }
                (place, 0)
            }
            None => self.begin(from).await?,
        };
        self.looked = now;
        Ok((place, skipped))
    }

    async fn begin(&self, from: Place) -> Result<(Place, u64), Error> {
        let topic = self.topic.clone();
        let begun = self.blocking(move || topic.begin(&from)).await?;
        *self.early.lock() = Early::default();
        Ok(begun)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| {
            Err(Error::SourceUnavailable { source_name: self.name.clone(), reason: error.to_string() })
        })
    }

    fn keeps_keys(&self) -> bool {
        self.told.iter().flatten().any(|told| matches!(told, Told::Key | Told::KeyText))
    }

    /// The rows of a partition.
    async fn rows(
        &mut self,
        (partition, messages): (i32, Messages),
        now: Micros,
        pulled: &mut Pulled,
    ) -> Result<(), Error> {
        self.values.learn(&messages, self.registry.as_ref(), &self.name).await?;
        let (values, at_bad) = (self.values.clone(), self.at_bad);
        let (messages, decoded) = self
            .blocking(move || {
                let decoded = values.decode(&messages, at_bad);
                Ok((messages, decoded))
            })
            .await?;
        let DecodedValues { batches, bad } = decoded;
        let name: Arc<str> = partition.to_string().into();
        for BadValue { message, raw, reason } in bad {
            let place = RowPlace { partition: name.clone(), offset: messages.offsets[message] };
            pulled.bad.push(BadRow::new(place, &raw, reason));
        }
        for (of, batch) in batches.into_iter().filter(|(of, _)| !of.is_empty()) {
            pulled.batches.push(self.complete(&batch, &messages, (&of, partition), now)?);
            let offsets = of.iter().map(|at| messages.offsets[*at]).collect();
            pulled.places.push(RowPlaces::each(name.clone(), offsets));
        }
        Ok(())
    }

    /// The columns of values with what messages tell between them, and the event time behind.
    fn complete(
        &self,
        batch: &RecordBatch,
        messages: &Messages,
        (of, partition): (&[usize], i32),
        now: Micros,
    ) -> Result<RecordBatch, Error> {
        let mut stored = batch.columns().iter();
        let topic = self.options.topic.topic.as_str();
        let mut columns: Vec<ArrayRef> = self
            .told
            .iter()
            .filter_map(|told| match told {
                Some(told) => Some(messages.told(*told, of, (topic, partition))),
                None => stored.next().cloned(),
            })
            .collect();
        columns.push(messages.event_times(of, now));
        // What becomes of the rows stands behind them.
        if let Some(changes) = stored.next().and_then(|changes| changes.as_primitive_opt::<Int64Type>()) {
            columns.push(Arc::new(changes.unary::<_, Int64Type>(i64::signum)));
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// What the client holds, as far as it is wanted.
fn drain(consumer: &Consumer, early: Early, rows_max: usize, keeps_keys: bool) -> Drained {
    let Early { mut received, error } = early;
    let mut next = error.map(Err);
    let mut stream = consumer.stream();
    let mut was_empty = false;
    while received.rows < rows_max && received.bytes < EPOCH_BYTES_MAX {
        let message = match next.take() {
            Some(error) => error,
            None => match stream.next().now_or_never().flatten() {
                Some(message) => message,
                // the first time it may have been an event without a message
                None if was_empty => break,
                None => {
                    was_empty = true;
                    continue;
                }
            },
        };
        match message {
            Ok(message) => received.push(&message, keeps_keys),
            Err(error) => match error.rdkafka_error_code() {
                Some(code) if is_passing(code) => {}
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    return Drained::Lost;
                }
                _ => return Drained::Failed(error),
            },
        }
    }
    Drained::Messages(received)
}

/// True for what the client mends by itself, in time.
fn is_passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, CoordinatorNotAvailable,
        LeaderNotAvailable, NetworkException, NotLeaderForPartition, OperationTimedOut, RequestTimedOut,
        Resolve,
    };
    matches!(
        code,
        AllBrokersDown
            | BrokerNotAvailable
            | BrokerTransportFailure
            | CoordinatorNotAvailable
            | LeaderNotAvailable
            | NetworkException
            | NotLeaderForPartition
            | OperationTimedOut
            | RequestTimedOut
            | Resolve
    )
}

#[async_trait]
impl Source for KafkaSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn node(&self) -> String {
        format!("ext:{}", self.options.topic.shown())
    }

    async fn read(&mut self, from: &str, wanted: Wanted) -> Result<Pulled, Error> {
        let from = self.place(from)?;
        let starts = from == Place::default();
        let (mut place, mut skipped) = self.stand_at(from, wanted.now).await?;
        let (early, keeps_keys) = (std::mem::take(&mut *self.early.lock()), self.keeps_keys());
        let consumer = self.topic.consumer.clone();
        let drained = self.blocking(move || Ok(drain(&consumer, early, wanted.rows_max, keeps_keys))).await?;
        let received = match drained {
            Drained::Messages(received) => received,
            Drained::Failed(error) => return Err(self.topic.failed(&error)),
            // Which one, and what is left, the brokers say.
            Drained::Lost => {
                let (begun, lost) = self.begin(place).await?;
                (place, skipped) = (begun, skipped + lost);
                Received::default()
            }
        };
        let away = &self.topic.consumer.context().away;
        if received.rows > 0 {
            away.store(false, Ordering::SeqCst);
        }
        let mut pulled = Pulled::of(Vec::new(), String::new());
        (pulled.starts, pulled.is_away) = (starts, away.load(Ordering::SeqCst));
        for (partition, messages) in received.partitions {
            place.partitions.insert(partition, messages.next);
            self.rows((partition, messages), wanted.now, &mut pulled).await?;
        }
        pulled.partitions = place.partitions.keys().map(|partition| partition.to_string().into()).collect();
        pulled.skipped = skipped;
        pulled.position = self.position(&place)?;
        pulled.available = self.available(&place)?;
        self.stands = Some(place);
        Ok(pulled)
    }

    async fn wait(&self, _from: &str) {
        {
            let early = self.early.lock();
            if early.error.is_some() || !early.received.partitions.is_empty() {
                return;
            }
        }
        tokio::select! {
            message = self.topic.consumer.recv() => match message {
                Ok(message) => self.early.lock().received.push(&message, self.keeps_keys()),
                Err(error) => self.early.lock().error = Some(error),
            },
            () = self.clock.pause(self.discovery_due(self.clock.now())) => {}
        }
    }

    async fn committed(&mut self, position: &str) -> Result<(), Error> {
        if self.options.group.is_some() {
            self.topic.tell_group(&self.place(position)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

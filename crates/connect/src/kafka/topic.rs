//! What brokers tell of a topic, and where a reader of it begins. Calls block: they run on threads for that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::client::{Brokers, Ending, config, said};
use super::options::{KafkaSourceOptions, Missing, StartOffset};
use crate::Error;

/// One call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// KiB that the client fetches ahead.
const AHEAD_KIB: &str = "65536";

pub(super) type Consumer = StreamConsumer<Brokers>;

/// Where a reader stands: the next offset of each partition. The cluster is named, because another's offsets mean nothing here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<String>,
    pub(super) partitions: BTreeMap<i32, i64>,
}

/// A topic that is read.
#[derive(Clone)]
pub(super) struct Topic {
    source_name: String,
    options: KafkaSourceOptions,
    pub(super) consumer: Arc<Ending<Consumer>>,
}

impl Topic {
    /// Makes the client; it looks for no broker yet.
    pub(super) fn open(source_name: &str, options: &KafkaSourceOptions, group: &str) -> Result<Self, Error> {
        let isolation = if options.committed_only { "read_committed" } else { "read_uncommitted" };
        let ours = [
            ("group.id", group),
            // what is read is in the position; the group is only told
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "false"),
            // a position that is gone is an error, never another position
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
            ("isolation.level", isolation),
            ("queued.max.messages.kbytes", AHEAD_KIB),
            // how far it is to the end
            ("statistics.interval.ms", "1000"),
            // an epoch may take long, and nobody else is in the group
            ("max.poll.interval.ms", "86400000"),
        ];
        let consumer = Consumer::from_config_and_context(&config(&options.topic, &ours), Brokers::default());
        let consumer =
            consumer.map_err(|error| Error::Options(format!("source {source_name}: {}", said(&error))))?;
        let consumer = Arc::new(Ending::new(consumer));
        Ok(Self { source_name: source_name.to_owned(), options: options.clone(), consumer })
    }

    /// A place that is there for a reader at `from`, and how many offsets it had to leave out; the client goes there.
    pub(super) fn begin(&self, from: &Place) -> Result<(Place, u64), Error> {
        let partitions = self.partitions()?;
        let cluster = self.consumer.client().fetch_cluster_id(CALL_TIMEOUT);
        if let (Some(was), Some(is)) = (&from.cluster, &cluster)
            && was != is
        {
            return Err(self.gone(format!("its position is one of cluster {was}, the brokers are of {is}")));
        }
        if let Some(lost) = from.partitions.keys().find(|partition| !partitions.contains(partition)) {
            return Err(self.gone(format!("partition {lost} of topic {} is not there", self.name())));
        }
        let is_start = *from == Place::default();
        let group = match is_start && self.options.start == StartOffset::Group {
            true => self.committed(&partitions)?,
            false => BTreeMap::new(),
        };
        let (mut place, mut skipped) = (Place { cluster, partitions: BTreeMap::new() }, 0);
        for partition in partitions {
            let (low, high) = self.bounds(partition)?;
            let at = match from.partitions.get(&partition) {
                Some(at) if (low..=high).contains(at) => *at,
                Some(at) if self.options.missing == Missing::Skip => {
                    skipped += u64::try_from(low - at).unwrap_or(0);
                    low
                }
                Some(at) if *at < low => {
                    return Err(self
                        .gone(format!("partition {partition}: offset {at} is wanted, the oldest is {low}")));
                }
                Some(at) => {
                    return Err(
                        self.gone(format!("partition {partition}: offset {at} is wanted, it ends at {high}"))
                    );
                }
                None if !is_start => low,
                None => match self.options.start {
                    StartOffset::Earliest => low,
                    StartOffset::Latest => high,
                    StartOffset::Group => group.get(&partition).map_or(high, |at| (*at).clamp(low, high)),
                },
            };
            place.partitions.insert(partition, at);
        }
        self.go_to(&place)?;
        Ok((place, skipped))
    }

    /// The place with partitions that are new, from their beginning; the client goes there if there are some.
    pub(super) fn discover(&self, mut place: Place) -> Result<Place, Error> {
        let new: Vec<i32> = self
            .partitions()?
            .into_iter()
            .filter(|partition| !place.partitions.contains_key(partition))
            .collect();
        if new.is_empty() {
            return Ok(place);
        }
        for partition in new {
            place.partitions.insert(partition, self.bounds(partition)?.0);
        }
        self.go_to(&place)?;
        Ok(place)
    }

    fn go_to(&self, place: &Place) -> Result<(), Error> {
        let places = self.places(place).and_then(|places| self.consumer.assign(&places));
        places.map_err(|error| self.unavailable(&error))
    }

    /// Tells the group how far the source is. Nobody depends on it.
    pub(super) fn tell_group(&self, place: &Place) {
        let places = self.places(place);
        let told =
            places.and_then(|places| self.consumer.commit(&places, rdkafka::consumer::CommitMode::Async));
        if let Err(error) = told {
            tracing::debug!(error = said(&error), "the group was not told how far its source is");
        }
    }

    fn places(&self, place: &Place) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(place.partitions.len());
        for (partition, at) in &place.partitions {
            list.add_partition_offset(self.name(), *partition, Offset::Offset(*at))?;
        }
        Ok(list)
    }

    /// Those that there are.
    fn partitions(&self) -> Result<BTreeSet<i32>, Error> {
        let metadata = self.consumer.fetch_metadata(Some(self.name()), CALL_TIMEOUT);
        let metadata = metadata.map_err(|error| self.unavailable(&error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.name());
        let topic = topic.ok_or_else(|| self.missing())?;
        if let Some(error) = topic.error() {
            return Err(self.failed(&KafkaError::MetadataFetch(error.into())));
        }
        self.consumer.context().away.store(false, Ordering::SeqCst);
        match topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect::<BTreeSet<_>>()
        {
            none if none.is_empty() => Err(self.missing()),
            partitions => Ok(partitions),
        }
    }

    /// The oldest offset of a partition, and the one behind its last.
    fn bounds(&self, partition: i32) -> Result<(i64, i64), Error> {
        let bounds = self.consumer.fetch_watermarks(self.name(), partition, CALL_TIMEOUT);
        bounds.map_err(|error| self.failed(&error))
    }

    /// Where the group stands, of the partitions where it stands anywhere.
    fn committed(&self, partitions: &BTreeSet<i32>) -> Result<BTreeMap<i32, i64>, Error> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(self.name(), *partition);
        }
        let committed = self.consumer.committed_offsets(list, CALL_TIMEOUT);
        let committed = committed.map_err(|error| self.failed(&error))?;
        let at = |offset| match offset {
            Offset::Offset(at) => Some(at),
            _ => None,
        };
        let places = committed.elements();
        Ok(places.iter().filter_map(|place| Some((place.partition(), at(place.offset())?))).collect())
    }

    fn name(&self) -> &str {
        &self.options.topic.topic
    }

    fn gone(&self, reason: String) -> Error {
        Error::Gone { source_name: self.source_name.clone(), reason }
    }

    fn missing(&self) -> Error {
        Error::Missing { source_name: self.source_name.clone(), path: self.options.topic.shown() }
    }

    fn unavailable(&self, error: &KafkaError) -> Error {
        let reason = format!("{}: {}", self.options.topic.shown(), self.consumer.context().reason(error));
        Error::SourceUnavailable { source_name: self.source_name.clone(), reason }
    }

    /// The failure as it concerns the source.
    pub(super) fn failed(&self, error: &KafkaError) -> Error {
        use RDKafkaErrorCode::{
            GroupAuthorizationFailed, SaslAuthenticationFailed, TopicAuthorizationFailed, UnknownPartition,
            UnknownTopic, UnknownTopicOrPartition,
        };
        match error.rdkafka_error_code() {
            Some(UnknownTopicOrPartition | UnknownTopic | UnknownPartition) => self.missing(),
            Some(TopicAuthorizationFailed | GroupAuthorizationFailed | SaslAuthenticationFailed) => {
                let reason = format!("{}: {}", self.options.topic.shown(), said(error));
                Error::SourceRefused { source_name: self.source_name.clone(), reason }
            }
            _ => self.unavailable(error),
        }
    }
}

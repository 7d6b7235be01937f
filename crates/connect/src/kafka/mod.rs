//! `kafka`, `confluent`: messages of a topic. The client is librdkafka.
//!
//! ```text
//! broker ─ client, up to 64 MiB ahead ─ messages by partition ─ values ─ columns ─► epoch      position: partition → offset
//! rows ─ records ─ client ─ all acknowledged ─► commit                      each with the header `cenote-epoch`
//! ```
//! Invariant: where a source stands is in its position alone, so in the epoch's commit; the group at the brokers is only told.

#[cfg(feature = "kafka")]
mod client;
mod columns;
mod options;
#[cfg(feature = "kafka")]
mod received;
#[cfg(feature = "kafka")]
mod registry;
#[cfg(feature = "kafka")]
mod sink;
#[cfg(feature = "kafka")]
mod source;
#[cfg(feature = "kafka")]
mod topic;
#[cfg(feature = "kafka")]
mod values;
#[cfg(feature = "kafka")]
mod written;

use cenote_codec::record::AtBad;
use cenote_vocab::Clock;
use uuid::Uuid;

use crate::connector::Column;
use crate::{Error, Reach, Sink, Source};

pub use options::{
    Group, KafkaSinkOptions, KafkaSourceOptions, KafkaTopic, Missing, RegistryOptions, StartOffset,
    ValueFormat,
};
#[cfg(feature = "kafka")]
pub use sink::KafkaSink;
#[cfg(feature = "kafka")]
pub use source::KafkaSource;

/// Fails in a binary without the client.
pub(crate) fn check_built(connector: &str) -> Result<(), Error> {
    match cfg!(feature = "kafka") {
        true => Ok(()),
        false => {
            Err(Error::Unsupported(format!("connector '{connector}' in a binary without its feature kafka")))
        }
    }
}

/// The reader of a topic, for the pipeline `owner`. `Denied` for a place out of reach.
#[cfg(feature = "kafka")]
pub(crate) fn source(
    (name, owner): (&str, Uuid),
    options: &KafkaSourceOptions,
    columns: &[Column],
    at_bad: AtBad,
    clock: &Clock,
    reach: &Reach,
) -> Result<Box<dyn Source>, Error> {
    Ok(Box::new(KafkaSource::open((name, owner), options, columns, at_bad, clock.clone(), reach)?))
}

/// The writer of a topic. `Denied` for a place out of reach.
#[cfg(feature = "kafka")]
pub(crate) fn sink(
    name: &str,
    options: &KafkaSinkOptions,
    columns: &arrow::datatypes::Schema,
    reach: &Reach,
) -> Result<Box<dyn Sink>, Error> {
    Ok(Box::new(KafkaSink::open(name, options, columns, reach)?))
}

/// Makes the schema of the topic's rows known to its registry, if it has one.
#[cfg(feature = "kafka")]
pub(crate) async fn announce(
    name: &str,
    options: &KafkaSinkOptions,
    columns: &arrow::datatypes::Schema,
    reach: &Reach,
) -> Result<(), Error> {
    KafkaSink::open(name, options, columns, reach)?.announce().await
}

#[cfg(not(feature = "kafka"))]
pub(crate) async fn announce(
    _: &str,
    _: &KafkaSinkOptions,
    _: &arrow::datatypes::Schema,
    _: &Reach,
) -> Result<(), Error> {
    check_built("kafka")
}

#[cfg(not(feature = "kafka"))]
pub(crate) fn source(
    _: (&str, Uuid),
    _: &KafkaSourceOptions,
    _: &[Column],
    _: AtBad,
    _: &Clock,
    _: &Reach,
) -> Result<Box<dyn Source>, Error> {
    Err(check_built("kafka").err().unwrap_or_else(|| Error::Unsupported("connector 'kafka'".to_owned())))
}

#[cfg(not(feature = "kafka"))]
pub(crate) fn sink(
    _: &str,
    _: &KafkaSinkOptions,
    _: &arrow::datatypes::Schema,
    _: &Reach,
) -> Result<Box<dyn Sink>, Error> {
    Err(check_built("kafka").err().unwrap_or_else(|| Error::Unsupported("connector 'kafka'".to_owned())))
}

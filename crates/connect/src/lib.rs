//! Connectors: where the rows of pipelines come from, and where they go beside the lake.
//!
//! ```text
//! position ─ read(position, rows) ─► batches, the position behind them ─ the epoch's commit ─► committed(position)
//! state ─ stage(state, rows) ─► the state with them ─ the epoch's commit ─► finish(state)
//! ```
//! One folder each: `options`, `source`, `sink`. Invariants: a position is a text that says all that is needed to go on; the
//! rows behind a position are the same, in the same order, whoever asks and however often, until it was committed; a source
//! keeps nothing that is not in its position, a sink nothing that is not in its state; what a sink has staged and no commit
//! knows of is gone after the next start.

mod connector;
mod error;
mod file_reader;
mod filesystem;
mod format;
mod impulse;
mod kafka;
mod lake;
mod lookup;
mod nexmark;
mod options;
mod pace;
mod reach;
mod single_file;
mod sink;
mod source;
mod stdout;
mod webhook;

pub use cenote_codec::record::AtBad;
pub use connector::{Column, Connector, Declaration, SinkOptions, SourceOptions};
pub use error::Error;
pub use file_reader::FileCompression;
pub use filesystem::{
    FilesystemSink, FilesystemSinkOptions, FilesystemSource, FilesystemSourceOptions, Partitioning, Rolling,
    Strategy,
};
pub use format::{FileFormat, ParquetOptions};
pub use impulse::{Impulse, ImpulseOptions};
pub use kafka::{
    Group, KafkaSinkOptions, KafkaSourceOptions, KafkaTopic, Missing, RegistryOptions, StartOffset,
    ValueFormat,
};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaSink, KafkaSource};
pub use lake::{LakeMode, LakeRead, LakeSource, Times};
pub use lookup::{LookupFiles, LookupTable};
pub use nexmark::{Nexmark, NexmarkOptions};
pub use options::{Options, bytes, interval_micros};
pub use reach::Reach;
pub use single_file::{SingleFileOptions, SingleFileSink, SingleFileSource};
pub use sink::{Blackhole, Closing, EpochRows, Sink, SinkClass};
pub use source::{
    Available, BadRow, EVENT_TIME, Pulled, ROW_ID, RowPlace, RowPlaces, Source, WEIGHT, Wanted, changed,
    logged, stamped,
};
pub use stdout::Stdout;
pub use webhook::{WebhookOptions, WebhookSink};

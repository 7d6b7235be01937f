//! Where a pipeline stands after an epoch, as bytes: kept beside the epoch in the catalog.
//!
//! ```text
//! "CNPS" version u8 │ length of the header u32 LE │ header, JSON │ runs, unless they are an object │ blocks that are none
//! runs: one Arrow IPC stream per operator, one after the other; the header tells their lengths
//! ```

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::Error;
use crate::blocks::{Block, BlockHead};
use crate::lineage::Lineage;
use crate::multiset::Multiset;
use crate::plan::Advanced;

const MAGIC: &[u8; 4] = b"CNPS";
const VERSION: u8 = 2;
/// The first that is read: it knew no blocks.
const VERSION_MIN: u8 = 1;
/// Bytes before the header.
const PREFIX: usize = 9;

/// Where a source stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceState {
    /// Everything before it was read.
    pub(crate) position: String,
    /// What it is a position in; empty where an earlier version wrote it.
    #[serde(default)]
    pub(crate) identity: String,
    /// Event time that is over by the rows that were seen, µs: the latest of what each said.
    pub(crate) time_max: Option<i64>,
    /// When a row came last, µs; none came yet: when the pipeline was made.
    pub(crate) seen: i64,
    /// There will be no more rows.
    pub(crate) ended: bool,
    /// No row that is still to come of what was there at the start is before this, µs.
    pub(crate) floor: Option<i64>,
    /// Its parts that have event times of their own, by name; none where it is one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) partitions: BTreeMap<String, PartitionState>,
}

/// How far a part of a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionState {
    /// Event time that is over by the rows that were seen, µs.
    pub(crate) time_max: Option<i64>,
    /// When a row came last, µs; none came yet: when it was found.
    pub(crate) seen: i64,
}

/// Where a pipeline stands, but for what its operators hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The instant of the epoch, µs; never falls.
    pub(crate) now: i64,
    /// Event time up to here is over, µs; never falls.
    pub(crate) watermark: i64,
    /// By name.
    pub(crate) sources: BTreeMap<String, SourceState>,
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) rows_late: u64,
    #[serde(default)]
    pub(crate) rows_partly_late: u64,
    /// Rows that could not be used.
    #[serde(default)]
    pub(crate) rows_bad: u64,
    /// What sinks outside of the lake hold, by name.
    #[serde(default)]
    pub(crate) sinks: BTreeMap<String, String>,
    /// What that is about, by name.
    #[serde(default)]
    pub(crate) sink_identities: BTreeMap<String, String>,
    /// The epoch with which it began, for the first time or again.
    #[serde(default)]
    pub(crate) since: i64,
    /// Changes of tables that were left out, because only rows that are added are read of them.
    #[serde(default)]
    pub(crate) rows_skipped: u64,
    /// What the names of the script meant.
    #[serde(default)]
    pub(crate) lineage: Lineage,
    /// Which script of the pipeline it was.
    #[serde(default)]
    pub(crate) version: i64,
    /// Rows that were taken back after they had been forgotten.
    #[serde(default)]
    pub(crate) rows_forgotten: u64,
    /// The transaction as of which rows were looked up, if some were.
    #[serde(default)]
    pub(crate) looked_up: Option<i64>,
    /// When open windows were shown last, µs.
    #[serde(default)]
    pub(crate) shown_early: Option<i64>,
    /// Rows came since then.
    #[serde(default)]
    pub(crate) is_unshown: bool,
    /// All sources have ended, and everything was written.
    pub(crate) finished: bool,
}

/// What an operator holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Runs of panes.
    pub(crate) runs: Vec<RecordBatch>,
    pub(crate) tables: Vec<Multiset>,
    /// Rows that came too late, since it was read back.
    pub(crate) late: u64,
    /// How long it worked since then.
    pub(crate) busy: Duration,
}

impl Held {
    /// Goes on to what an epoch made of it.
    pub(crate) fn advance(&mut self, advanced: Advanced) {
        self.runs = advanced.runs;
        self.late += advanced.late;
        self.busy += advanced.busy;
        for (table, delta) in self.tables.iter_mut().zip(&advanced.deltas) {
            table.apply(delta);
        }
    }
}

/// Runs that are an object of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateObject {
    pub(crate) id: Uuid,
    pub(crate) bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    standing: Standing,
    operators: Vec<Operator>,
    object: Option<StateObject>,
    /// XXH3-64 of the runs.
    checksum: u64,
    #[serde(default)]
    blocks: Vec<BlockHead>,
}

#[derive(Serialize, Deserialize)]
struct Operator {
    fingerprint: String,
    bytes: usize,
}

/// Runs as bytes, with what the header says of them.
pub(crate) struct Body {
    operators: Vec<Operator>,
    pub(crate) bytes: Bytes,
}

impl Body {
    /// The runs of all operators by fingerprint, with the columns of each that has some.
    pub(crate) fn encode<'a>(
        operators: impl IntoIterator<Item = (&'a str, Option<&'a SchemaRef>, &'a [RecordBatch])>,
    ) -> Result<Self, Error> {
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let mut body = Self { operators: Vec::new(), bytes: Bytes::new() };
        let mut bytes = Vec::new();
        for (fingerprint, schema, runs) in operators {
            let from = bytes.len();
            if let Some(schema) = schema {
                let mut writer = StreamWriter::try_new_with_options(&mut bytes, schema, options.clone())?;
                for run in runs {
                    writer.write(run)?;
                }
                writer.finish()?;
            }
            let fingerprint = fingerprint.to_owned();
            body.operators.push(Operator { fingerprint, bytes: bytes.len() - from });
        }
        body.bytes = bytes.into();
        Ok(body)
    }
}

/// The bytes that stand beside the epoch. With an `object` the body is there.
pub(crate) fn encode(
    standing: &Standing,
    body: Body,
    object: Option<StateObject>,
    blocks: &[Block],
) -> Result<Bytes, Error> {
    let checksum = xxh3_64(&body.bytes);
    let header = Header {
        standing: standing.clone(),
        operators: body.operators,
        object,
        checksum,
        blocks: blocks.iter().map(|block| block.head.clone()).collect(),
    };
    let header = serde_json::to_vec(&header).map_err(|error| Error::Invalid(format!("state: {error}")))?;
    let length =
        u32::try_from(header.len()).map_err(|_| Error::Invalid("state: the header is too long".into()))?;
    let mut bytes = Vec::with_capacity(PREFIX + header.len() + body.bytes.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&header);
    if object.is_none() {
        bytes.extend_from_slice(&body.bytes);
    }
    for block in blocks {
        bytes.extend_from_slice(block.inline.as_deref().unwrap_or_default());
    }
    Ok(bytes.into())
}

/// A state that was read, before what its operators hold.
pub(crate) struct Stored {
    pub(crate) standing: Standing,
    pub(crate) object: Option<StateObject>,
    /// Those of the state with their bytes.
    pub(crate) blocks: Vec<Block>,
    operators: Vec<Operator>,
    checksum: u64,
    inline: Bytes,
}

impl Stored {
    /// Reads what [`encode`] wrote; the error says what is wrong.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, String> {
        if bytes.len() < PREFIX || &bytes[..4] != MAGIC {
            return Err("it does not begin as a state".to_owned());
        }
        if !(VERSION_MIN..=VERSION).contains(&bytes[4]) {
            return Err(format!("it is of version {}, this binary knows {VERSION}", bytes[4]));
        }
        let length = u32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) as usize;
        let header = bytes.get(PREFIX..PREFIX + length).ok_or("its header is cut off")?;
        let header: Header = serde_json::from_slice(header).map_err(|error| error.to_string())?;
        let mut rest = bytes.slice(PREFIX + length..);
        let mut take = |bytes: usize| match bytes <= rest.len() {
            true => Ok(rest.split_to(bytes)),
            false => Err("it is cut off"),
        };
        let runs = header.operators.iter().map(|operator| operator.bytes).sum();
        let inline = if header.object.is_none() { take(runs)? } else { Bytes::new() };
        let mut blocks = Vec::new();
        for head in header.blocks {
            let bytes = usize::try_from(head.bytes).map_err(|error| error.to_string())?;
            let inline = head.id.is_none().then(|| take(bytes)).transpose()?;
            blocks.push(Block { head, inline });
        }
        Ok(Self {
            standing: header.standing,
            object: header.object,
            blocks,
            operators: header.operators,
            checksum: header.checksum,
            inline,
        })
    }

    /// By which operators it was made.
    pub(crate) fn fingerprints(&self) -> impl ExactSizeIterator<Item = &str> {
        self.operators.iter().map(|operator| operator.fingerprint.as_str())
    }

    /// Fails if these are not the bytes of the runs.
    pub(crate) fn check(&self, body: &Bytes) -> Result<(), String> {
        match xxh3_64(body) == self.checksum {
            true => Ok(()),
            false => Err("its checksum does not match".to_owned()),
        }
    }

    /// The runs of each operator; `object`: the bytes of the object, if there is one.
    pub(crate) fn runs(&self, object: Option<Bytes>) -> Result<Vec<Vec<RecordBatch>>, String> {
        let body = object.unwrap_or_else(|| self.inline.clone());
        self.check(&body)?;
        let mut from = 0;
        let mut all = Vec::new();
        for operator in &self.operators {
            let bytes = body.get(from..from + operator.bytes).ok_or("it is cut off")?;
            from += operator.bytes;
            if bytes.is_empty() {
                all.push(Vec::new());
                continue;
            }
            let reader =
                StreamReader::try_new(Cursor::new(bytes), None).map_err(|error| error.to_string())?;
            all.push(reader.collect::<Result<_, _>>().map_err(|error| error.to_string())?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn standing() -> Standing {
        let source = SourceState {
            position: "7:1:2".into(),
            identity: "table 3 Append".into(),
            time_max: Some(5),
            seen: 9,
            ..SourceState::default()
        };
        Standing {
            now: 10,
            watermark: i64::MIN,
            sources: BTreeMap::from([("s".to_owned(), source)]),
            rows_in: 3,
            rows_out: 2,
            rows_late: 1,
            rows_partly_late: 2,
            rows_bad: 4,
            sinks: BTreeMap::from([("out".to_owned(), "17".to_owned())]),
            sink_identities: BTreeMap::from([("out".to_owned(), "single_file /out".to_owned())]),
            since: 0,
            rows_skipped: 0,
            lineage: Lineage::new(),
            version: 1,
            rows_forgotten: 0,
            looked_up: None,
            shown_early: None,
            is_unshown: false,
            finished: false,
        }
    }

    fn runs() -> (SchemaRef, Vec<RecordBatch>) {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let run = |values: Vec<i64>| {
            RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(values))]).expect("a batch")
        };
        (schema.clone(), vec![run(vec![1, 2]), run(vec![3])])
    }

    fn body() -> Body {
        let (schema, runs) = runs();
        let operators = [("a", Some(&schema), &runs[..]), ("b", Some(&schema), &[]), ("c", None, &[])];
        Body::encode(operators).expect("encodes")
    }

    #[test]
    fn a_state_is_read_as_it_was_written_beside_the_epoch_and_as_an_object() {
        for object in [None, Some(StateObject { id: Uuid::from_u128(7), bytes: 3 })] {
            let body = body();
            let body_bytes = body.bytes.clone();
            let bytes = encode(&standing(), body, object, &[]).expect("encodes");
            let stored = Stored::decode(&bytes).expect("decodes");
            assert_eq!((stored.standing.clone(), stored.object), (standing(), object));
            assert_eq!(stored.fingerprints().collect::<Vec<_>>(), ["a", "b", "c"]);
            let read = stored.runs(object.map(|_| body_bytes)).expect("decodes");
            assert_eq!(read, [runs().1, Vec::new(), Vec::new()]);
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let bytes = encode(&standing(), body(), None, &[]).expect("encodes");
        let mut flipped = bytes.to_vec();
        let last = flipped.len() - 20;
        flipped[last] ^= 1;
        let stored = Stored::decode(&flipped.into()).expect("the header is whole");
        assert_eq!(stored.runs(None).expect_err("flipped"), "its checksum does not match");
        for (cut, why) in [(3, "does not begin"), (20, "cut off"), (bytes.len() - 1, "cut off")] {
            let error = Stored::decode(&bytes.slice(..cut)).err().expect("cut");
            assert!(error.contains(why), "{error}");
        }
    }
}

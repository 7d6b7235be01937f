//! Where a pipeline stands after an epoch, as bytes: kept beside the epoch in the catalog.
//!
//! ```text
//! "CNPS" version u8 │ length of the header u32 LE │ header, JSON │ held rows, unless they are an object
//! held rows: one Arrow IPC stream per operator, one after the other; the header tells their lengths
//! ```

use std::collections::BTreeMap;
use std::io::Cursor;

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

const MAGIC: &[u8; 4] = b"CNPS";
const VERSION: u8 = 1;
/// Bytes before the header.
const PREFIX: usize = 9;

/// Where a source stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceState {
    /// Everything before it was read.
    pub(crate) position: String,
    /// Event time that is over by the rows that were seen, µs: the latest of what each said.
    pub(crate) time_max: Option<i64>,
    /// When a row came last, µs; none came yet: when the pipeline was made.
    pub(crate) seen: i64,
    /// There will be no more rows.
    pub(crate) ended: bool,
    /// No row that is still to come of what was there at the start is before this, µs.
    pub(crate) floor: Option<i64>,
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
    /// Rows that could not be used.
    #[serde(default)]
    pub(crate) rows_bad: u64,
    /// What sinks outside of the lake hold, by name.
    #[serde(default)]
    pub(crate) sinks: BTreeMap<String, String>,
    /// All sources have ended, and everything was written.
    pub(crate) finished: bool,
}

/// What an operator holds.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) fingerprint: String,
    pub(crate) runs: Vec<RecordBatch>,
}

/// Held rows that are an object of the store.
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
    /// XXH3-64 of the held rows.
    checksum: u64,
}

#[derive(Serialize, Deserialize)]
struct Operator {
    fingerprint: String,
    bytes: usize,
}

/// Held rows as bytes, with what the header says of them.
pub(crate) struct Body {
    operators: Vec<Operator>,
    pub(crate) bytes: Bytes,
}

impl Body {
    /// The runs of all operators, with the columns of each.
    pub(crate) fn encode(held: &[Held], schemas: &[SchemaRef]) -> Result<Self, Error> {
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let (mut bytes, mut operators) = (Vec::new(), Vec::new());
        for (held, schema) in held.iter().zip(schemas) {
            let from = bytes.len();
            let mut writer = StreamWriter::try_new_with_options(&mut bytes, schema, options.clone())?;
            for run in &held.runs {
                writer.write(run)?;
            }
            writer.finish()?;
            drop(writer);
            operators.push(Operator { fingerprint: held.fingerprint.clone(), bytes: bytes.len() - from });
        }
        Ok(Self { operators, bytes: bytes.into() })
    }
}

/// The bytes that stand beside the epoch. With an `object` the body is there.
pub(crate) fn encode(standing: &Standing, body: Body, object: Option<StateObject>) -> Result<Bytes, Error> {
    let checksum = xxh3_64(&body.bytes);
    let header = Header { standing: standing.clone(), operators: body.operators, object, checksum };
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
    Ok(bytes.into())
}

/// A state that was read, before its held rows.
pub(crate) struct Stored {
    pub(crate) standing: Standing,
    pub(crate) object: Option<StateObject>,
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
        if bytes[4] != VERSION {
            return Err(format!("it is of version {}, this binary knows {VERSION}", bytes[4]));
        }
        let length = u32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) as usize;
        let header = bytes.get(PREFIX..PREFIX + length).ok_or("its header is cut off")?;
        let header: Header = serde_json::from_slice(header).map_err(|error| error.to_string())?;
        Ok(Self {
            standing: header.standing,
            object: header.object,
            operators: header.operators,
            checksum: header.checksum,
            inline: bytes.slice(PREFIX + length..),
        })
    }

    /// What the operators hold; `object`: the bytes of the object, if there is one.
    pub(crate) fn held(&self, object: Option<Bytes>) -> Result<Vec<Held>, String> {
        let body = object.unwrap_or_else(|| self.inline.clone());
        if xxh3_64(&body) != self.checksum {
            return Err("its checksum does not match".to_owned());
        }
        let mut from = 0;
        let mut held = Vec::new();
        for operator in &self.operators {
            let bytes = body.get(from..from + operator.bytes).ok_or("it is cut off")?;
            let reader =
                StreamReader::try_new(Cursor::new(bytes), None).map_err(|error| error.to_string())?;
            let runs = reader.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            held.push(Held { fingerprint: operator.fingerprint.clone(), runs });
            from += operator.bytes;
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn standing() -> Standing {
        let source =
            SourceState { position: "7:1:2".into(), time_max: Some(5), seen: 9, ended: false, floor: None };
        Standing {
            now: 10,
            watermark: i64::MIN,
            sources: BTreeMap::from([("s".to_owned(), source)]),
            rows_in: 3,
            rows_out: 2,
            rows_late: 1,
            rows_bad: 4,
            sinks: BTreeMap::from([("out".to_owned(), "17".to_owned())]),
            finished: false,
        }
    }

    fn held() -> (Vec<Held>, Vec<SchemaRef>) {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let run = |values: Vec<i64>| {
            RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(values))]).expect("a batch")
        };
        let full = Held { fingerprint: "a".into(), runs: vec![run(vec![1, 2]), run(vec![3])] };
        let empty = Held { fingerprint: "b".into(), runs: Vec::new() };
        (vec![full, empty], vec![schema.clone(), schema])
    }

    #[test]
    fn a_state_is_read_as_it_was_written_beside_the_epoch_and_as_an_object() {
        let (held, schemas) = held();
        for object in [None, Some(StateObject { id: Uuid::from_u128(7), bytes: 3 })] {
            let body = Body::encode(&held, &schemas).expect("encodes");
            let held_bytes = body.bytes.clone();
            let bytes = encode(&standing(), body, object).expect("encodes");
            let stored = Stored::decode(&bytes).expect("decodes");
            assert_eq!((stored.standing.clone(), stored.object), (standing(), object));
            let read = stored.held(object.map(|_| held_bytes)).expect("decodes");
            assert_eq!(read.len(), 2);
            assert_eq!((read[0].fingerprint.as_str(), &read[0].runs), ("a", &held[0].runs));
            assert!(read[1].runs.is_empty());
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let (held, schemas) = held();
        let body = Body::encode(&held, &schemas).expect("encodes");
        let bytes = encode(&standing(), body, None).expect("encodes");
        let mut flipped = bytes.to_vec();
        let last = flipped.len() - 20;
        flipped[last] ^= 1;
        let stored = Stored::decode(&flipped.into()).expect("the header is whole");
        assert_eq!(stored.held(None).expect_err("flipped"), "its checksum does not match");
        for (cut, why) in [(3, "does not begin"), (20, "cut off")] {
            let error = Stored::decode(&bytes.slice(..cut)).err().expect("cut");
            assert!(error.contains(why), "{error}");
        }
    }
}

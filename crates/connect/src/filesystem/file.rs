//! Which file a row goes to, and what files are called.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use cenote_vocab::Micros;
use chrono::DateTime;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::options::{FilesystemSinkOptions, Partitioning, Strategy};
use crate::Error;

/// What Hive calls the partition of NULL.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";
/// The letters of a ULID.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Directories of a partition, and its rows.
type Partition = (Vec<String>, Vec<RecordBatch>);

/// The rows of each partition, in the columns of the files.
pub(super) fn partitions(
    by: &Partitioning,
    columns: &SchemaRef,
    rows: &[RecordBatch],
) -> Result<Vec<Partition>, Error> {
    let mut found: BTreeMap<Vec<String>, Vec<RecordBatch>> = BTreeMap::new();
    for batch in rows.iter().filter(|batch| batch.num_rows() > 0) {
        let width: Vec<usize> = (0..columns.fields().len()).collect();
        let own = RecordBatch::try_new(columns.clone(), batch.project(&width)?.columns().to_vec())?;
        if *by == Partitioning::default() {
            found.entry(Vec::new()).or_default().push(own);
            continue;
        }
        let mut members: BTreeMap<Vec<String>, Vec<u32>> = BTreeMap::new();
        let directories = Directories::of(by, &own, batch)?;
        for row in 0..batch.num_rows() {
            let row_number = u32::try_from(row).unwrap_or(u32::MAX);
            members.entry(directories.of_row(row)?).or_default().push(row_number);
        }
        for (partition, members) in members {
            let part = take_record_batch(&own, &UInt32Array::from(members))?;
            found.entry(partition).or_default().push(part);
        }
    }
    Ok(found.into_iter().collect())
}

/// Makes directories of rows.
struct Directories<'a> {
    time: Option<(&'a str, &'a arrow::array::TimestampMicrosecondArray)>,
    fields: Vec<(&'a str, &'a dyn Array, ArrayFormatter<'a>)>,
}

const SHOWN: FormatOptions<'static> = FormatOptions::new();

impl<'a> Directories<'a> {
    fn of(by: &'a Partitioning, own: &'a RecordBatch, batch: &'a RecordBatch) -> Result<Self, Error> {
        let times =
            batch.columns().last().and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        let schema = own.schema_ref();
        let field = |name: &'a String| {
            let at = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
            let at = at.ok_or_else(|| {
                Error::Options(format!("partition field '{name}' does not exist in the schema"))
            })?;
            let column = own.column(at).as_ref();
            Ok::<_, Error>((name.as_str(), column, ArrayFormatter::try_new(column, &SHOWN)?))
        };
        Ok(Self {
            time: by.time_pattern.as_deref().zip(times),
            fields: by.fields.iter().map(field).collect::<Result<_, _>>()?,
        })
    }

    fn of_row(&self, row: usize) -> Result<Vec<String>, Error> {
        let mut directories = Vec::new();
        if let Some((pattern, times)) = self.time {
            let at = DateTime::from_timestamp_micros(times.value(row)).unwrap_or_default();
            let text = at.format(pattern).to_string();
            directories.extend(text.split('/').filter(|part| !part.is_empty()).map(str::to_owned));
        }
        for (name, column, shown) in &self.fields {
            let value = match column.is_null(row) {
                true => NULL_PARTITION.to_owned(),
                false => shown.value(row).try_to_string()?,
            };
            directories.push(format!("{name}={value}"));
        }
        Ok(directories)
    }
}

/// Names of the files of one sink: the same for the same epoch and number, and no other sink's.
pub(super) struct Names {
    owner: Uuid,
    sink: String,
    prefix: Option<String>,
    suffix: String,
    strategy: Strategy,
}

impl Names {
    pub(super) fn new(owner: Uuid, sink: &str, options: &FilesystemSinkOptions) -> Self {
        Self {
            owner,
            sink: sink.to_owned(),
            prefix: options.prefix.clone(),
            suffix: options.suffix.clone().unwrap_or_else(|| options.format.extension().to_owned()),
            strategy: options.strategy,
        }
    }

    /// The directory of what this sink has in progress.
    pub(super) fn own(&self) -> String {
        format!("{}-{:08x}", self.owner, xxh3_128(self.sink.as_bytes()) as u32)
    }

    /// Names of an epoch; `now` only orders them.
    pub(super) fn of_epoch(&self, epoch: i64, now: Micros) -> EpochNames<'_> {
        EpochNames { names: self, epoch, now, number: 0 }
    }
}

/// Names that an epoch gives.
pub(super) struct EpochNames<'a> {
    names: &'a Names,
    epoch: i64,
    now: Micros,
    number: u32,
}

impl EpochNames<'_> {
    pub(super) fn next_part(&mut self) -> String {
        self.number += 1;
        format!("{:010}-{:05}.part", self.epoch, self.number)
    }

    pub(super) fn next_file(&mut self) -> String {
        self.number += 1;
        let chance = self.chance();
        let millis = u128::try_from(self.now.0 / 1000).unwrap_or(0) & ((1 << 48) - 1);
        let by_time = (millis << 80) | (chance & ((1 << 80) - 1));
        let stem = match self.names.strategy {
            Strategy::Uuid => uuid::Builder::from_random_bytes(chance.to_be_bytes()).into_uuid().to_string(),
            Strategy::UuidV7 => {
                let bytes = by_time.to_be_bytes();
                let mut random = [0; 10];
                random.copy_from_slice(&bytes[6..]);
                uuid::Builder::from_unix_timestamp_millis(millis as u64, &random).into_uuid().to_string()
            }
            Strategy::Ulid => ulid(by_time),
            Strategy::Serial => format!("{:05}-{:03}", self.epoch, self.number),
        };
        let prefix = self.names.prefix.as_ref().map_or(String::new(), |prefix| format!("{prefix}-"));
        format!("{prefix}{stem}.{}", self.names.suffix)
    }

    /// Bits that the pipeline, its sink, the epoch and the number decide.
    fn chance(&self) -> u128 {
        let mut seed = self.names.owner.as_bytes().to_vec();
        seed.extend_from_slice(self.names.sink.as_bytes());
        seed.extend_from_slice(&self.epoch.to_be_bytes());
        seed.extend_from_slice(&self.number.to_be_bytes());
        xxh3_128(&seed)
    }
}

/// 128 bits as 26 letters.
fn ulid(bits: u128) -> String {
    let letter = |at: u32| char::from(CROCKFORD[(bits >> (5 * at)) as usize & 31]);
    (0..26).rev().map(letter).collect()
}

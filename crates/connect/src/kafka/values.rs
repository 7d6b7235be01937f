//! Values of messages become columns.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use cenote_codec::record::{AtBad, AvroDecoder, DecodedRecords, Decoder, RecordFormat, framed};

use super::options::ValueFormat;
use super::received::Messages;
use super::registry::Registry;
use crate::Error;

/// Records that are decoded at once.
const BATCH_ROWS: usize = 8192;

/// Takes values apart.
#[derive(Clone)]
pub(super) enum Values {
    /// Each is a record.
    Records(Decoder),
    /// Each is lines of records.
    Lines(Decoder),
    /// Each is a record behind the number of a schema that nobody needs.
    Framed(Decoder),
    /// Each is a record behind the number of its schema.
    Avro(AvroDecoder),
}

/// What came of the values of a partition.
#[derive(Debug, Default)]
pub(super) struct DecodedValues {
    /// Rows, each with its message.
    pub(super) batches: Vec<(Vec<usize>, RecordBatch)>,
    pub(super) bad: Vec<BadValue>,
}

/// A record that does not fit.
#[derive(Debug)]
pub(super) struct BadValue {
    pub(super) message: usize,
    pub(super) raw: Vec<u8>,
    pub(super) reason: String,
}

impl Values {
    pub(super) fn new(format: &ValueFormat, columns: SchemaRef) -> Result<Self, Error> {
        Ok(match format {
            ValueFormat::Record(format) => Self::Records(Decoder::new(format.clone(), columns)?),
            ValueFormat::Lines(format) => Self::Lines(Decoder::new(format.clone(), columns)?),
            ValueFormat::RegisteredJson(json) => {
                Self::Framed(Decoder::new(RecordFormat::Json(*json), columns)?)
            }
            ValueFormat::Avro { unstructured } => Self::Avro(AvroDecoder::new(columns, *unstructured)?),
        })
    }

    /// Asks the registry for the schemas of values that it does not know. One that nobody knows makes its records bad.
    pub(super) async fn learn(
        &mut self,
        messages: &Messages,
        registry: Option<&Registry>,
        source_name: &str,
    ) -> Result<(), Error> {
        let (Self::Avro(decoder), Some(registry)) = (self, registry) else { return Ok(()) };
        let numbers = (0..messages.len()).filter_map(|at| framed(messages.value(at)).ok());
        let numbers: BTreeSet<u32> = numbers.map(|(number, _)| number).collect();
        for number in numbers.into_iter().filter(|number| !decoder.knows(*number)).collect::<Vec<_>>() {
            let schema = registry.schema(number).await.map_err(|failure| failure.of_source(source_name))?;
            if let Some(schema) = schema {
                decoder.learn(number, schema);
            }
        }
        Ok(())
    }

    /// Rows of messages.
    pub(super) fn decode(&self, messages: &Messages, at_bad: AtBad) -> DecodedValues {
        let mut decoded = DecodedValues::default();
        let of_message = |at| self.records(messages.value(at)).map(move |record| (at, record));
        let (of, records): (Vec<usize>, Vec<&[u8]>) = (0..messages.len()).flat_map(of_message).unzip();
        for from in (0..records.len()).step_by(BATCH_ROWS) {
            let to = records.len().min(from + BATCH_ROWS);
            let (records, of) = (&records[from..to], &of[from..to]);
            let DecodedRecords { batches, records: rows_of, bad } = self.decode_records(records, at_bad);
            let mut rows_of = rows_of.into_iter();
            for (at, rows) in batches {
                let messages = match rows_of.next() {
                    Some(rows_of) => rows_of.into_iter().map(|record| of[record]).collect(),
                    None => of[at..at + rows.num_rows()].to_vec(),
                };
                decoded.batches.push((messages, rows));
            }
            let is_over = at_bad == AtBad::Stop && !bad.is_empty();
            decoded.bad.extend(bad.into_iter().map(|(at, reason)| BadValue {
                message: of[at],
                raw: records[at].to_vec(),
                reason,
            }));
            if is_over {
                break;
            }
        }
        decoded
    }

    /// The records of a value.
    fn records<'a>(&self, value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let is_whole = !matches!(self, Self::Lines(_));
        // the last line may have an end
        let value = value.strip_suffix(b"\n").filter(|_| !is_whole).unwrap_or(value);
        value.split(move |byte| !is_whole && *byte == b'\n')
    }

    fn decode_records(&self, records: &[&[u8]], at_bad: AtBad) -> DecodedRecords {
        match self {
            Self::Records(decoder) | Self::Lines(decoder) => decoder.decode(records, at_bad),
            Self::Avro(decoder) => decoder.decode(records, at_bad),
            Self::Framed(decoder) => decode_framed(decoder, records, at_bad),
        }
    }
}

/// Records without what stands before them; those without it are bad.
fn decode_framed(decoder: &Decoder, records: &[&[u8]], at_bad: AtBad) -> DecodedRecords {
    let mut decoded = DecodedRecords::default();
    let values: Vec<Result<&[u8], String>> =
        records.iter().map(|record| framed(record).map(|(_, value)| value)).collect();
    let mut start = 0;
    while let Some(first) = values.get(start) {
        if let Err(reason) = first {
            decoded.bad.push((start, reason.clone()));
            start += 1;
        } else {
            let good: Vec<&[u8]> = values[start..].iter().map_while(|value| value.as_deref().ok()).collect();
            let range: Range<usize> = start..start + good.len();
            let part = decoder.decode(&good, at_bad);
            decoded.batches.extend(part.batches.into_iter().map(|(at, rows)| (range.start + at, rows)));
            decoded.bad.extend(part.bad.into_iter().map(|(at, reason)| (range.start + at, reason)));
            start = range.end;
        }
        if at_bad == AtBad::Stop && !decoded.bad.is_empty() {
            break;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use cenote_codec::record::JsonOptions;

    use super::*;

    #[test]
    fn what_has_no_number_before_it_is_bad_and_its_neighbours_are_not() {
        let columns = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let decoder = Decoder::new(RecordFormat::Json(JsonOptions::default()), columns).expect("fits");
        let records: [&[u8]; 5] = [
            b"\0\0\0\0\x01{\"n\":1}",
            b"{\"n\":2}",
            b"\0\0\0\0\x01{\"n\":3}",
            b"\0\0\0\0\x02{\"n\":4}",
            b"\0\0\0\0\x02{",
        ];
        let decoded = decode_framed(&decoder, &records, AtBad::GoOn);
        let rows: Vec<(usize, usize)> =
            decoded.batches.iter().map(|(at, rows)| (*at, rows.num_rows())).collect();
        let bad: Vec<usize> = decoded.bad.iter().map(|(at, _)| *at).collect();
        assert_eq!((rows, bad), (vec![(0, 1), (2, 1), (3, 1)], vec![1, 4]));
        assert_eq!(decode_framed(&decoder, &records, AtBad::Stop).bad.len(), 1);
    }
}

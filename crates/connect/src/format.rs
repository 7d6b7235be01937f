//! `format = '…'`: records of a file or message, or a file that has its own shape.

use arrow::datatypes::{Schema, SchemaRef};
use cenote_codec::record::{Decimals, Decoder, JsonOptions, RecordFormat, Timestamps, VALUE};
use parquet::basic::{Compression, ZstdLevel};

use crate::options::bytes;
use crate::{Error, Options};

/// How files are written.
#[derive(Clone, Debug, PartialEq)]
pub enum FileFormat {
    /// One after the other.
    Records(RecordFormat),
    /// Parquet.
    Parquet(ParquetOptions),
}

/// `parquet.…`
#[derive(Clone, Debug, PartialEq)]
pub struct ParquetOptions {
    /// Of all columns.
    pub compression: Compression,
    /// Bytes of a row group, about.
    pub row_group_bytes: usize,
}

/// Bytes of a row group without an option.
const ROW_GROUP_BYTES: usize = 128 << 20;

impl FileFormat {
    /// Takes the options of a format out; without one it is JSON.
    pub fn take(options: &mut Options) -> Result<Self, Error> {
        if !options.is("format", "parquet") {
            return record_format(options).map(Self::Records);
        }
        drop(options.take("format"));
        let compression = options.either("parquet.compression", "parquet_compression");
        let compression = options.chosen(
            "parquet.compression",
            compression,
            &[
                ("zstd", Compression::ZSTD(ZstdLevel::default())),
                ("snappy", Compression::SNAPPY),
                ("gzip", Compression::GZIP(parquet::basic::GzipLevel::default())),
                ("lz4", Compression::LZ4_RAW),
                ("none", Compression::UNCOMPRESSED),
                ("uncompressed", Compression::UNCOMPRESSED),
            ],
        )?;
        let row_group_bytes = match options.either("parquet.row_group_size", "parquet.row_group_bytes") {
            None => ROW_GROUP_BYTES,
            Some(text) => bytes(&text).and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
                Error::Options(format!("option 'parquet.row_group_size' is a size, got '{text}'"))
            })?,
        };
        Ok(Self::Parquet(ParquetOptions { compression, row_group_bytes }))
    }

    /// The end of the names of its files.
    pub fn extension(&self) -> &'static str {
        match self {
            Self::Parquet(_) => "parquet",
            Self::Records(RecordFormat::Json(_) | RecordFormat::DebeziumJson(_)) => "json",
            Self::Records(RecordFormat::Csv) => "csv",
            Self::Records(RecordFormat::RawString) => "txt",
            Self::Records(RecordFormat::RawBytes) => "bin",
        }
    }

    /// True if its records are changes of rows.
    pub fn is_changelog(&self) -> bool {
        matches!(self, Self::Records(RecordFormat::DebeziumJson(_)))
    }

    /// Fails if files cannot have such columns.
    pub fn check(&self, columns: &SchemaRef) -> Result<(), Error> {
        match self {
            Self::Records(format) => {
                Decoder::new(format.clone(), columns.clone())
                    .map_err(|error| Error::Options(error.to_string()))?;
                Ok(())
            }
            Self::Parquet(_) => Ok(()),
        }
    }

    /// Fails if rows with these columns cannot be written so.
    pub fn check_sink(&self, columns: &Schema) -> Result<(), Error> {
        match self {
            Self::Records(format) => check_records(format, columns),
            Self::Parquet(_) => Ok(()),
        }
    }
}

/// Fails if rows with these columns are no such records.
pub(crate) fn check_records(format: &RecordFormat, columns: &Schema) -> Result<(), Error> {
    let one = match format {
        RecordFormat::RawString => "raw_string",
        RecordFormat::RawBytes => "raw_bytes",
        _ => return Ok(()),
    };
    match columns.fields().len() {
        1 => Ok(()),
        given => Err(Error::Options(format!("format '{one}' has exactly one column, {VALUE}, got {given}"))),
    }
}

/// Takes the options of a format of records out; without one it is JSON.
pub(crate) fn record_format(options: &mut Options) -> Result<RecordFormat, Error> {
    let format = options.take("format").unwrap_or_else(|| "json".to_owned());
    if let Some(framing) = options.take("framing") {
        options.chosen("framing", Some(framing), &[("newline", ())])?;
    }
    match format.as_str() {
        "json" => {
            let unstructured = options.flag("json.unstructured")?;
            let usual = JsonOptions { unstructured, ..JsonOptions::default() };
            Ok(RecordFormat::Json(json(options, "json", usual)?))
        }
        "debezium_json" => {
            let usual = JsonOptions {
                unstructured: false,
                timestamps: Timestamps::UnixMillis,
                decimals: Decimals::Bytes,
            };
            Ok(RecordFormat::DebeziumJson(json(options, "debezium_json", usual)?))
        }
        "csv" => Ok(RecordFormat::Csv),
        "raw_string" => Ok(RecordFormat::RawString),
        "raw_bytes" => Ok(RecordFormat::RawBytes),
        "avro" | "protobuf" => Err(Error::Unsupported(format!("format '{format}'"))),
        "parquet" => Err(Error::Options("format 'parquet' is one of files, not of records".to_owned())),
        other => Err(Error::Options(format!(
            "unknown format '{other}'; formats are json, debezium_json, csv, raw_string, raw_bytes, parquet"
        ))),
    }
}

fn json(options: &mut Options, format: &str, usual: JsonOptions) -> Result<JsonOptions, Error> {
    for later in ["confluent_schema_registry", "include_schema"] {
        let name = format!("{format}.{later}");
        if options.flag(&name)? {
            return Err(Error::Unsupported(format!("option '{name}'")));
        }
    }
    let name = format!("{format}.timestamp_format");
    let timestamps = match options.take(&name) {
        None => usual.timestamps,
        given => options.chosen(
            &name,
            given,
            &[("rfc3339", Timestamps::Rfc3339), ("unix_millis", Timestamps::UnixMillis)],
        )?,
    };
    let name = format!("{format}.decimal_encoding");
    let decimals = match options.take(&name) {
        None => usual.decimals,
        given => options.chosen(
            &name,
            given,
            &[("number", Decimals::Number), ("string", Decimals::String), ("bytes", Decimals::Bytes)],
        )?,
    };
    Ok(JsonOptions { timestamps, decimals, ..usual })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(given: &[(&str, &str)]) -> Result<FileFormat, Error> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut options = Options::new(given);
        let format = FileFormat::take(&mut options)?;
        options.end()?;
        Ok(format)
    }

    #[test]
    fn formats_are_read_with_their_options() {
        assert_eq!(take(&[]).expect("json"), FileFormat::Records(RecordFormat::Json(JsonOptions::default())));
        let debezium = take(&[("format", "debezium_json"), ("debezium_json.decimal_encoding", "string")]);
        let FileFormat::Records(RecordFormat::DebeziumJson(options)) = debezium.expect("fits") else {
            panic!("debezium")
        };
        assert_eq!((options.timestamps, options.decimals), (Timestamps::UnixMillis, Decimals::String));
        let parquet = take(&[
            ("format", "parquet"),
            ("parquet.compression", "snappy"),
            ("parquet.row_group_size", "1MB"),
        ]);
        let expected = ParquetOptions { compression: Compression::SNAPPY, row_group_bytes: 1_000_000 };
        assert_eq!(parquet.expect("fits"), FileFormat::Parquet(expected));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (given, expected) in [
            (&[("format", "xml")][..], "unknown format 'xml'"),
            (&[("format", "avro")], "format 'avro' is not supported yet"),
            (
                &[("json.confluent_schema_registry", "true")],
                "option 'json.confluent_schema_registry' is not supported yet",
            ),
            (
                &[("json.timestamp_format", "iso")],
                "option 'json.timestamp_format' is one of 'rfc3339', 'unix_millis', got 'iso'",
            ),
            (&[("framing", "length")], "option 'framing' is one of 'newline', got 'length'"),
            (
                &[("format", "csv"), ("json.unstructured", "true")],
                "unknown options provided in WITH clause: 'json.unstructured'",
            ),
        ] {
            let error = take(given).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

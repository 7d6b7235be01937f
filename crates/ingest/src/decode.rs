//! A body becomes rows: capped decompression, then the decoder of its format.

use bytes::Bytes;
use cenote_catalog::Names;
use cenote_codec::{
    Decoded, Known, KnownColumns, Limits, compression, csv, json, line_protocol, message_pack,
};
use cenote_vocab::Micros;

use crate::{Error, Format};

/// First guess of how much larger a compressed body is when plain.
pub(crate) const EXPANSION_GUESS: u64 = 16;
/// How much the guess grows when it was too small.
pub(crate) const EXPANSION_STEP: u64 = 8;
/// Smallest guess, in bytes.
pub(crate) const PLAIN_GUESS_MIN: u64 = 64 << 10;

impl Format {
    /// The format's word in metrics and hashes.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::LineProtocol { .. } => "line_protocol",
            Self::MessagePack { .. } => "message_pack",
            Self::Json { .. } => "json",
            Self::Csv { .. } => "csv",
        }
    }

    /// How many bytes of Arrow arrays a byte of the body may become, in the formats' usual dense forms.
    pub(crate) fn expansion(&self) -> u64 {
        match self {
            Self::LineProtocol { .. } => 2,
            Self::Json { .. } | Self::Csv { .. } => 4,
            Self::MessagePack { .. } => 8,
        }
    }

    /// True if the decoder asks what the table knows, so that another state of the table may give other rows.
    pub(crate) fn reads_known_columns(&self) -> bool {
        matches!(self, Self::LineProtocol { .. } | Self::Csv { .. })
    }

    /// True if fractions turn a BIGINT column into DOUBLE; line protocol keeps its clients' promise of a type.
    pub(crate) fn widens(&self) -> bool {
        !matches!(self, Self::LineProtocol { .. })
    }

    /// True if bad lines or items are left out unless the request says otherwise.
    pub(crate) fn is_lines(&self) -> bool {
        matches!(self, Self::LineProtocol { .. })
    }
}

/// True if the body begins as gzip or zstd does.
pub(crate) fn is_compressed(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b]) || body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

/// The plain body, or `None` if it does not fit into `bytes_max` and a larger bound up to `limit` may help.
pub(crate) fn decompress(body: Bytes, bytes_max: u64, limit: u64) -> Result<Option<Bytes>, Error> {
    match compression::decompress(body, bytes_max) {
        Ok(plain) => Ok(Some(plain)),
        // A zstd window may be larger than the bound too; a broken body is found broken again at the limit.
        Err(_) if bytes_max < limit => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The rows of a plain body.
pub(crate) fn decode(
    body: &[u8],
    format: &Format,
    accept_partial: bool,
    received: Micros,
    limits: Limits,
    known: &dyn KnownColumns,
) -> Result<Decoded, cenote_codec::Error> {
    match format {
        Format::LineProtocol { precision } => {
            let options = line_protocol::Options { precision: *precision, received, limits };
            line_protocol::decode(body, &options, known)
        }
        Format::MessagePack { precision } => {
            let options = message_pack::Options { precision: *precision, received, accept_partial, limits };
            message_pack::decode(body, &options)
        }
        Format::Json { table, time_column, precision, tags } => {
            let options = json::Options {
                table: table.clone(),
                time_column: time_column.clone(),
                tags: tags.clone(),
                precision: *precision,
                received,
                limits,
            };
            json::decode(body, &options)
        }
        Format::Csv { table, time_column, time_format, delimiter, skip_rows, header, null, tags } => {
            let options = csv::Options {
                table: table.clone(),
                time_column: time_column.clone(),
                time_format: *time_format,
                delimiter: *delimiter,
                skip_rows: *skip_rows,
                header: *header,
                null: null.clone(),
                tags: tags.clone(),
                received,
                limits,
            };
            csv::decode(body, &options, known)
        }
    }
}

/// What the catalog knows of the columns of one database.
pub(crate) struct NamedColumns<'a> {
    pub(crate) names: &'a Names,
    pub(crate) database: &'a str,
}

impl KnownColumns for NamedColumns<'_> {
    fn column(&self, table: &str, column: &str) -> Option<Known> {
        let table = self.names.schemas.get(self.database)?.1.get(table)?;
        let field = table.schema.field(column)?;
        let tag = table.tags().any(|tag| tag.id == field.id);
        Some(Known { field_type: field.field_type.clone(), tag })
    }
}

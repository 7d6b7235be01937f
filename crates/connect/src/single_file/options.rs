//! `WITH (connector = 'single_file', …)`

use crate::connector::Column;
use crate::file_reader::check_columns;
use crate::format::FileFormat;
use crate::{Error, FileCompression, Options};

/// A file and how it is written.
#[derive(Clone, Debug)]
pub struct SingleFileOptions {
    /// Its path.
    pub path: String,
    /// Its format.
    pub format: FileFormat,
    /// Its compression.
    pub compression: FileCompression,
}

impl SingleFileOptions {
    /// Takes the options of a source with these columns.
    pub(crate) fn source(options: &mut Options, columns: &[Column]) -> Result<Self, Error> {
        let compressions = [
            ("none", FileCompression::None),
            ("zstd", FileCompression::Zstd),
            ("gzip", FileCompression::Gzip),
        ];
        let compression = options.choice("source.compression", &compressions)?;
        let taken = Self { path: path(options)?, format: FileFormat::take(options)?, compression };
        check_columns(&taken.format, columns)?;
        Ok(taken)
    }

    /// Takes the options of a sink.
    pub(crate) fn sink(options: &mut Options) -> Result<Self, Error> {
        let (path, format) = (path(options)?, FileFormat::take(options)?);
        if let FileFormat::Parquet(_) = format {
            return Err(Error::Options(
                "format 'parquet' cannot be appended to: use connector 'filesystem'".to_owned(),
            ));
        }
        Ok(Self { path, format, compression: FileCompression::None })
    }
}

/// A path of the local disk.
fn path(options: &mut Options) -> Result<String, Error> {
    let path = options.require("path")?;
    Ok(path.strip_prefix("file://").map_or(path.clone(), str::to_owned))
}

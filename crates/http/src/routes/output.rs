//! Formats of an answer, and how a request names them.

use crate::call::Call;
use crate::database::paired;
use crate::encode::{
    Compression, CsvEncoder, Encoder, IpcEncoder, IpcOptions, JsonEncoder, LinesEncoder, Style,
};
use crate::problem::Problem;

/// How the rows go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// `{"columns", "data"}`
    Json,
    /// One array of objects.
    Objects,
    /// One object per line.
    Lines,
    Csv,
    Arrow(IpcOptions),
}

impl Output {
    /// By `Accept`, else by `format`, else JSON. 400 for a format that does not exist, 501 for one that is not built.
    pub(super) fn of(call: &Call, format: Option<&str>) -> Result<Self, Problem> {
        if let Some(accept) = call.header("accept") {
            for media_type in accept.split(',') {
                match media_type.split(';').next().unwrap_or("").trim() {
                    "application/vnd.apache.arrow.stream" => return Ok(Self::Arrow(IpcOptions::default())),
                    "text/csv" => return Ok(Self::Csv),
                    "application/x-ndjson" | "application/jsonl" => return Ok(Self::Lines),
                    "application/msgpack" | "application/x-msgpack" => {
                        return Err(Problem::not_built("format msgpack"));
                    }
                    "application/vnd.apache.parquet" => return Err(Problem::not_built("format parquet")),
                    "application/json" => return Ok(Self::Json),
                    _ => {}
                }
            }
        }
        Self::named(format.unwrap_or("json"))
    }

    fn named(format: &str) -> Result<Self, Problem> {
        Ok(match format {
            "json" => Self::Json,
            "csv" => Self::Csv,
            "ndjson" | "jsonl" => Self::Lines,
            "arrow" => Self::Arrow(IpcOptions::default()),
            "msgpack" | "parquet" => return Err(Problem::not_built(&format!("format {format}"))),
            other => {
                let text = format!("unknown format {other:?}: expected json, csv, ndjson or arrow");
                return Err(Problem::bad_request(text));
            }
        })
    }

    /// InfluxDB 3's names.
    pub(super) fn of_v3(format: Option<&str>) -> Result<Self, Problem> {
        match format.unwrap_or("json") {
            "json" => Ok(Self::Objects),
            "pretty" => Err(Problem::not_built("format pretty")),
            other => Self::named(other),
        }
    }

    /// Arc's Arrow path, with its two headers.
    pub(super) fn arc_arrow(call: &Call, exact: bool) -> Result<Self, Problem> {
        let compression = match paired(&call.headers, "arrow-compression") {
            None => None,
            Some("zstd") => Some(Compression::Zstd),
            Some("lz4") => Some(Compression::Lz4),
            Some(other) => {
                let text = format!("x-arc-arrow-compression must be zstd or lz4, got {other:?}");
                return Err(Problem::bad_request(text));
            }
        };
        let dictionaries = paired(&call.headers, "arrow-dictionary") == Some("true");
        Ok(Self::Arrow(IpcOptions { dictionaries, plain_decimals: !exact, compression }))
    }

    /// The encoder of one answer.
    pub(super) fn encoder(self, style: Style) -> Box<dyn Encoder> {
        match self {
            Self::Json => Box::new(JsonEncoder::new(style)),
            Self::Objects => Box::new(LinesEncoder::array(style)),
            Self::Lines => Box::new(LinesEncoder::lines(style)),
            Self::Csv => Box::new(CsvEncoder::default()),
            Self::Arrow(options) => Box::new(IpcEncoder::new(options)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_are_not_built_are_not_bad_requests() {
        assert_eq!(Output::named("jsonl").expect("known"), Output::Lines);
        assert_eq!(Output::named("parquet").expect_err("later").status.as_u16(), 501);
        assert_eq!(Output::named("xml").expect_err("unknown").status.as_u16(), 400);
        assert_eq!(Output::of_v3(None).expect("known"), Output::Objects);
    }
}

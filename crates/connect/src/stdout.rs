//! `stdout`: a line for each row on the standard output of the process.

use std::io::Write as _;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_codec::record::{CHANGE, RecordFormat, encode};

use crate::Error;
use crate::sink::{EpochRows, Sink, SinkClass};

/// The writer of lines.
pub struct Stdout {
    format: RecordFormat,
}

impl Stdout {
    /// Of records in a format.
    pub fn new(format: RecordFormat) -> Self {
        Self { format }
    }

    /// Rows that come and go say so.
    fn format_of(&self, batch: &RecordBatch) -> RecordFormat {
        match &self.format {
            RecordFormat::Json(options) if batch.schema().column_with_name(CHANGE).is_some() => {
                RecordFormat::DebeziumJson(*options)
            }
            format => format.clone(),
        }
    }
}

#[async_trait]
impl Sink for Stdout {
    fn class(&self) -> SinkClass {
        SinkClass::AtLeastOnce
    }

    async fn restore(&mut self, _state: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn stage(&mut self, _state: &str, rows: EpochRows<'_>) -> Result<String, Error> {
        let mut lines = Vec::new();
        for batch in rows.rows {
            encode(&self.format_of(batch), batch, &mut lines)?;
        }
        let written = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(&lines).and_then(|()| out.flush())
        });
        let failed = |reason: String| Error::SinkUnavailable { sink_name: "stdout".to_owned(), reason };
        written
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        Ok(String::new())
    }

    async fn finish(&mut self, _state: &str) -> Result<(), Error> {
        Ok(())
    }
}

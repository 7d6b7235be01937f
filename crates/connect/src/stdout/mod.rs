//! `stdout`: a line for each row on the standard output of the process; on a terminal results that change are a table.

mod screen;

use std::io::{IsTerminal as _, Write as _};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use cenote_codec::record::{CHANGE, RecordFormat, encode};
use parking_lot::Mutex;

use self::screen::Screen;
use crate::Error;
use crate::sink::{EpochRows, Sink, SinkClass};

/// There is one standard output, whoever writes.
static SCREEN: Mutex<Option<Screen>> = Mutex::new(None);

/// The writer of lines.
pub struct Stdout {
    name: String,
    format: RecordFormat,
}

impl Stdout {
    /// Of records in a format; `name` tells tables apart.
    pub fn new(name: &str, format: RecordFormat) -> Self {
        Self { name: name.to_owned(), format }
    }

    /// The bytes that say what these rows are.
    fn bytes(&self, rows: &[RecordBatch], is_terminal: bool) -> Result<Vec<u8>, Error> {
        let mut screen = SCREEN.lock();
        let screen = screen.get_or_insert_default();
        let mut lines = Vec::new();
        for batch in rows {
            match &self.format {
                RecordFormat::Json(options) if batch.schema().column_with_name(CHANGE).is_some() => {
                    if !is_terminal || !screen.change(&self.name, batch)? {
                        encode(&RecordFormat::DebeziumJson(*options), batch, &mut lines)?;
                    }
                }
                format => encode(format, batch, &mut lines)?,
            }
        }
        Ok(if is_terminal { screen.draw(&lines) } else { lines })
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
        if rows.rows.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(String::new());
        }
        let bytes = self.bytes(rows.rows, std::io::stdout().is_terminal())?;
        let written = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush())
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

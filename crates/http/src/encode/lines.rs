//! One JSON object per row: a line each, or the items of one array.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::cell::write_json_text;
use super::json::columns;
use super::{Encoder, Style, Summary};

/// Rows as objects.
pub(crate) struct LinesEncoder {
    style: Style,
    array: bool,
    rows: u64,
    keys: Vec<Vec<u8>>,
}

impl LinesEncoder {
    /// NDJSON.
    pub(crate) fn lines(style: Style) -> Self {
        Self { style, array: false, rows: 0, keys: Vec::new() }
    }

    /// One array of objects, as InfluxDB 3 answers `format=json`.
    pub(crate) fn array(style: Style) -> Self {
        Self { style, array: true, rows: 0, keys: Vec::new() }
    }
}

impl Encoder for LinesEncoder {
    fn media_type(&self) -> &'static str {
        if self.array { "application/json" } else { "application/x-ndjson" }
    }

    fn begin(&mut self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        self.keys =
            schema.fields().iter().enumerate().map(|(index, field)| key(index, field.name())).collect();
        if self.array {
            out.push(b'[');
        }
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let cells = columns(batch, self.style)?;
        for row in 0..batch.num_rows() {
            if self.array && self.rows > 0 {
                out.push(b',');
            }
            self.rows += 1;
            out.push(b'{');
            for (key, column) in self.keys.iter().zip(&cells) {
                out.extend_from_slice(key);
                column.write_json(row, out);
            }
            out.push(b'}');
            if !self.array {
                out.push(b'\n');
            }
        }
        Ok(())
    }

    fn end(&mut self, _summary: &Summary, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.array {
            out.push(b']');
        }
        Ok(())
    }
}

/// `,"name":`, made once per answer.
fn key(index: usize, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 4);
    if index > 0 {
        key.push(b',');
    }
    write_json_text(name, &mut key);
    key.push(b':');
    key
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn rows_become_lines_or_items_of_one_array() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n\"", Arc::new(Int64Array::from(vec![1, 2]))),
            ("s", Arc::new(StringArray::from(vec![Some("a"), None]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let text = |mut encoder: LinesEncoder| {
            let mut out = Vec::new();
            encoder.begin(&batch.schema(), &mut out).expect("begin");
            encoder.batch(&batch, &mut out).expect("batch");
            encoder.batch(&batch.slice(0, 1), &mut out).expect("batch");
            encoder.end(&Summary::default(), &mut out).expect("end");
            String::from_utf8(out).expect("text")
        };
        let (one, two) = (r#"{"n\"":1,"s":"a"}"#, r#"{"n\"":2,"s":null}"#);
        assert_eq!(text(LinesEncoder::lines(Style::default())), format!("{one}\n{two}\n{one}\n"));
        assert_eq!(text(LinesEncoder::array(Style::default())), format!("[{one},{two},{one}]"));
    }
}

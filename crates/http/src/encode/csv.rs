//! CSV by RFC 4180, with a header line.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::json::columns;
use super::{Encoder, Style, Summary};

/// NULL is the empty cell, the empty text is `""`.
#[derive(Default)]
pub(crate) struct CsvEncoder {
    scratch: Vec<u8>,
}

impl Encoder for CsvEncoder {
    fn media_type(&self) -> &'static str {
        "text/csv; charset=utf-8"
    }

    fn begin(&mut self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_cell(field.name().as_bytes(), out);
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let cells = columns(batch, Style::default())?;
        for row in 0..batch.num_rows() {
            for (index, column) in cells.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                if column.is_bare() {
                    column.write_text(row, out);
                } else if !column.is_null(row) {
                    self.scratch.clear();
                    column.write_text(row, &mut self.scratch);
                    write_cell(&self.scratch, out);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    fn end(&mut self, _summary: &Summary, _out: &mut Vec<u8>) -> Result<(), ArrowError> {
        Ok(())
    }
}

fn write_cell(text: &[u8], out: &mut Vec<u8>) {
    let quoted = text.is_empty()
        || text.iter().any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'))
        || text.first() == Some(&b' ')
        || text.last() == Some(&b' ');
    if !quoted {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn cells_are_quoted_only_where_they_must_be() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a,b", Arc::new(StringArray::from(vec![Some("plain"), Some("say \"hi\"\n"), Some(""), None]))),
            ("n", Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MIN), Some(0)]))),
            ("f", Arc::new(Float64Array::from(vec![1.5, f64::NAN, f64::NEG_INFINITY, 1e300]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let mut encoder = CsvEncoder::default();
        let mut out = Vec::new();
        encoder.begin(&batch.schema(), &mut out).expect("header");
        encoder.batch(&batch, &mut out).expect("rows");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "\"a,b\",n,f\r\nplain,1,1.5\r\n\"say \"\"hi\"\"\n\",,NaN\r\n\"\",-9223372036854775808,-inf\r\n,0,1e+300\r\n"
        );
    }
}

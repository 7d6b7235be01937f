//! `{"success":true,"columns":[…],"data":[[…]…],…}`, written as it streams.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use serde_json::{Map, Value, json};

use super::cell::{Cells, write_json_text};
use super::{Break, Encoder, Style, Summary, sql_types};

/// Rows as arrays inside one object.
pub(crate) struct JsonEncoder {
    style: Style,
    rows: u64,
}

impl JsonEncoder {
    pub(crate) fn new(style: Style) -> Self {
        Self { style, rows: 0 }
    }
}

impl Encoder for JsonEncoder {
    fn media_type(&self) -> &'static str {
        "application/json"
    }

    fn begin(&mut self, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        out.extend_from_slice(b"{\"success\":true,\"columns\":");
        write_names(schema.fields().iter().map(|field| field.name().as_str()), out);
        out.extend_from_slice(b",\"types\":");
        write_names(sql_types(schema).iter().map(String::as_str), out);
        out.extend_from_slice(b",\"data\":[");
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let cells = columns(batch, self.style)?;
        for row in 0..batch.num_rows() {
            if self.rows > 0 {
                out.push(b',');
            }
            self.rows += 1;
            write_row(&cells, row, out);
        }
        Ok(())
    }

    fn end(&mut self, summary: &Summary, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        out.extend_from_slice(b"]");
        write_members(&tail(summary), out);
        out.extend_from_slice(b"}");
        Ok(())
    }

    fn fail(&mut self, broken: &Break, out: &mut Vec<u8>) {
        out.extend_from_slice(b"]");
        let members = members(json!({
            "error": broken.error,
            "sqlstate": broken.sqlstate,
            "truncated": true,
            "truncation_reason": broken.reason,
        }));
        write_members(&members, out);
        out.extend_from_slice(b"}");
    }
}

/// The rows of a batch as JSON arrays, separated by commas; for answers that hold several results.
pub(crate) fn rows_json(batch: &RecordBatch, style: Style, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let cells = columns(batch, style)?;
    for row in 0..batch.num_rows() {
        if row > 0 {
            out.push(b',');
        }
        write_row(&cells, row, out);
    }
    Ok(())
}

pub(super) fn columns(batch: &RecordBatch, style: Style) -> Result<Vec<Cells<'_>>, ArrowError> {
    let schema = batch.schema_ref();
    batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| Cells::of(column, field, style))
        .collect()
}

fn write_row(cells: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, column) in cells.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        column.write_json(row, out);
    }
    out.push(b']');
}

fn write_names<'a>(names: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, name) in names.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_text(name, out);
    }
    out.push(b']');
}

fn tail(summary: &Summary) -> Map<String, Value> {
    let mut tail = members(json!({
        "row_count": summary.rows,
        "execution_time_ms": summary.execution_ms,
        "timestamp": summary.timestamp,
        "txn": summary.outcome.txn,
    }));
    if summary.profile {
        let profile = json!({
            "total_ms": summary.execution_ms,
            "planner_ms": summary.planner_ms,
            "execution_ms": summary.execution_ms - summary.planner_ms,
            "latency_ms": summary.execution_ms,
            "files_scanned": summary.outcome.files_scanned,
            "files_pruned": summary.outcome.files_pruned,
        });
        tail.insert("profile".into(), profile);
    }
    if let Some(row_cap) = summary.row_cap {
        tail.insert("truncated".into(), true.into());
        tail.insert("row_cap".into(), row_cap.into());
    }
    tail
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn write_members(members: &Map<String, Value>, out: &mut Vec<u8>) {
    for (name, value) in members {
        out.push(b',');
        write_json_text(name, out);
        out.push(b':');
        serde_json::to_writer(&mut *out, value).expect("a vector takes all bytes");
    }
}

#[cfg(test)]
mod tests;

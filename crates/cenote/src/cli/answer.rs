//! Prints an answer.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::ipc::writer::StreamWriter;
use arrow::json::{LineDelimitedWriter, WriterBuilder as JsonWriterBuilder, writer::JsonArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::Format;
use super::client::Answer;
use super::failure::Failure;

const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// Writes rows in the format; a statement without rows is silent except in a box.
pub(super) fn print(answer: &Answer, format: Format, null: &str, mut out: impl Write) -> Result<(), Failure> {
    let Some(schema) = &answer.schema else {
        if format == Format::Box {
            writeln!(out, "{}", tag(answer))?;
        }
        return Ok(());
    };
    match format {
        Format::Box => print_box(answer, out),
        Format::Csv => {
            let mut writer = CsvWriterBuilder::new()
                .with_header(true)
                .with_null(null.to_owned())
                .with_timestamp_format(TIMESTAMP.to_owned())
                .with_timestamp_tz_format(TIMESTAMP.to_owned())
                .build(out);
            if answer.batches.is_empty() {
                writer.write(&RecordBatch::new_empty(schema.clone())).map_err(broken)?;
            }
            answer.batches.iter().try_for_each(|batch| writer.write(batch)).map_err(broken)
        }
        Format::Json => {
            let mut writer = json_options().build::<_, JsonArray>(&mut out);
            writer.write_batches(&answer.batches.iter().collect::<Vec<_>>()).map_err(broken)?;
            writer.finish().map_err(broken)?;
            drop(writer);
            Ok(writeln!(out)?)
        }
        Format::Jsonl => {
            let mut writer: LineDelimitedWriter<_> = json_options().build(out);
            writer.write_batches(&answer.batches.iter().collect::<Vec<_>>()).map_err(broken)?;
            writer.finish().map_err(broken)
        }
        Format::Arrow => {
            let mut writer = StreamWriter::try_new(out, schema).map_err(broken)?;
            answer.batches.iter().try_for_each(|batch| writer.write(batch)).map_err(broken)?;
            writer.finish().map_err(broken)
        }
    }
}

fn json_options() -> JsonWriterBuilder {
    JsonWriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIMESTAMP.to_owned())
        .with_timestamp_tz_format(TIMESTAMP.to_owned())
}

fn tag(answer: &Answer) -> String {
    match answer.command.as_str() {
        "INSERT" => format!("INSERT 0 {}", answer.rows),
        "DELETE" | "UPDATE" | "MERGE" | "SELECT" => format!("{} {}", answer.command, answer.rows),
        command => command.to_owned(),
    }
}

fn print_box(answer: &Answer, mut out: impl Write) -> Result<(), Failure> {
    let Some(schema) = &answer.schema else { return Ok(()) };
    let options = display_options();
    let mut table = Table::new();
    table
        .load_preset(comfy_table::presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(schema.fields().iter().map(|field| field.name()));
    for batch in &answer.batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()
            .map_err(broken)?;
        for row in 0..batch.num_rows() {
            table.add_row(columns.iter().map(|column| column.value(row).to_string()));
        }
    }
    for (n, field) in schema.fields().iter().enumerate() {
        if field.data_type().is_numeric()
            && let Some(column) = table.column_mut(n)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(out, "{table}")?;
    let plural = if answer.rows == 1 { "" } else { "s" };
    let cut = if answer.truncated { " (cut by \\maxrows)" } else { "" };
    Ok(writeln!(out, "{} row{plural}{cut}", answer.batches.iter().map(RecordBatch::num_rows).sum::<usize>())?)
}

/// Writes each row as `column | value` lines (`\\x`).
pub(super) fn print_lines(answer: &Answer, mut out: impl Write) -> Result<(), Failure> {
    let Some(schema) = &answer.schema else {
        return Ok(writeln!(out, "{}", tag(answer))?);
    };
    let width = schema.fields().iter().map(|field| field.name().chars().count()).max().unwrap_or(0);
    let options = display_options();
    let mut number = 0;
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            number += 1;
            writeln!(out, "-[ row {number} ]")?;
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                let formatter = ArrayFormatter::try_new(column, &options).map_err(broken)?;
                writeln!(out, "{:width$} | {}", field.name(), formatter.value(row))?;
            }
        }
    }
    Ok(())
}

fn display_options() -> FormatOptions<'static> {
    FormatOptions::new()
        .with_null("NULL")
        .with_timestamp_format(Some(TIMESTAMP))
        .with_timestamp_tz_format(Some(TIMESTAMP))
        .with_display_error(true)
}

fn broken(error: arrow::error::ArrowError) -> Failure {
    Failure::other(format!("cannot print the answer: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

    use super::*;

    fn answer() -> Answer {
        let schema = Arc::new(Schema::new(vec![
            Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, None), false),
            Field::new("host", DataType::Utf8, true),
            Field::new("usage", DataType::Float64, true),
        ]));
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000])),
                Arc::new(StringArray::from(vec![Some("a,b"), None])),
                Arc::new(Float64Array::from(vec![Some(1.5), None])),
            ],
        )
        .expect("a batch");
        Answer {
            command: "SELECT".into(),
            schema: Some(schema),
            batches: vec![batch],
            rows: 2,
            truncated: false,
        }
    }

    fn printed(format: Format) -> String {
        let mut out = Vec::new();
        print(&answer(), format, "", &mut out).expect("printed");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn csv_quotes_and_leaves_null_empty() {
        insta::assert_snapshot!(printed(Format::Csv), @r#"
        time,host,usage
        1970-01-01T00:00:00.000000Z,"a,b",1.5
        1970-01-01T00:00:01.500000Z,,
        "#);
    }

    #[test]
    fn json_names_every_null() {
        insta::assert_snapshot!(printed(Format::Json), @r#"[{"time":"1970-01-01T00:00:00.000000Z","host":"a,b","usage":1.5},{"time":"1970-01-01T00:00:01.500000Z","host":null,"usage":null}]"#);
    }

    #[test]
    fn a_box_shows_null_and_counts_rows() {
        let text = printed(Format::Box);
        assert!(text.contains("NULL") && text.ends_with("2 rows\n"), "{text}");
    }
}

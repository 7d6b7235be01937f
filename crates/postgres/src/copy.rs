//! `COPY … TO STDOUT`: rows as lines of PostgreSQL's text or of CSV.

use std::fmt::Debug;

use cenote_query::{CopyFormat, CopyHeader, CopyStyle, Execution, Session};
use futures::{Sink, SinkExt as _, TryStreamExt as _};
use pgwire::api::results::{FieldFormat, Tag};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};

use crate::error;
use crate::value::{RowEncoder, fields};

/// The code of lines of text in CopyOutResponse.
const TEXT: i8 = 0;

/// Sends the rows, up to CopyDone; answers the command's tag.
pub(crate) async fn send<C>(
    client: &mut C,
    mut execution: Execution,
    format: &CopyFormat,
    session: &Session,
) -> PgWireResult<Tag>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let names: Vec<_> = execution.schema.fields().iter().map(|field| Some(field.name().clone())).collect();
    let columns =
        i16::try_from(names.len()).map_err(|_| error::error("54011", "too many columns to copy"))?;
    let response = CopyOutResponse::new(TEXT, columns, vec![i16::from(TEXT); names.len()]);
    client.feed(PgWireBackendMessage::CopyOutResponse(response)).await?;
    let data = |text: String| PgWireBackendMessage::CopyData(CopyData::new(text.into()));
    if format.header == CopyHeader::Names {
        client.feed(data(line(format, &names))).await?;
    }
    let encoder = RowEncoder::new(fields(&execution.schema, |_| FieldFormat::Text), session);
    while let Some(batch) = execution.batches.try_next().await.map_err(|error| error::of_query(&error))? {
        for row in encoder.texts(&batch)? {
            client.feed(data(line(format, &row))).await?;
        }
    }
    client.feed(PgWireBackendMessage::CopyDone(CopyDone::new())).await?;
    Ok(Tag::new("COPY").with_rows(usize::try_from(execution.outcome().rows).unwrap_or(usize::MAX)))
}

/// One row; NULL is `None`.
fn line(format: &CopyFormat, row: &[Option<String>]) -> String {
    let mut text = String::new();
    for (at, value) in row.iter().enumerate() {
        if at > 0 {
            text.push(format.delimiter);
        }
        match (value, format.style) {
            (None, _) => text.push_str(&format.null),
            (Some(value), CopyStyle::Text) => escape(format, value, &mut text),
            (Some(value), CopyStyle::Csv) => quote(format, value, row.len(), &mut text),
        }
    }
    text.push('\n');
    text
}

fn escape(format: &CopyFormat, value: &str, out: &mut String) {
    for c in value.chars() {
        let escaped = match c {
            '\\' => '\\',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{8}' => 'b',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            c if c == format.delimiter => c,
            c => {
                out.push(c);
                continue;
            }
        };
        out.push('\\');
        out.push(escaped);
    }
}

fn quote(format: &CopyFormat, value: &str, columns: usize, out: &mut String) {
    let special = |c: char| c == format.delimiter || c == format.quote || c == '\n' || c == '\r';
    // a line of `\.` alone would end the data
    if value != format.null && !value.contains(special) && !(columns == 1 && value == "\\.") {
        out.push_str(value);
        return;
    }
    out.push(format.quote);
    for c in value.chars() {
        if c == format.quote || c == format.escape {
            out.push(format.escape);
        }
        out.push(c);
    }
    out.push(format.quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(style: CopyStyle) -> CopyFormat {
        let (delimiter, null) = match style {
            CopyStyle::Text => ('\t', "\\N"),
            CopyStyle::Csv => (',', ""),
        };
        let null = null.to_owned();
        CopyFormat { style, delimiter, null, header: CopyHeader::None, quote: '"', escape: '"' }
    }

    fn row(values: &[Option<&str>]) -> Vec<Option<String>> {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn text_escapes_what_would_end_a_value_or_a_row() {
        let values = row(&[Some("a\tb"), None, Some("c\\d\n"), Some("")]);
        assert_eq!(line(&format(CopyStyle::Text), &values), "a\\tb\t\\N\tc\\\\d\\n\t\n");
    }

    #[test]
    fn csv_quotes_what_needs_it_and_tells_empty_from_null() {
        let values = row(&[Some("a,b"), None, Some(""), Some("say \"x\""), Some("plain")]);
        assert_eq!(line(&format(CopyStyle::Csv), &values), "\"a,b\",,\"\",\"say \"\"x\"\"\",plain\n");
        assert_eq!(line(&format(CopyStyle::Csv), &row(&[Some("\\.")])), "\"\\.\"\n");
    }
}

//! Lists of scalars as Postgres arrays of one dimension.

use arrow::array::timezone::Tz;
use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::DataType;
use bytes::{BufMut as _, BytesMut};
use pgwire::api::results::FieldFormat;
use pgwire::error::PgWireResult;

use super::postgres_type;
use super::row::ColumnEncoder;
use crate::error;

/// `{1,NULL,"a b"}`
pub(super) fn text(column: &ArrayRef, row: usize, zone: Tz) -> PgWireResult<String> {
    let elements = elements(column, row)?;
    let encoder = encoder(&elements, FieldFormat::Text, zone)?;
    let mut parts = Vec::with_capacity(elements.len());
    for n in 0..elements.len() {
        parts.push(if elements.is_null(n) { "NULL".to_owned() } else { quoted(&encoder.text(n)?) });
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

/// Dimensions, a flag for NULLs, the element's type, then each element with its length.
pub(super) fn write_binary(column: &ArrayRef, row: usize, zone: Tz, out: &mut BytesMut) -> PgWireResult<()> {
    let elements = elements(column, row)?;
    let encoder = encoder(&elements, FieldFormat::Binary, zone)?;
    let count = i32::try_from(elements.len()).map_err(|_| error::error("54000", "an array is too long"))?;
    out.put_i32(i32::from(count > 0));
    out.put_i32(i32::from(elements.null_count() > 0));
    out.put_u32(postgres_type(elements.data_type()).oid());
    if count > 0 {
        out.put_i32(count);
        out.put_i32(1); // the first index
    }
    (0..elements.len()).try_for_each(|n| encoder.write_sized(n, out))
}

fn elements(column: &ArrayRef, row: usize) -> PgWireResult<ArrayRef> {
    Ok(match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().value(row),
        DataType::LargeList(_) => column.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => column.as_fixed_size_list().value(row),
        DataType::ListView(_) => column.as_list_view::<i32>().value(row),
        DataType::LargeListView(_) => column.as_list_view::<i64>().value(row),
        other => return Err(error::error("0A000", format!("type {other} has no form on the Postgres wire"))),
    })
}

fn encoder(elements: &ArrayRef, format: FieldFormat, zone: Tz) -> PgWireResult<ColumnEncoder> {
    ColumnEncoder::of(elements, postgres_type(elements.data_type()), format, zone)
}

/// Quoted where the text would otherwise be read as something else.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | '"' | '\\'));
    if is_plain {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn elements_are_quoted_where_they_must_be() {
        assert_eq!(quoted("a"), "a");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("NULL"), "\"NULL\"");
        assert_eq!(quoted("a\"b\\"), "\"a\\\"b\\\\\"");
    }
}

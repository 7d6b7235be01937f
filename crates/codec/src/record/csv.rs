//! CSV records of a known schema.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::SchemaRef;

use super::fit;
use crate::csv::Records;

/// The cells of a record; an empty one without quotes is NULL.
pub(super) fn cells(record: &[u8]) -> Result<Vec<Option<Cow<'_, str>>>, String> {
    let text = std::str::from_utf8(record).map_err(|error| format!("no UTF-8: {error}"))?;
    let (mut records, mut cells) = (Records::new(text, b','), Vec::new());
    records.read(&mut cells).map_err(|error| error.to_string())?;
    let cells = cells.iter().map(|cell| Some(cell.text()).filter(|text| cell.quoted || !text.is_empty()));
    Ok(cells.collect())
}

/// Columns of records whose cells stand at `places`.
pub(super) fn columns(
    records: &[&[u8]],
    schema: &SchemaRef,
    places: &[Option<usize>],
) -> Result<Vec<ArrayRef>, String> {
    let rows: Vec<_> = records.iter().map(|record| cells(record)).collect::<Result<_, _>>()?;
    if let Some(row) = rows.iter().find(|row| places.iter().flatten().any(|place| *place >= row.len())) {
        let wanted = places.iter().flatten().max().map_or(0, |place| place + 1);
        return Err(format!("{} cells, expected {wanted}", row.len()));
    }
    let columns = schema.fields().iter().zip(places).map(|(field, place)| {
        let cell = |row: &Vec<Option<Cow<'_, str>>>| {
            place.and_then(|place| row.get(place)?.as_ref().map(|text| text.to_string()))
        };
        let texts: ArrayRef = Arc::new(rows.iter().map(cell).collect::<StringArray>());
        fit(&texts, field)
    });
    columns.collect()
}

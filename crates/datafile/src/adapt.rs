//! Columns of an older or other schema as a wanted one has them: fields in them are found by id, at any depth.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, ListArray, MapArray, StringArray, StructArray, make_array,
    new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field as ArrowField, FieldRef};
use arrow::error::ArrowError;
use cenote_vocab::{Field, FieldType};

use crate::arrow_schema::{arrow_type, field_id};
use crate::file_schema::EXACT;

/// The column as `wanted` has it: fields in it are found by id, those that are not there are NULL, values are cast. An error if
/// a value does not fit.
pub fn adapt(column: &ArrayRef, stored: &ArrowField, wanted: &ArrowField) -> Result<ArrayRef, ArrowError> {
    adapt_with(column, stored, wanted, &EXACT)
}

/// As [`adapt`]; what becomes of values that do not fit is said by `casting`.
pub fn adapt_with(
    column: &ArrayRef,
    stored: &ArrowField,
    wanted: &ArrowField,
    casting: &CastOptions<'_>,
) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == wanted.data_type() {
        return Ok(Arc::clone(column));
    }
    match (column.data_type(), wanted.data_type()) {
        (DataType::Struct(from), DataType::Struct(to)) => {
            let array = column.as_struct();
            let child = |field: &FieldRef| match place(from, field) {
                Some(at) => adapt_with(array.column(at), &from[at], field, casting),
                None => Ok(new_null_array(field.data_type(), array.len())),
            };
            let children = to.iter().map(child).collect::<Result<Vec<_>, _>>()?;
            let nulls = array.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(to.clone(), children, nulls, array.len())?))
        }
        (DataType::List(from), DataType::List(to)) => {
            let array = column.as_list::<i32>();
            let values = adapt_with(array.values(), from, to, casting)?;
            Ok(Arc::new(ListArray::try_new(
                to.clone(),
                array.offsets().clone(),
                values,
                array.nulls().cloned(),
            )?))
        }
        (DataType::FixedSizeList(from, length), DataType::FixedSizeList(to, wanted)) if length == wanted => {
            let array = column.as_fixed_size_list();
            let values = adapt_with(array.values(), from, to, casting)?;
            Ok(Arc::new(FixedSizeListArray::try_new(to.clone(), *length, values, array.nulls().cloned())?))
        }
        // a file knows no fixed length
        (DataType::List(from), DataType::FixedSizeList(to, length)) => {
            fixed(column.as_list::<i32>(), from, to, *length, casting)
        }
        (DataType::Map(_, _), DataType::Map(to, sorted)) => {
            let array = column.as_map();
            let entries: ArrayRef = Arc::new(array.entries().clone());
            let from = ArrowField::new("key_value", entries.data_type().clone(), false);
            let entries = adapt_with(&by_place(entries, to)?, &from, to, casting)?;
            Ok(Arc::new(MapArray::try_new(
                to.clone(),
                array.offsets().clone(),
                entries.as_struct().clone(),
                array.nulls().cloned(),
                *sorted,
            )?))
        }
        _ if stored.data_type().is_nested() && relabels(column.data_type(), wanted.data_type()) => {
            let data = column.to_data().into_builder().data_type(wanted.data_type().clone()).build()?;
            Ok(make_array(data))
        }
        _ => cast_with_options(column, wanted.data_type(), casting),
    }
}

/// Where a wanted field is: by id, or by name where ids are not known.
fn place(fields: &arrow::datatypes::Fields, wanted: &ArrowField) -> Option<usize> {
    let id = field_id(wanted);
    let with_ids = fields.iter().any(|field| field_id(field).is_some());
    fields.iter().position(|field| match (id, with_ids) {
        (Some(id), true) => field_id(field) == Some(id),
        _ => field.name() == wanted.name(),
    })
}

/// Keys and values are known by their place, whatever they are called.
fn by_place(entries: ArrayRef, wanted: &ArrowField) -> Result<ArrayRef, ArrowError> {
    let (DataType::Struct(from), DataType::Struct(to)) = (entries.data_type(), wanted.data_type()) else {
        return Ok(entries);
    };
    let renamed: Vec<ArrowField> =
        from.iter().zip(to).map(|(from, to)| from.as_ref().clone().with_name(to.name())).collect();
    let array = entries.as_struct();
    let (columns, nulls) = (array.columns().to_vec(), array.nulls().cloned());
    Ok(Arc::new(StructArray::try_new_with_length(renamed.into(), columns, nulls, entries.len())?))
}

/// True if the types differ in names and metadata only.
fn relabels(from: &DataType, to: &DataType) -> bool {
    from.equals_datatype(to)
}

fn fixed(
    array: &ListArray,
    from: &FieldRef,
    to: &FieldRef,
    length: i32,
    casting: &CastOptions<'_>,
) -> Result<ArrayRef, ArrowError> {
    let mut places: Vec<Option<i32>> = Vec::new();
    for row in 0..array.len() {
        let (start, end) = (array.value_offsets()[row], array.value_offsets()[row + 1]);
        if array.is_null(row) {
            places.extend((0..length).map(|_| None));
        } else if end - start == length {
            places.extend((start..end).map(Some));
        } else {
            return Err(ArrowError::CastError(format!("a list of {} elements, not {length}", end - start)));
        }
    }
    let values = take(array.values(), &arrow::array::Int32Array::from(places), None)?;
    let values = adapt_with(&values, from, to, casting)?;
    Ok(Arc::new(FixedSizeListArray::try_new(to.clone(), length, values, array.nulls().cloned())?))
}

/// The column of a file that was written before the column was there: its initial default in each row, or NULL.
pub fn absent(field: &Field, rows: usize) -> Result<ArrayRef, ArrowError> {
    match &field.initial_default {
        None => Ok(new_null_array(&arrow_type(&field.field_type), rows)),
        Some(text) => {
            let one = literal(&field.field_type, text)?;
            take(&one, &arrow::array::UInt32Array::from(vec![0; rows]), None)
        }
    }
}

/// One value of a type, from the text of a default. An error if the text is none.
pub fn literal(field_type: &FieldType, text: &str) -> Result<ArrayRef, ArrowError> {
    let wrong = || ArrowError::CastError(format!("{text:?} is no {}", field_type.sql_name()));
    match field_type {
        FieldType::Binary => {
            let bytes =
                text.strip_prefix("\\x").and_then(|digits| hex::decode(digits).ok()).ok_or_else(wrong)?;
            Ok(Arc::new(arrow::array::BinaryArray::from_vec(vec![&bytes])))
        }
        FieldType::Uuid => {
            let uuid = uuid::Uuid::try_parse(text).map_err(|_| wrong())?;
            let bytes = uuid.into_bytes();
            Ok(Arc::new(arrow::array::FixedSizeBinaryArray::try_from_iter(std::iter::once(bytes))?))
        }
        nested if nested.is_nested() => Err(wrong()),
        _ => {
            let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
            cast_with_options(&column, &arrow_type(field_type), &EXACT).map_err(|_| wrong())
        }
    }
}

#[cfg(test)]
mod tests;

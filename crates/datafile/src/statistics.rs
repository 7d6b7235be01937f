//! What is known of a file's columns without opening it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use cenote_vocab::{Field, FieldId, FieldType, TableSchema};

use crate::bound::{cut_max, cut_min, prefix};
use crate::extremes::{min_max, nan_count};
use crate::{Error, Value, stored_statistics};

/// Leading columns that have statistics in any case.
pub(crate) const COLUMNS_WITH_STATISTICS: usize = 64;

/// Statistics of one file, by field id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileStatistics {
    /// Ascending by field id; a column that is not here is not known.
    pub columns: Vec<ColumnStatistics>,
}

/// Statistics of one column of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnStatistics {
    /// The column.
    pub field_id: FieldId,
    /// Rows, NULLs included.
    pub value_count: u64,
    /// NULLs.
    pub null_count: u64,
    /// NaNs, for floats.
    pub nan_count: Option<u64>,
    /// At or below every value that is neither NULL nor NaN; `None`: not known, or there is no such value.
    pub min: Option<Value>,
    /// At or above every value that is neither NULL nor NaN.
    pub max: Option<Value>,
    /// False if `min` was cut and may lie below every value.
    pub min_exact: bool,
    /// False if `max` was cut and incremented, or could not be and is `None`.
    pub max_exact: bool,
}

/// Gathers [`FileStatistics`] batch by batch, in memory that does not grow with the rows.
pub struct StatisticsCollector {
    columns: Vec<Gathered>,
}

/// What was seen of one column.
struct Gathered {
    /// Its column in the batches, and the way to it in there, by places among the children.
    path: Vec<usize>,
    field_id: FieldId,
    value_count: u64,
    null_count: u64,
    nan_count: Option<u64>,
    /// Texts and bytes as prefixes just long enough to tell where a bound is cut.
    bounds: Option<(Value, Value)>,
}

impl FileStatistics {
    /// The column's statistics, if known.
    pub fn column(&self, id: FieldId) -> Option<&ColumnStatistics> {
        self.columns.binary_search_by_key(&id, |column| column.field_id).ok().map(|at| &self.columns[at])
    }

    /// The stored form; bounds in Iceberg's single-value encoding, so `schema` decides their bytes.
    ///
    /// Left out: columns that `schema` does not have, bounds that their type cannot hold, and a maximum without a minimum.
    pub fn encode(&self, schema: &TableSchema) -> Vec<u8> {
        stored_statistics::encode(self, schema)
    }

    /// Reads the stored form. `Corrupt` if it is damaged; columns that `schema` does not have are skipped.
    ///
    /// `schema` must be the one that the file was written with: eight bytes of an `int64` cannot be told from those of
    /// the `double` it was widened to. Follow with [`ColumnStatistics::widen_to`] to compare under a later schema.
    /// (A widened integer reads right all the same, and bounds of another fixed length are taken as not known.)
    pub fn decode(blob: &[u8], schema: &TableSchema) -> Result<Self, Error> {
        stored_statistics::decode(blob, schema)
    }
}

impl ColumnStatistics {
    /// The statistics of the same column after it was widened; a bound without an exact form there is not known any more.
    #[must_use]
    pub fn widen_to(&self, from: &FieldType, to: &FieldType) -> Self {
        let convert = |bound: &Option<Value>| bound.as_ref().and_then(|value| value.convert(from, to));
        Self { min: convert(&self.min), max: convert(&self.max), ..self.clone() }
    }
}

impl StatisticsCollector {
    /// For files of this schema: its first 64 leaves.
    pub fn new(schema: &TableSchema) -> Self {
        Self::with_columns(schema, &[])
    }

    /// For files of this schema: its first 64 leaves, and those of `also` (partition, sort, key, time).
    pub fn with_columns(schema: &TableSchema, also: &[FieldId]) -> Self {
        let mut leaves = Vec::new();
        for (at, field) in schema.fields.iter().enumerate() {
            collect_leaves(field, vec![at], &mut leaves);
        }
        let wanted = leaves.into_iter().enumerate();
        let wanted = wanted
            .filter(|(at, (field, _))| *at < COLUMNS_WITH_STATISTICS || also.contains(&field.id))
            .map(|(_, (field, path))| Gathered {
                path,
                field_id: field.id,
                value_count: 0,
                null_count: 0,
                nan_count: matches!(field.field_type, FieldType::Float | FieldType::Double).then_some(0),
                bounds: None,
            });
        let mut columns: Vec<Gathered> = wanted.collect();
        columns.sort_by_key(|column| column.field_id);
        Self { columns }
    }

    /// Adds a batch whose columns are exactly the schema's.
    ///
    /// # Panics
    /// If the batch has fewer columns than the schema.
    pub fn add(&mut self, batch: &RecordBatch) {
        for column in &mut self.columns {
            let [root, inner @ ..] = column.path.as_slice() else { continue };
            let array = leaf(batch.column(*root), inner);
            column.value_count += array.len() as u64;
            // an array of type Null has no bitmap, yet holds nothing else
            column.null_count += array.logical_null_count() as u64;
            if let (Some(sum), Some(seen)) = (&mut column.nan_count, nan_count(&array)) {
                *sum += seen;
            }
            if let Some((min, max)) = min_max(&array) {
                column.include(min, max);
            }
        }
    }

    /// The statistics of all that was added.
    pub fn finish(self) -> FileStatistics {
        FileStatistics { columns: self.columns.into_iter().map(Gathered::finish).collect() }
    }
}

/// Fields that hold values, not fields.
fn collect_leaves<'a>(field: &'a Field, path: Vec<usize>, found: &mut Vec<(&'a Field, Vec<usize>)>) {
    let children = field.field_type.children();
    if children.is_empty() {
        found.push((field, path));
        return;
    }
    for (at, child) in children.into_iter().enumerate() {
        collect_leaves(child, path.iter().copied().chain([at]).collect(), found);
    }
}

/// The values of a leaf: of lists and maps all elements, also those below a NULL, which bounds may include.
fn leaf(array: &ArrayRef, path: &[usize]) -> ArrayRef {
    let [at, rest @ ..] = path else { return Arc::clone(array) };
    let child = match array.data_type() {
        DataType::Struct(_) => below(array.as_struct(), *at),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            elements(lists.values(), lists.value_offsets())
        }
        DataType::FixedSizeList(_, length) => {
            let lists = array.as_fixed_size_list();
            let length = usize::try_from(*length).unwrap_or(0);
            lists.values().slice(lists.offset() * length, lists.len() * length)
        }
        DataType::Map(_, _) => {
            let maps = array.as_map();
            let entries = if *at == 0 { maps.keys() } else { maps.values() };
            elements(entries, maps.value_offsets())
        }
        _ => return Arc::clone(array),
    };
    leaf(&child, rest)
}

fn elements(values: &ArrayRef, offsets: &[i32]) -> ArrayRef {
    let place = |offset: Option<&i32>| offset.and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    let (start, end) = (place(offsets.first()), place(offsets.last()));
    values.slice(start, end - start)
}

/// A field of structs, NULL where the struct is.
fn below(structs: &StructArray, at: usize) -> ArrayRef {
    let child = structs.column(at);
    let nulls = NullBuffer::union(structs.nulls(), child.logical_nulls().as_ref());
    match child.to_data().into_builder().nulls(nulls).build() {
        Ok(data) => make_array(data),
        Err(_) => Arc::clone(child), // an array of type Null takes no bitmap, and needs none
    }
}

impl Gathered {
    fn include(&mut self, min: Value, max: Value) {
        let (min, max) = (prefix(min), prefix(max));
        self.bounds = Some(match self.bounds.take() {
            None => (min, max),
            Some((low, high)) => (if min < low { min } else { low }, if max > high { max } else { high }),
        });
    }

    fn finish(self) -> ColumnStatistics {
        let (min, max) = self.bounds.unzip();
        let (min, min_exact) = min.map_or((None, true), |min| {
            let (min, exact) = cut_min(min);
            (Some(min), exact)
        });
        let (max, max_exact) = max.map_or((None, true), cut_max);
        ColumnStatistics {
            field_id: self.field_id,
            value_count: self.value_count,
            null_count: self.null_count,
            nan_count: self.nan_count,
            min,
            max,
            min_exact,
            max_exact,
        }
    }
}

#[cfg(test)]
mod tests;

//! What a change read besides the files it names, so that the committer can tell whether later rows matter to it.
//!
//! Pure: only statistics and partitions of files are looked at; nothing is read from storage under the lock.

use std::collections::BTreeSet;

use cenote_datafile::{FileStatistics, Value};
use cenote_vocab::{FieldId, FieldType, FileId, PartitionValue, TableSchema};

use crate::NewFile;
use crate::committer::hash_128;
use crate::tuple::tuple_text;

/// What a change read besides the files it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ReadSet {
    /// Nothing: later appends do not matter.
    #[default]
    None,
    /// The whole table as of the base: any later change of rows conflicts.
    All,
    /// These files as of the base: a change of their rows conflicts, an append does not.
    Files(BTreeSet<FileId>),
    /// That no other rows than those that were found lie in a region: files that came later and may hold some conflict.
    Rows(Region),
}

/// A part of a table's rows: the union of its zones; without zones it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Region(pub Vec<Zone>);

/// Rows for which every range holds and that lie in one of the partitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone {
    /// Closed ranges; a column without a range is not limited.
    pub columns: Vec<ColumnRange>,
    /// The partitions that rows can lie in, as far as files have their spec; empty: any.
    pub partitions: BTreeSet<PartitionKey>,
}

/// Values of a column from `min` to `max`, both included; a NULL lies in no range.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnRange {
    /// The column.
    pub field: FieldId,
    /// Its type at the base, which is that of the bounds.
    pub field_type: FieldType,
    /// `None`: no lower bound.
    pub min: Option<Value>,
    /// `None`: no upper bound.
    pub max: Option<Value>,
}

/// The partition of a file: its spec and a hash of its tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionKey {
    pub(crate) spec_no: i32,
    pub(crate) tuple_hash: [u8; 16],
}

/// What is known of a file that came.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) partition: PartitionKey,
    pub(crate) statistics: &'a FileStatistics,
    /// The columns that the file was written with.
    pub(crate) schema: &'a TableSchema,
}

impl NewFile {
    /// The file's partition.
    pub fn partition_key(&self) -> PartitionKey {
        PartitionKey::of(self.spec_no, &self.partition)
    }
}

impl PartitionKey {
    /// Of the tuple of a spec.
    pub fn of(spec_no: i32, tuple: &[Option<PartitionValue>]) -> Self {
        Self { spec_no, tuple_hash: hash_128(tuple_text(tuple).as_bytes()) }
    }
}

impl Region {
    /// Every row of the table.
    pub fn all() -> Self {
        Self(vec![Zone::default()])
    }

    /// False only if statistics or partition prove that no row of the file lies here.
    pub(crate) fn may_hold(&self, file: Arrival<'_>) -> bool {
        self.0.iter().any(|zone| zone.may_hold(file))
    }
}

impl Zone {
    fn may_hold(&self, file: Arrival<'_>) -> bool {
        let same_spec = |key: &PartitionKey| key.spec_no == file.partition.spec_no;
        let elsewhere = !self.partitions.is_empty()
            && self.partitions.iter().all(same_spec)
            && !self.partitions.contains(&file.partition);
        !elsewhere && self.columns.iter().all(|range| range.may_hold(file))
    }
}

impl ColumnRange {
    fn may_hold(&self, file: Arrival<'_>) -> bool {
        let Some(written) = file.schema.field_by_id(self.field) else {
            return true; // a default may stand for the column
        };
        let Some(known) = file.statistics.column(self.field) else {
            return true;
        };
        if known.value_count > 0 && known.null_count == known.value_count {
            return false;
        }
        let known = known.widen_to(&written.field_type, &self.field_type);
        let above = |low: &Value, high: &Value| low.partial_cmp(high) == Some(std::cmp::Ordering::Greater);
        let below_all = self.max.as_ref().zip(known.min.as_ref()).is_some_and(|(max, min)| above(min, max));
        let above_all = self.min.as_ref().zip(known.max.as_ref()).is_some_and(|(min, max)| above(min, max));
        let nan = known.nan_count.is_none_or(|count| count > 0)
            && matches!(self.field_type, FieldType::Float | FieldType::Double);
        nan || !(below_all || above_all)
    }
}

#[cfg(test)]
mod tests {
    use cenote_datafile::ColumnStatistics;
    use cenote_vocab::Field;

    use super::*;

    fn schema(field_type: FieldType) -> TableSchema {
        let field = Field::new(FieldId(1), "k", field_type);
        TableSchema { no: 1, fields: vec![field] }
    }

    fn statistics(min: i128, max: i128, null_count: u64) -> FileStatistics {
        FileStatistics {
            columns: vec![ColumnStatistics {
                field_id: FieldId(1),
                value_count: 10,
                null_count,
                nan_count: None,
                min: Some(Value::Integer(min)),
                max: Some(Value::Integer(max)),
                min_exact: true,
                max_exact: true,
            }],
        }
    }

    fn key(spec_no: i32, tuple: u8) -> PartitionKey {
        PartitionKey { spec_no, tuple_hash: [tuple; 16] }
    }

    fn range(min: i128, max: i128) -> ColumnRange {
        ColumnRange {
            field: FieldId(1),
            field_type: FieldType::Int64,
            min: Some(Value::Integer(min)),
            max: Some(Value::Integer(max)),
        }
    }

    fn zone(min: i128, max: i128) -> Region {
        Region(vec![Zone { columns: vec![range(min, max)], ..Zone::default() }])
    }

    #[test]
    fn ranges_are_closed_and_unknown_columns_may_match() {
        let (narrow, schema) = (schema(FieldType::Int32), schema(FieldType::Int64));
        let statistics = statistics(10, 20, 0);
        let file = Arrival { partition: key(0, 0), statistics: &statistics, schema: &schema };
        let held = [(0, 9), (0, 10), (12, 13), (20, 30), (21, 30)];
        assert_eq!(held.map(|(min, max)| zone(min, max).may_hold(file)), [false, true, true, true, false]);
        assert!(!zone(21, 30).may_hold(Arrival { schema: &narrow, ..file }), "a widened column compares");
        let nothing = FileStatistics::default();
        assert!(zone(21, 30).may_hold(Arrival { statistics: &nothing, ..file }));
        let other = TableSchema { no: 1, fields: vec![] };
        assert!(zone(21, 30).may_hold(Arrival { schema: &other, ..file }));
        assert!(Region::all().may_hold(file) && !Region::default().may_hold(file));
    }

    #[test]
    fn nulls_lie_in_no_range() {
        let statistics = statistics(0, 0, 10);
        let schema = schema(FieldType::Int64);
        assert!(!zone(0, 0).may_hold(Arrival {
            partition: key(0, 0),
            statistics: &statistics,
            schema: &schema
        }));
    }

    #[test]
    fn partitions_count_for_files_of_their_spec_only() {
        let (statistics, schema) = (statistics(10, 20, 0), schema(FieldType::Int64));
        let zone = Region(vec![Zone { columns: vec![], partitions: [key(1, 7)].into() }]);
        let held = [key(1, 7), key(1, 8), key(2, 8)]
            .map(|partition| zone.may_hold(Arrival { partition, statistics: &statistics, schema: &schema }));
        assert_eq!(held, [true, false, true]);
    }
}

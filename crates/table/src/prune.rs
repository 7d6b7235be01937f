//! Leaves out files that cannot hold a wanted row.

use cenote_catalog::{DataFile, PartitionTuple, TableDef};
use cenote_datafile::FileStatistics;
use cenote_vocab::{FieldId, TableSchema};

use crate::Predicate;
use crate::bounds::ColumnBounds;

/// False only when partition tuple and statistics prove that no row of `file` matches.
pub fn may_match(file: &DataFile, table: &TableDef, predicate: &Predicate) -> bool {
    let written = (file.file.schema_no == table.schema.no).then_some(&*table.schema);
    Evidence::of_file(file, table, written).allows(predicate, Sources::All)
}

/// False only when the partition tuple proves that no row of a file of it matches.
pub(crate) fn partition_may_match(
    partition: &PartitionTuple,
    written: &TableSchema,
    table: &TableDef,
    predicate: &Predicate,
) -> bool {
    let PartitionTuple { spec_no, tuple } = partition;
    let place = Place { spec_no: *spec_no, tuple, time_range: None };
    Evidence { place, statistics: None, table, written: Some(written) }.allows(predicate, Sources::Partition)
}

/// Which of a file's properties left it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    ByPartition,
    ByStatistics,
}

/// As [`may_match`], for a file whose columns `written` are at hand, and with the reason.
pub(crate) fn judge(
    file: &DataFile,
    written: &TableSchema,
    table: &TableDef,
    predicate: &Predicate,
) -> Verdict {
    let evidence = Evidence::of_file(file, table, Some(written));
    if !evidence.allows(predicate, Sources::Partition) {
        Verdict::ByPartition
    } else if !evidence.allows(predicate, Sources::All) {
        Verdict::ByStatistics
    } else {
        Verdict::Keep
    }
}

/// All that is known of one file without opening it.
struct Evidence<'a> {
    place: Place<'a>,
    /// `None` if not at hand.
    statistics: Option<&'a FileStatistics>,
    table: &'a TableDef,
    /// The columns of the file; `None` if not at hand.
    written: Option<&'a TableSchema>,
}

/// Where its rows belong, and between which times they lie.
struct Place<'a> {
    spec_no: i32,
    tuple: &'a [Option<i64>],
    time_range: Option<(i64, i64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sources {
    /// Partition tuple and time range.
    Partition,
    /// These and the statistics.
    All,
}

impl<'a> Evidence<'a> {
    fn of_file(file: &'a DataFile, table: &'a TableDef, written: Option<&'a TableSchema>) -> Self {
        let file = &file.file;
        let place = Place { spec_no: file.spec_no, tuple: &file.partition, time_range: file.time_range };
        Self { place, statistics: Some(&file.statistics), table, written }
    }

    fn allows(&self, predicate: &Predicate, sources: Sources) -> bool {
        match predicate {
            Predicate::True => true,
            Predicate::And(all) => all.iter().all(|one| self.allows(one, sources)),
            Predicate::Or(any) => any.iter().any(|one| self.allows(one, sources)),
            Predicate::Compare { field, comparison, value } => {
                self.bounds(*field, sources).all(|bounds| bounds.compare_may_be(*comparison, value))
            }
            Predicate::IsNull(field) => self.bounds(*field, sources).all(|bounds| bounds.null_may_be()),
            Predicate::IsNotNull(field) => self.bounds(*field, sources).all(|bounds| bounds.value_may_be()),
        }
    }

    /// What each source says of the column; each of them alone holds for every row.
    fn bounds(&self, field: FieldId, sources: Sources) -> impl Iterator<Item = ColumnBounds<'a>> {
        let statistics = (sources == Sources::All).then(|| self.statistics_bounds(field)).flatten();
        self.tuple_bounds(field).chain(self.time_bounds(field)).chain(statistics)
    }

    /// The tuple speaks only by the file's own spec, and of specs only the table's present one is at hand.
    fn tuple_bounds(&self, field: FieldId) -> impl Iterator<Item = ColumnBounds<'a>> {
        let (spec, tuple) = (&self.table.spec, self.place.tuple);
        let applies = self.place.spec_no == spec.no && tuple.len() == spec.fields.len();
        let present = self.table.schema.field_by_id(field);
        spec.fields.iter().zip(tuple).filter(move |(part, _)| applies && part.source == field).filter_map(
            move |(part, unit)| ColumnBounds::of_partition(*unit, part.transform, &present?.field_type),
        )
    }

    fn time_bounds(&self, field: FieldId) -> Option<ColumnBounds<'a>> {
        let range = self.place.time_range.filter(|_| self.table.time_field == Some(field))?;
        ColumnBounds::of_time_range(range, &self.table.schema.field_by_id(field)?.field_type)
    }

    fn statistics_bounds(&self, field: FieldId) -> Option<ColumnBounds<'a>> {
        let present = self.table.schema.field_by_id(field)?;
        let written = self.written.map(|schema| schema.field_by_id(field));
        if written == Some(None) {
            return Some(ColumnBounds::absent());
        }
        let statistics = self.statistics?.column(field)?;
        let written = written.flatten().map(|field| &field.field_type);
        Some(ColumnBounds::of_statistics(statistics, written, &present.field_type))
    }
}

#[cfg(test)]
mod tests;

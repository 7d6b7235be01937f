//! Leaves out files that cannot hold a wanted row.

use cenote_catalog::{DataFile, PartitionTuple, TableDef};
use cenote_datafile::{FileStatistics, literal, value_at};
use cenote_vocab::{FieldId, PartitionSpec, PartitionValue, TableSchema};

use crate::Predicate;
use crate::bounds::ColumnBounds;

/// False only when partition tuple and statistics prove that no row of `file` matches.
pub fn may_match(file: &DataFile, table: &TableDef, predicate: &Predicate) -> bool {
    let written = (file.file.schema_no == table.schema.no).then_some(&*table.schema);
    let spec = (file.file.spec_no == table.spec.no).then_some(&table.spec);
    Evidence::of_file(file, table, written, spec).allows(predicate, Sources::All)
}

/// False only when the partition tuple, made by `spec`, proves that no row of a file of it matches.
pub(crate) fn partition_may_match(
    partition: &PartitionTuple,
    written: &TableSchema,
    spec: &PartitionSpec,
    table: &TableDef,
    predicate: &Predicate,
) -> bool {
    let (written, spec) = (Some(written), Some(spec));
    let evidence =
        Evidence { tuple: &partition.tuple, time_range: None, statistics: None, table, written, spec };
    evidence.allows(predicate, Sources::Partition)
}

/// Which of a file's properties left it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    ByPartition,
    ByStatistics,
}

/// As [`may_match`], for a file whose columns `written` and partition spec are at hand, and with the reason.
pub(crate) fn judge(
    file: &DataFile,
    written: &TableSchema,
    spec: &PartitionSpec,
    table: &TableDef,
    predicate: &Predicate,
) -> Verdict {
    let evidence = Evidence::of_file(file, table, Some(written), Some(spec));
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
    /// The partition that its rows belong to.
    tuple: &'a [Option<PartitionValue>],
    /// The first and the last time of its rows, if known.
    time_range: Option<(i64, i64)>,
    /// `None` if not at hand.
    statistics: Option<&'a FileStatistics>,
    table: &'a TableDef,
    /// The columns of the file; `None` if not at hand.
    written: Option<&'a TableSchema>,
    /// The spec of its tuple; `None` if not at hand.
    spec: Option<&'a PartitionSpec>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sources {
    /// Partition tuple and time range.
    Partition,
    /// These and the statistics.
    All,
}

impl<'a> Evidence<'a> {
    fn of_file(
        file: &'a DataFile,
        table: &'a TableDef,
        written: Option<&'a TableSchema>,
        spec: Option<&'a PartitionSpec>,
    ) -> Self {
        let file = &file.file;
        let statistics = Some(&file.statistics);
        Self { tuple: &file.partition, time_range: file.time_range, statistics, table, written, spec }
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

    /// The tuple speaks only by the file's own spec, and of the types that it was made of.
    fn tuple_bounds(&self, field: FieldId) -> impl Iterator<Item = ColumnBounds<'a>> {
        let tuple = self.tuple;
        let present = self.table.schema.field_by_id(field);
        let written = self.written.and_then(|written| written.field_by_id(field));
        let fields =
            self.spec.filter(|spec| spec.fields.len() == tuple.len()).map_or(&[][..], |spec| &spec.fields);
        fields.iter().zip(tuple).filter(move |(part, _)| part.source == field).filter_map(
            move |(part, value)| {
                let (written, present) = (&written?.field_type, &present?.field_type);
                ColumnBounds::of_partition(value.as_ref(), part.transform, written, present)
            },
        )
    }

    fn time_bounds(&self, field: FieldId) -> Option<ColumnBounds<'a>> {
        let range = self.time_range.filter(|_| self.table.time_field == Some(field))?;
        ColumnBounds::of_time_range(range, &self.table.schema.field_by_id(field)?.field_type)
    }

    fn statistics_bounds(&self, field: FieldId) -> Option<ColumnBounds<'a>> {
        let present = self.table.schema.field_by_id(field)?;
        let written = self.written.map(|schema| schema.field_by_id(field));
        if written == Some(None) {
            return match &present.initial_default {
                None => Some(ColumnBounds::absent()),
                Some(text) => {
                    let value = literal(&present.field_type, text).ok()?;
                    Some(ColumnBounds::constant(value_at(&value, 0)?))
                }
            };
        }
        let statistics = self.statistics?.column(field)?;
        let written = written.flatten().map(|field| &field.field_type);
        Some(ColumnBounds::of_statistics(statistics, written, &present.field_type))
    }
}

#[cfg(test)]
mod specs;
#[cfg(test)]
mod tests;

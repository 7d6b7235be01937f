//! A file of the catalog as the Parquet reader wants it: size, footer, statistics, deleted rows.

use std::sync::Arc;

use cenote_catalog::TableDef;
use cenote_datafile::DeletionVector;
use cenote_table::ScanFile;
use datafusion::common::{ColumnStatistics, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use object_store::ObjectMeta;

use super::statistics::file_statistics;
use super::text_views::statistics_of_views;

/// How a scan shows rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Plain,
    /// With their places.
    Addressed,
    TextViews,
}

/// The file, with its id and that of its first row as partition values if rows are to be addressed.
pub(crate) fn partitioned_file(file: &ScanFile, table: &TableDef, shown: Shown) -> PartitionedFile {
    let known = &file.entry.file;
    let mut partitioned = PartitionedFile::new_from_meta(ObjectMeta {
        location: file.path.clone(),
        last_modified: chrono::DateTime::UNIX_EPOCH, // files never change, so neither does what caches compare
        size: known.bytes,
        e_tag: None,
        version: None,
    })
    .with_extension(file.stored());
    if shown == Shown::Addressed {
        let first = file.is_committed().then_some(file.entry.row_id_start);
        partitioned = partitioned.with_partition_values(vec![
            ScalarValue::Int64(Some(file.entry.id.0)),
            ScalarValue::Int64(first),
        ]);
    }
    if let Some(visible) = &file.entry.vector {
        partitioned =
            partitioned.with_extension(ParquetRowSelection::new(live_rows(&visible.vector, known.rows)));
    }
    let mut statistics = file_statistics(file, table);
    match shown {
        Shown::Plain => {}
        // of the stored row ids; those of the partition values are put behind it, by place
        Shown::Addressed => statistics.column_statistics.push(ColumnStatistics::new_unknown()),
        Shown::TextViews => {
            let columns = std::mem::take(&mut statistics.column_statistics);
            statistics.column_statistics = columns.into_iter().map(statistics_of_views).collect();
        }
    }
    partitioned.with_statistics(Arc::new(statistics))
}

/// The complement of the vector, over all rows of the file.
fn live_rows(deleted: &DeletionVector, rows: u64) -> RowSelection {
    let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut next = 0;
    let mut skip = 0;
    for position in deleted.positions() {
        if position > next {
            if skip > 0 {
                selectors.push(RowSelector::skip(count(skip)));
                skip = 0;
            }
            selectors.push(RowSelector::select(count(position - next)));
        }
        skip += 1;
        next = position + 1;
    }
    if skip > 0 {
        selectors.push(RowSelector::skip(count(skip)));
    }
    if rows > next {
        selectors.push(RowSelector::select(count(rows - next)));
    }
    RowSelection::from(selectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selection_covers_every_row_of_the_file() {
        let deleted: DeletionVector = [0, 1, 4, 9].into_iter().collect();
        let selection = live_rows(&deleted, 10);
        let runs: Vec<(bool, usize)> = selection.iter().map(|run| (run.skip, run.row_count)).collect();
        assert_eq!(runs, [(true, 2), (false, 2), (true, 1), (false, 4), (true, 1)]);
        assert_eq!(live_rows(&DeletionVector::default(), 3).row_count(), 3);
    }
}

//! `VERIFY`: whether what the catalog says of a table is so.
//!
//! Counters and versions against the rows they are made of, vectors against the files, every live object by existence and size;
//! `deep` reads the objects too, and compares their rows with the statistics that let statements skip them.

use std::sync::Arc;

use cenote_catalog::TableDef;
use cenote_datafile::{ColumnStatistics, FileStatistics, RowSet, StatisticsCollector, read_footer};
use cenote_vocab::{ErrorKind, Fault, Scope, Txn};
use futures::TryStreamExt;

use crate::scan::ScanFile;
use crate::{Error, Lake, Predicate};

/// One contradiction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about: a path, a row of the catalog.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Finding {
    fn new(object: impl ToString, problem: impl ToString) -> Self {
        Self { object: object.to_string(), problem: problem.to_string() }
    }
}

impl Lake {
    /// Compares the newest version of a table with its objects. Answers what contradicts; `Unavailable` stops it.
    pub async fn verify(&self, scope: &Scope, table: &TableDef, deep: bool) -> Result<Vec<Finding>, Error> {
        Error::refuse_view(table)?;
        let rows = self.catalog.contradictions(scope, table).await?;
        let mut findings: Vec<Finding> =
            rows.into_iter().map(|(object, problem)| Finding::new(object, problem)).collect();
        let head = self.catalog.head(scope).await?.txn;
        for file in self.scan(scope, table, head, &Predicate::True).await?.files {
            match self.verify_file(scope, table, &file, deep).await {
                Ok(found) => {
                    findings.extend(found.into_iter().map(|problem| Finding::new(object(&file), problem)));
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    findings.push(Finding::new(object(&file), error));
                }
                Err(_) if self.is_gone(scope, table, &file, head).await? => {} // collected meanwhile
                Err(error) => return Err(error),
            }
        }
        Ok(findings)
    }

    /// True if the file is part of no version of now any more.
    async fn is_gone(
        &self,
        scope: &Scope,
        table: &TableDef,
        file: &ScanFile,
        seen: Txn,
    ) -> Result<bool, Error> {
        let head = self.catalog.head(scope).await?.txn;
        if head == seen {
            return Ok(false);
        }
        let files = self.catalog.visible_files(scope, table, head, None).await?.files;
        Ok(!files.iter().any(|visible| visible.id == file.entry.id))
    }

    async fn verify_file(
        &self,
        scope: &Scope,
        table: &TableDef,
        file: &ScanFile,
        deep: bool,
    ) -> Result<Vec<String>, Error> {
        let known = &file.entry.file;
        let mut problems = Vec::new();
        if let Some(visible) = &file.entry.vector
            && let Some(last) = visible.vector.positions().max().filter(|last| *last >= known.rows)
        {
            problems.push(format!("its vector deletes row {last} of {}", known.rows));
        }
        if known.is_inline() {
            self.inline_batches(scope, table, &[&file.entry]).await?; // that it is there, and reads
            if deep {
                problems.extend(self.verify_rows(scope, table, file).await?);
            }
            return Ok(problems);
        }
        match self.store.size(&file.path).await? {
            None => {
                problems.push("the object is missing".to_owned());
                return Ok(problems);
            }
            Some(size) if size != known.bytes => {
                problems.push(format!("the object has {size} bytes, expected {}", known.bytes));
                return Ok(problems);
            }
            Some(_) => {}
        }
        if deep {
            problems.extend(self.verify_footer(file).await?);
            problems.extend(self.verify_rows(scope, table, file).await?);
        }
        Ok(problems)
    }

    async fn verify_footer(&self, file: &ScanFile) -> Result<Vec<String>, Error> {
        let known = &file.entry.file;
        let footer = read_footer(&self.store, &file.stored()).await?;
        let mut problems = Vec::new();
        if footer.rows != known.rows {
            problems.push(format!("it has {} rows, expected {}", footer.rows, known.rows));
        }
        if let Some(column) = footer.columns.iter().find(|column| column.id.is_none()) {
            problems.push(format!("column {:?} has no field id", column.name));
        }
        Ok(problems)
    }

    /// Reads every value of the file.
    async fn verify_rows(
        &self,
        scope: &Scope,
        table: &TableDef,
        file: &ScanFile,
    ) -> Result<Vec<String>, Error> {
        let known = &file.entry.file;
        let written = self.catalog.schema_at(scope, table.id, known.schema_no).await?;
        let as_written = TableDef { schema: Arc::clone(&written), ..table.clone() };
        let all = RowSet::live(None);
        let mut batches = self.read_file(scope, &as_written, &file.entry, all, &written).await?;
        let mut collector = StatisticsCollector::new(&written);
        while let Some(batch) = batches.try_next().await? {
            collector.add(&batch);
        }
        Ok(outside(&known.statistics, &collector.finish()))
    }
}

/// How findings name a file.
fn object(file: &ScanFile) -> String {
    if file.entry.file.is_inline() {
        format!("inline batch {}", file.entry.id)
    } else {
        file.path.to_string()
    }
}

/// Columns whose values are not what the catalog says of them.
fn outside(known: &FileStatistics, found: &FileStatistics) -> Vec<String> {
    let pairs = known.columns.iter().filter_map(|known| Some((known, found.column(known.field_id)?)));
    pairs
        .filter(|(known, found)| !holds(known, found))
        .map(|(known, _)| {
            format!("values of the column with id {} are outside of its statistics", known.field_id)
        })
        .collect()
}

/// Bounds may be wider than the values are, counts may not differ.
fn holds(known: &ColumnStatistics, found: &ColumnStatistics) -> bool {
    let below = known.min.as_ref().zip(found.min.as_ref()).is_none_or(|(known, found)| known <= found);
    let above = known.max.as_ref().zip(found.max.as_ref()).is_none_or(|(known, found)| known >= found);
    let nan = known.nan_count.zip(found.nan_count).is_none_or(|(known, found)| known == found);
    known.null_count == found.null_count && known.value_count == found.value_count && nan && below && above
}

#[cfg(test)]
mod tests {
    use cenote_datafile::Value;
    use cenote_vocab::FieldId;

    use super::*;

    fn column(rows: u64, nulls: u64, (min, max): (i128, i128)) -> FileStatistics {
        let (min, max) = (Some(Value::Integer(min)), Some(Value::Integer(max)));
        FileStatistics {
            columns: vec![ColumnStatistics {
                field_id: FieldId(1),
                value_count: rows,
                null_count: nulls,
                nan_count: None,
                min,
                max,
                min_exact: true,
                max_exact: true,
            }],
        }
    }

    #[test]
    fn bounds_may_be_wider_than_the_values_and_counts_must_be_equal() {
        let found = column(10, 1, (5, 9));
        assert!(outside(&column(10, 1, (5, 9)), &found).is_empty());
        assert!(outside(&column(10, 1, (0, 20)), &found).is_empty());
        for wrong in
            [column(10, 1, (6, 9)), column(10, 1, (5, 8)), column(10, 0, (5, 9)), column(9, 1, (5, 9))]
        {
            assert_eq!(outside(&wrong, &found).len(), 1, "{wrong:?}");
        }
    }
}

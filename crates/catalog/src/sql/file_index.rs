//! Rows of `cn_file` as the file index wants them: numbers alone.

use cenote_vocab::{FileId, LIVE, PartitionId, TableId, Txn};

use super::{Failure, Row, Statement, Transaction};
use crate::file_index::{Delta, VectorEntry};
use crate::tuple::parse_tuple;
use crate::visible::PartitionTuple;
use crate::{Error, FileEntry, TimeWindow};

/// Files of one answer of [`page`].
pub(crate) const PAGE_FILES: usize = 50_000;

const NUMBERS: &str = "f.file_id, f.begin_txn, f.end_txn, f.partition_id, f.schema_no, f.t_min, f.t_max, f.row_count, f.size_bytes";

/// The next files after `after` that a version from `floor` on shows, by id.
pub(crate) async fn page(
    transaction: &mut Transaction,
    table: TableId,
    floor: Txn,
    after: FileId,
) -> Result<Vec<FileEntry>, Failure> {
    // `+ 0`: the rows are read in the order of the key, not by the index on `end_txn`.
    let text = format!(
        "SELECT {NUMBERS} FROM cn_file f WHERE f.table_id = ? AND f.file_id > ? AND f.end_txn + 0 > ? \
         ORDER BY f.file_id LIMIT {PAGE_FILES}"
    );
    let statement = transaction.statement(&text).bind(table).bind(after).bind(floor);
    entries(transaction, statement).await
}

/// What happened to the table in a range of transactions. `partition`: the last one that is known.
pub(crate) async fn delta(
    transaction: &mut Transaction,
    table: TableId,
    (after, to): (Txn, Txn),
    partition: Option<PartitionId>,
) -> Result<Delta, Failure> {
    let range =
        |text: &str, transaction: &Transaction| transaction.statement(text).bind(table).bind(after).bind(to);
    let mut delta = Delta::new(to);
    let text = format!(
        "SELECT {NUMBERS} FROM cn_file f WHERE f.table_id = ? AND f.begin_txn > ? AND f.begin_txn <= ?"
    );
    let added = range(&text, transaction);
    delta.files = entries(transaction, added).await?;
    delta.files.sort_unstable_by_key(|file| file.id);
    let removed = range(
        "SELECT file_id, end_txn FROM cn_file WHERE table_id = ? AND end_txn > ? AND end_txn <= ?",
        transaction,
    );
    for mut row in transaction.query(removed).await? {
        delta.ends.push((FileId(row.int()?), Txn(row.int()?)));
    }
    for bound in ["begin_txn", "end_txn"] {
        let text = format!("{VECTORS} AND {bound} > ? AND {bound} <= ?");
        let changed = range(&text, transaction);
        delta.vectors.extend(vector_entries(transaction, changed).await?);
    }
    delta.vectors.sort_unstable_by_key(|vector| vector.begin);
    delta.partitions = partitions(transaction, table, partition).await?;
    Ok(delta)
}

const VECTORS: &str = "SELECT file_id, begin_txn, end_txn, cardinality FROM cn_dv WHERE table_id = ?";

/// Versions of deletion vectors that a version from `floor` on shows, by begin.
pub(crate) async fn vectors(
    transaction: &mut Transaction,
    table: TableId,
    floor: Txn,
) -> Result<Vec<VectorEntry>, Failure> {
    let statement = transaction.statement(&format!("{VECTORS} AND end_txn > ?")).bind(table).bind(floor);
    let mut vectors = vector_entries(transaction, statement).await?;
    vectors.sort_unstable_by_key(|vector| vector.begin);
    Ok(vectors)
}

async fn vector_entries(
    transaction: &mut Transaction,
    statement: Statement,
) -> Result<Vec<VectorEntry>, Failure> {
    let mut vectors = Vec::new();
    for mut row in transaction.query(statement).await? {
        vectors.push(VectorEntry {
            file: FileId(row.int()?),
            begin: Txn(row.int()?),
            end: Txn(row.int()?),
            deleted: row.count()?,
        });
    }
    Ok(vectors)
}

/// Partitions of the table after the one given.
pub(crate) async fn partitions(
    transaction: &mut Transaction,
    table: TableId,
    after: Option<PartitionId>,
) -> Result<Vec<(PartitionId, PartitionTuple)>, Failure> {
    let text =
        "SELECT partition_id, spec_no, tuple FROM cn_partition WHERE table_id = ? AND partition_id > ?";
    let after = after.unwrap_or(PartitionId(i64::MIN));
    let statement = transaction.statement(text).bind(table).bind(after);
    let mut partitions = Vec::new();
    for mut row in transaction.query(statement).await? {
        let (id, spec_no, text) = (PartitionId(row.int()?), row.small()?, row.text()?);
        let tuple = parse_tuple(&text)
            .ok_or_else(|| Error::Corrupt(format!("partition tuple {text} of table {table}")))?;
        partitions.push((id, PartitionTuple { spec_no, tuple }));
    }
    Ok(partitions)
}

/// Files visible at `at` that may hold rows in the window, with what was deleted from them by then, by id. `span`: no file's
/// times lie further apart.
///
/// Live files and ended ones are asked for apart, as are those without times: each is a range of the index on
/// (`end_txn`, `t_max`).
pub(crate) async fn visible(
    transaction: &mut Transaction,
    table: TableId,
    at: Txn,
    window: TimeWindow,
    span: i64,
) -> Result<Vec<FileEntry>, Failure> {
    let mut files = Vec::new();
    for version in ["=", "<"] {
        for times in [" AND f.t_max >= ? AND f.t_max <= ? AND f.t_min <= ?", " AND f.t_max IS NULL"] {
            let text = format!(
                "SELECT {NUMBERS}, d.begin_txn, d.cardinality FROM cn_file f \
                 LEFT JOIN cn_dv d ON d.table_id = f.table_id AND d.file_id = f.file_id \
                 AND d.begin_txn <= ? AND d.end_txn + 0 > ? \
                 WHERE f.table_id = ? AND f.end_txn {version} {LIVE} AND f.end_txn > ? AND f.begin_txn + 0 <= ?{times}"
            );
            let mut statement = transaction.statement(&text).bind(at).bind(at).bind(table).bind(at).bind(at);
            if times.contains('?') {
                let latest = window.to.saturating_add(span.max(0));
                statement = statement.bind(window.from).bind(latest).bind(window.to);
            }
            for mut row in transaction.query(statement).await? {
                let mut file = entry(&mut row)?;
                if let Some(begin) = row.optional_int()? {
                    file.deleted = Some((Txn(begin), row.count()?));
                }
                files.push(file);
            }
        }
    }
    files.sort_unstable_by_key(|file| file.id);
    Ok(files)
}

async fn entries(transaction: &mut Transaction, statement: Statement) -> Result<Vec<FileEntry>, Failure> {
    let rows = transaction.query(statement).await?;
    rows.into_iter().map(|mut row| Ok(entry(&mut row)?)).collect()
}

fn entry(row: &mut Row) -> Result<FileEntry, Error> {
    Ok(FileEntry {
        id: FileId(row.int()?),
        begin_txn: Txn(row.int()?),
        end_txn: Txn(row.int()?),
        partition: PartitionId(row.int()?),
        schema_no: row.small()?,
        time_range: row.optional_int()?.zip(row.optional_int()?),
        rows: row.count()?,
        bytes: row.count()?,
        deleted: None,
    })
}

//! Rows of one table that contradict each other.

use cenote_vocab::TableId;

use super::{Failure, Transaction};

/// What is wrong with the rows of a table, each with the row that it is about.
pub(crate) async fn contradictions(
    transaction: &mut Transaction,
    table: TableId,
) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for (name, text) in COUNTERS {
        for mut row in transaction.query(transaction.statement(text).bind(table)).await? {
            let (object, kept, counted) = (row.text()?, row.int()?, row.int()?);
            if kept != counted {
                found.push((object, format!("{name} is {kept}, its rows make {counted}")));
            }
        }
    }
    for (problem, text) in IMPOSSIBLE {
        for mut row in transaction.query(transaction.statement(text).bind(table)).await? {
            found.push((row.text()?, (*problem).to_owned()));
        }
    }
    Ok(found)
}

/// Counters: object, what is kept, what the rows make.
const COUNTERS: &[(&str, &str)] = &[
    (
        "live_files",
        "SELECT 'cn_table_state', s.live_files, (SELECT COUNT(*) FROM cn_file f \
         WHERE f.table_id = s.table_id AND f.end_txn = 9223372036854775807) FROM cn_table_state s WHERE s.table_id = ?",
    ),
    (
        "live_rows",
        "SELECT 'cn_table_state', s.live_rows, (SELECT CAST(COALESCE(SUM(f.row_count), 0) AS BIGINT) FROM cn_file f \
         WHERE f.table_id = s.table_id AND f.end_txn = 9223372036854775807) FROM cn_table_state s WHERE s.table_id = ?",
    ),
    (
        "live_bytes",
        "SELECT 'cn_table_state', s.live_bytes, (SELECT CAST(COALESCE(SUM(f.size_bytes), 0) AS BIGINT) FROM cn_file f \
         WHERE f.table_id = s.table_id AND f.end_txn = 9223372036854775807) FROM cn_table_state s WHERE s.table_id = ?",
    ),
    (
        "inline_files",
        "SELECT 'cn_table_state', s.inline_files, (SELECT COUNT(*) FROM cn_file f WHERE f.table_id = s.table_id \
         AND f.format = 'inline' AND f.end_txn = 9223372036854775807) FROM cn_table_state s WHERE s.table_id = ?",
    ),
    (
        "deleted_rows",
        "SELECT 'cn_table_state', s.deleted_rows, (SELECT CAST(COALESCE(SUM(d.cardinality), 0) AS BIGINT) FROM cn_dv d \
         WHERE d.table_id = s.table_id AND d.end_txn = 9223372036854775807) FROM cn_table_state s WHERE s.table_id = ?",
    ),
    (
        "live_files",
        "SELECT 'partition ' || p.tuple, p.live_files, (SELECT COUNT(*) FROM cn_file f WHERE f.table_id = p.table_id \
         AND f.partition_id = p.partition_id AND f.end_txn = 9223372036854775807) FROM cn_partition p WHERE p.table_id = ?",
    ),
    (
        "live_rows",
        "SELECT 'partition ' || p.tuple, p.live_rows, (SELECT CAST(COALESCE(SUM(f.row_count), 0) AS BIGINT) \
         FROM cn_file f WHERE f.table_id = p.table_id AND f.partition_id = p.partition_id \
         AND f.end_txn = 9223372036854775807) FROM cn_partition p WHERE p.table_id = ?",
    ),
    (
        "deleted_rows",
        "SELECT 'partition ' || p.tuple, p.deleted_rows, (SELECT CAST(COALESCE(SUM(d.cardinality), 0) AS BIGINT) \
         FROM cn_dv d JOIN cn_file f ON f.table_id = d.table_id AND f.file_id = d.file_id \
         WHERE d.table_id = p.table_id AND f.partition_id = p.partition_id \
         AND d.end_txn = 9223372036854775807) FROM cn_partition p WHERE p.table_id = ?",
    ),
];

/// Rows that cannot be: their object.
const IMPOSSIBLE: &[(&str, &str)] = &[
    (
        "ends before it begins",
        "SELECT 'file ' || CAST(f.file_id AS TEXT) FROM cn_file f WHERE f.table_id = ? AND f.begin_txn >= f.end_txn",
    ),
    (
        "is inline and has no payload, or has one and is not",
        "SELECT 'file ' || CAST(f.file_id AS TEXT) FROM cn_file f LEFT JOIN cn_inline i ON i.table_id = f.table_id \
         AND i.file_id = f.file_id WHERE f.table_id = ? AND (f.format = 'inline') <> (i.file_id IS NOT NULL)",
    ),
    (
        "has row ids that the table has not given out",
        "SELECT 'file ' || CAST(f.file_id AS TEXT) FROM cn_file f JOIN cn_table_state s ON s.table_id = f.table_id \
         WHERE f.table_id = ? AND f.row_id_start + f.row_count > s.next_row_id",
    ),
    (
        "has a vector of a time when it was not visible",
        "SELECT 'file ' || CAST(d.file_id AS TEXT) FROM cn_dv d LEFT JOIN cn_file f \
         ON f.table_id = d.table_id AND f.file_id = d.file_id WHERE d.table_id = ? \
         AND (f.file_id IS NULL OR d.begin_txn < f.begin_txn OR d.end_txn > f.end_txn OR d.begin_txn >= d.end_txn)",
    ),
    (
        "has two vectors at once",
        "SELECT DISTINCT 'file ' || CAST(a.file_id AS TEXT) FROM cn_dv a JOIN cn_dv b ON b.table_id = a.table_id \
         AND b.file_id = a.file_id AND a.begin_txn < b.begin_txn AND b.begin_txn < a.end_txn WHERE a.table_id = ?",
    ),
    (
        "has more deleted rows than rows",
        "SELECT 'file ' || CAST(d.file_id AS TEXT) FROM cn_dv d JOIN cn_file f ON f.table_id = d.table_id \
         AND f.file_id = d.file_id WHERE d.table_id = ? AND d.cardinality > f.row_count",
    ),
    (
        "has two definitions at once",
        "SELECT DISTINCT 'table ' || a.name FROM cn_table a JOIN cn_table b ON b.table_id = a.table_id \
         AND a.begin_txn < b.begin_txn AND b.begin_txn < a.end_txn WHERE a.table_id = ?",
    ),
];

//! Counters: rows of `cn_table_state` and `cn_partition`.

use std::collections::HashMap;

use cenote_vocab::{CatalogId, PartitionId, TableId, Txn};

use super::{Cell, Database, Failure, Kind, Row, Transaction};
use crate::committer::{LevelCount, Partition, TableState};
use crate::registry::{PARTITION, TABLE_STATE};
use crate::{Error, LevelCounters, PartitionCounters};

const STATE_COLUMNS: &str = "s.table_id, s.last_txn, s.table_seq, s.next_row_id, s.next_field, s.next_part_field, \
     s.next_partition, s.live_files, s.live_rows, s.deleted_rows, s.live_bytes, \
     s.inline_files, s.inline_bytes, s.max_span_us, s.history_floor";

/// Counters of these tables; those without a row are left out.
pub(crate) async fn states(
    transaction: &mut Transaction,
    tables: &[TableId],
) -> Result<HashMap<TableId, TableState>, Failure> {
    let ids: Vec<Vec<Cell>> = tables.iter().map(|table| vec![(*table).into()]).collect();
    let text = format!("SELECT {STATE_COLUMNS} FROM v CROSS JOIN cn_table_state s WHERE s.table_id = v.id");
    let mut states = HashMap::new();
    for mut row in transaction.query_with(&[("id", Kind::Int)], &ids, &text).await? {
        states.insert(TableId(row.int()?), decode_state(&mut row)?);
    }
    Ok(states)
}

/// Counters of one table, by one read.
pub(crate) async fn state(database: &Database, table: TableId) -> Result<Option<TableState>, Failure> {
    let text = format!("SELECT {STATE_COLUMNS} FROM cn_table_state s WHERE s.table_id = ?");
    let Some(mut row) = database.row(database.statement(&text).bind(table)).await? else { return Ok(None) };
    row.int()?;
    Ok(Some(decode_state(&mut row)?))
}

fn decode_state(row: &mut Row) -> Result<TableState, Error> {
    Ok(TableState {
        last_txn: Txn(row.int()?),
        table_seq: row.int()?,
        next_row_id: row.int()?,
        next_field: row.small()?,
        next_part_field: row.small()?,
        next_partition: row.int()?,
        live_files: row.int()?,
        live_rows: row.int()?,
        deleted_rows: row.int()?,
        live_bytes: row.int()?,
        inline: LevelCount { files: row.int()?, bytes: row.int()? },
        max_span: row.int()?,
        history_floor: Txn(row.int()?),
    })
}

/// Stores counters. The history floor of a table that exists is left alone: only a purge raises it.
pub(crate) async fn write_states(
    transaction: &mut Transaction,
    catalog: CatalogId,
    states: &[(TableId, &TableState)],
) -> Result<(), Failure> {
    let rows = states.iter().map(|(table, state)| {
        vec![
            (*table).into(),
            catalog.0.into(),
            state.last_txn.into(),
            state.table_seq.into(),
            state.next_row_id.into(),
            state.next_field.into(),
            state.next_part_field.into(),
            state.next_partition.into(),
            state.live_files.into(),
            state.live_rows.into(),
            state.deleted_rows.into(),
            state.live_bytes.into(),
            state.inline.files.into(),
            state.inline.bytes.into(),
            0_i64.into(),
            state.max_span.into(),
            state.history_floor.into(),
        ]
    });
    let changing = [
        "last_txn",
        "table_seq",
        "next_row_id",
        "next_field",
        "next_part_field",
        "next_partition",
        "live_files",
        "live_rows",
        "deleted_rows",
        "live_bytes",
        "inline_files",
        "inline_bytes",
        "max_span_us",
    ];
    transaction.upsert(&TABLE_STATE, &changing, &rows.collect::<Vec<Vec<Cell>>>()).await
}

pub(super) const PARTITION_COLUMNS: &str = "p.partition_id, p.spec_no, p.tuple_hash, p.tuple, p.live_files, p.live_rows, \
     p.live_bytes, p.small_files, p.fresh_files, p.fresh_bytes, p.merged_files, p.merged_bytes, p.deleted_rows, \
     p.t_min, p.t_max, p.last_txn";

/// The partitions that have these tuples: (table, spec, hash).
pub(crate) async fn partitions(
    transaction: &mut Transaction,
    tuples: &[(TableId, i32, [u8; 16])],
) -> Result<Vec<(TableId, PartitionId, Partition)>, Failure> {
    let rows: Vec<Vec<Cell>> = tuples
        .iter()
        .map(|(table, spec, hash)| vec![(*table).into(), (*spec).into(), (*hash).into()])
        .collect();
    let columns = [("id", Kind::Int), ("spec", Kind::Int), ("hash", Kind::Bytes)];
    let text = format!(
        "SELECT p.table_id, {PARTITION_COLUMNS} FROM v CROSS JOIN cn_partition p \
         WHERE p.table_id = v.id AND p.spec_no = v.spec AND p.tuple_hash = v.hash"
    );
    let mut found = Vec::new();
    for mut row in transaction.query_with(&columns, &rows, &text).await? {
        let table = TableId(row.int()?);
        let (id, partition) = decode_partition(&mut row)?;
        found.push((table, id, partition));
    }
    Ok(found)
}

pub(super) fn decode_partition(row: &mut Row) -> Result<(PartitionId, Partition), Error> {
    let id = PartitionId(row.int()?);
    let mut partition = Partition {
        spec_no: row.small()?,
        tuple_hash: row.array()?,
        tuple: row.text()?,
        live_files: row.int()?,
        live_rows: row.int()?,
        live_bytes: row.int()?,
        small_files: row.int()?,
        fresh: LevelCount { files: row.int()?, bytes: row.int()? },
        merged: LevelCount { files: row.int()?, bytes: row.int()? },
        deleted_rows: row.int()?,
        ..Partition::default()
    };
    partition.time_range = row.optional_int()?.zip(row.optional_int()?);
    partition.last_txn = Txn(row.int()?);
    Ok((id, partition))
}

/// Partitions of one reading.
pub(crate) const PARTITIONS_PAGE: usize = 5_000;

/// Partitions with live files after a place, whose newest change lies in a range: after the first, up to the second.
pub(crate) async fn changed_partitions(
    database: &Database,
    catalog: CatalogId,
    (after, until): (Txn, Txn),
    (table, partition): (TableId, PartitionId),
) -> Result<Vec<PartitionCounters>, Failure> {
    // inline batches are all of the empty tuple
    let text = format!(
        "SELECT p.table_id, COALESCE(s.inline_files, 0), COALESCE(s.inline_bytes, 0), {PARTITION_COLUMNS} \
         FROM cn_partition p LEFT JOIN cn_table_state s ON s.table_id = p.table_id AND p.spec_no = 0 \
         WHERE p.table_id < ? \
         AND (p.table_id > ? OR (p.table_id = ? AND p.partition_id > ?)) \
         AND p.last_txn > ? AND p.last_txn <= ? AND p.live_files > 0 ORDER BY p.table_id, p.partition_id LIMIT ?"
    );
    let statement = database
        .statement(&text)
        .bind((catalog.0 + 1) << 32)
        .bind(table)
        .bind(table)
        .bind(partition)
        .bind(after)
        .bind(until)
        .bind(i64::try_from(PARTITIONS_PAGE).unwrap_or(i64::MAX));
    let mut found = Vec::new();
    for mut row in database.query(statement).await? {
        let table = TableId(row.int()?);
        let inline = LevelCount { files: row.int()?, bytes: row.int()? };
        let (id, partition) = decode_partition(&mut row)?;
        found.push(counters(table, id, &partition, inline)?);
    }
    Ok(found)
}

fn counters(
    table: TableId,
    id: PartitionId,
    partition: &Partition,
    inline: LevelCount,
) -> Result<PartitionCounters, Error> {
    let count = |value: i64| {
        u64::try_from(value).map_err(|_| Error::Corrupt(format!("a counter of table {table} is {value}")))
    };
    let level = |level: LevelCount| {
        Ok::<_, Error>(LevelCounters { files: count(level.files)?, bytes: count(level.bytes)? })
    };
    Ok(PartitionCounters {
        table,
        id,
        spec_no: partition.spec_no,
        tuple: partition.tuple.clone(),
        live: level(LevelCount { files: partition.live_files, bytes: partition.live_bytes })?,
        fresh: level(partition.fresh)?,
        merged: level(partition.merged)?,
        inline: level(inline)?,
        deleted_rows: count(partition.deleted_rows)?,
        last_txn: partition.last_txn,
    })
}

/// Stores partitions and their counters.
pub(crate) async fn write_partitions(
    transaction: &mut Transaction,
    partitions: &[(TableId, PartitionId, &Partition)],
) -> Result<(), Failure> {
    let rows = partitions.iter().map(|(table, id, partition)| {
        vec![
            (*table).into(),
            (*id).into(),
            partition.spec_no.into(),
            partition.tuple_hash.into(),
            partition.tuple.as_str().into(),
            partition.live_files.into(),
            partition.live_rows.into(),
            partition.live_bytes.into(),
            partition.small_files.into(),
            partition.fresh.files.into(),
            partition.fresh.bytes.into(),
            partition.merged.files.into(),
            partition.merged.bytes.into(),
            partition.deleted_rows.into(),
            partition.time_range.map(|range| range.0).into(),
            partition.time_range.map(|range| range.1).into(),
            partition.last_txn.into(),
        ]
    });
    let changing = [
        "live_files",
        "live_rows",
        "live_bytes",
        "small_files",
        "fresh_files",
        "fresh_bytes",
        "merged_files",
        "merged_bytes",
        "deleted_rows",
        "t_min",
        "t_max",
        "last_txn",
    ];
    transaction.upsert(&PARTITION, &changing, &rows.collect::<Vec<Vec<Cell>>>()).await
}

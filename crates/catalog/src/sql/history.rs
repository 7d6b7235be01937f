//! Rows of `cn_txn`, `cn_txn_input` and `cn_table_txn`.

use std::collections::HashMap;

use cenote_vocab::{CatalogId, Micros, TableId, Txn};
use uuid::Uuid;

use super::{Cell, Database, Failure, Kind, Transaction};
use crate::committer::{Tally, TxnRow};
use crate::registry::{TABLE_TXN, TXN, TXN_INPUT};
use crate::{Input, RunOf, TableCommit, TransactionFacts, TransactionRecord};

/// The most bytes of a SQL text that history keeps.
pub(super) const SQL_BYTES_MAX: usize = 64 << 10;
/// The most bytes of names in the history: longer ones are cut.
pub(super) const NAME_BYTES_MAX: usize = 255;

/// Which of these commits are there already, and how many rows they deleted.
pub(crate) async fn known_commits(
    transaction: &mut Transaction,
    catalog: CatalogId,
    commits: &[Uuid],
) -> Result<HashMap<Uuid, (Txn, u64)>, Failure> {
    let ids: Vec<Vec<Cell>> = commits.iter().map(|id| vec![(*id).into(), catalog.0.into()]).collect();
    let columns = [("id", Kind::Uuid), ("catalog", Kind::Int)];
    let text = "SELECT x.commit_id, x.txn, (SELECT CAST(COALESCE(SUM(t.deleted_rows), 0) AS BIGINT) \
                FROM cn_table_txn t WHERE t.catalog_id = x.catalog_id AND t.txn = x.txn) \
                FROM v CROSS JOIN cn_txn x WHERE x.commit_id = v.id AND x.catalog_id = v.catalog";
    let mut known = HashMap::new();
    for mut row in transaction.query_with(&columns, &ids, text).await? {
        known.insert(row.uuid()?, (Txn(row.int()?), row.count()?));
    }
    Ok(known)
}

/// The last transaction of each table that changed rows.
pub(crate) async fn last_data_txns(
    transaction: &mut Transaction,
    tables: &[TableId],
) -> Result<HashMap<TableId, Txn>, Failure> {
    let ids: Vec<Vec<Cell>> = tables.iter().map(|table| vec![(*table).into()]).collect();
    let text = "SELECT t.table_id, MAX(t.txn) FROM v CROSS JOIN cn_table_txn t \
                WHERE t.table_id = v.id AND t.data_change = 1 GROUP BY t.table_id";
    let mut last = HashMap::new();
    for mut row in transaction.query_with(&[("id", Kind::Int)], &ids, text).await? {
        last.insert(TableId(row.int()?), Txn(row.int()?));
    }
    Ok(last)
}

/// Adds rows of the history.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    txns: &[TxnRow],
    tallies: &[Tally],
) -> Result<(), Failure> {
    let rows: Vec<Vec<Cell>> = txns.iter().map(|row| txn_cells(catalog, row)).collect();
    transaction.insert(&TXN, &rows).await?;
    let inputs: Vec<Vec<Cell>> = txns.iter().flat_map(|row| input_cells(catalog, row)).collect();
    transaction.insert(&TXN_INPUT, &inputs).await?;
    let rows: Vec<Vec<Cell>> = tallies.iter().map(|tally| tally_cells(catalog, tally)).collect();
    transaction.insert(&TABLE_TXN, &rows).await
}

fn txn_cells(catalog: CatalogId, row: &TxnRow) -> Vec<Cell> {
    let facts = &row.facts;
    let extra =
        facts.sql.as_deref().map(|sql| serde_json::json!({ "sql": cut(sql, SQL_BYTES_MAX) }).to_string());
    vec![
        catalog.0.into(),
        row.txn.into(),
        row.committed.0.into(),
        row.commit_id.into(),
        cut(&facts.operation, NAME_BYTES_MAX).into(),
        facts.run.map(RunOf::id).into(),
        Cell::Null,
        facts.code.as_ref().map(|code| code.id).into(),
        facts.caller.actor.as_deref().map(|actor| cut(actor, NAME_BYTES_MAX)).into(),
        facts.caller.request_id.as_deref().map(|id| cut(id, NAME_BYTES_MAX)).into(),
        facts.message.as_deref().map(storable).into(),
        extra.into(),
    ]
}

fn input_cells(catalog: CatalogId, row: &TxnRow) -> impl Iterator<Item = Vec<Cell>> {
    row.facts.inputs.iter().zip(0_i64..).map(move |(input, n)| {
        vec![
            catalog.0.into(),
            row.txn.into(),
            n.into(),
            cut(&input.node, NAME_BYTES_MAX).into(),
            input.from.as_deref().map(storable).into(),
            input.to.as_deref().map(storable).into(),
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
        ]
    })
}

fn tally_cells(catalog: CatalogId, tally: &Tally) -> Vec<Cell> {
    vec![
        tally.table.into(),
        tally.txn.into(),
        catalog.0.into(),
        tally.seq.into(),
        tally.ops.into(),
        tally.data_change.into(),
        tally.schema_no.into(),
        tally.base.into(),
        tally.added_files.into(),
        tally.removed_files.into(),
        tally.added_rows.into(),
        tally.deleted_rows.into(),
        tally.added_bytes.into(),
        Cell::Null,
        Cell::Null,
    ]
}

/// The text without NUL, which PostgreSQL cannot store.
fn storable(text: &str) -> String {
    text.replace('\0', "")
}

/// At most `bytes_max` bytes of a text, whole characters, without NUL.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    storable(&text[..end])
}

/// The last transaction at or before an instant, and the first of all: (`None`, first) if it is before the first.
pub(crate) async fn at(
    database: &Database,
    catalog: CatalogId,
    instant: Micros,
) -> Result<(Option<Txn>, Option<Micros>), Failure> {
    let statement = database
        .statement(
            "SELECT txn FROM cn_txn WHERE catalog_id = ? AND committed_us <= ? ORDER BY committed_us DESC LIMIT 1",
        )
        .bind(catalog.0)
        .bind(instant.0);
    if let Some(mut row) = database.row(statement).await? {
        return Ok((Some(Txn(row.int()?)), None));
    }
    let statement = database
        .statement("SELECT committed_us FROM cn_txn WHERE catalog_id = ? ORDER BY txn LIMIT 1")
        .bind(catalog.0);
    let first = database.row(statement).await?.map(|mut row| row.int()).transpose()?;
    Ok((None, first.map(Micros)))
}

/// The newest `limit` transactions, newest first.
pub(crate) async fn newest(
    database: &Database,
    catalog: CatalogId,
    limit: i64,
) -> Result<Vec<TransactionRecord>, Failure> {
    let statement = database
        .statement(
            "SELECT txn, committed_us, operation FROM cn_txn WHERE catalog_id = ? ORDER BY txn DESC LIMIT ?",
        )
        .bind(catalog.0)
        .bind(limit);
    let mut records = Vec::new();
    for mut row in database.query(statement).await? {
        records.push(TransactionRecord {
            txn: Txn(row.int()?),
            committed: Micros(row.int()?),
            operation: row.text()?,
        });
    }
    Ok(records)
}

/// The transaction of a commit of this catalog.
pub(crate) async fn of_commit(
    database: &Database,
    catalog: CatalogId,
    commit: Uuid,
) -> Result<Option<TransactionRecord>, Failure> {
    let statement = database
        .statement("SELECT txn, committed_us, operation FROM cn_txn WHERE commit_id = ? AND catalog_id = ?")
        .bind(commit)
        .bind(catalog.0);
    let Some(mut row) = database.row(statement).await? else { return Ok(None) };
    Ok(Some(TransactionRecord {
        txn: Txn(row.int()?),
        committed: Micros(row.int()?),
        operation: row.text()?,
    }))
}

/// What a transaction said of itself.
pub(crate) async fn facts(
    database: &Database,
    catalog: CatalogId,
    txn: Txn,
) -> Result<Option<TransactionFacts>, Failure> {
    let statement = database
        .statement(
            "SELECT committed_us, operation, actor, run_id, code_id FROM cn_txn WHERE catalog_id = ? AND txn = ?",
        )
        .bind(catalog.0)
        .bind(txn);
    let Some(mut row) = database.row(statement).await? else { return Ok(None) };
    let mut facts = TransactionFacts {
        txn,
        committed: Micros(row.int()?),
        operation: row.text()?,
        actor: row.optional_text()?,
        run: row.optional_uuid()?,
        code: row.optional_bytes()?.and_then(|bytes| bytes.try_into().ok()),
        inputs: Vec::new(),
    };
    let statement = database
        .statement(
            "SELECT node, from_pos, to_pos FROM cn_txn_input WHERE catalog_id = ? AND txn = ? ORDER BY n",
        )
        .bind(catalog.0)
        .bind(txn);
    for mut row in database.query(statement).await? {
        facts.inputs.push(Input { node: row.text()?, from: row.optional_text()?, to: row.optional_text()? });
    }
    Ok(Some(facts))
}

/// The transactions after one up to another that changed rows of a table, newest first, each with its run.
pub(crate) async fn row_changes(
    database: &Database,
    table: TableId,
    (after, to): (Txn, Txn),
    limit: i64,
) -> Result<Vec<(Txn, Option<Uuid>)>, Failure> {
    let statement = database
        .statement(
            "SELECT c.txn, x.run_id FROM cn_table_txn c JOIN cn_txn x ON x.catalog_id = c.catalog_id AND x.txn = c.txn \
             WHERE c.table_id = ? AND c.txn > ? AND c.txn <= ? AND c.data_change = 1 ORDER BY c.txn DESC LIMIT ?",
        )
        .bind(table)
        .bind(after)
        .bind(to)
        .bind(limit);
    let mut changes = Vec::new();
    for mut row in database.query(statement).await? {
        changes.push((Txn(row.int()?), row.optional_uuid()?));
    }
    Ok(changes)
}

/// Which commits of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Every one.
    All,
    /// Those that changed rows.
    Rows,
}

/// Commits of a table after one transaction up to another, oldest first: those from its floor on, and the newest. Others may still be
/// kept for the feed of events.
pub(crate) async fn table_commits(
    transaction: &mut Transaction,
    table: TableId,
    (after, to): (Txn, Txn),
    wanted: Wanted,
    limit: usize,
) -> Result<Vec<TableCommit>, Failure> {
    let filter = if wanted == Wanted::Rows { " AND c.data_change = 1" } else { "" };
    let statement = transaction
        .statement(&format!(
            "SELECT c.txn, x.committed_us, x.operation, x.actor, x.message, c.table_seq, c.ops, c.data_change, \
             c.schema_no, c.added_files, c.removed_files, c.added_rows, c.deleted_rows, c.added_bytes \
             FROM cn_table_txn c JOIN cn_txn x ON x.catalog_id = c.catalog_id AND x.txn = c.txn \
             JOIN cn_table_state s ON s.table_id = c.table_id \
             WHERE c.table_id = ? AND c.txn > ? AND c.txn <= ?{filter} \
             AND (c.txn >= s.history_floor OR c.txn >= s.last_txn) ORDER BY c.txn LIMIT ?"
        ))
        .bind(table)
        .bind(after)
        .bind(to)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let mut commits = Vec::new();
    for mut row in transaction.query(statement).await? {
        commits.push(TableCommit {
            txn: Txn(row.int()?),
            committed: Micros(row.int()?),
            operation: row.text()?,
            actor: row.optional_text()?,
            message: row.optional_text()?,
            seq: row.int()?,
            ops: row.small()?,
            data_change: row.flag()?,
            schema_no: row.small()?,
            files_added: row.int()?,
            files_removed: row.int()?,
            rows_added: row.int()?,
            rows_deleted: row.int()?,
            bytes_added: row.int()?,
        });
    }
    Ok(commits)
}

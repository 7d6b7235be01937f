//! Rows of `cn_code`, `cn_node`, `cn_edge`, and of runs that are statements.

use cenote_vocab::{CatalogId, FieldId, Micros, TableId, Txn};

use super::history::{NAME_BYTES_MAX, SQL_BYTES_MAX, cut};
use super::run::of_one_step;
use super::{Cell, Database, Failure, Transaction};
use crate::committer::{Tally, TxnRow};
use crate::lineage::{ColumnEdge, ColumnKind, Graph, LineageEdge, soundness};
use crate::registry::{CODE, COLUMN_EDGE, EDGE, NODE, RUN};
use crate::{Error, RunOf};

/// The most edges that are walked at once.
const EDGES_MAX: i64 = 1_000_000;

/// Writes what the commits of a group say about where rows come from: at most five statements, none if nothing was read.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    catalog: CatalogId,
    txns: &[TxnRow],
    tallies: &[Tally],
) -> Result<(), Failure> {
    insert_codes(transaction, catalog, txns).await?;
    insert_queries(transaction, catalog, txns, tallies).await?;
    let graph = Graph::of(txns, tallies);
    let nodes: Vec<Vec<Cell>> = graph
        .nodes
        .iter()
        .map(|(node, (kind, first, last))| {
            vec![catalog.0.into(), node.as_str().into(), (*kind).into(), (*first).into(), (*last).into()]
        })
        .collect();
    transaction.upsert(&NODE, &["last_txn"], &nodes).await?;
    let edges: Vec<Vec<Cell>> = graph
        .edges
        .iter()
        .map(|(id, edge)| {
            vec![
                catalog.0.into(),
                (*id).into(),
                edge.source.as_str().into(),
                edge.target.as_str().into(),
                edge.code.into(),
                edge.edge_type.as_str().into(),
                edge.first.into(),
                edge.last.into(),
                edge.commits.into(),
                edge.rows_written.into(),
                edge.run.into(),
                edge.soundness.as_str().into(),
            ]
        })
        .collect();
    let counted = " ON CONFLICT (catalog_id, edge_id) DO UPDATE SET last_txn = excluded.last_txn, \
                   commits = cn_edge.commits + excluded.commits, \
                   rows_written = cn_edge.rows_written + excluded.rows_written, \
                   last_run_id = COALESCE(excluded.last_run_id, cn_edge.last_run_id)";
    transaction.insert_then(&EDGE, &edges, counted).await
}

async fn insert_codes(
    transaction: &mut Transaction,
    catalog: CatalogId,
    txns: &[TxnRow],
) -> Result<(), Failure> {
    let rows: Vec<Vec<Cell>> = txns
        .iter()
        .filter_map(|row| Some((row.txn, row.facts.code.as_ref()?)))
        .map(|(txn, code)| {
            vec![
                catalog.0.into(),
                code.id.into(),
                cut(&code.text, SQL_BYTES_MAX).into(),
                code.deterministic.into(),
                soundness(Some(code)).into(),
                txn.into(),
            ]
        })
        .collect();
    transaction.insert_missing(&CODE, &rows).await?;
    let codes = txns.iter().filter_map(|row| row.facts.code.as_ref());
    let columns: Vec<Vec<Cell>> = codes
        .flat_map(|code| code.columns.iter().flatten().map(|edge| (code.id, edge)))
        .map(|(code, edge)| {
            vec![
                catalog.0.into(),
                code.into(),
                edge.source.0.into(),
                edge.source.1.into(),
                edge.target.0.into(),
                edge.target.1.into(),
                edge.kind.subtype().into(),
            ]
        })
        .collect();
    transaction.insert_missing(&COLUMN_EDGE, &columns).await
}

/// Statements that read and wrote: their runs have ended when they are made.
async fn insert_queries(
    transaction: &mut Transaction,
    catalog: CatalogId,
    txns: &[TxnRow],
    tallies: &[Tally],
) -> Result<(), Failure> {
    let rows: Vec<Vec<Cell>> = txns
        .iter()
        .filter_map(|row| match row.facts.run {
            Some(RunOf::Query { id, started }) => Some((row, id, started)),
            _ => None,
        })
        .map(|(row, id, started)| {
            let mut tables = tallies.iter().filter(|tally| tally.txn == row.txn);
            let table = tables.next().filter(|_| tables.next().is_none()).map(|tally| tally.table);
            query_cells(catalog, row, (id, started), table.into())
        })
        .collect();
    transaction.insert(&RUN, &rows).await
}

fn query_cells(
    catalog: CatalogId,
    row: &TxnRow,
    (id, started): (uuid::Uuid, Micros),
    table: Cell,
) -> Vec<Cell> {
    let facts = &row.facts;
    of_one_step(vec![
        catalog.0.into(),
        id.into(),
        "query".into(),
        uuid::Uuid::nil().into(),
        Some(cut(&facts.operation, NAME_BYTES_MAX)).into(),
        table,
        "SUCCEEDED".into(),
        "person".into(),
        facts.caller.actor.as_deref().map(|actor| cut(actor, NAME_BYTES_MAX)).into(),
        Cell::Null,
        uuid::Uuid::nil().into(),
        0_i64.into(),
        started.0.into(),
        started.0.into(),
        row.committed.0.into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
        row.txn.into(),
        Cell::Null,
        1_i64.into(),
    ])
}

/// All edges that were there at a transaction. `Limit` if there are too many of them.
pub(crate) async fn edges(
    database: &Database,
    catalog: CatalogId,
    at: Txn,
) -> Result<Vec<LineageEdge>, Failure> {
    let statement = database
        .statement(
            "SELECT source_id, target_id, edge_type, code_id, first_txn, last_txn, commits, rows_written, last_run_id, soundness \
             FROM cn_edge WHERE catalog_id = ? AND first_txn <= ? ORDER BY source_id, target_id, edge_id LIMIT ?",
        )
        .bind(catalog.0)
        .bind(at)
        .bind(EDGES_MAX + 1);
    let mut edges = Vec::new();
    for mut row in database.query(statement).await? {
        edges.push(LineageEdge {
            source: row.text()?,
            target: row.text()?,
            edge_type: row.text()?,
            code: row.optional_bytes()?.and_then(|bytes| bytes.try_into().ok()),
            first: Txn(row.int()?),
            last: Txn(row.int()?),
            commits: row.int()?,
            rows_written: row.int()?,
            run: row.optional_uuid()?,
            soundness: row.text()?,
        });
    }
    if edges.len() as i64 > EDGES_MAX {
        return Err(Error::Limit(format!("lineage has more than {EDGES_MAX} edges")).into());
    }
    Ok(edges)
}

/// All edges between columns of codes that were met by a transaction. `Limit` if there are too many of them.
pub(crate) async fn column_edges(
    database: &Database,
    catalog: CatalogId,
    at: Txn,
) -> Result<Vec<ColumnEdge>, Failure> {
    let statement = database
        .statement(
            "SELECT DISTINCT e.source_table_id, e.source_field_id, e.target_table_id, e.target_field_id, e.subtype \
             FROM cn_column_edge e JOIN cn_code c ON c.catalog_id = e.catalog_id AND c.code_id = e.code_id \
             WHERE e.catalog_id = ? AND c.first_txn <= ? ORDER BY 1, 2, 3, 4, 5 LIMIT ?",
        )
        .bind(catalog.0)
        .bind(at)
        .bind(EDGES_MAX + 1);
    let mut edges = Vec::new();
    for mut row in database.query(statement).await? {
        let source = (TableId(row.int()?), FieldId(row.small()?));
        let target = (TableId(row.int()?), FieldId(row.small()?));
        let subtype = row.text()?;
        let kind = ColumnKind::of_subtype(&subtype)
            .ok_or_else(|| Error::Corrupt(format!("a subtype {subtype:?} in cn_column_edge")))?;
        edges.push(ColumnEdge { source, target, kind });
    }
    if edges.len() as i64 > EDGES_MAX {
        return Err(Error::Limit(format!("lineage has more than {EDGES_MAX} edges between columns")).into());
    }
    Ok(edges)
}

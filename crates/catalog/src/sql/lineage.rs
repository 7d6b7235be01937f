//! Rows of `cn_code`, `cn_node`, `cn_edge`, and of runs that are statements.

use std::collections::HashMap;
use std::sync::Arc;

use cenote_vocab::{CatalogId, FieldId, Micros, TableId, Txn};

use super::history::{NAME_BYTES_MAX, SQL_BYTES_MAX, cut};
use super::run::of_one_step;
use super::{Cell, Database, Failure, Row, Statement, Transaction};
use crate::committer::{Tally, TxnRow};
use crate::lineage::{ColumnKind, ColumnLink, EdgeFacts, EdgeLink, Graph, soundness};
use crate::registry::{CODE, COLUMN_EDGE, EDGE, NODE, RUN};
use crate::{Error, RunOf};

/// Edges that are read at once.
const EDGES_PER_PAGE: i64 = 20_000;

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
                (&*edge.source).into(),
                (&*edge.target).into(),
                edge.code.into(),
                edge.edge_type.into(),
                edge.first.into(),
                edge.last.into(),
                edge.commits.into(),
                edge.rows_written.into(),
                edge.run.into(),
                edge.soundness.into(),
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

const COLUMNS: &str = "edge_id, source_id, target_id, edge_type, code_id, first_txn, last_txn, commits, rows_written, \
                       last_run_id, soundness";

/// An edge with its ends.
type Ends<N, L> = (N, N, L);

/// Some edges, and the id of the last of them; `None` if there are none.
pub(crate) struct EdgePage {
    pub(crate) edges: Vec<Ends<Arc<str>, EdgeLink>>,
    pub(crate) last: Option<[u8; 32]>,
}

/// The next edges of a catalog in the order of their ids.
pub(crate) async fn edges(
    database: &Database,
    catalog: CatalogId,
    after: Option<[u8; 32]>,
) -> Result<EdgePage, Failure> {
    let behind = if after.is_some() { " AND edge_id > ?" } else { "" };
    let text = format!("SELECT {COLUMNS} FROM cn_edge WHERE catalog_id = ?{behind} ORDER BY edge_id LIMIT ?");
    let statement = database.statement(&text).bind(catalog.0);
    let statement = match after {
        Some(after) => statement.bind(after),
        None => statement,
    };
    let mut rows = database.query(statement.bind(EDGES_PER_PAGE)).await?;
    let mut page = EdgePage { edges: Vec::with_capacity(rows.len()), last: None };
    let mut decoder = EdgeDecoder::default();
    for row in &mut rows {
        page.last = Some(row.array()?);
        page.edges.push(decoder.edge(row)?);
    }
    Ok(page)
}

/// The edges that commits after a transaction made or met again.
pub(crate) async fn edges_since(
    database: &Database,
    catalog: CatalogId,
    seen: Txn,
) -> Result<Vec<Ends<Arc<str>, EdgeLink>>, Failure> {
    let text = format!("SELECT {COLUMNS} FROM cn_edge WHERE catalog_id = ? AND last_txn > ?");
    let mut rows = database.query(database.statement(&text).bind(catalog.0).bind(seen)).await?;
    let mut decoder = EdgeDecoder::default();
    let edge = |row: &mut Row| {
        row.array::<32>()?;
        decoder.edge(row)
    };
    Ok(rows.iter_mut().map(edge).collect::<Result<_, _>>()?)
}

/// Reads edges; what many have in common is there once.
#[derive(Default)]
struct EdgeDecoder {
    codes: HashMap<[u8; 32], Arc<[u8; 32]>>,
}

impl EdgeDecoder {
    /// Behind the id.
    fn edge(&mut self, row: &mut Row) -> Result<Ends<Arc<str>, EdgeLink>, Error> {
        let (source, target, edge_type) = (row.text()?, row.text()?, row.text()?);
        let code = row.optional_bytes()?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let code = code.map(|code| self.codes.entry(code).or_insert_with(|| Arc::new(code)).clone());
        let link = EdgeLink::of(EdgeFacts {
            edge_type,
            code,
            first: Txn(row.int()?),
            last: Txn(row.int()?),
            commits: row.int()?,
            rows_written: row.int()?,
            run: row.optional_uuid()?,
            soundness: row.text()?,
        })?;
        Ok((source.into(), target.into(), link))
    }
}

/// The first edges between columns, each once.
pub(crate) async fn column_edges(
    database: &Database,
    catalog: CatalogId,
    limit: usize,
) -> Result<Vec<Ends<(TableId, FieldId), ColumnLink>>, Failure> {
    let text = format!("{} GROUP BY 1, 2, 3, 4, 5 LIMIT ?", column_query("", "MIN(c.first_txn)"));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    decode_columns(database, database.statement(&text).bind(catalog.0).bind(limit)).await
}

/// The edges between columns of codes that were first met after a transaction.
pub(crate) async fn column_edges_since(
    database: &Database,
    catalog: CatalogId,
    seen: Txn,
) -> Result<Vec<Ends<(TableId, FieldId), ColumnLink>>, Failure> {
    let text = column_query(" AND c.first_txn > ?", "c.first_txn");
    decode_columns(database, database.statement(&text).bind(catalog.0).bind(seen)).await
}

fn column_query(only: &str, first: &str) -> String {
    format!(
        "SELECT e.source_table_id, e.source_field_id, e.target_table_id, e.target_field_id, e.subtype, {first} \
         FROM cn_code c JOIN cn_column_edge e ON e.catalog_id = c.catalog_id AND e.code_id = c.code_id \
         WHERE c.catalog_id = ?{only}"
    )
}

async fn decode_columns(
    database: &Database,
    statement: Statement,
) -> Result<Vec<Ends<(TableId, FieldId), ColumnLink>>, Failure> {
    let mut edges = Vec::new();
    for mut row in database.query(statement).await? {
        let source = (TableId(row.int()?), FieldId(row.small()?));
        let target = (TableId(row.int()?), FieldId(row.small()?));
        let subtype = row.text()?;
        let kind = ColumnKind::of_subtype(&subtype)
            .ok_or_else(|| Error::Corrupt(format!("a subtype {subtype:?} in cn_column_edge")))?;
        edges.push((source, target, ColumnLink { kind, first: Txn(row.int()?) }));
    }
    Ok(edges)
}

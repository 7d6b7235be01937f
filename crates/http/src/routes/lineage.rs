//! Where rows and columns come from, and where they go: the graph that commits have made.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use cenote_catalog::{
    ColumnEdge, Direction, LineageEdge, Privilege, TableDef, TablesById, Walk, WalkRequest, WalkedEdge,
    node_kind,
};
use cenote_vocab::{FieldId, TableId, Txn};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::nodes::Nodes;
use super::tables::find;
use crate::answer;
use crate::app::App;
use crate::call::Call;
use crate::parameters::instant;
use crate::problem::Problem;

/// The farthest that a walk goes.
const DEPTH_MAX: u64 = 100;
/// The most nodes of an answer (`lineage_nodes_max`).
const NODES_MAX: u64 = 10_000;

/// The tables, protocols and outside places around a table. Those that the caller may not read keep their place and have no name.
#[utoipa::path(
    get, path = "/api/v1/lineage/{table}", tag = "metadata",
    params(
        ("table" = String, Path, description = "id, name, or schema.name"), ("database" = Option<String>, Query),
        ("direction" = Option<String>, Query, description = "`upstream`, `downstream` or `both`"),
        ("depth" = Option<u64>, Query, description = "edges away, 1 without it, 100 at most"),
        ("columns" = Option<bool>, Query, description = "also which column came of which"),
        ("as_of" = Option<String>, Query, description = "a transaction or a time"),
        ("max_nodes" = Option<u64>, Query, description = "10000 without it, and at most"),
    ),
    responses(
        (status = 200, description = "`upstream` and `downstream` edges with their `hop`, and `nodes`", body = Object,
            example = json!({"table_id": "019b…", "txn": 4711, "upstream": [{"source": "12", "target": "14", "edge_type": "derives_from",
                "soundness": "exact", "hop": 1, "first_txn": 20, "last_txn": 4700, "commits": 12, "rows_written": 300}],
                "downstream": [], "nodes": [{"id": "14", "name": "mart.daily", "kind": "table", "hop": 0}], "truncated": false})),
        (status = 400, description = "a bad direction, depth or time"), (status = 404, description = "no such table"),
    )
)]
pub(super) async fn graph(
    State(app): State<App>,
    Path(table): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    let asked = Asked::of(&call, &["columns", "max_nodes"])?;
    let nodes_max = call.parameters.number("max_nodes")?.unwrap_or(NODES_MAX);
    if !(1..=NODES_MAX).contains(&nodes_max) {
        return Err(Problem::bad_request(format!("max_nodes is from 1 to {NODES_MAX} (lineage_nodes_max)")));
    }
    let with_columns = call.parameters.flag("columns")?.unwrap_or(false);
    let (table, at, tables) = found(&app, &call, &table).await?;
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let start = table.id.to_string();
    let walked = catalog.walk_lineage(scope, &start, asked.request(at, nodes_max)).await?;
    let mut shown = Nodes::new(&tables, &call);
    let ends = shown.ends(&walked);
    let of = |direction| {
        let edges = walked.edges.iter().zip(&ends).filter(move |(met, _)| met.direction == direction);
        edges.map(|(met, (source, target))| shown_edge(met, source, target)).collect::<Vec<_>>()
    };
    let (upstream, downstream) = (of(Direction::Upstream), of(Direction::Downstream));
    let nodes = hops(&walked, &start).into_iter().map(|(node, hop)| shown.node(node, hop)).collect();
    let columns = match with_columns {
        false => None,
        true => {
            let pair = |met: &WalkedEdge<LineageEdge>| {
                Some((TableId(met.edge.source.parse().ok()?), TableId(met.edge.target.parse().ok()?)))
            };
            let pairs: BTreeSet<(TableId, TableId)> = walked.edges.iter().filter_map(pair).collect();
            let columns = catalog.columns_between(scope, at, pairs).await?;
            Some(columns.iter().map(|edge| shown.column_edge(edge)).collect())
        }
    };
    let truncated = walked.truncated;
    Graph { table_id: table.uuid.to_string(), txn: at.0, upstream, downstream, nodes, truncated, columns }
        .answer()
}

/// The answer, written as it stands: a value in between takes as long as the walk.
#[derive(Serialize)]
struct Graph<'a> {
    table_id: String,
    txn: i64,
    upstream: Vec<ShownEdge<'a>>,
    downstream: Vec<ShownEdge<'a>>,
    nodes: Vec<ShownNode>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<Value>>,
}

impl Graph<'_> {
    fn answer(&self) -> Result<Response, Problem> {
        answer::json(self)
    }
}

#[derive(Serialize)]
struct ShownEdge<'a> {
    source: &'a str,
    target: &'a str,
    edge_type: &'static str,
    soundness: &'static str,
    code_id: Option<String>,
    first_txn: i64,
    last_txn: i64,
    commits: i64,
    rows_written: i64,
    last_run_id: Option<String>,
    hop: u32,
}

#[derive(Serialize)]
struct ShownNode {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    hop: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
}

fn shown_edge<'a>(met: &WalkedEdge<LineageEdge>, source: &'a str, target: &'a str) -> ShownEdge<'a> {
    let edge = &met.edge;
    ShownEdge {
        source,
        target,
        edge_type: edge.edge_type,
        soundness: edge.soundness,
        code_id: edge.code.map(hex::encode),
        first_txn: edge.first.0,
        last_txn: edge.last.0,
        commits: edge.commits,
        rows_written: edge.rows_written,
        last_run_id: edge.run.map(|run| run.to_string()),
        hop: met.hop,
    }
}

/// The columns around one column: what it came of, or what a change of it touches.
#[utoipa::path(
    get, path = "/api/v1/lineage/{table}/columns/{column}", tag = "metadata",
    params(
        ("table" = String, Path, description = "id, name, or schema.name"), ("column" = String, Path),
        ("database" = Option<String>, Query),
        ("direction" = Option<String>, Query, description = "`upstream`, `downstream` or `both`"),
        ("depth" = Option<u64>, Query, description = "edges away, 1 without it, 100 at most"),
        ("as_of" = Option<String>, Query, description = "a transaction or a time"),
    ),
    responses(
        (status = 200, description = "`upstream` and `downstream` edges with their `hop`", body = Object),
        (status = 400, description = "a bad direction, depth or time"), (status = 404, description = "no such table or column"),
    )
)]
pub(super) async fn column(
    State(app): State<App>,
    Path((table, column)): Path<(String, String)>,
    call: Call,
) -> Result<Json<Value>, Problem> {
    let asked = Asked::of(&call, &[])?;
    let (table, at, tables) = found(&app, &call, &table).await?;
    let field = table.schema.field(&column).ok_or_else(|| {
        let text = format!("column \"{column}\" does not exist in {}", table.full_name());
        Problem::not_found(text).with("sqlstate", "42703")
    })?;
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let start = (table.id, field.id);
    let walked = catalog.walk_columns(scope, start, asked.request(at, NODES_MAX)).await?;
    let mut shown = Nodes::new(&tables, &call);
    let mut of = |direction| -> Vec<Value> {
        let met = walked.edges.iter().filter(|met| met.direction == direction);
        met.map(|met| {
            let mut edge = shown.column_edge(&met.edge);
            edge["hop"] = met.hop.into();
            edge
        })
        .collect()
    };
    Ok(Json(json!({
        "table_id": table.uuid.to_string(),
        "column": field.name,
        "txn": at.0,
        "upstream": of(Direction::Upstream),
        "downstream": of(Direction::Downstream),
        "truncated": walked.truncated,
    })))
}

/// How far to go, and which way.
struct Asked {
    directions: Vec<Direction>,
    depth: u32,
}

impl Asked {
    fn of(call: &Call, more: &[&str]) -> Result<Self, Problem> {
        let known = ["db", "database", "direction", "depth", "as_of", "u", "p"];
        call.parameters.only(&[&known, more].concat())?;
        let directions = match call.parameters.first(&["direction"]).unwrap_or("both") {
            "both" => vec![Direction::Upstream, Direction::Downstream],
            "upstream" => vec![Direction::Upstream],
            "downstream" => vec![Direction::Downstream],
            other => {
                let text = format!("direction is upstream, downstream or both, got \"{other}\"");
                return Err(Problem::bad_request(text));
            }
        };
        let depth = call.parameters.number("depth")?.unwrap_or(1);
        let depth = u32::try_from(depth).ok().filter(|depth| (1..=DEPTH_MAX).contains(&u64::from(*depth)));
        let depth = depth.ok_or_else(|| Problem::bad_request(format!("depth is from 1 to {DEPTH_MAX}")))?;
        Ok(Self { directions, depth })
    }

    fn request(&self, at: Txn, nodes_max: u64) -> WalkRequest {
        let nodes_max = usize::try_from(nodes_max).unwrap_or(usize::MAX);
        WalkRequest { at, directions: self.directions.clone(), depth: self.depth, nodes_max }
    }
}

/// The table, the transaction that is asked about, and the tables of now.
async fn found(app: &App, call: &Call, path: &str) -> Result<(Arc<TableDef>, Txn, Arc<TablesById>), Problem> {
    let table = find(app, call, path, Privilege::Select).await?;
    let (catalog, scope) = (&app.services()?.catalog, &call.identity.scope);
    let head = catalog.head(scope).await?.txn;
    let at = match call.parameters.first(&["as_of"]) {
        None => head,
        Some(text) => match text.parse().map(Txn) {
            Ok(txn) => txn,
            Err(_) => catalog.txn_at(scope, instant("as_of", text)?).await?,
        },
    };
    if at < Txn(0) || at > head {
        let text = format!("transaction {at} is not there; the newest is {head}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, text).with("sqlstate", "22023"));
    }
    Ok((table, at, catalog.tables_by_id(scope, head).await?))
}

/// How far each node is from the beginning, at least.
fn hops<'a>(walked: &'a Walk<LineageEdge>, start: &'a str) -> BTreeMap<&'a str, u32> {
    let mut hops = BTreeMap::from([(start, 0)]);
    for met in &walked.edges {
        for node in [&*met.edge.source, &*met.edge.target] {
            let hop = hops.entry(node).or_insert(met.hop);
            *hop = met.hop.min(*hop);
        }
    }
    hops
}

impl Nodes<'_> {
    /// The ids of both ends of each edge; upstream edges come first, so hidden nodes are numbered as they are shown.
    fn ends(&mut self, walked: &Walk<LineageEdge>) -> Vec<(Arc<str>, Arc<str>)> {
        let mut known: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        let mut id = |node: &Arc<str>| {
            let known = known.entry(node.clone());
            known
                .or_insert_with(|| match self.id(node) {
                    (_, Some(_)) => node.clone(),
                    (hidden, None) => hidden.into(),
                })
                .clone()
        };
        walked.edges.iter().map(|met| (id(&met.edge.source), id(&met.edge.target))).collect()
    }

    fn node(&mut self, node: &str, hop: u32) -> ShownNode {
        let (id, name) = self.id(node);
        let (hidden, kind) = (name.is_none(), name.is_some().then(|| node_kind(node)));
        ShownNode { id, name, kind, hop, hidden }
    }

    fn column_edge(&mut self, edge: &ColumnEdge) -> Value {
        json!({
            "source": self.column(edge.source),
            "target": self.column(edge.target),
            "kind": edge.kind.kind(),
            "subtype": edge.kind.subtype(),
        })
    }

    fn column(&mut self, (table, field): (TableId, FieldId)) -> Value {
        let (id, name) = self.id(&table.to_string());
        let Some(name) = name else { return json!({"table": id, "hidden": true}) };
        let known = self.tables.table_by_id(table).and_then(|known| known.schema.field_by_id(field));
        let column = known.map_or_else(|| format!("dropped column {field}"), |field| field.name.clone());
        json!({"table": id, "table_name": name, "column": column})
    }
}

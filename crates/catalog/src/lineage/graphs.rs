//! The graphs of all catalogs in memory, each brought to the newest state before it answers: what changed since is asked for, not all.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cenote_vocab::{CatalogId, FieldId, Scope, TableId, Txn};
use parking_lot::{Mutex, RwLock};

use super::adjacency::{Adjacency, Link};
use super::{ColumnEdge, ColumnLink, EdgeLink, LineageEdge, Walk, WalkRequest};
use crate::Error;
use crate::inner::Inner;
use crate::reading::{check_not_future, head};
use crate::sql::{Failure, lineage};

/// All graphs together hold at most this many edges (`lineage_edges_max`): the one that was asked for longest ago goes first.
pub(crate) const EDGES_MAX: usize = 5_000_000;

/// The graphs of this process.
#[derive(Default)]
pub(crate) struct Graphs {
    tables: Known<EdgeLink>,
    columns: Known<ColumnLink>,
}

struct Known<L: Link> {
    graphs: Mutex<Kept<L>>,
}

struct Kept<L: Link> {
    turn: u64,
    graphs: HashMap<CatalogId, (u64, Arc<Graph<L>>)>,
}

/// The graph of one catalog.
struct Graph<L: Link> {
    state: RwLock<State<L>>,
    /// Lets one at a time read all of it.
    loading: tokio::sync::Mutex<()>,
}

struct State<L: Link> {
    /// Up to which transaction it is whole; `None`: nothing was read yet.
    seen: Option<Txn>,
    edges: Adjacency<L>,
}

impl<L: Link> Default for Known<L> {
    fn default() -> Self {
        Self { graphs: Mutex::new(Kept { turn: 0, graphs: HashMap::new() }) }
    }
}

impl<L: Link> Default for Graph<L> {
    fn default() -> Self {
        let state = State { seen: None, edges: Adjacency::default() };
        Self { state: RwLock::new(state), loading: tokio::sync::Mutex::default() }
    }
}

impl<L: Link> Known<L> {
    fn of(&self, catalog: CatalogId) -> Arc<Graph<L>> {
        let kept = &mut *self.graphs.lock();
        kept.turn += 1;
        let (used, graph) = kept.graphs.entry(catalog).or_default();
        *used = kept.turn;
        graph.clone()
    }

    /// Lets the graphs go that were asked for longest ago, as long as all together are too large.
    fn trim(&self, edges_max: usize) {
        let kept = &mut *self.graphs.lock();
        let mut sizes: Vec<(u64, CatalogId, usize)> = kept
            .graphs
            .iter()
            .map(|(catalog, (used, graph))| (*used, *catalog, graph.state.read().edges.len()))
            .collect();
        sizes.sort_unstable();
        let mut total: usize = sizes.iter().map(|(.., edges)| edges).sum();
        for (_, catalog, edges) in sizes {
            if total <= edges_max {
                break;
            }
            kept.graphs.remove(&catalog);
            total -= edges;
        }
    }
}

/// An edge with its ends.
type Ends<L> = (<L as Link>::Node, <L as Link>::Node, L);

/// What a kind of edges is read from.
trait Stored: Link + Sized + Send + Sync + 'static {
    fn known(graphs: &Graphs) -> &Known<Self>;

    /// All of a catalog.
    fn load(
        inner: &Inner,
        catalog: CatalogId,
        edges_max: usize,
    ) -> impl Future<Output = Result<Adjacency<Self>, Failure>> + Send;

    /// Those that are new or another since a transaction.
    fn since(
        inner: &Inner,
        catalog: CatalogId,
        seen: Txn,
    ) -> impl Future<Output = Result<Vec<Ends<Self>>, Failure>> + Send;
}

impl Stored for EdgeLink {
    fn known(graphs: &Graphs) -> &Known<Self> {
        &graphs.tables
    }

    async fn load(inner: &Inner, catalog: CatalogId, edges_max: usize) -> Result<Adjacency<Self>, Failure> {
        let (mut edges, mut after) = (Adjacency::default(), None);
        loop {
            let page = lineage::edges(&inner.database, catalog, after).await?;
            let Some(last) = page.last else { break };
            after = Some(last);
            edges.fill(page.edges);
            check_size(edges.len(), edges_max)?;
        }
        edges.settle();
        Ok(edges)
    }

    async fn since(inner: &Inner, catalog: CatalogId, seen: Txn) -> Result<Vec<Ends<Self>>, Failure> {
        lineage::edges_since(&inner.database, catalog, seen).await
    }
}

impl Stored for ColumnLink {
    fn known(graphs: &Graphs) -> &Known<Self> {
        &graphs.columns
    }

    async fn load(inner: &Inner, catalog: CatalogId, edges_max: usize) -> Result<Adjacency<Self>, Failure> {
        let rows = lineage::column_edges(&inner.database, catalog, edges_max + 1).await?;
        check_size(rows.len(), edges_max)?;
        let mut edges = Adjacency::default();
        edges.fill(rows);
        edges.settle();
        Ok(edges)
    }

    async fn since(inner: &Inner, catalog: CatalogId, seen: Txn) -> Result<Vec<Ends<Self>>, Failure> {
        lineage::column_edges_since(&inner.database, catalog, seen).await
    }
}

fn check_size(edges: usize, edges_max: usize) -> Result<(), Error> {
    if edges > edges_max {
        return Err(Error::Limit(format!("lineage has more than {edges_max} edges (lineage_edges_max)")));
    }
    Ok(())
}

/// The graph of the catalog, whole up to its head or further.
async fn brought_to_head<L: Stored>(inner: &Inner, scope: &Scope, at: Txn) -> Result<Arc<Graph<L>>, Error> {
    let newest = head(inner, scope).await?.txn;
    check_not_future(at, newest)?;
    let (known, catalog) = (L::known(&inner.graphs), scope.catalog());
    let graph = known.of(catalog);
    if graph.state.read().seen.is_none() {
        // One reads all of it, the others wait for that.
        let _loading = graph.loading.lock().await;
        if graph.state.read().seen.is_none() {
            let edges = L::load(inner, catalog, EDGES_MAX).await?;
            *graph.state.write() = State { seen: Some(newest), edges };
            known.trim(EDGES_MAX);
        }
    }
    let seen = graph.state.read().seen.unwrap_or_default();
    if seen < newest {
        // Two may ask for the same: what is noted twice is there once.
        let changed = L::since(inner, catalog, seen).await?;
        let state = &mut *graph.state.write();
        check_size(state.edges.len() + changed.len(), EDGES_MAX)?;
        for (source, target, link) in changed {
            state.edges.note(source, target, link);
        }
        state.seen = state.seen.max(Some(newest));
    }
    Ok(graph)
}

/// Walks on a thread for work: a large walk takes longer than a thread that answers may.
async fn walk<L: Stored>(
    inner: &Inner,
    scope: &Scope,
    start: L::Node,
    asked: WalkRequest,
) -> Result<Walk<L::Shown>, Error>
where
    L::Node: Send + Sync,
    L::Shown: Send,
{
    let graph = brought_to_head::<L>(inner, scope, asked.at).await?;
    let work = move || graph.state.read().edges.walk(&start, &asked);
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("a walk failed: {error}")))
}

/// The tables and places around one.
pub(crate) async fn tables(
    inner: &Inner,
    scope: &Scope,
    start: &str,
    asked: WalkRequest,
) -> Result<Walk<LineageEdge>, Error> {
    walk::<EdgeLink>(inner, scope, start.into(), asked).await
}

/// The columns around one.
pub(crate) async fn columns(
    inner: &Inner,
    scope: &Scope,
    start: (TableId, FieldId),
    asked: WalkRequest,
) -> Result<Walk<ColumnEdge>, Error> {
    walk::<ColumnLink>(inner, scope, start, asked).await
}

/// The edges between columns of these pairs of tables, from and to.
pub(crate) async fn columns_between(
    inner: &Inner,
    scope: &Scope,
    at: Txn,
    pairs: BTreeSet<(TableId, TableId)>,
) -> Result<Vec<ColumnEdge>, Error> {
    let graph = brought_to_head::<ColumnLink>(inner, scope, at).await?;
    let work = move || {
        let state = graph.state.read();
        let mut found = state.edges.between(at, |source, target| pairs.contains(&(source.0, target.0)));
        found.sort_unstable();
        found
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("a look failed: {error}")))
}

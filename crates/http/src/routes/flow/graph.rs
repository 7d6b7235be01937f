//! The graph of assets: all of it, or what is around one of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use axum::Json;
use axum::extract::State;
use cenote_query::AssetView;
use serde_json::{Value, json};

use super::{failed, session};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// The farthest from the root.
const DEPTH_MAX: u64 = 100;

/// Assets and the tables that they read, with how they are; edges with their mappings.
#[utoipa::path(
    get, path = "/api/v1/asset-graph", tag = "flow",
    params(
        ("root" = Option<String>, Query, description = "schema.name; all assets without it"),
        ("direction" = Option<String>, Query, description = "upstream, downstream, both"),
        ("depth" = Option<u64>, Query, description = "from the root; 100 without it"),
    ),
    responses((status = 200, description = "`nodes` and `edges`", body = Object), (status = 404, description = "no such asset"))
)]
pub(in crate::routes) async fn graph(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.parameters.only(&["root", "direction", "depth", "db", "database", "u", "p"])?;
    let depth = call.parameters.number("depth")?.unwrap_or(DEPTH_MAX);
    if depth > DEPTH_MAX {
        return Err(Problem::bad_request(format!("depth is at most {DEPTH_MAX}, got {depth}")));
    }
    let (up, down) = match call.parameters.first(&["direction"]) {
        None | Some("both") => (true, true),
        Some("upstream") => (true, false),
        Some("downstream") => (false, true),
        Some(other) => {
            return Err(Problem::bad_request(format!(
                "direction is upstream, downstream or both, got {other:?}"
            )));
        }
    };
    let session = session(&app, &call).await?;
    let assets: BTreeMap<String, AssetView> =
        session.assets().await.map_err(failed)?.into_iter().map(|view| (view.key(), view)).collect();
    let edges = edges(&assets);
    let nodes: BTreeSet<String> = match call.parameters.first(&["root"]) {
        None => {
            let ends = edges.iter().flat_map(|edge| [edge.from.clone(), edge.to.clone()]);
            ends.chain(assets.keys().cloned()).collect()
        }
        Some(root) => {
            let root = session.asset(root).await.map_err(failed)?.key();
            let mut found = BTreeSet::from([root.clone()]);
            if up {
                found.extend(reach(&root, depth, |edge| (&edge.to, &edge.from), &edges));
            }
            if down {
                found.extend(reach(&root, depth, |edge| (&edge.from, &edge.to), &edges));
            }
            found
        }
    };
    let shown: Vec<Value> = nodes.iter().map(|key| node(key, assets.get(key))).collect();
    let within = |edge: &&Edge| nodes.contains(&edge.from) && nodes.contains(&edge.to);
    let edges: Vec<Value> = edges
        .iter()
        .filter(within)
        .map(|edge| json!({"from": edge.from, "to": edge.to, "mapping": edge.mapping}))
        .collect();
    Ok(Json(json!({"nodes": shown, "edges": edges})))
}

/// What is read, and by which asset.
struct Edge {
    from: String,
    to: String,
    mapping: String,
}

fn edges(assets: &BTreeMap<String, AssetView>) -> Vec<Edge> {
    let of = |(key, view): (&String, &AssetView)| -> Vec<Edge> {
        let edge = |upstream: &cenote_query::Upstream| Edge {
            from: format!("{}.{}", upstream.name.0, upstream.name.1),
            to: key.clone(),
            mapping: upstream.mapping.clone(),
        };
        view.upstream.iter().map(edge).collect()
    };
    assets.iter().flat_map(of).collect()
}

fn node(key: &str, view: Option<&AssetView>) -> Value {
    match view {
        Some(view) => json!({
            "assetKey": key,
            "kind": "asset",
            "status": view.status,
            "paused": view.asset.paused,
            "partitioned": view.asset.spec.partition.is_some(),
        }),
        None => json!({"assetKey": key, "kind": "table"}),
    }
}

/// What is so far from a node in one direction: `ends` are the near and the far end of an edge.
fn reach(
    root: &str,
    depth: u64,
    ends: impl Fn(&Edge) -> (&String, &String),
    edges: &[Edge],
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = VecDeque::from([(root.to_owned(), 0)]);
    while let Some((at, hops)) = open.pop_front() {
        if hops == depth {
            continue;
        }
        for (_, far) in edges.iter().map(&ends).filter(|(near, _)| **near == at) {
            if seen.insert(far.clone()) {
                open.push_back((far.clone(), hops + 1));
            }
        }
    }
    seen
}

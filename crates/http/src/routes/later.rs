//! Paths that clients know and this release does not have: 501 naming the feature, never a silent 200.

use axum::Router;
use axum::extract::Request;
use axum::routing::{any, put};

use crate::app::App;
use crate::problem::Problem;

/// Pattern and feature. `/…/{*rest}` stands for everything below.
const LATER: &[(&str, &str)] = &[
    ("/api/v1/write/parquet", "writing Parquet"),
    ("/api/v1/write/arrow", "writing Arrow IPC"),
    ("/api/v1/write/tle", "writing orbital elements"),
    ("/api/v1/write/stats", "write statistics"),
    ("/api/v1/write/line-protocol/stats", "write statistics"),
    ("/api/v1/write/msgpack/stats", "write statistics"),
    ("/api/v1/write/msgpack/spec", "the MessagePack description"),
    ("/api/v1/import/parquet", "importing Parquet"),
    ("/api/v1/import/lp", "importing line protocol"),
    ("/api/v1/import/tle", "importing orbital elements"),
    ("/api/v1/import/stats", "import statistics"),
    ("/api/v1/query/msgpack", "answers as MessagePack"),
    ("/api/v1/query/estimate", "estimates of queries"),
    ("/api/v1/query/{measurement}", "querying a measurement by path"),
    ("/api/v1/query/{measurement}/csv", "querying a measurement by path"),
    ("/api/v1/queries/active", "the list of active queries"),
    ("/api/v1/queries/history", "the history of queries"),
    ("/api/v1/queries/{id}/result", "asynchronous queries"),
    ("/api/v1/queries/{id}/plan", "plans of queries"),
    ("/api/v1/delete", "deleting over HTTP"),
    ("/api/v1/delete/config", "deleting over HTTP"),
    ("/api/v2/delete", "deleting over HTTP"),
    ("/api/v2/buckets", "buckets"),
    ("/api/v2/orgs", "organisations"),
    ("/api/v1/retention", "retention policies"),
    ("/api/v1/retention/{*rest}", "retention policies"),
    ("/api/v1/continuous_queries", "continuous queries"),
    ("/api/v1/continuous_queries/{*rest}", "continuous queries"),
    ("/api/v1/compaction", "compaction over HTTP"),
    ("/api/v1/compaction/{*rest}", "compaction over HTTP"),
    ("/api/v1/wal", "figures of the write-ahead log"),
    ("/api/v1/wal/{*rest}", "figures of the write-ahead log"),
    ("/api/v1/schedulers", "schedulers"),
    ("/api/v1/schedulers/{*rest}", "schedulers"),
    ("/api/v1/monitoring", "monitoring"),
    ("/api/v1/monitoring/{*rest}", "monitoring"),
    ("/api/v1/cache/health", "the result cache"),
    ("/api/v1/cache/clear", "the result cache"),
    ("/api/v1/auth/cache/{*rest}", "control of the token cache"),
    ("/api/v1/auth/login", "the web user interface"),
    ("/api/v1/metrics/{*rest}", "metrics by part"),
    ("/api/v1/logs", "logs over HTTP"),
    ("/api/v1/connections", "connections"),
    ("/api/v1/connections/{*rest}", "connections"),
    ("/api/v1/setup/default-connections", "connections"),
    ("/api/v1/pipelines/{id}/restart", "restarting a pipeline by path"),
    ("/api/v1/pipelines/{id}/jobs", "jobs of a pipeline"),
    ("/api/v1/pipelines/{id}/jobs/{*rest}", "jobs of a pipeline"),
    ("/api/v1/connectors", "the list of connectors"),
    ("/api/v1/connection_profiles", "connection profiles"),
    ("/api/v1/connection_profiles/{*rest}", "connection profiles"),
    ("/api/v1/connection_tables", "connection tables"),
    ("/api/v1/connection_tables/{*rest}", "connection tables"),
    ("/api/v1/udfs", "user-defined functions"),
    ("/api/v1/udfs/{*rest}", "user-defined functions"),
    ("/api/v1/http-json/{*rest}", "polling HTTP sources"),
    ("/api/v1/avro/schemas", "Avro schemas"),
    ("/api/v1/avro/schemas/{*rest}", "Avro schemas"),
    ("/api/v1/mqtt", "MQTT"),
    ("/api/v1/mqtt/{*rest}", "MQTT"),
    ("/api/v1/rbac", "roles"),
    ("/api/v1/rbac/{*rest}", "roles"),
    ("/api/v1/governance", "governance"),
    ("/api/v1/governance/{*rest}", "governance"),
    ("/api/v1/tiering", "tiering"),
    ("/api/v1/tiering/{*rest}", "tiering"),
    ("/api/v1/prom/write", "Prometheus remote write"),
    ("/api/v1/runs/{id}/logs", "logs of tasks"),
    ("/api/v1/schedules", "schedules over HTTP"),
    ("/api/v1/schedules/{*rest}", "schedules over HTTP"),
    ("/api/v1/sensors", "sensors"),
    ("/api/v1/sensors/{*rest}", "sensors"),
    ("/api/v1/backfills", "backfills by path"),
    ("/api/v1/backfills/{*rest}", "backfills by path"),
    ("/api/v1/deployments", "deployments"),
    ("/api/v1/deployments/{*rest}", "deployments"),
    ("/api/v1/queues", "queues of workers"),
    ("/api/v1/queues/{*rest}", "queues of workers"),
    ("/api/v1/pools", "pools of slots"),
    ("/api/v1/pools/{*rest}", "pools of slots"),
    ("/api/v1/quotas", "quotas"),
    ("/api/v1/quotas/{*rest}", "quotas"),
    ("/api/v1/cluster", "the cluster"),
    ("/api/v1/cluster/{*rest}", "the cluster"),
    ("/api/v1/namespaces", "namespaces"),
    ("/api/v1/namespaces/{*rest}", "namespaces"),
    ("/api/v1/workspaces", "workspaces"),
    ("/api/v1/workspaces/{*rest}", "workspaces"),
    ("/api/v1/catalog/inventory", "the inventory"),
];

/// The routes, with those of [`LATER`].
pub(super) fn add(routes: Router<App>) -> Router<App> {
    let routes = LATER.iter().fold(routes, |routes, (path, feature)| {
        routes.route(path, any(move |_: Request| async move { Problem::not_built(feature) }))
    });
    // the other methods of the path are there
    let routes = routes
        .route("/api/v1/pipelines/{id}", put(async || Problem::not_built("replacing a pipeline by PUT")));
    routes.route(
        "/api/v2/query",
        any(async || {
            Problem::bad_request("flux is not supported; send SQL to /api/v3/query_sql")
                .with("sqlstate", "0A000")
        }),
    )
}

//! All routes, one file per noun, and the document that describes them.

mod access;
mod audit;
mod browser;
mod catalogs;
mod changes;
mod commits;
mod databases;
mod events;
mod files;
mod flow;
mod flush;
mod health;
mod holds;
mod import;
mod influx;
mod jobs;
mod later;
mod lineage;
mod measurements;
mod metadata;
mod metrics;
mod nodes;
mod once;
mod output;
mod page;
mod parameter_arrays;
mod partial;
mod pipelines;
mod provenance;
mod queries;
mod query;
mod root;
mod script;
mod search;
mod statement;
mod status;
mod table_urls;
mod tables;
mod tenants;
mod token_body;
mod tokens;
mod verify;
mod write;
mod write_options;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use http::{StatusCode, Uri};
use tower::ServiceExt;
use tower_http::compression::predicate::NotForContentType;
use tower_http::compression::{CompressionLayer, CompressionLevel, DefaultPredicate, Predicate};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::layers::{gate, observe};
use crate::problem::Problem;

pub(crate) use files::PREFIX;

#[derive(OpenApi)]
#[openapi(
    info(title = "Cenote", description = "A streaming lakehouse in one binary: rows in, SQL out."),
    paths(files::read, files::options),
    tags(
        (name = "write", description = "Rows in"),
        (name = "query", description = "SQL out"),
        (name = "tokens", description = "Who may do what"),
        (name = "tenants", description = "Who shares the deployment (operator)"),
        (name = "databases", description = "What exists"),
        (name = "jobs", description = "What runs by itself"),
        (name = "flow", description = "Tables with the queries that fill them, and their runs"),
        (name = "pipelines", description = "Queries that run again whenever there is input"),
        (name = "tables", description = "What happens to a table"),
        (name = "metadata", description = "What exists, as files for readers without a server"),
        (name = "node", description = "Health and figures of the node"),
    )
)]
struct Document;

/// The whole door: layers around routes.
pub(crate) fn router(app: App) -> Router {
    let (routes, _) = documented().split_for_parts();
    let routes = files::add(later::add(routes))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        // bodies are limited where they are read, each by its own limit
        .layer(DefaultBodyLimit::disable())
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(
            // a part of a file is a part of its own bytes
            DefaultPredicate::new().and(NotForContentType::const_new(files::MEDIA_TYPE)),
        ))
        .layer(from_fn_with_state(app.clone(), gate))
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app);
    // a trailing slash goes before the routes are looked up, so the path is looked at in one form only
    Router::new().fallback_service(routes.map_request(without_trailing_slash))
}

/// The OpenAPI document of [`documented`].
pub(crate) fn openapi() -> String {
    let (_, document) = documented().split_for_parts();
    document.to_pretty_json().unwrap_or_default()
}

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(root::root))
        .routes(routes!(root::openapi))
        .routes(routes!(health::health))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez))
        .routes(routes!(health::ready))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(metrics::metrics_json))
        .routes(routes!(status::status))
        .routes(routes!(write::line_protocol))
        .routes(routes!(write::write_v1))
        .routes(routes!(write::write_v1_root))
        .routes(routes!(write::influxdb))
        .routes(routes!(write::write_v2))
        .routes(routes!(write::write_v3))
        .routes(routes!(write::msgpack))
        .routes(routes!(write::json))
        .routes(routes!(write::csv))
        .routes(routes!(import::csv))
        .routes(routes!(flush::flush))
        .routes(routes!(flush::flush_lines))
        .routes(routes!(flush::health))
        .routes(routes!(flush::health_lines))
        .routes(routes!(query::query))
        .routes(routes!(query::arrow))
        .routes(routes!(query::stream))
        .routes(routes!(query::query_v3_post, query::query_v3_get))
        .routes(routes!(script::run, script::read))
        .routes(routes!(queries::list))
        .routes(routes!(queries::one, queries::cancel))
        .routes(routes!(verify::verify))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::one, tokens::change, tokens::delete))
        .routes(routes!(tokens::rotate))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::permissions))
        .routes(routes!(access::grants::list, access::grants::create, access::grants::delete))
        .routes(routes!(access::roles::list, access::roles::create))
        .routes(routes!(access::roles::delete))
        .routes(routes!(access::roles::members, access::roles::add, access::roles::remove))
        .routes(routes!(access::authorize::ask))
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::one, tenants::change, tenants::delete))
        .routes(routes!(tenants::create_token))
        .routes(routes!(audit::list))
        .routes(routes!(databases::list, databases::create))
        .routes(routes!(databases::one, databases::delete))
        .routes(routes!(databases::measurements))
        .routes(routes!(catalogs::list, catalogs::create))
        .routes(routes!(catalogs::one, catalogs::change, catalogs::delete))
        .routes(routes!(catalogs::schemas::list, catalogs::schemas::create))
        .routes(routes!(catalogs::schemas::one, catalogs::schemas::change, catalogs::schemas::delete))
        .routes(routes!(catalogs::tables::list, catalogs::tables::create))
        .routes(routes!(catalogs::tables::one, catalogs::tables::change, catalogs::tables::delete))
        .routes(routes!(catalogs::tables::undrop))
        .routes(routes!(catalogs::tables::all))
        .routes(routes!(search::search))
        .routes(routes!(lineage::graph))
        .routes(routes!(lineage::column))
        .routes(routes!(provenance::provenance))
        .routes(routes!(measurements::list))
        .routes(routes!(measurements::schema))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::one))
        .routes(routes!(jobs::run))
        .routes(routes!(jobs::enable))
        .routes(routes!(jobs::disable))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::executions))
        .routes(routes!(jobs::explain))
        .routes(routes!(flow::runs::list, flow::runs::create))
        .routes(routes!(flow::runs::one))
        .routes(routes!(flow::runs::tasks))
        .routes(routes!(flow::runs::explain))
        .routes(routes!(flow::steering::cancel))
        .routes(routes!(flow::steering::pause))
        .routes(routes!(flow::steering::resume))
        .routes(routes!(flow::steering::rerun))
        .routes(routes!(flow::assets::list))
        .routes(routes!(flow::assets::one, flow::assets::put, flow::assets::change, flow::assets::delete))
        .routes(routes!(flow::assets::explain))
        .routes(routes!(flow::assets::of_asset))
        .routes(routes!(flow::partitions::list))
        .routes(routes!(flow::partitions::summary))
        .routes(routes!(flow::graph::graph))
        .routes(routes!(flow::checks::list, flow::checks::create))
        .routes(routes!(flow::checks::change, flow::checks::delete))
        .routes(routes!(flow::checks::results))
        .routes(routes!(pipelines::list, pipelines::create))
        .routes(routes!(pipelines::one, pipelines::change, pipelines::delete))
        .routes(routes!(pipelines::validate_query))
        .routes(routes!(pipelines::validate))
        .routes(routes!(pipelines::preview))
        .routes(routes!(pipelines::output))
        .routes(routes!(changes::changes))
        .routes(routes!(commits::create))
        .routes(routes!(commits::one))
        .routes(routes!(holds::create))
        .routes(routes!(holds::renew, holds::release))
        .routes(routes!(table_urls::urls))
        .routes(routes!(events::events))
        .routes(routes!(metadata::publish))
        .routes(routes!(metadata::manifest))
        .routes(routes!(metadata::manifests))
        .routes(routes!(browser::duckdb))
        .routes(routes!(browser::urls))
        .routes(routes!(browser::rotate))
        .routes(routes!(influx::ping))
        .routes(routes!(influx::query_get, influx::query_post))
        .routes(routes!(root::cache_stats))
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::not_found(format!("no such path: {}", uri.path()))
}

async fn unknown_method(method: http::Method, uri: Uri) -> impl IntoResponse {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed on {}", uri.path()))
}

fn without_trailing_slash(mut request: axum::extract::Request) -> axum::extract::Request {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() == path.len() || path == "/" {
        return request;
    }
    let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
    let rewritten = match request.uri().query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path) = rewritten.parse() {
        parts.path_and_query = Some(path);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

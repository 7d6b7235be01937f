//! Assets and their runs as objects: what the paths of them share. Everything else about them is a statement on `/api/v1/sql`.

pub(super) mod assets;
pub(super) mod checks;
pub(super) mod graph;
pub(super) mod keyed;
pub(super) mod partitions;
pub(super) mod records;
pub(super) mod runs;
pub(super) mod shape;
pub(super) mod steering;

mod sent;

use cenote_query::{Bounds, Error, Session, quote};
use futures::TryStreamExt;

pub(super) use sent::snake;

use super::write_options::idempotency_key;
use crate::app::App;
use crate::call::Call;
use crate::database;
use crate::problem::Problem;

/// How assets and their partitions are.
const STATUSES: [&str; 5] = ["missing", "running", "failed", "stale", "fresh"];

pub(super) async fn session(app: &App, call: &Call) -> Result<Session, Problem> {
    let options = call.session(database::selected(&call.headers, &call.parameters)?);
    app.services()?.engine.open_session(call.identity.clone(), options).await.map_err(failed)
}

/// Runs one statement that answers no rows.
pub(super) async fn execute(session: &Session, sql: &str) -> Result<(), Problem> {
    let of_statement = |error: Error| Problem::sql(&error, sql, 0);
    let prepared = session.prepare_to_run(sql).await.map_err(of_statement)?;
    let execution = session.execute(&prepared, Vec::new(), Bounds::default()).await.map_err(of_statement)?;
    execution.batches.try_for_each(async |_| Ok(())).await.map_err(of_statement)
}

pub(super) fn failed(error: Error) -> Problem {
    let problem = Problem::of(&error);
    match cenote_vocab::Fault::sqlstate(&error).0 {
        // a run key that another request has
        "23505" => problem.with("reason", "run_key_conflict"),
        // a version that is gone
        "72000" => problem.with("reason", "snapshot_expired"),
        _ => problem,
    }
}

/// `schema.name` as SQL writes it.
fn quoted((schema, name): &(String, String)) -> String {
    format!("{}.{}", quote(schema), quote(name))
}

/// 400 for parameters besides those that say who asks, and where.
pub(super) fn takes_nothing(call: &Call) -> Result<(), Problem> {
    call.parameters.only(&["db", "database", "u", "p"])
}

fn key_of_request(call: &Call) -> Result<Option<String>, Problem> {
    idempotency_key(&call.headers)
}

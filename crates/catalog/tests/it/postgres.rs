//! The promises on PostgreSQL: each test on a database of its own.

use crate::fixture::Fixture;

async fn start() -> Option<Fixture> {
    Some(Fixture::new(database().await?, None, 3).await)
}

/// The URL of a new database; `None` where no server can be had.
pub(crate) async fn database() -> Option<String> {
    let url = cenote_testkit::services::postgres_database();
    if !cenote_testkit::needs("postgresql", url.is_some()) {
        return None;
    }
    url
}

crate::all_promises!(start);

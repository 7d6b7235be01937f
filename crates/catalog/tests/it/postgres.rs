//! The promises on PostgreSQL: each test on a database of its own.

use crate::fixture::Fixture;

async fn start() -> Option<Fixture> {
    let url = cenote_testkit::services::postgres_database();
    if !cenote_testkit::needs("postgresql", url.is_some()) {
        return None;
    }
    Some(Fixture::new(url?, None, 3).await)
}

crate::all_promises!(start);

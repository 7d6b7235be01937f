//! The queries of the demo; each result is checked, so that `--once` can fail.

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::Int64Type;

use super::ask;
use crate::cli::client::{Answer, Client};
use crate::cli::failure::Failure;

/// The last minute; a join with the CSV; the past; a delete and its proof.
pub(super) async fn run(client: &Client) -> Result<(), Failure> {
    let minute = ask(
        client,
        "the last minute of this machine",
        "SELECT date_trunc('second', time) AS second, round(avg(busy), 1) AS cpu_busy_percent\n\
         FROM cpu WHERE time > now() - INTERVAL '1 minute' GROUP BY 1 ORDER BY 1 DESC LIMIT 5",
    )
    .await?;
    expect(minute.rows > 0, "the last minute has readings")?;

    let joined = ask(
        client,
        "readings beside the limits of the CSV file",
        "SELECT l.resource, round(max(m.used), 1) AS used_percent, l.warn, max(m.used) > l.warn AS too_high, l.advice\n\
         FROM memory m JOIN limits l ON l.resource = 'memory' GROUP BY l.resource, l.warn, l.advice",
    )
    .await?;
    expect(joined.rows == 1, "the join finds the limit")?;

    ask(client, "what is buffered becomes files of a snapshot", "FLUSH cpu").await?;
    let before = count(&ask(client, "count now", "SELECT count(*) FROM cpu").await?)?;
    let version = ask(
        client,
        "the newest transaction of the lake",
        "SELECT max(txn) AS txn FROM system.catalog.transactions",
    )
    .await?;
    let txn = count(&version)?;
    ask(client, "delete the oldest reading", "DELETE FROM cpu WHERE time = (SELECT min(time) FROM cpu)")
        .await?;
    let after = count(&ask(client, "the proof: fewer rows now", "SELECT count(*) FROM cpu").await?)?;
    let past = count(
        &ask(
            client,
            "and the past is as it was",
            &format!("SELECT count(*) FROM cpu FOR VERSION AS OF {txn}"),
        )
        .await?,
    )?;
    expect(after < before, "the delete took rows")?;
    expect(past == before, "the earlier transaction has all rows")
}

fn count(answer: &Answer) -> Result<i64, Failure> {
    answer
        .batches
        .iter()
        .find(|batch| batch.num_rows() == 1)
        .and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>())
        .filter(|column| column.is_valid(0))
        .map(|column| column.value(0))
        .ok_or_else(|| Failure::other("expected one number"))
}

fn expect(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::other(format!("the demo went wrong: not true that {what}"))) }
}

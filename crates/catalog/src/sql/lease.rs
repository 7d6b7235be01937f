//! Rows of `cn_leases`. The database's clock decides.

use std::time::Duration;

use cenote_vocab::{Fence, Micros};

use super::{Database, Failure, Transaction};
use crate::Lease;
use crate::registry::LEASES;

/// Takes the lease if it is free, expired or the holder's own; `None` if another holds it.
pub(crate) async fn take(
    database: &Database,
    name: &str,
    holder: &str,
    ttl: Duration,
) -> Result<Option<Lease>, Failure> {
    let mut transaction = database.write().await?;
    let free = vec![name.into(), "".into(), 0_i64.into(), 0_i64.into()];
    transaction.insert_missing(&LEASES, &[free]).await?;
    let now = transaction.dialect().now_micros();
    let text = format!(
        "UPDATE cn_leases SET holder = ?, fence = fence + 1, expires_us = {now} + ? \
         WHERE name = ? AND (holder = ? OR expires_us <= {now})"
    );
    let statement = transaction.statement(&text).bind(holder).bind(micros(ttl)).bind(name).bind(holder);
    let taken = transaction.execute(statement).await? == 1;
    let lease = if taken { read(&mut transaction, name).await? } else { None };
    transaction.commit().await?;
    Ok(lease)
}

/// Makes the lease live on; `None` if it is another's by now.
pub(crate) async fn renew(
    database: &Database,
    name: &str,
    holder: &str,
    fence: Fence,
    ttl: Duration,
) -> Result<Option<Lease>, Failure> {
    let mut transaction = database.write().await?;
    let now = transaction.dialect().now_micros();
    let text =
        format!("UPDATE cn_leases SET expires_us = {now} + ? WHERE name = ? AND holder = ? AND fence = ?");
    let statement = transaction.statement(&text).bind(micros(ttl)).bind(name).bind(holder).bind(fence.0);
    let renewed = transaction.execute(statement).await? == 1;
    let lease = if renewed { read(&mut transaction, name).await? } else { None };
    transaction.commit().await?;
    Ok(lease)
}

/// Ends the lease now; its fence stays.
pub(crate) async fn release(
    database: &Database,
    name: &str,
    holder: &str,
    fence: Fence,
) -> Result<(), Failure> {
    let mut transaction = database.write().await?;
    let statement = transaction
        .statement("UPDATE cn_leases SET expires_us = 0 WHERE name = ? AND holder = ? AND fence = ?")
        .bind(name)
        .bind(holder)
        .bind(fence.0);
    transaction.execute(statement).await?;
    transaction.commit().await
}

/// True while nobody took the lease over; it stays so until the transaction ends.
pub(crate) async fn holds(
    transaction: &mut Transaction,
    name: &str,
    holder: &str,
    fence: Fence,
) -> Result<bool, Failure> {
    let share = transaction.dialect().for_share();
    let text = format!("SELECT fence FROM cn_leases WHERE name = ? AND holder = ? AND fence = ?{share}");
    let statement = transaction.statement(&text).bind(name).bind(holder).bind(fence.0);
    Ok(transaction.row(statement).await?.is_some())
}

async fn read(transaction: &mut Transaction, name: &str) -> Result<Option<Lease>, Failure> {
    let statement =
        transaction.statement("SELECT fence, expires_us FROM cn_leases WHERE name = ?").bind(name);
    let Some(mut row) = transaction.row(statement).await? else { return Ok(None) };
    Ok(Some(Lease { name: name.to_owned(), fence: Fence(row.int()?), expires: Micros(row.int()?) }))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

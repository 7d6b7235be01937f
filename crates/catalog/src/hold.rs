//! What keeps history: tags keep one version, holds everything from one on.

use std::time::Duration;

use cenote_vocab::{Micros, Scope, TableId, Txn};
use uuid::Uuid;

use crate::Error;
use crate::committer::check_active;
use crate::inner::Inner;
use crate::reading::check_scope;
use crate::sql::{Failure, Transaction, head, history, hold};

/// Tags and holds of one catalog.
pub(crate) const HOLDS_MAX: usize = 10_000;
/// The most bytes of a tag's name, and of a holder's.
const NAME_BYTES_MAX: usize = 255;
/// How far back a hold keeps history, and for how long it lives without being renewed.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A tag or a hold that has not expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: Uuid,
    /// Its table; `None`: all of the catalog.
    pub table: Option<TableId>,
    /// The name of a tag; a hold has none.
    pub name: Option<String>,
    /// The version that a tag keeps, or from which on a hold keeps all.
    pub txn: Txn,
    /// Who made it.
    pub holder: String,
    /// `None`: never.
    pub expires: Option<Micros>,
}

/// A tag to be made.
#[derive(Clone, Debug)]
pub struct NewTag {
    /// Its table; `None`: all of the catalog, each at its last version not after `at`.
    pub table: Option<TableId>,
    /// 1 to 255 bytes.
    pub name: String,
    /// `None`: the newest version.
    pub at: Option<Txn>,
    /// `None`: until it is dropped.
    pub retain: Option<Duration>,
    /// Move a tag that has the name.
    pub or_replace: bool,
    /// Who makes it.
    pub holder: String,
}

impl Hold {
    /// True for a tag that needs what a table showed from `begin` to before `end`.
    pub fn tags(&self, table: TableId, begin: Txn, end: Txn) -> bool {
        self.name.is_some() && self.concerns(table) && begin <= self.txn && self.txn < end
    }

    /// True if what a table showed from `begin` to before `end` stays because of this: a tag within, or a hold before the end.
    pub fn keeps(&self, table: TableId, begin: Txn, end: Txn) -> bool {
        match &self.name {
            Some(_) => self.tags(table, begin, end),
            None => self.concerns(table) && self.txn < end,
        }
    }

    pub(crate) fn concerns(&self, table: TableId) -> bool {
        self.table.is_none_or(|own| own == table)
    }
}

/// How far a table's floor may rise: not above its oldest hold, which counts for a week at most.
pub(crate) fn floor_under(holds: &[Hold], table: TableId, wanted: Txn, week_ago: Txn) -> Txn {
    let holds = holds.iter().filter(|hold| hold.name.is_none() && hold.concerns(table));
    holds.map(|hold| hold.txn.max(week_ago)).fold(wanted, Txn::min)
}

/// Tags, and holds from where they count.
pub(crate) async fn keepers(inner: &Inner, scope: &Scope) -> Result<Vec<Hold>, Error> {
    let mut holds = all(inner, scope).await?;
    if holds.iter().any(|hold| hold.name.is_none()) {
        let week_ago = week_ago(inner, scope).await.map_err(Error::from)?;
        for hold in holds.iter_mut().filter(|hold| hold.name.is_none()) {
            hold.txn = hold.txn.max(week_ago);
        }
    }
    Ok(holds)
}

/// The version of a week ago, as far as the catalog is that old.
pub(crate) async fn week_ago(inner: &Inner, scope: &Scope) -> Result<Txn, Failure> {
    let week_ago = inner.clock.now().minus(HOLD_MAX);
    Ok(history::at(&inner.database, scope.catalog(), week_ago).await?.0.unwrap_or_default())
}

/// Makes a tag; answers its version.
pub(crate) async fn create_tag(inner: &Inner, scope: &Scope, tag: NewTag) -> Result<Txn, Error> {
    check_name("tag", &tag.name)?;
    let mut transaction = begin(inner, scope, tag.table).await?;
    let newest = head::lock(&mut transaction, scope.catalog()).await?.txn;
    check_active(inner, &mut transaction).await?;
    let (now, txn) = (inner.clock.now(), tag.at.unwrap_or(newest));
    let holds = hold::all(&mut transaction, scope.catalog(), now).await?;
    check_kept(&mut transaction, scope, tag.table, (txn, newest), &holds).await?;
    let same = |hold: &&Hold| hold.table == tag.table && hold.name.as_deref() == Some(tag.name.as_str());
    match holds.iter().find(same) {
        Some(old) if tag.or_replace => hold::remove(&mut transaction, scope.catalog(), old.id).await?,
        Some(_) => return Err(Error::TagExists(tag.name)),
        None => check_count(&holds)?,
    }
    hold::forget_expired(&mut transaction, scope.catalog(), now).await?;
    let made = Hold {
        id: inner.ids.uuid(),
        table: tag.table,
        name: Some(tag.name),
        txn,
        holder: tag.holder,
        expires: tag.retain.map(|retain| now.plus(retain)),
    };
    hold::insert(&mut transaction, scope.catalog(), &made).await?;
    transaction.commit().await?;
    Ok(txn)
}

/// Ends a tag.
pub(crate) async fn drop_tag(
    inner: &Inner,
    scope: &Scope,
    table: Option<TableId>,
    name: &str,
) -> Result<(), Error> {
    let mut transaction = begin(inner, scope, table).await?;
    head::lock(&mut transaction, scope.catalog()).await?;
    check_active(inner, &mut transaction).await?;
    let holds = hold::all(&mut transaction, scope.catalog(), inner.clock.now()).await?;
    let tag = holds.iter().find(|hold| hold.table == table && hold.name.as_deref() == Some(name));
    let tag = tag.ok_or_else(|| Error::TagNotFound(name.to_owned()))?;
    hold::remove(&mut transaction, scope.catalog(), tag.id).await?;
    Ok(transaction.commit().await?)
}

/// Keeps everything of a table from `txn` on, for so long unless it is renewed.
pub(crate) async fn hold(
    inner: &Inner,
    scope: &Scope,
    table: Option<TableId>,
    txn: Txn,
    (holder, ttl): (&str, Duration),
) -> Result<Hold, Error> {
    check_name("holder", holder)?;
    let mut transaction = begin(inner, scope, table).await?;
    let newest = head::lock(&mut transaction, scope.catalog()).await?.txn;
    check_active(inner, &mut transaction).await?;
    let now = inner.clock.now();
    let holds = hold::all(&mut transaction, scope.catalog(), now).await?;
    check_count(&holds)?;
    // A tag keeps one version, and a hold needs all that follow.
    check_kept(&mut transaction, scope, table, (txn, newest), &[]).await?;
    hold::forget_expired(&mut transaction, scope.catalog(), now).await?;
    let made = Hold {
        id: inner.ids.uuid(),
        table,
        name: None,
        txn,
        holder: holder.to_owned(),
        expires: Some(expiry(now, ttl)?),
    };
    hold::insert(&mut transaction, scope.catalog(), &made).await?;
    transaction.commit().await?;
    Ok(made)
}

/// Lets a hold live on, and go forward to `txn` if one is given. `HoldNotFound` once it has expired.
pub(crate) async fn renew(
    inner: &Inner,
    scope: &Scope,
    id: Uuid,
    txn: Option<Txn>,
    ttl: Duration,
) -> Result<Hold, Error> {
    let mut transaction = inner.database.write().await?;
    let newest = head::lock(&mut transaction, scope.catalog()).await?.txn;
    check_active(inner, &mut transaction).await?;
    let now = inner.clock.now();
    let holds = hold::all(&mut transaction, scope.catalog(), now).await?;
    let held = holds.into_iter().find(|hold| hold.id == id && hold.name.is_none());
    let held = held.ok_or(Error::HoldNotFound(id))?;
    let txn = txn.unwrap_or(held.txn);
    if txn > newest {
        return Err(Error::SnapshotFuture { asked: txn, head: newest });
    }
    if txn < held.txn {
        return Err(Error::Invalid(format!("hold {id} is at {}: it cannot go back to {txn}", held.txn)));
    }
    let renewed = Hold { txn, expires: Some(expiry(now, ttl)?), ..held };
    hold::remove(&mut transaction, scope.catalog(), id).await?;
    hold::insert(&mut transaction, scope.catalog(), &renewed).await?;
    transaction.commit().await?;
    Ok(renewed)
}

/// Ends a hold. `HoldNotFound` if it has ended already.
pub(crate) async fn release(inner: &Inner, scope: &Scope, id: Uuid) -> Result<(), Error> {
    let mut transaction = inner.database.write().await?;
    head::lock(&mut transaction, scope.catalog()).await?;
    check_active(inner, &mut transaction).await?;
    let holds = hold::all(&mut transaction, scope.catalog(), inner.clock.now()).await?;
    if !holds.iter().any(|hold| hold.id == id && hold.name.is_none()) {
        return Err(Error::HoldNotFound(id));
    }
    hold::remove(&mut transaction, scope.catalog(), id).await?;
    Ok(transaction.commit().await?)
}

/// All tags and holds.
pub(crate) async fn all(inner: &Inner, scope: &Scope) -> Result<Vec<Hold>, Error> {
    let mut transaction = inner.database.read().await?;
    let holds = hold::all(&mut transaction, scope.catalog(), inner.clock.now()).await?;
    transaction.rollback().await?;
    Ok(holds)
}

/// The version that a tag of the table, or else of the catalog, names.
pub(crate) async fn tagged(
    inner: &Inner,
    scope: &Scope,
    table: Option<TableId>,
    name: &str,
) -> Result<Txn, Error> {
    let holds = all(inner, scope).await?;
    let named = |of: Option<TableId>| {
        holds.iter().find(|hold| hold.table == of && hold.name.as_deref() == Some(name))
    };
    let tag = table.and_then(|table| named(Some(table))).or_else(|| named(None));
    tag.map(|tag| tag.txn).ok_or_else(|| Error::TagNotFound(name.to_owned()))
}

async fn begin(inner: &Inner, scope: &Scope, table: Option<TableId>) -> Result<Transaction, Error> {
    if let Some(table) = table {
        check_scope(scope, table)?;
    }
    Ok(inner.database.write().await?)
}

/// `SnapshotFuture` above the head; `SnapshotExpired` below a floor, unless a tag keeps that very version already.
async fn check_kept(
    transaction: &mut Transaction,
    scope: &Scope,
    table: Option<TableId>,
    (txn, newest): (Txn, Txn),
    holds: &[Hold],
) -> Result<(), Error> {
    if txn > newest {
        return Err(Error::SnapshotFuture { asked: txn, head: newest });
    }
    let floors = hold::floors(transaction, scope.catalog(), table).await?;
    if floors.is_empty()
        && let Some(table) = table
    {
        return Err(Error::TableNotFound { name: table.to_string(), nearest: None });
    }
    for (table, floor) in floors {
        let kept = txn >= floor || holds.iter().any(|hold| hold.tags(table, txn, Txn(txn.0 + 1)));
        if !kept {
            return Err(Error::SnapshotExpired(format!(
                "version {txn} of table {table} is no longer kept: the oldest is {floor}"
            )));
        }
    }
    Ok(())
}

fn check_count(holds: &[Hold]) -> Result<(), Error> {
    if holds.len() >= HOLDS_MAX {
        return Err(Error::Limit(format!("catalog has {} tags and holds, at most {HOLDS_MAX}", holds.len())));
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let spaced = name.trim() != name;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || spaced || name.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "name of a {what} has 1 to {NAME_BYTES_MAX} bytes, no outer spaces and no control characters"
        )));
    }
    Ok(())
}

fn expiry(now: Micros, ttl: Duration) -> Result<Micros, Error> {
    if ttl.is_zero() || ttl > HOLD_MAX {
        return Err(Error::Invalid(format!(
            "a hold lives for up to {} s, got {} s",
            HOLD_MAX.as_secs(),
            ttl.as_secs()
        )));
    }
    Ok(now.plus(ttl))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(table: Option<i64>, name: Option<&str>, txn: i64) -> Hold {
        Hold {
            id: Uuid::nil(),
            table: table.map(TableId),
            name: name.map(str::to_owned),
            txn: Txn(txn),
            holder: "test".into(),
            expires: None,
        }
    }

    #[test]
    fn a_floor_rises_to_the_oldest_hold_that_is_not_older_than_a_week() {
        let holds = [hold(Some(1), None, 50), hold(None, None, 70), hold(Some(1), Some("tag"), 5)];
        let floors = |table, week_ago| floor_under(&holds, TableId(table), Txn(90), Txn(week_ago)).0;
        assert_eq!((floors(1, 0), floors(2, 0)), (50, 70));
        assert_eq!((floors(1, 60), floors(2, 100)), (60, 90));
        assert_eq!(floor_under(&[], TableId(1), Txn(90), Txn(0)), Txn(90));
    }

    #[test]
    fn a_tag_needs_what_was_visible_at_its_version() {
        let tag = hold(Some(1), Some("x"), 5);
        let needs = |table, begin, end| tag.tags(TableId(table), Txn(begin), Txn(end));
        assert!(needs(1, 5, 6) && needs(1, 1, 9));
        assert!(!needs(1, 1, 5) && !needs(1, 6, 9) && !needs(2, 1, 9));
        assert!(!hold(None, None, 5).tags(TableId(1), Txn(1), Txn(9)), "a hold works by the floor");
    }
}

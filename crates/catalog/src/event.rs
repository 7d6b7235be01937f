//! What happened, in the order of commits: changes of what exists, stored as their commits told them, and commits of rows, which
//! the history of tables tells. A reader that goes on after `next` misses nothing and meets nothing twice.

use std::time::Duration;

use cenote_vocab::{Micros, Scope, Txn};
use uuid::Uuid;

use crate::inner::Inner;
use crate::reading::check_not_future;
use crate::sql::event::{self, Part};
use crate::sql::head;
use crate::{Catalog, Error};

/// So long events are kept (`events_keep`).
pub(crate) const EVENTS_KEEP: Duration = Duration::from_secs(30 * 86_400);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The commit.
    pub txn: Txn,
    /// Its place in it: only the order means anything.
    pub n: i64,
    /// When.
    pub at: Micros,
    /// `table.created`, `table.committed`, `asset.dropped`, …: object and verb.
    pub kind: String,
    /// `table`, `view`, `schema`, `asset`, `run`, …
    pub object_type: String,
    /// A number for tables and schemas, a UUID for others.
    pub object_id: String,
    /// The schema of the object as it was called then.
    pub schema: Option<String>,
    /// The object's name then; none of runs, or if its table was purged.
    pub name: Option<String>,
    /// Of the commit.
    pub operation: String,
    /// Token name.
    pub actor: Option<String>,
    /// `X-Request-Id`
    pub request_id: Option<String>,
    /// The run that the commit is part of.
    pub run: Option<Uuid>,
    /// More, as JSON.
    pub payload: Option<String>,
}

/// A part of the feed: whole transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// By `txn` and `n`.
    pub events: Vec<Event>,
    /// Everything up to here is in `events`.
    pub next: Txn,
    /// The newest transaction.
    pub head: Txn,
}

impl Catalog {
    /// Events after a transaction: about `limit`, in whole transactions. `EventsExpired` if some of them may be gone,
    /// `SnapshotFuture` above the head.
    pub async fn events(&self, scope: &Scope, after: Txn, limit: usize) -> Result<EventPage, Error> {
        let (inner, catalog) = (&self.inner, scope.catalog());
        let limit = limit.max(1);
        let mut transaction = inner.database.read().await?;
        let head = head::read_in(&mut transaction, catalog).await?.txn;
        check_not_future(after, head)?;
        let floor = event::floor(&mut transaction, catalog).await?;
        if after < floor {
            return Err(Error::EventsExpired { after, floor });
        }
        let mut parts = Vec::with_capacity(2);
        for part in [Part::Told, Part::Committed] {
            parts.push(event::read(&mut transaction, catalog, part, (after, head), Some(limit + 1)).await?);
        }
        let mut reached = whole_until(&parts, limit).unwrap_or(head);
        if reached < first(&parts).unwrap_or(reached) {
            // The next transaction alone is more than a page: it comes whole.
            reached = first(&parts).unwrap_or(head);
            parts.clear();
            for part in [Part::Told, Part::Committed] {
                parts.push(event::read(&mut transaction, catalog, part, (after, reached), None).await?);
            }
        }
        transaction.rollback().await?;
        let (events, next) = page(parts, reached, limit);
        Ok(EventPage { events, next, head })
    }

    /// Lets events go that are older than they are kept.
    pub async fn expire_events(&self, scope: &Scope) -> Result<Txn, Error> {
        expire(&self.inner, scope).await
    }
}

async fn expire(inner: &Inner, scope: &Scope) -> Result<Txn, Error> {
    let mut transaction = inner.database.write().await?;
    crate::committer::check_active(inner, &mut transaction).await?;
    let before = inner.clock.now().minus(EVENTS_KEEP);
    let known = event::floor(&mut transaction, scope.catalog()).await?;
    let floor = event::raise_floor(&mut transaction, scope.catalog(), before).await?;
    if floor > known {
        event::purge(&mut transaction, scope.catalog(), floor).await?;
    }
    transaction.commit().await?;
    Ok(floor)
}

/// Of parts that were read up to one more than `limit`: the last transaction that is whole in each; `None` if all is there.
fn whole_until(parts: &[Vec<Event>], limit: usize) -> Option<Txn> {
    let cut = parts.iter().filter_map(|part| part.get(limit));
    cut.map(|beyond| Txn(beyond.txn.0 - 1)).min()
}

fn first(parts: &[Vec<Event>]) -> Option<Txn> {
    parts.iter().filter_map(|part| part.first()).map(|event| event.txn).min()
}

/// The parts as one, up to `reached`, and no more than `limit` events if that is more than one transaction.
fn page(parts: Vec<Vec<Event>>, reached: Txn, limit: usize) -> (Vec<Event>, Txn) {
    let mut events: Vec<Event> = parts.into_iter().flatten().filter(|event| event.txn <= reached).collect();
    events.sort_by_key(|event| (event.txn, event.n));
    let Some(beyond) = events.get(limit).map(|event| event.txn) else { return (events, reached) };
    let begin = events.first().map_or(beyond, |event| event.txn);
    let next = if beyond == begin { beyond } else { Txn(beyond.0 - 1) };
    events.retain(|event| event.txn <= next);
    (events, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(txn: i64, n: i64) -> Event {
        Event {
            txn: Txn(txn),
            n,
            at: Micros(0),
            kind: "table.committed".to_owned(),
            object_type: "table".to_owned(),
            object_id: "1".to_owned(),
            schema: None,
            name: None,
            operation: String::new(),
            actor: None,
            request_id: None,
            run: None,
            payload: None,
        }
    }

    fn places(events: &[Event]) -> Vec<(i64, i64)> {
        events.iter().map(|event| (event.txn.0, event.n)).collect()
    }

    #[test]
    fn a_page_holds_whole_transactions_of_both_parts_in_order() {
        let parts = || vec![vec![event(2, 0), event(5, 0)], vec![event(1, 9), event(2, 9), event(4, 9)]];
        assert_eq!(whole_until(&parts(), 3), None, "all is there");
        let (events, next) = page(parts(), Txn(9), 5);
        assert_eq!((places(&events), next), (vec![(1, 9), (2, 0), (2, 9), (4, 9), (5, 0)], Txn(9)));
        let (events, next) = page(parts(), Txn(9), 2);
        assert_eq!((places(&events), next), (vec![(1, 9)], Txn(1)), "the second is not cut");
        assert_eq!(whole_until(&parts(), 1), Some(Txn(1)), "of the second part only the first is sure");
        assert_eq!(whole_until(&parts(), 2), Some(Txn(3)));
    }

    #[test]
    fn a_transaction_that_is_larger_than_a_page_comes_whole() {
        let parts = vec![vec![event(3, 0), event(3, 1)], vec![event(3, 7), event(4, 7)]];
        let (events, next) = page(parts, Txn(4), 2);
        assert_eq!((places(&events), next), (vec![(3, 0), (3, 1), (3, 7)], Txn(3)));
    }
}

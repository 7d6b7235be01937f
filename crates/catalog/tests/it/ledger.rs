//! Producers, epochs, fences, leases.

use std::time::Duration;

use cenote_catalog::{Commit, Error, Op, Producer, ReadSet, TableChange};
use cenote_vocab::{Epoch, Fence, TableId, Txn};

use crate::fixture::{Fixture, producer};

impl Fixture {
    fn flush(&self, producers: Vec<Producer>, tables: &[TableId]) -> Commit {
        let append = |table: &TableId| TableChange {
            table: *table,
            base: Txn(0),
            read: ReadSet::None,
            ops: vec![Op::Append { files: vec![self.file(1)] }],
        };
        Commit { producers, tables: tables.iter().map(append).collect(), ..self.commit() }
    }
}

pub(crate) async fn one_epoch_of_two_tasks_has_one_effect(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    for epoch in 1..=50 {
        let offer = || {
            let commit = fixture.flush(vec![producer("client/a/k", epoch, None, None)], &[table]);
            fixture.catalog.apply(commit)
        };
        let offers = futures::future::join_all([offer(), offer(), offer()]).await;
        let txns: Vec<Txn> = offers.iter().map(|offer| offer.as_ref().expect("answered").txn).collect();
        assert!(txns.iter().all(|txn| *txn == txns[0]), "{txns:?}");
        assert_eq!(offers.iter().filter(|offer| !offer.as_ref().expect("answered").replayed).count(), 1);
        assert_eq!(fixture.files(table).await.len() as i64, epoch);
    }
    let old = fixture.flush(vec![producer("client/a/k", 7, None, None)], &[table]);
    let old = fixture.catalog.apply(old).await.expect("long ago");
    let wanted = fixture.files(table).await[6].begin_txn;
    assert_eq!((old.txn, old.replayed), (wanted, true));
}

pub(crate) async fn a_claim_fences_earlier_holders(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let claim = || fixture.catalog.claim_producer(&fixture.scope, "log/n1");
    let name = format!("log/n1/{table}");
    let (first, epoch) = claim().await.expect("claimed");
    assert_eq!(epoch, Epoch(0));
    let flush =
        |epoch, fence| fixture.flush(vec![producer(&name, epoch, Some(fence), Some(vec![table]))], &[table]);
    fixture.catalog.apply(flush(5, first)).await.expect("holder");
    let (second, _) = claim().await.expect("claimed");
    assert!(second > first);
    let late = fixture.catalog.apply(flush(6, first)).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    let none = fixture.catalog.apply(fixture.flush(vec![producer("log/n1", 1, None, None)], &[table])).await;
    assert!(matches!(none, Err(Error::Fenced { .. })), "{none:?}");
    let replay = fixture.catalog.apply(flush(5, second)).await.expect("was there");
    assert!(replay.replayed);
    fixture.catalog.apply(flush(6, second)).await.expect("new holder");
    assert_eq!(fixture.files(table).await.len(), 2);
    let standing = fixture.catalog.producer(&fixture.scope, &name).await.expect("read").expect("known");
    assert_eq!(standing.0, Epoch(6));
    assert_eq!(fixture.catalog.producer(&fixture.scope, "log/other").await.expect("read"), None);
}

pub(crate) async fn an_old_epoch_leaves_out_its_table_only(fixture: Fixture) {
    let (a, b) = (fixture.create("a").await, fixture.create("b").await);
    let marks = |epoch_a, epoch_b| {
        vec![
            producer("log/n/a", epoch_a, Some(Fence(0)), Some(vec![a])),
            producer("log/n/b", epoch_b, Some(Fence(0)), Some(vec![b])),
        ]
    };
    fixture.catalog.apply(fixture.flush(marks(3, 3), &[a, b])).await.expect("both");
    let partly = fixture.catalog.apply(fixture.flush(marks(3, 4), &[a, b])).await.expect("one");
    assert!(!partly.replayed);
    assert_eq!((fixture.live_rows(a).await, fixture.live_rows(b).await), (1, 2));
    let none = fixture.catalog.apply(fixture.flush(marks(2, 4), &[a, b])).await.expect("none");
    assert_eq!((none.replayed, none.txn), (true, partly.txn));
    assert_eq!((fixture.live_rows(a).await, fixture.live_rows(b).await), (1, 2));
    let empty = fixture.catalog.apply(fixture.flush(marks(9, 9), &[])).await.expect("progress without rows");
    assert_eq!(empty.txn, Txn(partly.txn.0 + 1));
}

pub(crate) async fn epochs_are_found_by_transaction(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let mut commits = Vec::new();
    for epoch in [3, 5, 9] {
        let commit = fixture.flush(vec![producer("log/n/1", epoch, None, None)], &[table]);
        commits.push((fixture.catalog.apply(commit).await.expect("flushed").txn, Epoch(epoch)));
    }
    fixture.append(table, 1).await;
    let epoch_at = async |at| fixture.catalog.epoch_at(&fixture.scope, "log/n/1", at).await.expect("read");
    for (txn, epoch) in &commits {
        assert_eq!(epoch_at(*txn).await, *epoch);
    }
    assert_eq!(epoch_at(Txn(commits[0].0.0 - 1)).await, Epoch(0));
    assert_eq!(epoch_at(fixture.head().await).await, Epoch(9));
    fixture.catalog.take_active(Duration::from_secs(60)).await.expect("taken").expect("free");
    let commit = fixture.flush(vec![producer("log/n/1", 10, None, None)], &[table]);
    let txn = fixture.catalog.apply(commit).await.expect("flushed").txn;
    assert_eq!((epoch_at(txn).await, epoch_at(Txn(txn.0 - 1)).await), (Epoch(10), Epoch(9)));
}

pub(crate) async fn old_epochs_leave_the_log_but_stay_applied(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let flush = async |epoch: i64| {
        let commit = fixture.flush(vec![producer("client/a/k", epoch, None, None)], &[table]);
        fixture.catalog.apply(commit).await.expect("answered")
    };
    let mut txns = vec![Txn(0)];
    for epoch in 1..=150 {
        txns.push(flush(epoch).await.txn);
    }
    fixture.clock.advance(Duration::from_secs(25 * 3600));
    flush(151).await; // the committer prunes after this group, and before the next
    let newest = flush(152).await;
    let (first, kept) = (flush(1).await, flush(60).await);
    assert_eq!((first.replayed, first.txn), (true, newest.txn), "the latest known");
    assert_eq!((kept.replayed, kept.txn), (true, txns[60]), "one of the newest hundred");
    assert_eq!(fixture.files(table).await.len(), 152);
}

pub(crate) async fn who_loses_the_lease_commits_nothing(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let long = Duration::from_secs(60);
    let first = fixture.catalog.take_active(long).await.expect("read").expect("free");
    assert_eq!(fixture.catalog.renew_active(long).await.expect("mine").fence, first.fence);
    fixture.append(table, 1).await;
    assert_eq!(fixture.live_rows(table).await, 1);
    if !fixture.durable {
        return;
    }
    let other = fixture.other("node-2").await;
    assert_eq!(other.take_active(long).await.expect("read"), None, "held");
    assert!(matches!(other.renew_active(long).await, Err(Error::Fenced { .. })));
    fixture.catalog.take_active(Duration::ZERO).await.expect("renewed").expect("mine"); // expired at once
    let second = other.take_active(long).await.expect("read").expect("expired");
    assert!(second.fence > first.fence);
    let late = fixture.change(table, vec![Op::Append { files: vec![fixture.file(1)] }]).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    assert!(matches!(fixture.catalog.renew_active(long).await, Err(Error::Fenced { .. })));
    other.apply(fixture.flush(vec![], &[table])).await.expect("the holder");
    other.release_active().await.expect("released");
    let after = other.apply(fixture.flush(vec![], &[table])).await;
    assert!(matches!(after, Err(Error::Fenced { .. })), "who gave it back commits nothing: {after:?}");
    let third = fixture.catalog.take_active(long).await.expect("read").expect("given back");
    assert!(third.fence > second.fence);
    fixture.append(table, 1).await;
    assert_eq!(fixture.live_rows(table).await, 3, "what the other wrote is seen");
}

pub(crate) async fn a_key_is_forgotten_after_a_day_and_no_other_producer(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let write = async |name: &str, epoch: i64, state: Option<&'static [u8]>| {
        let producer = Producer { state: state.map(Into::into), ..producer(name, epoch, None, None) };
        fixture.catalog.apply(fixture.flush(vec![producer], &[table])).await.expect("committed")
    };
    let forget = async |keys_max| fixture.catalog.forget_keys(&fixture.scope, keys_max).await.expect("done");
    let first = write("client/a/old", 1, Some(b"asked")).await;
    write("client/a/older", 1, Some(b"asked")).await;
    write("client/a/numbered", 1, None).await;
    write("client/a/counts", 2, Some(b"state")).await;
    write("pipeline/7", 1, Some(b"state")).await;
    fixture.clock.advance(Duration::from_secs(23 * 3_600));
    write("client/a/young", 1, Some(b"asked")).await;
    assert_eq!(forget(10).await, 0, "a day is not over");
    assert!(write("client/a/old", 1, Some(b"asked")).await.replayed);
    fixture.clock.advance(Duration::from_secs(2 * 3_600));
    assert_eq!((forget(1).await, forget(10).await, forget(10).await), (1, 1, 0));
    let again = write("client/a/old", 1, Some(b"asked")).await;
    assert!(!again.replayed && again.txn > first.txn, "the key is free again: {again:?}");
    for (name, epoch) in
        [("client/a/numbered", 1), ("client/a/counts", 2), ("client/a/young", 1), ("pipeline/7", 1)]
    {
        assert!(write(name, epoch, None).await.replayed, "{name}");
    }
}

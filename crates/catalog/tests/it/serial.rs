//! Concurrent changes of the same rows, from two processes, end in the state of some serial order.
//!
//! A row is a file of one row: its key stands in the statistics, its count in the time range, so that a change can read and
//! write it as a statement would. Each upsert adds one to the count of its key, each delete takes the count away: in every
//! serial order as many were added as were taken or are left, and no key is there twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use cenote_catalog::{
    Catalog, Commit, Committed, DataFile, Error, NewFile, Op, ReadSet, Reruns, RowChange, TableChange,
};
use cenote_datafile::Value;
use cenote_vocab::{ErrorKind, Fault, FieldId, TableId, Txn};

use crate::commits::groups_and_short_ones;
use crate::conflicts::{take, values};
use crate::files::rewrite;
use crate::fixture::{Fixture, statistics};

const KEYS: u64 = 3;
const WRITERS: u64 = 8;
const STEPS: u64 = 12;

/// One session of one process.
struct Writer<'a> {
    fixture: &'a Fixture,
    catalog: Catalog,
    table: TableId,
}

fn key_of(file: &DataFile) -> i128 {
    match file.file.statistics.column(FieldId(3)).and_then(|column| column.min.clone()) {
        Some(Value::Integer(key)) => key,
        other => panic!("no key: {other:?}"),
    }
}

fn count_of(file: &DataFile) -> i64 {
    file.file.time_range.expect("a count").0
}

impl Writer<'_> {
    fn row(&self, key: i128, count: i64) -> NewFile {
        NewFile {
            statistics: statistics(1, key, key),
            time_range: Some((count, count)),
            ..self.fixture.file(1)
        }
    }

    async fn find(&self, key: i128) -> (Txn, Option<Arc<DataFile>>) {
        let (base, files) = self.read().await;
        let mut found = files.into_iter().filter(|file| key_of(file) == key);
        let row = found.next();
        assert!(found.next().is_none(), "key {key} is there twice at {base}");
        (base, row)
    }

    /// The newest version. A reader is told that its connection broke, and asks again.
    async fn read(&self) -> (Txn, Vec<Arc<DataFile>>) {
        loop {
            match self.try_read().await {
                Ok(found) => return found,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
        }
    }

    async fn try_read(&self) -> Result<(Txn, Vec<Arc<DataFile>>), Error> {
        let scope = &self.fixture.scope;
        let base = self.catalog.head(scope).await?.txn;
        let names = self.catalog.names(scope, base).await?;
        let def = names.table_by_id(self.table).expect("the table");
        Ok((base, self.catalog.files(scope, def, base, None).await?))
    }

    async fn commit(&self, base: Txn, read: ReadSet, ops: Vec<Op>) -> Result<Committed, Error> {
        let change = TableChange { table: self.table, base, read, ops };
        self.catalog.apply(Commit { tables: vec![change], ..self.fixture.commit() }).await
    }

    /// `INSERT … ON CONFLICT DO UPDATE SET count = count + 1`
    async fn upsert(&self, key: i128) -> Result<(), Error> {
        let (base, old) = self.find(key).await;
        let mut ops: Vec<Op> = Vec::new();
        ops.extend(old.iter().map(|old| take(old.id, [0], RowChange::Update)));
        let count = old.as_ref().map_or(0, |old| count_of(old));
        ops.push(Op::Append { files: vec![self.row(key, count + 1)] });
        self.commit(base, ReadSet::Rows(values(key, key)), ops).await.map(drop)
    }

    /// `UPDATE … SET count = count + 1`; answers whether there was a row.
    async fn update(&self, key: i128) -> Result<bool, Error> {
        let (base, Some(old)) = self.find(key).await else { return Ok(false) };
        let row = self.row(key, count_of(&old) + 1);
        let ops = vec![take(old.id, [0], RowChange::Update), Op::Append { files: vec![row] }];
        Ok(self.commit(base, ReadSet::None, ops).await?.deleted_rows == 1)
    }

    /// `DELETE`; answers the count that it took.
    async fn delete(&self, key: i128) -> Result<i64, Error> {
        let (base, Some(old)) = self.find(key).await else { return Ok(0) };
        let committed = self.commit(base, ReadSet::None, vec![take(old.id, [0], RowChange::Delete)]).await?;
        Ok(if committed.deleted_rows == 1 { count_of(&old) } else { 0 })
    }

    /// A merge of files, of one: the row is the same in another.
    async fn merge(&self, key: i128) -> Result<(), Error> {
        let (base, Some(old)) = self.find(key).await else { return Ok(()) };
        let row = self.row(key, count_of(&old));
        self.commit(base, ReadSet::None, vec![rewrite(&[(old.id, None)], vec![row])]).await.map(drop)
    }

    /// Does `steps` changes, each again as often as it conflicts; answers what they added to each key, less what they took.
    async fn run(&self, steps: u64) -> BTreeMap<i128, i64> {
        let mut sums = BTreeMap::new();
        for _ in 0..steps {
            let key = i128::from(self.fixture.ids.below(KEYS));
            let act = self.fixture.ids.below(5);
            let mut reruns = Reruns::new(self.fixture.ids.clone());
            let added = loop {
                let outcome = match act {
                    0 | 1 => self.upsert(key).await.map(|()| 1),
                    2 => self.update(key).await.map(i64::from),
                    3 => self.merge(key).await.map(|()| 0),
                    _ => self.delete(key).await.map(|taken| -taken),
                };
                match outcome {
                    Ok(added) => break added,
                    Err(error) => match reruns.pause_after(error) {
                        Ok(pause) => tokio::time::sleep(pause).await,
                        // Unlucky ten times: its client is told, and nothing was changed.
                        Err(Error::CommitConflict { .. }) => break 0,
                        Err(error) => panic!("{error}"),
                    },
                }
            };
            *sums.entry(key).or_default() += added;
        }
        sums
    }
}

pub(crate) async fn updates_deletes_upserts_and_rewrites_end_in_some_serial_order(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let other = fixture.other("node-2").await;
    let earlier = groups_and_short_ones(&fixture);
    end_in_some_serial_order(&fixture, &other, table).await;
    let later = groups_and_short_ones(&fixture);
    assert_eq!(later.0 - earlier.0, later.1 - earlier.1, "15 statements are enough for a group of all kinds");
}

/// Writers on both handles change the same few rows; what is left of each is what was added and not taken.
pub(crate) async fn end_in_some_serial_order(fixture: &Fixture, other: &Catalog, table: TableId) {
    let writers = (0..WRITERS).map(|n| {
        let catalog = if n % 2 == 0 { fixture.catalog.clone() } else { other.clone() };
        let writer = Writer { fixture, catalog, table };
        async move { writer.run(STEPS).await }
    });
    let mut added: BTreeMap<i128, i64> = BTreeMap::new();
    for sums in futures::future::join_all(writers).await {
        for (key, sum) in sums {
            *added.entry(key).or_default() += sum;
        }
    }
    let reader = Writer { fixture, catalog: fixture.catalog.clone(), table };
    let files = reader.read().await.1;
    let left: BTreeMap<i128, i64> = files.iter().map(|file| (key_of(file), count_of(file))).collect();
    assert_eq!(left.len(), files.len(), "no key twice");
    added.retain(|_, sum| *sum != 0);
    assert_eq!(left, added, "what is left of each key is what was added and not taken");
}

pub(crate) async fn one_epoch_of_two_processes_has_one_effect(fixture: Fixture) {
    if !fixture.durable {
        return;
    }
    let table = fixture.create("cpu").await;
    let other = fixture.other("node-2").await;
    let epochs = cenote_testkit::number_of("CENOTE_EPOCHS", 30) as i64;
    for epoch in 1..=epochs {
        let offer = |catalog: &Catalog| {
            let ops = vec![Op::Append { files: vec![fixture.file(1)] }];
            let change = TableChange { table, base: Txn(0), read: ReadSet::None, ops };
            let producers = vec![crate::fixture::producer("client/a/k", epoch, None, None)];
            let catalog = catalog.clone();
            let commit = Commit { producers, tables: vec![change], ..fixture.commit() };
            async move { catalog.apply(commit).await.expect("answered") }
        };
        let (a, b) = tokio::join!(offer(&fixture.catalog), offer(&other));
        assert_eq!(a.txn, b.txn);
        assert!(a.replayed != b.replayed, "epoch {epoch}: {a:?} {b:?}");
    }
    assert_eq!(fixture.files(table).await.len() as i64, epochs);
    let (fence, _) = fixture.catalog.claim_producer(&fixture.scope, "log/n").await.expect("claimed");
    other.claim_producer(&fixture.scope, "log/n").await.expect("claimed by the second process");
    let ops = vec![Op::Append { files: vec![fixture.file(1)] }];
    let change = TableChange { table, base: Txn(0), read: ReadSet::None, ops };
    let producers = vec![crate::fixture::producer("log/n/1", 1, Some(fence), None)];
    let late = fixture.catalog.apply(Commit { producers, tables: vec![change], ..fixture.commit() }).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
}

//! The ledger's rules: which changes of a commit were there already, and who may no longer write. Pure; no database.

use std::collections::BTreeSet;

use bytes::Bytes;
use cenote_vocab::{Epoch, Fence, TableId, Txn};

use crate::{Commit, Error, Producer};

/// How far a producer is, as stored. All zero: it never wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) epoch: Epoch,
    pub(crate) txn: Txn,
    pub(crate) fence: Fence,
    pub(crate) state: Option<Bytes>,
}

/// What the ledger says of a commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The whole commit was there already.
    pub(crate) nothing_left: bool,
    /// Changes of these tables were there already.
    pub(crate) left_out: BTreeSet<TableId>,
    /// Places in `commit.producers` of those whose epoch is new.
    pub(crate) fresh: Vec<usize>,
    /// The transaction of the first offer, if anything is left out.
    pub(crate) first: Option<Txn>,
}

/// The name whose fence also binds `producer`: every `log/{node}/{table}` obeys `log/{node}`.
pub(crate) fn parent(producer: &str) -> Option<&str> {
    let node = producer.strip_prefix("log/")?;
    let (node, _table) = node.split_once('/')?;
    Some(&producer[.."log/".len() + node.len()])
}

/// Judges a commit. `standing` answers what is stored, `txn_of` the transaction of an epoch that is still in the log.
///
/// `Fenced` if a producer was claimed anew since this writer claimed it.
pub(crate) fn judge(
    commit: &Commit,
    standing: impl Fn(&str) -> Standing,
    txn_of: impl Fn(&str, Epoch) -> Option<Txn>,
) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    let mut all_old = false;
    for (at, producer) in commit.producers.iter().enumerate() {
        let stored = standing(&producer.name);
        check_fence(producer, &stored, parent(&producer.name).map(&standing))?;
        if producer.epoch > stored.epoch {
            verdict.fresh.push(at);
            continue;
        }
        let first = txn_of(&producer.name, producer.epoch).unwrap_or(stored.txn);
        verdict.first = verdict.first.max(Some(first));
        match &producer.tables {
            None => all_old = true,
            Some(tables) => verdict.left_out.extend(tables),
        }
    }
    let tables_left = commit.tables.iter().any(|change| !verdict.left_out.contains(&change.table));
    let anything_left = tables_left || !commit.objects.is_empty() || !verdict.fresh.is_empty();
    verdict.nothing_left = all_old || (verdict.first.is_some() && !anything_left);
    Ok(verdict)
}

fn check_fence(producer: &Producer, stored: &Standing, parent: Option<Standing>) -> Result<(), Error> {
    let newest = stored.fence.max(parent.map_or(Fence(0), |parent| parent.fence));
    if producer.fence.unwrap_or(Fence(0)) < newest {
        return Err(Error::Fenced { name: format!("producer {}", producer.name) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cenote_vocab::{CatalogId, Scope};
    use uuid::Uuid;

    use super::*;
    use crate::{Facts, ReadSet, TableChange};

    fn commit(producers: Vec<Producer>, tables: &[i64]) -> Commit {
        let tables = tables.iter().map(|table| TableChange {
            table: TableId(*table),
            base: Txn(0),
            read: ReadSet::None,
            ops: Vec::new(),
        });
        Commit {
            commit_id: Uuid::nil(),
            scope: Scope::from_authentication("default", CatalogId(1)),
            producers,
            facts: Facts::default(),
            tables: tables.collect(),
            objects: Vec::new(),
        }
    }

    fn producer(name: &str, epoch: i64, fence: Option<i64>, tables: Option<&[i64]>) -> Producer {
        Producer {
            name: name.into(),
            epoch: Epoch(epoch),
            fence: fence.map(Fence),
            state: None,
            tables: tables.map(|tables| tables.iter().copied().map(TableId).collect()),
        }
    }

    fn stored(name: &str) -> Standing {
        match name {
            "log/n" => Standing { fence: Fence(3), ..Standing::default() },
            "log/n/1" => Standing { epoch: Epoch(10), txn: Txn(50), ..Standing::default() },
            "client/a/k" => Standing { epoch: Epoch(1), txn: Txn(40), ..Standing::default() },
            _ => Standing::default(),
        }
    }

    fn txn_of(name: &str, epoch: Epoch) -> Option<Txn> {
        (name == "log/n/1" && epoch == Epoch(9)).then_some(Txn(45))
    }

    #[test]
    fn an_old_epoch_leaves_out_its_tables_and_answers_its_own_transaction() {
        let flush = commit(
            vec![producer("log/n/1", 9, Some(3), Some(&[1])), producer("log/n/2", 9, Some(3), Some(&[2]))],
            &[1, 2],
        );
        let verdict = judge(&flush, stored, txn_of).expect("not fenced");
        assert_eq!(
            verdict,
            Verdict {
                nothing_left: false,
                left_out: BTreeSet::from([TableId(1)]),
                fresh: vec![1],
                first: Some(Txn(45))
            }
        );
        let again = commit(vec![producer("log/n/1", 10, Some(3), Some(&[1]))], &[1]);
        let verdict = judge(&again, stored, txn_of).expect("not fenced");
        assert!(verdict.nothing_left);
        assert_eq!(verdict.first, Some(Txn(50)), "the latest known");
    }

    #[test]
    fn a_key_used_before_makes_the_whole_commit_a_replay() {
        let insert = commit(vec![producer("client/a/k", 1, None, None)], &[7]);
        let verdict = judge(&insert, stored, txn_of).expect("no claim needed");
        assert!(verdict.nothing_left);
        assert_eq!(verdict.first, Some(Txn(40)));
    }

    #[test]
    fn a_claim_of_the_log_fences_every_table_of_it_born_or_not() {
        for name in ["log/n/1", "log/n/999"] {
            let late = commit(vec![producer(name, 11, Some(2), Some(&[1]))], &[1]);
            assert!(matches!(judge(&late, stored, txn_of), Err(Error::Fenced { .. })), "{name}");
        }
        let unclaimed = commit(vec![producer("log/n", 1, None, None)], &[]);
        assert!(matches!(judge(&unclaimed, stored, txn_of), Err(Error::Fenced { .. })));
    }

    #[test]
    fn only_tables_of_a_log_have_a_parent() {
        assert_eq!(parent("log/n/1"), Some("log/n"));
        assert_eq!(parent("log/n"), None);
        assert_eq!(parent("client/a/b"), None);
    }
}

//! What a crash at each step of the commit leaves, and what is offered again. Fail points are the process's: `cargo nextest` gives
//! each test one of its own.

use cenote_catalog::{Error, Op};
use cenote_vocab::{ErrorKind, Fault, Txn};
use fail::FailScenario;

use crate::fixture::Fixture;
use crate::serial;

/// The steps after which a transaction that broke off was not committed.
const BEFORE_COMMIT: [&str; 4] = ["commit.lock", "commit.check", "commit.write", "commit.commit"];
/// The step after which it was, and nobody was told.
const ANSWER: &str = "commit.answer";

pub(crate) async fn a_commit_whose_answer_was_lost_is_applied_once(fixture: Fixture) {
    let scenario = FailScenario::setup();
    let table = fixture.create("cpu").await;
    for (point, replayed) in BEFORE_COMMIT.map(|point| (point, false)).into_iter().chain([(ANSWER, true)]) {
        let head = fixture.head().await;
        fail::cfg(point, "1*return").expect("a point");
        let append = vec![Op::Append { files: vec![fixture.file(1)] }];
        let committed = fixture.change(table, append).await.expect("offered again");
        assert_eq!((committed.txn, committed.replayed), (Txn(head.0 + 1), replayed), "{point}");
        assert!(!committed.superseded, "{point}: its own files are the ones that count");
        assert_eq!(fixture.head().await, committed.txn);
    }
    assert_eq!(fixture.live_rows(table).await, 5);
    scenario.teardown();
}

pub(crate) async fn a_crash_before_commit_leaves_nothing(mut fixture: Fixture) {
    let scenario = FailScenario::setup();
    let table = fixture.create("cpu").await;
    fixture.append(table, 1).await;
    for point in BEFORE_COMMIT {
        let head = fixture.head().await;
        fail::cfg(point, "return").expect("a point");
        let append = vec![Op::Append { files: vec![fixture.file(1)] }];
        let error: Error = fixture.change(table, append).await.expect_err(point);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        fail::remove(point);
        fixture = fixture.restart().await;
        assert_eq!((fixture.head().await, fixture.live_rows(table).await), (head, 1), "{point}");
    }
    scenario.teardown();
}

pub(crate) async fn committers_that_fail_at_any_step_end_in_some_serial_order(fixture: Fixture) {
    let scenario = FailScenario::setup();
    for point in BEFORE_COMMIT {
        fail::cfg(point, "1%return").expect("a point");
    }
    fail::cfg(ANSWER, "10%return").expect("a point");
    let (table, other) = (fixture.create("cpu").await, fixture.other("node-2").await);
    serial::end_in_some_serial_order(&fixture, &other, table).await;
    scenario.teardown();
}

//! Crash points of the commit's steps. They are the process's, so these tests run alone:
//! `cargo test -p cenote-catalog --features failpoints -- crash`

use cenote_catalog::{Error, Op};
use cenote_vocab::{ErrorKind, Fault, Txn};
use fail::FailScenario;

use crate::fixture::Fixture;

async fn start(seed: u64) -> Fixture {
    let directory = tempfile::tempdir().expect("a directory");
    Fixture::new("sqlite".into(), Some(directory), seed).await
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_applied_once() {
    let fixture = start(11).await;
    let scenario = FailScenario::setup();
    let table = fixture.create("cpu").await;
    for (point, replayed) in [("commit.answer", true), ("commit.commit", false), ("commit.lock", false)] {
        let head = fixture.head().await;
        fail::cfg(point, "1*return").expect("a point");
        let append = vec![Op::Append { files: vec![fixture.file(1)] }];
        let committed = fixture.change(table, append).await.expect("offered again");
        assert_eq!((committed.txn, committed.replayed), (Txn(head.0 + 1), replayed), "{point}");
        assert!(!committed.superseded, "{point}: its own files are the ones that count");
        assert_eq!(fixture.head().await, committed.txn);
    }
    assert_eq!(fixture.live_rows(table).await, 3);
    scenario.teardown();
}

#[tokio::test]
async fn a_crash_before_commit_leaves_nothing() {
    let mut fixture = start(12).await;
    let scenario = FailScenario::setup();
    let table = fixture.create("cpu").await;
    fixture.append(table, 1).await;
    for point in ["commit.lock", "commit.check", "commit.write", "commit.commit"] {
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

//! The audit.

use std::time::Duration;

use cenote_catalog::{AuditEntry, AuditFilter, AuditOutcome, AuditRow, Caller};
use cenote_testkit::{PATIENCE, settles};

use crate::fixture::Fixture;

fn entry(outcome: AuditOutcome, request: &str) -> AuditEntry {
    AuditEntry {
        caller: Caller { actor: Some("ada".into()), request_id: Some(request.into()), ..Caller::default() },
        action: "test".into(),
        object: None,
        outcome,
        reason: None,
        detail: None,
    }
}

async fn rows(fixture: &Fixture) -> Vec<AuditRow> {
    let filter = AuditFilter { limit: 100, action: Some("test".into()), ..AuditFilter::default() };
    fixture.catalog.audit_rows(&fixture.scope, &filter).await.expect("read")
}

pub(crate) async fn the_same_refusal_is_counted_and_old_rows_go(fixture: Fixture) {
    fixture.catalog.take_active(Duration::from_secs(600)).await.expect("taken").expect("free");
    for request in ["a", "b", "c"] {
        fixture.catalog.audit(Some(&fixture.scope), entry(AuditOutcome::Deny, request)).await;
        fixture.catalog.audit(Some(&fixture.scope), entry(AuditOutcome::Allow, request)).await;
    }
    settles("all to be written", PATIENCE, async || {
        let times: i64 = rows(&fixture).await.iter().map(|row| row.times).sum();
        times == 6
    })
    .await;
    assert_eq!(rows(&fixture).await.len(), 4, "one of three refusals, and each that was allowed");
    fixture.catalog.audit(Some(&fixture.scope), entry(AuditOutcome::Deny, "d")).await;
    settles("the same to be counted later too", PATIENCE, async || {
        rows(&fixture).await.iter().any(|row| row.times == 4)
    })
    .await;
    fixture.clock.advance(Duration::from_secs(91 * 86_400));
    settles("old rows to go", PATIENCE, async || rows(&fixture).await.is_empty()).await;
}

pub(crate) async fn what_a_stranger_says_fills_neither_queue_nor_table(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let caller =
        Caller { address: Some("10.0.0.1".into()), protocol: "postgres".into(), ..Caller::default() };
    for at in 0..300 {
        let refused = AuditEntry {
            caller: caller.clone(),
            action: "auth_deny".into(),
            object: Some(format!("user {at}{}", "x".repeat(9_000))),
            ..entry(AuditOutcome::Deny, "")
        };
        catalog.audit(None, refused).await;
    }
    let long = AuditEntry { detail: Some("y".repeat(1_000_000)), ..entry(AuditOutcome::Allow, "long") };
    catalog.audit(Some(scope), long).await;
    settles("what was queued", PATIENCE, async || !rows(&fixture).await.is_empty()).await;
    let filter = AuditFilter { limit: 1_000, action: Some("auth_deny".into()), ..AuditFilter::default() };
    let refused = catalog.audit_rows(scope, &filter).await.expect("read");
    let times: i64 = refused.iter().map(|row| row.times).sum();
    assert_eq!((refused.len(), times), (1, 300), "one who guesses names is one row");
    let told = refused[0].entry.object.as_ref().expect("the first name");
    assert!(told.starts_with("user 0x") && told.len() <= 300, "{} bytes", told.len());
    let detail = rows(&fixture).await[0].entry.detail.clone().expect("a detail");
    assert!(detail.len() <= 4_000, "{} bytes", detail.len());
}

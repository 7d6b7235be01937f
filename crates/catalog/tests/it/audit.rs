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

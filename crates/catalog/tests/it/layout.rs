//! A catalog of an older binary is brought up to date where that is allowed, and says so where it is not.

use cenote_catalog::{Error, Op};
use cenote_vocab::Txn;

use crate::files::numbers;
use crate::fixture::Fixture;

/// From the newest layout back to 1.
const BACK_TO_1: &[&str] = &[
    "DROP TABLE cn_role",
    "DROP TABLE cn_role_member",
    "DROP TABLE cn_grant",
    "DROP TABLE cn_audit",
    "DROP TABLE cn_event",
    "DROP TABLE cn_publication",
    "DROP TABLE cn_signing_key",
    "DROP TABLE cn_code",
    "DROP TABLE cn_column_edge",
    "DROP TABLE cn_node",
    "DROP TABLE cn_edge",
    "DROP TABLE cn_asset",
    "DROP TABLE cn_asset_dep",
    "DROP TABLE cn_asset_partition",
    "DROP TABLE cn_asset_input",
    "DROP TABLE cn_trigger",
    "DROP TABLE cn_tick",
    "DROP TABLE cn_recipe",
    "DROP TABLE cn_staged",
    "DROP TABLE cn_run_key",
    "DROP TABLE cn_task",
    "DROP TABLE cn_task_dep",
    "DROP TABLE cn_attempt",
    "DROP TABLE cn_check",
    "DROP TABLE cn_check_result",
    "DROP TABLE cn_inline",
    "DROP TABLE cn_hold",
    "DROP TABLE cn_pipeline",
    "DROP TABLE cn_run",
    "DROP TABLE cn_job",
    "ALTER TABLE cn_partition DROP COLUMN fresh_files",
    "ALTER TABLE cn_partition DROP COLUMN fresh_bytes",
    "ALTER TABLE cn_partition DROP COLUMN merged_files",
    "ALTER TABLE cn_partition DROP COLUMN merged_bytes",
    "ALTER TABLE cn_head DROP COLUMN state",
    "ALTER TABLE cn_catalog DROP COLUMN description",
    "ALTER TABLE cn_catalog DROP COLUMN state_us",
    "ALTER TABLE cn_catalog DROP COLUMN changed_txn",
    "UPDATE cn_meta SET value = '1' WHERE name = 'layout'",
];

pub(crate) async fn an_older_catalog_gets_what_it_lacks(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    fixture.append(table, 10).await;
    let mut merged = fixture.file(20);
    merged.level = 1;
    fixture.change(table, vec![Op::Append { files: vec![merged] }]).await.expect("append");
    let gone = fixture.append(table, 5).await;
    let retire = Op::Retire { files: vec![gone], kind: cenote_catalog::RetireKind::Delete };
    fixture.change(table, vec![retire]).await.expect("retired");

    let head = fixture.head().await;
    let fixture = fixture.restart_after(BACK_TO_1).await;
    assert!(fixture.catalog.jobs(&fixture.scope).await.expect("the table is there").is_empty());
    assert!(fixture.catalog.pipelines(&fixture.scope).await.expect("the table is there").is_empty());
    assert!(fixture.catalog.access(&fixture.scope).await.expect("the table is there").grants.is_empty());
    if fixture.durable {
        // What happened before is not told: readers of the feed begin here.
        let older = fixture.catalog.events(&fixture.scope, Txn(0), 10).await;
        assert!(matches!(older, Err(Error::EventsExpired { floor, .. }) if floor == head), "{older:?}");
        assert!(fixture.catalog.events(&fixture.scope, head, 10).await.expect("kept").events.is_empty());
    }
    assert!(fixture.catalog.publications(&fixture.scope).await.expect("the table is there").is_empty());
    fixture.append(table, 1).await;
    let parts = fixture.catalog.system_rows(&fixture.scope, "storage.partitions").await.expect("rows");
    let counted =
        ["fresh_files", "fresh_bytes", "merged_files", "merged_bytes"].map(|name| numbers(&parts, name)[0]);
    assert_eq!(counted, [2, 1_100, 1, 2_000]);
}

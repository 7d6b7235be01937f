//! Publications: dense, one publisher at a time, and made of one state of the catalog.

use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::Int64Type;
use cenote_catalog::{Error, Publication, PublishedKind, PublishedTable, published_tables};
use cenote_vocab::Txn;

use crate::fixture::Fixture;

const TTL: Duration = Duration::from_secs(60);

fn publication(fixture: &Fixture, manifest_id: i64, txn: i64) -> Publication {
    Publication {
        manifest_id,
        txn: Txn(txn),
        path: format!("m/{manifest_id}.json"),
        sha256: "0f".repeat(32),
        files: 7,
        bytes: 4_096,
        published: fixture.clock.now(),
    }
}

/// Publishes a first manifest at a path of this name.
pub(crate) async fn publish(fixture: &Fixture, name: &str) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let lease = catalog.take_publisher(scope, TTL).await.expect("asked").expect("free");
    let first = Publication { path: format!("m/{name}.json"), ..publication(fixture, 1, 3) };
    catalog.publish(scope, &first, &lease).await.expect("published");
}

pub(crate) async fn numbers_are_dense_and_an_older_publisher_is_fenced(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    assert_eq!(catalog.newest_publication(scope).await.expect("read"), None);
    let old = catalog.take_publisher(scope, TTL).await.expect("asked").expect("free");
    let lease = catalog.take_publisher(scope, TTL).await.expect("asked").expect("its own");
    let first = publication(&fixture, 1, 3);
    let refused = catalog.publish(scope, &first, &old).await;
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    catalog.publish(scope, &first, &lease).await.expect("published");
    for wrong in [1, 3] {
        let refused = catalog.publish(scope, &publication(&fixture, wrong, 9), &lease).await;
        assert!(matches!(refused, Err(Error::Fenced { .. })), "{wrong}: {refused:?}");
    }
    let second = publication(&fixture, 2, 9);
    catalog.publish(scope, &second, &lease).await.expect("published");
    assert_eq!(catalog.publications(scope).await.expect("read"), [second.clone(), first]);
    let refused = catalog.forget_publications(scope, &[1], &old).await;
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    catalog.forget_publications(scope, &[1], &lease).await.expect("forgotten");
    assert_eq!(catalog.publications(scope).await.expect("read"), std::slice::from_ref(&second));
    let shown = catalog.wait_for_publication(scope, Txn(9), Duration::ZERO).await.expect("read");
    assert_eq!(shown, Some(second));
    if fixture.durable {
        let other = fixture.other("node-2").await;
        assert_eq!(other.take_publisher(scope, TTL).await.expect("asked"), None, "it is held");
        catalog.release_publisher(&lease).await.expect("released");
        assert!(other.take_publisher(scope, TTL).await.expect("asked").is_some());
        let refused = catalog.publish(scope, &publication(&fixture, 3, 10), &lease).await;
        assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    }
}

pub(crate) async fn a_publication_wakes_who_waits_for_its_transaction(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let lease = catalog.take_publisher(scope, TTL).await.expect("asked").expect("free");
    let (first, second) = (publication(&fixture, 1, 3), publication(&fixture, 2, 5));
    let publishing = async {
        catalog.publish(scope, &first, &lease).await.expect("published");
        catalog.publish(scope, &second, &lease).await.expect("published");
    };
    let waiting = catalog.wait_for_publication(scope, Txn(4), Duration::from_secs(60));
    let (shown, ()) = tokio::join!(waiting, publishing);
    assert_eq!(shown.expect("read").expect("one").manifest_id, 2);
}

fn table(name: &str) -> &'static PublishedTable {
    published_tables().iter().find(|table| table.name == name).expect("declared")
}

pub(crate) async fn all_is_read_as_of_one_head_sorted_and_without_what_changes_by_ingest(fixture: Fixture) {
    for name in ["cpu", "mem", "disk"] {
        let table = fixture.create(name).await;
        fixture.append(table, 10).await;
    }
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let mut reader = catalog.read_for_publication(scope).await.expect("begun");
    let head = reader.head();
    assert!(head.txn.0 >= 6);
    let tables = reader.rows(table("catalog.tables"), None).await.expect("rows");
    let ids = tables.column_by_name("id").expect("id").as_primitive::<Int64Type>().values().to_vec();
    assert!(ids.len() == 3 && ids.is_sorted(), "{ids:?}");
    for redacted in ["row_count", "file_count"] {
        assert_eq!(tables.column_by_name(redacted).expect("there").null_count(), 3, "{redacted}");
    }
    assert_eq!(tables.schema(), table("catalog.tables").schema());
    let range = Some((Txn(head.txn.0 - 2), head.txn));
    let log = reader.rows(table("catalog.transactions"), range).await.expect("rows");
    let txns = log.column_by_name("txn").expect("txn").as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(txns, [head.txn.0 - 1, head.txn.0]);
    for table in published_tables() {
        let range = matches!(table.kind, PublishedKind::Log { .. }).then_some((Txn(0), head.txn));
        let rows = reader.rows(table, range).await.expect("rows");
        assert_eq!(rows.num_columns(), table.schema().fields().len(), "{}", table.name);
    }
    reader.close().await.expect("ended");
}

pub(crate) async fn a_replaced_key_verifies_for_an_hour(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let key = catalog.signing_key(scope).await.expect("made");
    assert_eq!(catalog.signing_key(scope).await.expect("the same").kid, key.kid);
    let signature = key.sign(b"text");
    assert!(key.verifies(b"text", &signature) && !key.verifies(b"texT", &signature));
    let other = catalog.rotate_signing_key(scope).await.expect("made");
    assert_ne!(other.kid, key.kid);
    assert_eq!(catalog.signing_key(scope).await.expect("the new one").kid, other.kid);
    fixture.clock.advance(Duration::from_secs(3_500));
    let (owner, old) = catalog.verifying_key(&key.kid).await.expect("read").expect("not an hour yet");
    assert_eq!((owner.tenant(), old.verifies(b"text", &signature)), (scope.tenant(), true));
    assert!(!other.verifies(b"text", &signature));
    fixture.clock.advance(Duration::from_secs(200));
    assert!(catalog.verifying_key(&key.kid).await.expect("read").is_none());
    assert!(catalog.verifying_key(&other.kid).await.expect("read").is_some());
    assert!(!format!("{key:?}").contains(&signature.iter().map(|b| format!("{b:02x}")).collect::<String>()));
    let stranger = catalog.create_tenant("stranger").await.expect("made");
    assert_ne!(catalog.signing_key(&stranger).await.expect("its own").kid, other.kid);
}

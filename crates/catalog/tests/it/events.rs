//! The feed of events: everything once, in the order of commits, for as long as it is kept.

use std::time::Duration;

use cenote_catalog::{Alter, Error, Event, ObjectChange, Op};
use cenote_testkit::number_of;
use cenote_vocab::{Fault, Txn};

use crate::fixture::Fixture;

const DAY: Duration = Duration::from_secs(86_400);

fn told(events: &[Event]) -> Vec<String> {
    let told = |event: &Event| {
        let name = event.schema.iter().chain(&event.name).cloned().collect::<Vec<_>>().join(".");
        format!("{} {name}", event.kind)
    };
    events.iter().map(told).collect()
}

async fn all(fixture: &Fixture, after: Txn) -> Vec<Event> {
    let page = fixture.catalog.events(&fixture.scope, after, 1_000).await.expect("kept");
    assert_eq!((page.next, page.head), (fixture.head().await, fixture.head().await));
    page.events
}

fn drop_table(name: &str) -> ObjectChange {
    ObjectChange::DropTable { schema: "default".into(), name: name.into(), if_exists: false, view: false }
}

pub(crate) async fn every_change_of_an_object_is_told_in_its_commit(fixture: Fixture) {
    let start = fixture.head().await;
    let create = ObjectChange::CreateSchema { name: "mart".into(), if_not_exists: false };
    let both = vec![create, ObjectChange::CreateTable(Box::new(fixture.new_table("cpu").await))];
    let made = fixture.catalog.apply(cenote_catalog::Commit { objects: both, ..fixture.commit() }).await;
    let made = made.expect("made");
    let table = made.created_tables[0];
    fixture.append(table, 10).await;
    let options = Op::Alter(Alter::SetProperties([("retention".to_owned(), Some("1d".to_owned()))].into()));
    fixture.change(table, vec![options]).await.expect("altered");
    let rename = ObjectChange::RenameTable { table, schema: Some("mart".into()), name: "cpus".into() };
    fixture.change_object(rename).await.expect("renamed");
    let drop = ObjectChange::DropSchema { name: "mart".into(), cascade: true, if_exists: false };
    fixture.change_object(drop).await.expect("dropped");
    let refused = fixture.change_object(drop_table("none")).await;
    assert!(refused.is_err());

    let events = all(&fixture, start).await;
    let expected = [
        "schema.created mart",
        "table.created default.cpu",
        "table.committed default.cpu",
        "table.altered default.cpu",
        "table.renamed mart.cpus",
        "table.dropped mart.cpus",
        "schema.dropped mart",
    ];
    assert_eq!(told(&events), expected);
    assert_eq!((events[0].txn, events[1].txn), (made.txn, made.txn), "one commit");
    assert!(events.iter().all(|event| event.operation == "test"));
    let id = table.to_string();
    assert!(events[1..6].iter().all(|event| event.object_id == id), "{events:?}");
    let rows = events[2].payload.as_deref().expect("counters");
    assert!(rows.contains("\"rows_added\":10") && rows.contains("\"data_change\":true"), "{rows}");
    assert_eq!(events[4].payload.as_deref(), Some(r#"{"from":{"name":"cpu","schema":"default"}}"#));
    let live = fixture.catalog.system_rows(&fixture.scope, "meta.events").await.expect("rows");
    let txns = crate::files::numbers(&live, "txn");
    assert_eq!(txns[txns.len() - events.len()..], events.iter().map(|e| e.txn.0).collect::<Vec<_>>());
}

pub(crate) async fn a_reader_of_small_pages_meets_every_commit_once_and_in_order(fixture: Fixture) {
    const WRITERS: usize = 8;
    let commits = usize::try_from(number_of("CENOTE_EVENT_COMMITS", 12)).expect("few");
    let start = fixture.head().await;
    let writers = (0..WRITERS).map(|writer| {
        let fixture = &fixture;
        async move {
            let table = fixture.create(&format!("t{writer}")).await;
            for _ in 0..commits {
                fixture.append(table, 1).await;
            }
        }
    });
    let reader = async {
        let (mut after, mut met) = (start, Vec::new());
        while met.len() < WRITERS * (commits + 1) {
            let page = fixture.catalog.events(&fixture.scope, after, 3).await.expect("kept");
            assert!(page.events.iter().all(|event| event.txn > after && event.txn <= page.next));
            met.extend(page.events.iter().map(|event| (event.txn, event.n, event.object_id.clone())));
            if page.next == after {
                fixture.catalog.changed(&fixture.scope, after).await;
            }
            after = page.next;
        }
        met
    };
    let (_, met) = futures::join!(futures::future::join_all(writers), reader);
    assert!(met.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)), "in order, none twice");
    let txns: Vec<i64> = met.iter().map(|(txn, ..)| txn.0).collect();
    assert_eq!(txns, (start.0 + 1..=fixture.head().await.0).collect::<Vec<_>>(), "no gap");
    let again: Vec<_> = all(&fixture, start).await.into_iter().map(|e| (e.txn, e.n, e.object_id)).collect();
    assert_eq!(met, again);
}

pub(crate) async fn a_purged_table_is_still_told_of(fixture: Fixture) {
    let start = fixture.head().await;
    let table = fixture.create("cpu").await;
    fixture.append(table, 10).await;
    fixture.append(table, 10).await;
    let dropped = fixture.change_object(drop_table("cpu")).await.expect("dropped").txn;
    let before = all(&fixture, start).await;
    fixture.catalog.purge(&fixture.scope, None, dropped, fixture.clock.now()).await.expect("purged");
    let after = all(&fixture, start).await;
    let places = |events: &[Event]| {
        events.iter().map(|e| (e.txn, e.n, e.kind.clone(), e.payload.clone())).collect::<Vec<_>>()
    };
    assert_eq!(places(&after), places(&before));
    assert_eq!(
        told(&after),
        ["table.created default.cpu", "table.committed ", "table.committed ", "table.dropped default.cpu"],
        "who dropped it says its name"
    );
}

pub(crate) async fn old_events_go_and_who_is_behind_them_is_told_so(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let table = fixture.create("cpu").await;
    fixture.append(table, 10).await;
    fixture.clock.advance(20 * DAY);
    assert_eq!(catalog.expire_events(scope).await.expect("nothing is old"), Txn(0));
    let old = fixture.head().await;
    fixture.append(table, 10).await;
    let kept = fixture.append(table, 10).await;
    catalog.purge(scope, Some(table), fixture.head().await, fixture.clock.now()).await.expect("purged");
    fixture.clock.advance(11 * DAY);
    assert_eq!(catalog.expire_events(scope).await.expect("some are old"), old);
    for after in [Txn(0), Txn(old.0 - 1)] {
        let error = catalog.events(scope, after, 10).await.expect_err("gone");
        assert!(matches!(error, Error::EventsExpired { floor, .. } if floor == old), "{error}");
        assert_eq!(error.sqlstate().0, "22023");
    }
    assert_eq!(told(&all(&fixture, old).await), ["table.committed default.cpu"; 2], "purged is not expired");
    let def = fixture.by_id(table).await;
    let commits = catalog.table_commits(scope, &def, (Txn(0), fixture.head().await), 10).await.expect("read");
    assert_eq!(commits.len(), 1, "the history of the table begins at its own floor");
    assert!(fixture.files(table).await.iter().any(|file| file.id == kept));
    let future = catalog.events(scope, Txn(1_000), 10).await;
    assert!(matches!(future, Err(Error::SnapshotFuture { .. })), "{future:?}");
}

//! Pipelines: their rows, whose they are, and that nothing of them stays.

use std::collections::BTreeMap;
use std::time::Duration;

use cenote_catalog::{Desired, Error, NewToken, Pipeline, Privilege, Reset, ResetExtent};
use cenote_vocab::{Epoch, ErrorKind, Fault, Micros, Permission, Permissions, Txn};

use crate::fixture::{Fixture, producer};

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn pipeline(fixture: &Fixture, name: &str, owner: i64) -> Pipeline {
    Pipeline {
        id: fixture.ids.uuid(),
        schema: "default".into(),
        name: name.into(),
        owner,
        search_path: vec!["default".into(), "app".into()],
        script: "INSERT INTO t SELECT 1".into(),
        options: BTreeMap::from([("watermark_delay".to_owned(), "5s".to_owned())]),
        desired: Desired::Running,
        state: "created".into(),
        error: None,
        reset: None,
        created: Micros(7),
        version: 1,
    }
}

pub(crate) async fn a_pipeline_leaves_nothing_behind(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let table = fixture.create("cpu").await;
    let mut made = pipeline(&fixture, "p", 0);
    catalog.create_pipeline(scope, &made).await.expect("created");
    let again =
        catalog.create_pipeline(scope, &pipeline(&fixture, "p", 0)).await.expect_err("the name is taken");
    assert!(matches!(&again, Error::PipelineExists(name) if name == "default.p"), "{again}");

    let (fence, epoch) = catalog.claim_producer(scope, &made.producer()).await.expect("claimed");
    assert_eq!(epoch, Epoch(0));
    let mut commit = fixture.commit();
    let mut epoch = producer(&made.producer(), 1, Some(fence), None);
    epoch.state = Some(b"state".as_slice().into());
    commit.producers = vec![epoch];
    let committed = catalog.apply(commit).await.expect("an epoch without rows");
    let known = catalog.producer(scope, &made.producer()).await.expect("read").expect("known");
    assert_eq!((known.0, known.1, known.2.as_deref()), (Epoch(1), committed.txn, Some(b"state".as_slice())));
    catalog.hold(scope, Some(table), committed.txn, &made.producer(), DAY).await.expect("held");

    (made.desired, made.state, made.error) = (Desired::Paused, "failed".into(), Some("why".into()));
    catalog.note_pipeline(scope, &made).await.expect("noted");
    made.version = 2;
    assert_eq!(catalog.pipelines(scope).await.expect("listed"), [made.clone()]);
    let rows = catalog.system_rows(scope, "stream.pipelines").await.expect("rows");
    assert_eq!(crate::files::numbers(&rows, "epoch"), [1]);

    catalog.create_pipeline(scope, &pipeline(&fixture, "q", 0)).await.expect("another");
    let reset = Some(Reset { upto: Epoch(1), extent: ResetExtent::Everything });
    let mut altered =
        Pipeline { name: "q".into(), script: "INSERT INTO t SELECT 2".into(), reset, ..made.clone() };
    let taken = catalog.alter_pipeline(scope, &altered).await.expect_err("the name is taken");
    assert!(matches!(&taken, Error::PipelineExists(name) if name == "default.q"), "{taken}");
    altered.name = "r".into();
    catalog.alter_pipeline(scope, &altered).await.expect("altered");
    altered.version = 3;
    let all = catalog.pipelines(scope).await.expect("listed");
    assert_eq!(all.iter().find(|other| other.id == made.id), Some(&altered));
    let rows = all.iter().find(|other| other.name == "q").expect("the other");
    catalog.drop_pipeline(scope, rows).await.expect("dropped");

    catalog.drop_pipeline(scope, &made).await.expect("dropped");
    assert!(catalog.pipelines(scope).await.expect("listed").is_empty());
    assert!(catalog.producer(scope, &made.producer()).await.expect("read").is_none());
    assert!(catalog.holds(scope).await.expect("read").is_empty());
    let gone = catalog.note_pipeline(scope, &made).await.expect_err("gone");
    assert!(matches!(gone, Error::PipelineNotFound { .. }), "{gone}");
    let events = catalog.events(scope, Txn(0), 1_000).await.expect("kept").events;
    let told: Vec<String> = events
        .iter()
        .filter(|event| event.object_type == "pipeline")
        .map(|event| format!("{} {}", event.kind, event.name.as_deref().unwrap_or("?")))
        .collect();
    let expected = [
        "pipeline.created p",
        "pipeline.paused p",
        "pipeline.failed p",
        "pipeline.created q",
        "pipeline.altered r",
        "pipeline.dropped q",
        "pipeline.dropped p",
    ];
    assert_eq!(told, expected);
}

pub(crate) async fn a_pipeline_runs_by_its_owner_while_there_is_one(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let new = NewToken {
        name: "reader".into(),
        description: String::new(),
        permissions: Permissions::default().with(Permission::Read),
        grants: Vec::new(),
        default_database: None,
        expires: None,
    };
    let (token, _) = catalog.create_token(scope, new, None).await.expect("a token");
    let owner = catalog.owner(scope, token.id).await.expect("live");
    assert!(owner.allows_everywhere(Privilege::Select) && !owner.allows_everywhere(Privilege::Insert));
    assert_eq!(catalog.owner(scope, 0).await.expect("the node itself").token.name, "cenote");
    catalog.delete_token(scope, token.id).await.expect("deleted");
    let gone = catalog.owner(scope, token.id).await.expect_err("gone");
    assert_eq!(gone.kind(), ErrorKind::Denied);
}

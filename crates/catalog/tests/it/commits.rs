//! What a commit promises.

use std::collections::BTreeSet;

use cenote_catalog::{Alter, Commit, Error, ObjectChange, Op, ReadSet, RowChange, TableChange};
use cenote_vocab::{ErrorKind, Fault, FieldId, FieldType, Txn};
use prometheus_client::registry::Registry;

use crate::fixture::{Fixture, statistics};

pub(crate) async fn a_created_table_takes_files_and_shows_them(fixture: Fixture) {
    let start = fixture.head().await;
    let table = fixture.create("cpu").await;
    let file = fixture.file(10);
    let committed =
        fixture.change(table, vec![Op::Append { files: vec![file.clone()] }]).await.expect("append");
    assert_eq!(committed.txn, Txn(start.0 + 2), "numbers are dense");
    assert!(!committed.replayed);

    let def = fixture.table("cpu").await.expect("listed");
    assert_eq!((def.id, def.begin_txn), (table, Txn(start.0 + 1)));
    assert_eq!(def.schema.fields.len(), 3);
    let files = fixture.files(table).await;
    assert_eq!(files.len(), 1);
    assert_eq!((files[0].begin_txn, files[0].seq, files[0].row_id_start), (committed.txn, 2, 0));
    assert_eq!(files[0].file.path, file.path);
    assert_eq!(files[0].file.statistics, file.statistics);
    assert_eq!(files[0].live_rows(), 10);
    let error = fixture.table("cpi").await.expect_err("misspelled");
    assert_eq!(error.hint().as_deref(), Some("did you mean \"cpu\"?"));
}

pub(crate) async fn sixty_four_writers_lose_nothing_and_number_densely(fixture: Fixture) {
    const WRITERS: usize = 64;
    const COMMITS: usize = 5;
    let table = fixture.create("cpu").await;
    let before = fixture.head().await;
    let earlier = groups_and_short_ones(&fixture);
    let writers = (0..WRITERS).map(|_| async {
        let mut txns = Vec::new();
        for _ in 0..COMMITS {
            let op = Op::Append { files: vec![fixture.file(3)] };
            txns.push(fixture.change_at(table, before, vec![op]).await.expect("no append conflicts").txn);
        }
        txns
    });
    let txns: BTreeSet<Txn> = futures::future::join_all(writers).await.into_iter().flatten().collect();
    let wanted: BTreeSet<Txn> = (1..=(WRITERS * COMMITS) as i64).map(|n| Txn(before.0 + n)).collect();
    assert_eq!(txns, wanted);
    let files = fixture.files(table).await;
    assert_eq!(files.len(), WRITERS * COMMITS);
    let starts: BTreeSet<i64> = files.iter().map(|file| file.row_id_start).collect();
    assert_eq!(starts, (0..files.len() as i64).map(|n| n * 3).collect::<BTreeSet<i64>>());
    let history = fixture.catalog.history(&fixture.scope, 1_000).await.expect("history");
    assert!(history.windows(2).all(|pair| pair[0].committed > pair[1].committed), "times increase");
    let later = groups_and_short_ones(&fixture);
    let (groups, short) = (later.0 - earlier.0, later.1 - earlier.1);
    assert!(groups * 4 < WRITERS * COMMITS, "{groups} groups");
    assert_eq!(short, groups, "15 statements are enough for a group");
}

/// Transactions that committed, and those of at most 15 statements among them.
pub(crate) fn groups_and_short_ones(fixture: &Fixture) -> (usize, usize) {
    let short = "commit_group_statements_bucket{le=\"15.0\"} ";
    (figure(fixture, "commit_group_statements_count "), figure(fixture, short))
}

/// A number that the catalog's metrics show behind `name`.
fn figure(fixture: &Fixture, name: &str) -> usize {
    let (mut registry, mut text) = (Registry::default(), String::new());
    fixture.catalog.register(&mut registry);
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

pub(crate) async fn one_commit_creates_a_table_and_fills_it(fixture: Fixture) {
    let new = fixture.new_table("made").await;
    let table = new.id;
    let head = fixture.head().await;
    let fill = TableChange {
        table,
        base: head,
        read: ReadSet::None,
        ops: vec![Op::Append { files: vec![fixture.file(4), fixture.file(5)] }],
    };
    let commit = Commit {
        objects: vec![ObjectChange::CreateTable(Box::new(new))],
        tables: vec![fill],
        ..fixture.commit()
    };
    let committed = fixture.catalog.apply(commit).await.expect("created and filled");
    assert_eq!(committed.created_tables, [table]);
    assert_eq!(committed.txn, Txn(head.0 + 1));
    assert_eq!(fixture.live_rows(table).await, 9);
}

pub(crate) async fn a_failed_commit_changes_nothing_and_uses_no_number(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let before = fixture.head().await;
    let good = TableChange {
        table,
        base: before,
        read: ReadSet::None,
        ops: vec![Op::Append { files: vec![fixture.file(1)] }],
    };
    let create = |name: &str| ObjectChange::CreateSchema { name: name.into(), if_not_exists: false };
    let commit =
        Commit { objects: vec![create("fresh"), create("default")], tables: vec![good], ..fixture.commit() };
    let error = fixture.catalog.apply(commit).await.expect_err("the schema exists");
    assert!(matches!(error, Error::SchemaExists(_)), "{error}");
    assert_eq!(fixture.head().await, before);
    assert_eq!(fixture.files(table).await.len(), 0);
    assert_eq!(fixture.catalog.schema_id(&fixture.scope, "fresh").await.expect("read"), None);
    let again = fixture.change_object(create("fresh")).await.expect("free");
    assert_eq!(again.txn, Txn(before.0 + 1));
    assert_eq!(again.created_schemas.len(), 1);
}

pub(crate) async fn the_same_commit_offered_again_answers_its_first_number(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let file = fixture.append(table, 10).await;
    let change = TableChange {
        table,
        base: fixture.head().await,
        read: ReadSet::None,
        ops: vec![
            Op::DeleteRows {
                file,
                seen: None,
                positions: [1, 2].into_iter().collect(),
                kind: RowChange::Delete,
            },
            Op::Append { files: vec![fixture.file(1)] },
        ],
    };
    let commit = Commit { tables: vec![change], ..fixture.commit() };
    let first = fixture.catalog.apply(commit.clone()).await.expect("applied");
    fixture.append(table, 1).await;
    let second = fixture.catalog.apply(commit.clone()).await.expect("replayed");
    assert_eq!((first.txn, first.replayed, first.deleted_rows), (second.txn, false, 2));
    assert_eq!((second.replayed, second.deleted_rows), (true, 2));
    assert_eq!(fixture.live_rows(table).await, 8 + 1 + 1);
    let offers = [fixture.catalog.apply(commit.clone()), fixture.catalog.apply(commit)];
    for offer in futures::future::join_all(offers).await {
        assert_eq!(offer.expect("replayed").txn, first.txn);
    }
}

fn add(columns: &[(&str, FieldType)], tags: &[&str], if_not_exists: bool) -> Vec<Op> {
    let columns = columns.iter().map(|(name, field_type)| ((*name).to_owned(), field_type.clone())).collect();
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    vec![Op::Alter(Alter::AddColumns { columns, tags, if_not_exists })]
}

pub(crate) async fn columns_added_at_once_agree_or_conflict(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let base = fixture.head().await;
    let same = (0..8).map(|_| fixture.change_at(table, base, add(&[("load", FieldType::Double)], &[], true)));
    let ids: BTreeSet<FieldId> = futures::future::join_all(same)
        .await
        .into_iter()
        .map(|committed| committed.expect("agrees").field(table, "load").expect("there").id)
        .collect();
    assert_eq!(ids, BTreeSet::from([FieldId(4)]));
    assert_eq!(fixture.head().await, Txn(base.0 + 1), "one of them changed something");

    let other = fixture.change_at(table, base, add(&[("load", FieldType::String)], &[], true)).await;
    assert!(
        matches!(other, Err(Error::ColumnConflict { ref existing, ref given, .. }) if existing == "double" && given == "string"),
        "{other:?}"
    );
    let strict = fixture.change_at(table, base, add(&[("load", FieldType::Double)], &[], false)).await;
    assert!(matches!(strict, Err(Error::ColumnExists { .. })));

    let raced = [FieldType::Int64, FieldType::String]
        .map(|field_type| fixture.change_at(table, base, add(&[("raced", field_type)], &[], true)));
    let raced = futures::future::join_all(raced).await;
    assert_eq!(raced.iter().filter(|outcome| outcome.is_ok()).count(), 1);

    let def = fixture.by_id(table).await;
    assert_eq!((def.schema.no, def.schema.fields.len()), (3, 5));
    let first = fixture.catalog.schema_at(&fixture.scope, table, 1).await.expect("kept");
    assert_eq!(first.fields.len(), 3);
    let second = fixture.catalog.schema_at(&fixture.scope, table, 2).await.expect("kept");
    assert_eq!(second.fields.last().map(|field| field.name.as_str()), Some("load"));
}

pub(crate) async fn tags_extend_the_sort_order_that_ingest_made(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    fixture.change(table, add(&[("rack", FieldType::String)], &["rack"], true)).await.expect("a tag");
    let def = fixture.by_id(table).await;
    assert_eq!(def.tags().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["host", "rack"]);
    let order: Vec<FieldId> = def.sort.fields.iter().map(|field| field.source).collect();
    assert_eq!((def.sort.no, order), (2, vec![FieldId(2), FieldId(4), FieldId(1)]));
    let wrong = fixture.change(table, add(&[], &["value"], true)).await;
    assert!(matches!(wrong, Err(Error::ColumnConflict { .. })), "{wrong:?}");
    let older = fixture.append(table, 1).await;
    let file = fixture.files(table).await.into_iter().find(|file| file.id == older).expect("listed");
    assert_eq!((file.file.schema_no, file.file.sort_no), (1, 1), "files of an older schema are taken");
}

pub(crate) async fn a_column_widens_only_where_every_value_fits(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let widen = |field_type| vec![Op::Alter(Alter::WidenColumn { column: FieldId(3), field_type })];
    let mut large = fixture.file(2);
    large.statistics = statistics(2, 0, 1 << 60);
    fixture.change(table, vec![Op::Append { files: vec![large] }]).await.expect("append");
    let refused = fixture.change(table, widen(FieldType::Double)).await.expect_err("2^60 is no double");
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    let files = fixture.files(table).await;
    let retire = Op::Retire { files: vec![files[0].id], kind: cenote_catalog::RetireKind::Delete };
    fixture.change(table, vec![retire]).await.expect("retired");
    fixture.append(table, 5).await;
    fixture.change(table, widen(FieldType::Double)).await.expect("100 is a double");
    let narrower = fixture.change(table, widen(FieldType::Int32)).await;
    assert!(matches!(narrower, Err(Error::ColumnConflict { .. })), "{narrower:?}");
    let def = fixture.by_id(table).await;
    assert_eq!(def.schema.field("value").map(|field| &field.field_type), Some(&FieldType::Double));
    assert_eq!(
        fixture.files(table).await[0].file.statistics,
        statistics(5, 0, 100),
        "statistics stay those of the file"
    );
}

pub(crate) async fn a_change_that_read_the_table_conflicts_with_later_rows_only(fixture: Fixture) {
    let (table, other) = (fixture.create("cpu").await, fixture.create("mem").await);
    let file = fixture.append(table, 10).await;
    let base = fixture.head().await;
    let change = || TableChange {
        table,
        base,
        read: ReadSet::All,
        ops: vec![Op::Append { files: vec![fixture.file(1)] }],
    };
    fixture.append(other, 1).await;
    fixture.change(table, add(&[("load", FieldType::Double)], &[], true)).await.expect("columns are no rows");
    let input = cenote_catalog::RewriteInput { file, seen: None };
    let rewrite = Op::Rewrite { inputs: vec![input], outputs: vec![fixture.file(10)] };
    fixture.change(table, vec![rewrite]).await.expect("the same rows");
    fixture
        .catalog
        .apply(Commit { tables: vec![change()], ..fixture.commit() })
        .await
        .expect("no row changed");
    let late = fixture.catalog.apply(Commit { tables: vec![change()], ..fixture.commit() }).await;
    assert!(matches!(late, Err(Error::CommitConflict { with_txn, .. }) if with_txn > base), "{late:?}");
}

pub(crate) async fn limits_have_names(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let columns: Vec<(String, FieldType)> = (0..2_000).map(|n| (format!("c{n}"), FieldType::Int64)).collect();
    let wide = vec![Op::Alter(Alter::AddColumns { columns, tags: vec![], if_not_exists: true })];
    let error = fixture.change(table, wide).await.expect_err("too wide");
    assert!(error.to_string().contains("columns_per_table_max"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    let files = (0..10_001).map(|_| fixture.file(1)).collect();
    let error = fixture.change(table, vec![Op::Append { files }]).await.expect_err("too many files");
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    let files = (0..2_500).map(|_| fixture.file(1)).collect();
    fixture.change(table, vec![Op::Append { files }]).await.expect("in several statements");
    assert_eq!(fixture.files(table).await.len(), 2_500);
    let above = fixture.change_at(table, Txn(1_000_000), vec![]).await;
    assert!(matches!(above, Err(Error::SnapshotFuture { .. })));
}

pub(crate) async fn a_commit_after_stop_is_refused_and_one_before_it_is_done(fixture: Fixture) {
    let table = fixture.create("cpu").await;
    let queued =
        (0..20).map(|_| fixture.change_at(table, Txn(0), vec![Op::Append { files: vec![fixture.file(1)] }]));
    let stop = async {
        tokio::task::yield_now().await;
        fixture.stop.cancel();
    };
    let (outcomes, ()) = tokio::join!(futures::future::join_all(queued), stop);
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    fixture.tasks.close();
    fixture.tasks.wait().await;
    assert_eq!(fixture.files(table).await.len(), done, "answered is done, done is answered");
    let late = fixture.change(table, vec![Op::Append { files: vec![fixture.file(1)] }]).await;
    assert_eq!(late.expect_err("stopped").kind(), ErrorKind::Unavailable);
}

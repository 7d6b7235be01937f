//! No tenant sees another's.

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{
    Error, NewRun, NewTag, NewToken, ObjectChange, Op, RetireKind, RowChange, system_tables,
};
use cenote_vocab::{ErrorKind, Fault, Micros, Permissions, TableId};

use crate::fixture::Fixture;

/// The fixture as another tenant sees it.
fn seen_by(fixture: &Fixture, scope: &cenote_vocab::Scope) -> Fixture {
    let mut other = fixture.borrowed();
    other.scope = scope.clone();
    other
}

async fn fill(fixture: &Fixture, marker: &str) -> TableId {
    let mut new = fixture.new_table("same").await;
    new.comment = Some(marker.to_owned());
    let table = new.id;
    fixture.change_object(ObjectChange::CreateTable(Box::new(new))).await.expect("created");
    let mut file = fixture.file(10);
    file.path = format!("data/{marker}.parquet");
    fixture.change(table, vec![Op::Append { files: vec![file] }]).await.expect("append");
    let file = fixture.append(table, 10).await;
    let delete =
        Op::DeleteRows { file, seen: None, positions: [1].into_iter().collect(), kind: RowChange::Delete };
    fixture.change(table, vec![delete]).await.expect("deleted");
    let token = NewToken {
        name: format!("token-{marker}"),
        description: marker.to_owned(),
        permissions: Permissions::ADMIN,
        grants: vec![],
        default_database: None,
        expires: None,
    };
    fixture.catalog.create_token(&fixture.scope, token, None).await.expect("a token");
    fixture.catalog.claim_producer(&fixture.scope, &format!("log/{marker}")).await.expect("claimed");
    let live = fixture.files(table).await;
    let retire = Op::Retire { files: vec![live[1].id], kind: RetireKind::Delete };
    let floor = fixture.change(table, vec![retire]).await.expect("retired").txn;
    fixture.catalog.purge(&fixture.scope, None, floor, Micros(0)).await.expect("purged");
    let job = crate::runs::job(fixture).await;
    let run = NewRun { table: Some(table), ..crate::runs::run(fixture, job, marker) };
    fixture.catalog.claim_run(&fixture.scope, &run).await.expect("claimed").expect("free");
    let tag = NewTag {
        table: None,
        name: marker.to_owned(),
        at: None,
        retain: None,
        or_replace: false,
        holder: marker.to_owned(),
    };
    fixture.catalog.create_tag(&fixture.scope, tag).await.expect("a tag");
    let pipeline = crate::pipelines::pipeline(fixture, marker, 0);
    fixture.catalog.create_pipeline(&fixture.scope, &pipeline).await.expect("a pipeline");
    crate::publications::publish(fixture, marker).await;
    crate::tasks::fill(fixture, marker, table).await;
    table
}

fn texts(rows: &RecordBatch) -> String {
    let mut all = String::new();
    for column in rows.columns().iter().filter(|column| column.data_type() == &DataType::Utf8) {
        for text in column.as_string::<i32>().iter().flatten() {
            all.push_str(text);
            all.push('\n');
        }
    }
    all
}

pub(crate) async fn equal_names_of_two_tenants_stay_apart(fixture: Fixture) {
    fixture.catalog.take_active(std::time::Duration::from_secs(600)).await.expect("taken").expect("free");
    let scope = fixture.catalog.create_tenant("acme").await.expect("made");
    assert!(fixture.catalog.create_tenant("acme").await.is_err(), "the name is taken");
    assert!(fixture.catalog.create_tenant("../acme").await.is_err());
    let acme = seen_by(&fixture, &scope);
    let (mine, theirs) = (fill(&fixture, "alpha").await, fill(&acme, "beta").await);
    assert_ne!(mine, theirs);
    for (own, marker, foreign) in [(&fixture, "alpha", "beta"), (&acme, "beta", "alpha")] {
        for table in system_tables() {
            let rows = own.catalog.system_rows(&own.scope, table.name).await.expect("rows");
            assert!(!texts(&rows).contains(foreign), "{} shows {foreign}", table.name);
            let shown =
                rows.num_rows() > 0 || (table.name == "meta.leases" && own.scope.tenant() != "default");
            // vectors and epochs come with changes that nothing here makes
            let is_made = !["storage.deletion_vectors", "stream.epochs"].contains(&table.name);
            assert!(shown || !is_made, "{} is empty", table.name);
        }
        let tokens = own.catalog.tokens(&own.scope).await.expect("tokens");
        assert_eq!(tokens.iter().map(|token| token.description.as_str()).collect::<Vec<_>>(), [marker]);
        assert_eq!(own.table("same").await.expect("own").comment.as_deref(), Some(marker));
    }
    let def = acme.by_id(theirs).await;
    let scope = &fixture.scope;
    let peek = fixture.catalog.files(scope, &def, fixture.head().await, None).await;
    assert!(matches!(peek, Err(Error::TableNotFound { .. })), "{peek:?}");
    let file = acme.files(theirs).await[0].id;
    for op in [
        Op::Append { files: vec![fixture.file(1)] },
        Op::Retire { files: vec![file], kind: RetireKind::Delete },
    ] {
        let error = fixture.change(theirs, vec![op]).await.expect_err("not mine");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert!(fixture.catalog.schema_at(scope, theirs, 1).await.is_err());
    assert!(fixture.catalog.collectable(scope, &[(theirs, fixture.head().await)]).await.is_err());
    let foreign = acme.catalog.job(&acme.scope, "compact").await.expect("there").id;
    let claimed = fixture.catalog.claim_run(scope, &crate::runs::run(&fixture, foreign, "theirs")).await;
    assert!(matches!(claimed, Err(Error::JobNotFound { .. })), "{claimed:?}");
    let mut seen = 0;
    let count = |counters: cenote_catalog::PartitionCounters| {
        assert_ne!(counters.table, theirs);
        seen += 1;
    };
    let all = cenote_vocab::Txn(i64::MAX);
    fixture.catalog.visit_partitions(scope, cenote_vocab::Txn(0), all, count).await.expect("visited");
    assert_eq!(seen, 2, "its own two tables with rows");
    assert!(fixture.catalog.live_file_ids(scope, theirs).await.is_err());
    assert!(fixture.catalog.purge(scope, Some(theirs), fixture.head().await, Micros(0)).await.is_err());
    let path = format!("{}/{}", def.location, acme.files(theirs).await[0].file.path);
    assert!(acme.catalog.is_referenced(&acme.scope, &path).await.expect("read"));
    assert!(!fixture.catalog.is_referenced(scope, &path).await.expect("read"));
    let token = acme.catalog.tokens(&acme.scope).await.expect("tokens")[0].id;
    assert!(
        acme.catalog
            .trash_due(&acme.scope, Micros(i64::MAX))
            .await
            .expect("trash")
            .iter()
            .all(|(path, _)| path.starts_with("acme/"))
    );
    if fixture.catalog.tokens(scope).await.expect("tokens").iter().all(|own| own.id != token) {
        assert!(matches!(fixture.catalog.rotate_token(scope, token).await, Err(Error::TokenNotFound)));
    }
    let scopes = fixture.catalog.scopes().await.expect("scopes");
    assert_eq!(scopes.iter().map(|scope| scope.tenant()).collect::<Vec<_>>(), ["acme", "default"]);
}

pub(crate) async fn system_tables_have_their_declared_columns(fixture: Fixture) {
    fixture.catalog.take_active(std::time::Duration::from_secs(600)).await.expect("taken").expect("free");
    let table = fill(&fixture, "alpha").await;
    for system in system_tables() {
        let rows = fixture.catalog.system_rows(&fixture.scope, system.name).await.expect(system.name);
        assert_eq!(rows.schema(), system.schema(), "{}", system.name);
    }
    let rows = fixture.catalog.system_rows(&fixture.scope, "catalog.tables").await.expect("rows");
    let [ids, row_counts, file_counts] =
        ["id", "row_count", "file_count"].map(|column| crate::files::numbers(&rows, column));
    assert_eq!(ids.len(), 3, "with the tables of two assets");
    let at = ids.iter().position(|id| *id == table.0).expect("shown");
    assert_eq!((row_counts[at], file_counts[at]), (10, 1));
    let tokens = fixture.catalog.system_rows(&fixture.scope, "access.tokens").await.expect("rows");
    assert_eq!(tokens.num_rows(), 1);
    let unknown =
        fixture.catalog.system_rows(&fixture.scope, "catalog.tabels").await.expect_err("misspelled");
    assert_eq!(unknown.hint().as_deref(), Some("did you mean \"catalog.tables\"?"));
}

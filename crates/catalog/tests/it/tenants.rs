//! No tenant sees another's.

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use cenote_catalog::{
    AccessChange, Caller, Commit, Error, Facts, NewRun, NewTag, NewToken, OPERATOR_ROLE, Object,
    ObjectChange, Op, Principal, Privilege, RetireKind, RowChange, TenantChange, TenantState, authorize,
    system_tables,
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

async fn tenant(fixture: &Fixture, name: &str) -> Option<cenote_catalog::Tenant> {
    let all = fixture.catalog.tenants().await.expect("read");
    all.into_iter().find(|tenant| tenant.scope.tenant() == name)
}

fn operator() -> Facts {
    let caller = Caller { actor: Some("operator".to_owned()), ..Caller::stranger("test") };
    Facts { operation: "test_tenant".to_owned(), caller, ..Facts::default() }
}

async fn admin(fixture: &Fixture, name: &str) -> (cenote_catalog::Token, String) {
    let new = NewToken {
        name: name.to_owned(),
        description: String::new(),
        permissions: Permissions::ADMIN,
        grants: Vec::new(),
        default_database: None,
        expires: None,
    };
    fixture.catalog.create_token(&fixture.scope, new, None).await.expect("a token")
}

pub(crate) async fn a_dropped_tenant_is_forgotten_and_its_number_never_given_again(fixture: Fixture) {
    fixture.catalog.take_active(std::time::Duration::from_secs(600)).await.expect("taken").expect("free");
    let scope = fixture.catalog.create_tenant("Acme").await.expect("made");
    assert_eq!(scope.tenant(), "acme");
    let acme = seen_by(&fixture, &scope);
    let table = fill(&acme, "beta").await;
    let (_, secret) = admin(&acme, "second").await;
    let identity = fixture.catalog.authenticate(&secret).await.expect("proven");
    let id = tenant(&fixture, "acme").await.expect("there").uuid;
    let change = |cascade| TenantChange::Drop { tenant: id, name: "acme".to_owned(), cascade };
    let kept = fixture.catalog.change_tenant(operator(), change(false)).await;
    assert!(matches!(kept, Err(Error::TenantNotEmpty { .. })), "{kept:?}");
    let before = fixture.catalog.forget_tenant(&scope).await;
    assert!(matches!(before, Err(Error::Internal(_))), "it is not dropped: {before:?}");
    fixture.catalog.change_tenant(operator(), change(true)).await.expect("dropped");

    let out = fixture.catalog.authenticate(&secret).await;
    assert!(matches!(out, Err(Error::Unauthenticated)), "{out:?}");
    assert!(!fixture.catalog.is_valid(&identity).await.expect("read"));
    assert_eq!(fixture.catalog.tenant("acme").await.expect("read"), None);
    assert_eq!(fixture.catalog.scopes().await.expect("read"), std::slice::from_ref(&fixture.scope));
    let late = acme.change(table, vec![Op::Append { files: vec![acme.file(1)] }]).await;
    assert!(matches!(late, Err(Error::TenantGone)), "{late:?}");
    let taken = fixture.catalog.create_tenant("acme").await;
    assert!(matches!(taken, Err(Error::TenantCollected(_))), "{taken:?}");

    fixture.catalog.forget_tenant(&scope).await.expect("forgotten");
    assert!(tenant(&fixture, "acme").await.is_none());
    for system in system_tables() {
        let rows = fixture.catalog.system_rows(&scope, system.name).await.expect(system.name);
        // the lease is the node's
        assert!(rows.num_rows() == 0 || system.name == "meta.leases", "{} has rows", system.name);
    }
    let again = fixture.catalog.create_tenant("acme").await.expect("the name is free");
    assert!(again.catalog() > scope.catalog(), "{again:?} after {scope:?}");
    let acme = seen_by(&fixture, &again);
    assert_eq!(acme.catalog.tokens(&acme.scope).await.expect("read").len(), 0);
    let fixture = if fixture.durable { fixture.restart().await } else { fixture };
    assert_eq!(tenant(&fixture, "acme").await.expect("there").scope, again);
}

pub(crate) async fn a_suspended_tenant_lets_nobody_in_and_loses_nothing(fixture: Fixture) {
    fixture.catalog.take_active(std::time::Duration::from_secs(600)).await.expect("taken").expect("free");
    let scope = fixture.catalog.create_tenant("acme").await.expect("made");
    let acme = seen_by(&fixture, &scope);
    let table = acme.create("cpu").await;
    acme.append(table, 10).await;
    let (_, secret) = admin(&acme, "admin").await;
    let identity = fixture.catalog.authenticate(&secret).await.expect("proven");
    let id = tenant(&fixture, "acme").await.expect("there").uuid;
    let set = |state| TenantChange::SetState { tenant: id, name: "acme".to_owned(), state };
    let told = fixture.catalog.tenant_changes();
    fixture.catalog.change_tenant(operator(), set(TenantState::Suspended)).await.expect("suspended");
    assert!(told.has_changed().expect("the catalog is there"));

    let out = fixture.catalog.authenticate(&secret).await;
    assert!(matches!(out, Err(Error::TenantSuspended(_))), "at once, though it was remembered: {out:?}");
    assert!(!fixture.catalog.is_valid(&identity).await.expect("read"));
    let wrong = fixture.catalog.authenticate(&format!("{}x", &secret[..secret.len() - 1])).await;
    assert!(matches!(wrong, Err(Error::Unauthenticated)), "who proves nothing learns nothing: {wrong:?}");
    let schema = ObjectChange::CreateSchema { name: "late".into(), if_not_exists: false };
    let facts = Facts { caller: Caller::of(&identity, "test"), ..Facts::default() };
    let late = acme.catalog.apply(Commit { objects: vec![schema], facts, ..acme.commit() }).await;
    assert!(matches!(late, Err(Error::TenantSuspended(_))), "{late:?}");
    acme.append(table, 5).await; // what the node flushes was acknowledged
    assert_eq!(fixture.catalog.working_scopes().await.expect("read"), std::slice::from_ref(&fixture.scope));
    assert_eq!(fixture.catalog.scopes().await.expect("read").len(), 2);
    let own = TenantChange::SetState {
        tenant: tenant(&fixture, "default").await.expect("there").uuid,
        name: "default".to_owned(),
        state: TenantState::Suspended,
    };
    let own = fixture.catalog.change_tenant(operator(), own).await;
    assert!(matches!(own, Err(Error::Invalid(_))), "{own:?}");

    fixture.catalog.change_tenant(operator(), set(TenantState::Active)).await.expect("it goes on");
    assert_eq!(fixture.catalog.authenticate(&secret).await.expect("proven").token.name, "admin");
    assert!(fixture.catalog.is_valid(&identity).await.expect("read"));
    assert_eq!(acme.files(table).await.len(), 2);
    let events =
        fixture.catalog.events(&fixture.scope, cenote_vocab::Txn(0), 100).await.expect("kept").events;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let wanted = ["tenant.created", "tenant.suspended", "tenant.resumed"];
    assert_eq!(kinds.iter().filter(|kind| kind.starts_with("tenant.")).copied().collect::<Vec<_>>(), wanted);
    let of_acme = events.iter().filter(|event| event.object_type == "tenant");
    assert!(of_acme.clone().all(|event| event.object_id == id.to_string() && event.name.is_none()));
    let filter = cenote_catalog::AuditFilter { limit: 10, ..Default::default() };
    let rows = fixture.catalog.audit_rows(&fixture.scope, &filter).await.expect("read");
    let of_acme = rows.iter().filter(|row| row.entry.object.as_deref() == Some("tenant acme"));
    assert_eq!(of_acme.count(), 2, "suspended and resumed; nobody made it");
}

pub(crate) async fn the_first_admin_operates_and_no_other(fixture: Fixture) {
    let (first, first_secret) = admin(&fixture, "first").await;
    let (second, secret) = admin(&fixture, "second").await;
    let manages = async |secret: &str| {
        let identity = fixture.catalog.authenticate(secret).await.expect("proven");
        authorize(&identity, Privilege::Manage, Object::Deployment)
    };
    assert!(manages(&first_secret).await && !manages(&secret).await);
    let scope = fixture.catalog.create_tenant("acme").await.expect("made");
    let acme = seen_by(&fixture, &scope);
    let (theirs, their_secret) = admin(&acme, "first").await;
    assert!(!manages(&their_secret).await, "the first of a tenant, not of the deployment");
    let give = |id| {
        let (role, member) = (OPERATOR_ROLE.to_owned(), Principal::Token(id));
        ObjectChange::Access(Box::new(AccessChange::AddMember { role, member }))
    };
    let refused = acme.change_object(give(theirs.id)).await;
    assert!(matches!(refused, Err(Error::RoleNotFound(_))), "{refused:?}");
    fixture.change_object(give(second.id)).await.expect("given");
    assert!(manages(&secret).await, "at once");
    let (role, member) = (OPERATOR_ROLE.to_owned(), Principal::Token(first.id));
    let take = AccessChange::RemoveMember { role, member };
    fixture.change_object(ObjectChange::Access(Box::new(take))).await.expect("taken");
    assert!(!manages(&first_secret).await);
}

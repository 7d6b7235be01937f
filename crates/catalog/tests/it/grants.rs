//! Roles and grants.

use cenote_catalog::{
    AccessChange, Commit, Error, GrantChange, GrantTarget, Identity, NewToken, Object, ObjectChange,
    Principal, Privilege, Privileges, authorize,
};
use cenote_vocab::Permissions;

use crate::fixture::Fixture;

async fn nobody(fixture: &Fixture, name: &str) -> Identity {
    let new = NewToken {
        name: name.into(),
        description: String::new(),
        permissions: Permissions::NONE,
        grants: Vec::new(),
        default_database: None,
        expires: None,
    };
    let (_, secret) = fixture.catalog.create_token(&fixture.scope, new, None).await.expect("a token");
    fixture.catalog.authenticate(&secret).await.expect("known")
}

fn change(change: AccessChange) -> ObjectChange {
    ObjectChange::Access(Box::new(change))
}

fn grant(principal: Principal, privilege: Privilege, target: GrantTarget) -> GrantChange {
    GrantChange { principal, privileges: vec![privilege], target, by: 0 }
}

fn reads(identity: &Identity, name: &str) -> bool {
    authorize(identity, Privilege::Select, Object::Table("default", name))
}

pub(crate) async fn a_grant_follows_its_object_and_never_its_name(fixture: Fixture) {
    let ada = nobody(&fixture, "ada").await;
    let cpu = fixture.create("cpu").await;
    let own = grant(Principal::Token(ada.token.id), Privilege::Select, GrantTarget::Table(cpu));
    assert!(!reads(&ada, "cpu"));
    let head = fixture.head().await;
    fixture.change_object(change(AccessChange::Grant(own.clone()))).await.expect("granted");
    assert!(fixture.head().await > head, "a grant takes a number");
    assert!(reads(&ada, "cpu"), "who is connected has it at once");
    assert!(!authorize(&ada, Privilege::Insert, Object::Table("default", "cpu")));
    assert!(!authorize(&ada, Privilege::Select, Object::Schema("default")));

    let rename = ObjectChange::RenameTable { table: cpu, schema: None, name: "load".into() };
    fixture.change_object(rename).await.expect("renamed");
    assert!(reads(&ada, "load") && !reads(&ada, "cpu"));
    let drop = |name: &str| ObjectChange::DropTable {
        schema: "default".into(),
        name: name.into(),
        if_exists: false,
        view: false,
    };
    fixture.change_object(drop("load")).await.expect("dropped");
    assert!(!reads(&ada, "load"));
    fixture.create("load").await;
    assert!(!reads(&ada, "load"), "another table of that name is another's");
    fixture.change_object(drop("load")).await.expect("dropped");

    let fixture = fixture.restart().await;
    let book = fixture.catalog.access(&fixture.scope).await.expect("read");
    assert!(book.grants.is_empty(), "what it was on is gone: {:?}", book.grants);
    fixture.change_object(change(AccessChange::Revoke(own))).await.expect("nothing there is no error");
}

pub(crate) async fn rights_of_roles_end_with_role_member_and_token(fixture: Fixture) {
    let (ada, bob) = (nobody(&fixture, "ada").await, nobody(&fixture, "bob").await);
    fixture.create("cpu").await;
    let team = || Principal::Role("team".into());
    let pattern = GrantTarget::Tables("default".into(), "c*".into());
    let member = |who: &Identity| AccessChange::AddMember {
        role: "team".into(),
        member: Principal::Token(who.token.id),
    };
    // All in one commit, the schema too.
    let objects = vec![
        ObjectChange::CreateSchema { name: "app".into(), if_not_exists: false },
        change(AccessChange::CreateRole("team".into())),
        change(AccessChange::Grant(grant(team(), Privilege::Select, pattern))),
        change(AccessChange::Grant(grant(team(), Privilege::Create, GrantTarget::Schema("app".into())))),
        change(member(&ada)),
        change(member(&bob)),
    ];
    fixture.catalog.apply(Commit { objects, ..fixture.commit() }).await.expect("one commit");
    assert!(reads(&ada, "cpu") && reads(&bob, "cpu2") && !reads(&ada, "mem"));
    assert!(authorize(&ada, Privilege::Create, Object::Table("app", "t")));
    assert_eq!(ada.roles(), ["team"]);

    let gone = AccessChange::RemoveMember { role: "team".into(), member: Principal::Token(ada.token.id) };
    fixture.change_object(change(gone)).await.expect("revoked");
    assert!(!reads(&ada, "cpu") && reads(&bob, "cpu"));
    fixture.catalog.delete_token(&fixture.scope, bob.token.id).await.expect("deleted");
    let book = fixture.catalog.access(&fixture.scope).await.expect("read");
    assert!(book.members.is_empty(), "{:?}", book.members);
    fixture.change_object(change(AccessChange::DropRole("team".into()))).await.expect("dropped");
    let book = fixture.catalog.access(&fixture.scope).await.expect("read");
    assert!(book.grants.is_empty() && book.roles.is_empty());

    let built_in = AccessChange::AddMember { role: "writer".into(), member: Principal::Token(ada.token.id) };
    fixture.change_object(change(built_in)).await.expect("granted");
    for privilege in Privileges::of_role("writer").expect("a role").iter() {
        assert!(ada.allows_everywhere(privilege), "{privilege}");
    }
    assert!(!ada.allows_everywhere(Privilege::Drop) && !ada.allows_everywhere(Privilege::Manage));
}

pub(crate) async fn who_makes_an_object_manages_it_and_no_other(fixture: Fixture) {
    let ada = nobody(&fixture, "ada").await;
    let manages = |name: &str| authorize(&ada, Privilege::Manage, Object::Table("default", name));
    let new = fixture.new_table("cpu").await;
    let objects = ada.owning(vec![ObjectChange::CreateTable(Box::new(new))]);
    fixture.catalog.apply(Commit { objects, ..fixture.commit() }).await.expect("made");
    assert!(manages("cpu") && !manages("mem"));
    fixture.create("mem").await;
    let mut late = fixture.new_table("mem").await;
    late.if_not_exists = true;
    let schema = ObjectChange::CreateSchema { name: "default".into(), if_not_exists: true };
    let objects = ada.owning(vec![schema, ObjectChange::CreateTable(Box::new(late))]);
    fixture.catalog.apply(Commit { objects, ..fixture.commit() }).await.expect("nothing to do");
    assert!(!manages("mem") && !authorize(&ada, Privilege::Use, Object::Schema("default")));
    let admin = fixture.catalog.internal_identity(&fixture.scope);
    let made = admin.owning(vec![ObjectChange::CreateTable(Box::new(fixture.new_table("disk").await))]);
    assert_eq!(made.len(), 1, "who manages everything needs no grant");
}

pub(crate) async fn another_tenants_grants_are_none_of_mine(fixture: Fixture) {
    let ada = nobody(&fixture, "ada").await;
    let other = fixture.catalog.create_tenant("other").await.expect("a tenant");
    let all = grant(Principal::Token(ada.token.id), Privilege::Manage, GrantTarget::Catalog);
    let objects = vec![change(AccessChange::Grant(all))];
    let commit = Commit { scope: other.clone(), objects, ..fixture.commit() };
    fixture.catalog.apply(commit).await.expect("granted there");
    assert!(!ada.allows_somewhere(Privilege::Use));
    assert!(fixture.catalog.access(&fixture.scope).await.expect("read").grants.is_empty());
    assert_eq!(fixture.catalog.access(&other).await.expect("read").grants.len(), 1);
    let unknown = GrantTarget::Schema("nowhere".into());
    let nowhere = grant(Principal::Role("r".into()), Privilege::Use, unknown);
    let error =
        fixture.change_object(change(AccessChange::Grant(nowhere))).await.expect_err("no such schema");
    assert!(matches!(error, Error::SchemaNotFound { .. }), "{error}");
}

pub(crate) async fn nothing_is_granted_to_or_on_what_is_gone(fixture: Fixture) {
    let ada = nobody(&fixture, "ada").await;
    let role = |name: &str| Principal::Role(name.into());
    let cpu = fixture.create("cpu").await;
    let to_role = |name: &str| {
        change(AccessChange::Grant(grant(role(name), Privilege::Select, GrantTarget::Table(cpu))))
    };
    let has = |role: &str, member: Principal| change(AccessChange::AddMember { role: role.into(), member });
    for refused in [to_role("team"), has("team", Principal::Token(ada.token.id)), has("reader", role("team"))]
    {
        let error = fixture.change_object(refused.clone()).await.expect_err("no such role");
        assert!(error.to_string().contains("role \"team\" does not exist"), "{refused:?}: {error}");
    }
    let made = vec![change(AccessChange::CreateRole("team".into())), to_role("team")];
    fixture.catalog.apply(Commit { objects: made, ..fixture.commit() }).await.expect("its own role");
    let gone = vec![change(AccessChange::DropRole("team".into())), to_role("team")];
    fixture.catalog.apply(Commit { objects: gone, ..fixture.commit() }).await.expect_err("dropped before");
    fixture.change_object(to_role("reader")).await.expect("a built-in role is there");

    let make = || ObjectChange::CreateSchema { name: "app".into(), if_not_exists: false };
    fixture.change_object(make()).await.expect("made");
    let id = fixture.catalog.schema_id(&fixture.scope, "app").await.expect("read").expect("the schema");
    let drop = ObjectChange::DropSchema { name: "app".into(), cascade: false, if_exists: false };
    fixture.change_object(drop).await.expect("dropped");
    fixture.change_object(make()).await.expect("another of its name");
    let on = |target| change(AccessChange::Grant(grant(role("team"), Privilege::Use, target)));
    fixture.change_object(on(GrantTarget::SchemaOf(id))).await.expect_err("that one is gone");
    let dropped = ObjectChange::DropTable {
        schema: "default".into(),
        name: "cpu".into(),
        if_exists: false,
        view: false,
    };
    fixture.change_object(dropped).await.expect("dropped");
    fixture.change_object(to_role("team")).await.expect_err("that one is gone");
    let book = fixture.catalog.access(&fixture.scope).await.expect("read");
    assert!(book.grants.is_empty() && book.members.is_empty(), "{book:?}");
}

/// Begins something, and goes away before it is done.
async fn begun_and_left<T>(work: impl Future<Output = T>) {
    let mut work = Box::pin(work);
    assert!(futures::poll!(work.as_mut()).is_pending(), "it was not done at once");
}

pub(crate) async fn a_change_of_rights_holds_though_who_made_it_has_left(fixture: Fixture) {
    let ada = nobody(&fixture, "ada").await;
    let cpu = fixture.create("cpu").await;
    let own = grant(Principal::Token(ada.token.id), Privilege::Select, GrantTarget::Table(cpu));
    begun_and_left(fixture.change_object(change(AccessChange::Grant(own.clone())))).await;
    // Commits are answered in their order.
    fixture.create("mem").await;
    assert!(reads(&ada, "cpu"), "granted, though nobody waited for it");
    begun_and_left(fixture.change_object(change(AccessChange::Revoke(own)))).await;
    fixture.create("disk").await;
    assert!(!reads(&ada, "cpu"), "taken away at once");
}

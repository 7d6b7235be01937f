//! Tokens.

use std::time::Duration;

use cenote_catalog::{Error, Grant, NewToken, Privilege, TokenChange};
use cenote_vocab::{Micros, Permission, Permissions};

use cenote_testkit::{PATIENCE, settles};

use crate::fixture::Fixture;

fn token(name: &str, permissions: Permissions) -> NewToken {
    NewToken {
        name: name.into(),
        description: String::new(),
        permissions,
        grants: vec![Grant {
            database: "prod*".into(),
            measurement: "*".into(),
            permissions: vec![Permission::Read],
        }],
        default_database: Some("prod".into()),
        expires: None,
    }
}

pub(crate) async fn a_secret_proves_its_token_until_it_changes(fixture: Fixture) {
    let catalog = &fixture.catalog;
    assert!(catalog.has_no_token().await.expect("read"));
    let before = fixture.head().await;
    let (made, secret) =
        catalog.create_token(&fixture.scope, token("ingest", Permissions::NONE), None).await.expect("made");
    assert!(!catalog.has_no_token().await.expect("read"));
    assert!(fixture.head().await > before, "a change of tokens takes a number");
    let identity = catalog.authenticate(&secret).await.expect("proven");
    assert_eq!((&identity.scope, &*identity.token), (&fixture.scope, &made));
    assert!(identity.allows(Privilege::Select, "production", Some("cpu")));
    assert!(!identity.allows(Privilege::Insert, "production", Some("cpu")));
    assert!(!format!("{identity:?}").contains(&secret));
    assert!(catalog.is_valid(&identity).await.expect("read"));
    for wrong in [format!("{}x", &secret[..61]), secret.to_lowercase(), "x".repeat(40), String::new()] {
        assert!(matches!(catalog.authenticate(&wrong).await, Err(Error::Unauthenticated)), "{wrong}");
    }
    let taken = catalog.create_token(&fixture.scope, token("ingest", Permissions::NONE), None).await;
    assert!(matches!(taken, Err(Error::TokenExists(_))));
    assert!(catalog.create_token(&fixture.scope, token("a@b", Permissions::NONE), None).await.is_err());

    let rotated = catalog.rotate_token(&fixture.scope, made.id).await.expect("rotated");
    assert!(
        matches!(catalog.authenticate(&secret).await, Err(Error::Unauthenticated)),
        "the old one ends at once"
    );
    assert!(catalog.authenticate(&rotated).await.is_ok());
    let off = TokenChange { enabled: Some(false), ..TokenChange::default() };
    catalog.change_token(&fixture.scope, made.id, off).await.expect("revoked");
    assert!(matches!(catalog.authenticate(&rotated).await, Err(Error::Unauthenticated)));
    assert!(!catalog.is_valid(&identity).await.expect("read"));
    let on = TokenChange {
        enabled: Some(true),
        expires: Some(Some(fixture.clock.now().plus(Duration::from_secs(20)))),
        ..TokenChange::default()
    };
    catalog.change_token(&fixture.scope, made.id, on).await.expect("enabled");
    assert!(catalog.authenticate(&rotated).await.is_ok());
    fixture.clock.advance(Duration::from_secs(21));
    assert!(
        matches!(catalog.authenticate(&rotated).await, Err(Error::Unauthenticated)),
        "expired, though cached"
    );
    catalog.delete_token(&fixture.scope, made.id).await.expect("deleted");
    assert!(matches!(catalog.delete_token(&fixture.scope, made.id).await, Err(Error::TokenNotFound)));

    let given = "a-bootstrap-token-of-enough-characters";
    catalog.create_token(&fixture.scope, token("boot", Permissions::ADMIN), Some(given)).await.expect("made");
    assert_eq!(catalog.authenticate(given).await.expect("proven").token.name, "boot");
    let twice = catalog.create_token(&fixture.scope, token("boot2", Permissions::ADMIN), Some(given)).await;
    assert!(!twice.expect_err("in use").to_string().contains(given));
    assert!(
        catalog.create_token(&fixture.scope, token("weak", Permissions::ADMIN), Some("short")).await.is_err()
    );
}

pub(crate) async fn the_last_admin_stays(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let (first, _) =
        catalog.create_token(scope, token("first", Permissions::ADMIN), None).await.expect("made");
    let off = TokenChange { enabled: Some(false), ..TokenChange::default() };
    let demoted = TokenChange { permissions: Some(Permissions::NONE), ..TokenChange::default() };
    let ended = TokenChange { expires: Some(Some(Micros(0))), ..TokenChange::default() };
    for change in [off.clone(), demoted, ended] {
        let refused = catalog.change_token(scope, first.id, change).await;
        assert!(matches!(refused, Err(Error::LastAdmin(_))), "{refused:?}");
    }
    assert!(matches!(catalog.delete_token(scope, first.id).await, Err(Error::LastAdmin(_))));
    let (second, _) =
        catalog.create_token(scope, token("second", Permissions::ADMIN), None).await.expect("made");
    let racing = [catalog.delete_token(scope, first.id), catalog.delete_token(scope, second.id)];
    let outcomes = futures::future::join_all(racing).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    let renamed = TokenChange { name: Some("root".into()), ..TokenChange::default() };
    let left = catalog.tokens(scope).await.expect("one")[0].id;
    assert_eq!(catalog.change_token(scope, left, renamed).await.expect("renamed").name, "root");
}

pub(crate) async fn scram_answers_the_same_for_unknown_users(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let (made, _) = catalog.create_token(scope, token("psql", Permissions::ADMIN), None).await.expect("made");
    let known = catalog.scram_verifier("psql").await.expect("read");
    assert_eq!(known.identity.expect("known").token.id, made.id);
    assert!(catalog.scram_verifier("psql@default").await.expect("read").identity.is_some());
    assert_eq!(
        (known.salt.len(), known.iterations, known.stored_key.len(), known.server_key.len()),
        (16, 4096, 32, 32)
    );
    let mock = catalog.scram_verifier("nobody").await.expect("read");
    assert!(mock.identity.is_none());
    assert_eq!((mock.salt.len(), mock.iterations), (16, 4096));
    let again = catalog.scram_verifier("nobody").await.expect("read");
    assert_eq!((&mock.salt, &mock.stored_key), (&again.salt, &again.stored_key));
    assert_ne!(mock.salt, catalog.scram_verifier("nobody2").await.expect("read").salt);
    assert!(catalog.scram_verifier("psql@other").await.expect("read").identity.is_none());
    let fixture = if fixture.durable { fixture.restart().await } else { fixture };
    let after = fixture.catalog.scram_verifier("nobody").await.expect("read");
    assert_eq!(mock.salt, after.salt, "also after a restart");
}

pub(crate) async fn last_use_is_noted(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let (_, secret) = catalog.create_token(scope, token("t", Permissions::ADMIN), None).await.expect("made");
    let used = fixture.clock.now();
    for _ in 0..3 {
        catalog.authenticate(&secret).await.expect("proven");
        fixture.clock.advance(Duration::from_secs(10));
    }
    fixture.tasks.close();
    fixture.stop.cancel();
    fixture.tasks.wait().await;
    assert_eq!(catalog.tokens(scope).await.expect("one")[0].last_used, Some(used), "once a minute at most");
}

pub(crate) async fn a_token_that_is_switched_off_stays_out_though_who_did_it_has_left(fixture: Fixture) {
    let (catalog, scope) = (&fixture.catalog, &fixture.scope);
    let (made, secret) =
        catalog.create_token(scope, token("t", Permissions::ADMIN), None).await.expect("made");
    catalog.create_token(scope, token("other", Permissions::ADMIN), None).await.expect("made");
    let identity = catalog.authenticate(&secret).await.expect("proven");
    let off = TokenChange { enabled: Some(false), ..TokenChange::default() };
    {
        let mut change = Box::pin(catalog.change_token(scope, made.id, off));
        assert!(futures::poll!(change.as_mut()).is_pending(), "it was not done at once");
    }
    settles("the token to be off", PATIENCE, async || catalog.authenticate(&secret).await.is_err()).await;
    assert!(!catalog.is_valid(&identity).await.expect("read"));
    assert!(
        !catalog.tokens(scope).await.expect("read").iter().any(|token| token.id == made.id && token.enabled)
    );
}

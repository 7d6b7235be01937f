//! `system.access`: principals, roles, who has them, and what is granted. Who does not manage the tenant sees its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use cenote_catalog::{
    AccessBook, Granted, Identity, Object, Principal, Privilege, Privileges, Tenant, Token, authorize,
};
use cenote_vocab::{ErrorKind, Permissions};

use super::SessionFacts;
use crate::Error;

/// The schema.
pub(crate) const GROUP: &str = "access";
/// Its tables that are made here; `tokens` is declared in the catalog.
pub(crate) const TABLES: [&str; 5] = ["grants", "principals", "role_members", "roles", TENANTS];
/// The one of these that only who operates the deployment may read.
pub(crate) const TENANTS: &str = "tenants";

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn integer(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn time(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), true)
}

fn flag(name: &str) -> Field {
    Field::new(name, DataType::Boolean, true)
}

static COLUMNS: LazyLock<HashMap<&'static str, SchemaRef>> = LazyLock::new(|| {
    let principals = vec![
        integer("id"),
        text("kind"),
        text("name"),
        flag("enabled"),
        time("created_at"),
        time("expires_at"),
    ];
    let roles = vec![text("name"), flag("is_built_in"), time("created_at"), integer("changed_txn")];
    let members = vec![text("role"), text("member_kind"), text("member"), integer("changed_txn")];
    let grants = vec![
        text("principal_kind"),
        text("principal"),
        text("privilege"),
        text("object_kind"),
        text("schema_name"),
        text("object_name"),
        flag("is_pattern"),
        text("source"),
        text("granted_by"),
        time("granted_at"),
        integer("changed_txn"),
    ];
    let tenants = vec![
        text("name"),
        text("state"),
        time("state_since"),
        text("storage_root"),
        text("description"),
        time("created_at"),
        integer("changed_txn"),
    ];
    let all = [
        ("principals", principals),
        ("roles", roles),
        ("role_members", members),
        ("grants", grants),
        (TENANTS, tenants),
    ];
    all.map(|(name, fields)| (name, Arc::new(Schema::new(fields)))).into()
});

/// The columns of one of [`TABLES`].
pub(crate) fn columns(name: &str) -> Result<SchemaRef, Error> {
    COLUMNS.get(name).cloned().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("table \"system.access.{name}\" does not exist"))
            .with_sqlstate("42P01")
    })
}

/// The rows of one of [`TABLES`] that the identity may see.
pub(crate) async fn rows(facts: &SessionFacts, name: &str) -> Result<RecordBatch, Error> {
    let (catalog, scope) = (&facts.engine.lake().catalog, &facts.identity.scope);
    if name == TENANTS {
        return tenants(&catalog.tenants().await?);
    }
    let seen = Seen {
        book: catalog.access(scope).await?,
        tokens: catalog.tokens(scope).await?,
        identity: &facts.identity,
        manages: facts.identity.allows_everywhere(Privilege::Manage),
        roles: facts.identity.roles().into_iter().collect(),
    };
    let arrays = match name {
        "principals" => seen.principals(),
        "roles" => seen.roles(),
        "role_members" => seen.members(),
        _ => seen.grants(),
    };
    RecordBatch::try_new(columns(name)?, arrays)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: {error}")))
}

fn tenants(all: &[Tenant]) -> Result<RecordBatch, Error> {
    let arrays = vec![
        texts(all.iter().map(|one| Some(one.scope.tenant()))),
        texts(all.iter().map(|one| Some(one.state.word()))),
        times(all.iter().map(|one| one.since.map(|at| at.0))),
        texts(all.iter().map(|one| one.storage_root.as_deref())),
        texts(all.iter().map(|one| one.description.as_deref())),
        times(all.iter().map(|one| Some(one.created.0))),
        integers(all.iter().map(|one| one.changed.map(|txn| txn.0))),
    ];
    RecordBatch::try_new(columns(TENANTS)?, arrays)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: {error}")))
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>())
}

fn integers(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

/// What there is, and who looks.
struct Seen<'a> {
    book: Arc<AccessBook>,
    tokens: Vec<Token>,
    identity: &'a Identity,
    manages: bool,
    roles: BTreeSet<String>,
}

/// A row of `system.access.grants`.
struct GrantRow<'a> {
    principal: (&'static str, &'a str),
    privilege: Privilege,
    kind: &'static str,
    schema: &'a str,
    name: &'a str,
    is_pattern: bool,
    source: &'static str,
    by: Option<&'a str>,
    at: Option<i64>,
    changed: Option<i64>,
}

impl Seen<'_> {
    fn is_own(&self, principal: &Principal) -> bool {
        match principal {
            Principal::Token(id) | Principal::Claims(id) => *id == self.identity.token.id,
            Principal::Role(name) => self.roles.contains(name),
        }
    }

    /// `token` or `role`, and its name; `None` once it is gone.
    fn named<'a>(&'a self, principal: &'a Principal) -> Option<(&'static str, &'a str)> {
        match principal {
            Principal::Token(id) => self.token(*id).map(|name| ("token", name)),
            Principal::Claims(id) => self.token(*id).map(|name| ("claims", name)),
            Principal::Role(name) => Some(("role", name)),
        }
    }

    fn token(&self, id: i64) -> Option<&str> {
        self.tokens.iter().find(|token| token.id == id).map(|token| token.name.as_str())
    }

    fn own_tokens(&self) -> Vec<&Token> {
        let is_shown = |token: &&Token| self.manages || token.id == self.identity.token.id;
        self.tokens.iter().filter(is_shown).collect()
    }

    fn principals(&self) -> Vec<ArrayRef> {
        let tokens = self.own_tokens();
        vec![
            integers(tokens.iter().map(|token| Some(token.id))),
            texts(tokens.iter().map(|_| Some("token"))),
            texts(tokens.iter().map(|token| Some(token.name.as_str()))),
            flags(tokens.iter().map(|token| token.enabled)),
            times(tokens.iter().map(|token| Some(token.created.0))),
            times(tokens.iter().map(|token| token.expires.map(|at| at.0))),
        ]
    }

    fn roles(&self) -> Vec<ArrayRef> {
        let built_in = self.book.built_in_roles().map(|name| (name, None));
        let made = self.book.roles.iter().map(|role| (role.name.as_str(), Some(role)));
        let is_shown = |name: &str| self.manages || self.roles.contains(name);
        let roles: Vec<_> = built_in.chain(made).filter(|(name, _)| is_shown(name)).collect();
        vec![
            texts(roles.iter().map(|(name, _)| Some(*name))),
            flags(roles.iter().map(|(_, made)| made.is_none())),
            times(roles.iter().map(|(_, made)| made.map(|role| role.created.0))),
            integers(roles.iter().map(|(_, made)| made.map(|role| role.changed.0))),
        ]
    }

    fn members(&self) -> Vec<ArrayRef> {
        let shown = self.book.members.iter().filter(|one| self.manages || self.is_own(&one.member));
        let members: Vec<_> =
            shown.filter_map(|one| self.named(&one.member).map(|named| (one, named))).collect();
        vec![
            texts(members.iter().map(|(one, _)| Some(one.role.as_str()))),
            texts(members.iter().map(|(_, (kind, _))| Some(*kind))),
            texts(members.iter().map(|(_, (_, name))| Some(*name))),
            integers(members.iter().map(|(one, _)| Some(one.changed.0))),
        ]
    }

    /// Who manages an object sees who else may do something with it.
    fn is_shown(&self, grant: &Granted) -> bool {
        let is_managed = |object: Object<'_>| authorize(self.identity, Privilege::Manage, object);
        self.manages || self.is_own(&grant.principal) || grant.object().is_some_and(is_managed)
    }

    fn grants(&self) -> Vec<ArrayRef> {
        let mut rows: Vec<GrantRow<'_>> = Vec::new();
        for token in self.own_tokens() {
            let of_token = |privilege, source| GrantRow {
                principal: ("token", token.name.as_str()),
                privilege,
                kind: "catalog",
                schema: "",
                name: "",
                is_pattern: false,
                source,
                by: None,
                at: Some(token.created.0),
                changed: None,
            };
            rows.extend(
                Privileges::from(token.permissions).iter().map(|one| of_token(one, "token permissions")),
            );
            for grant in &token.grants {
                let permissions: Permissions = grant.permissions.iter().copied().collect();
                rows.extend(Privileges::from(permissions).iter().map(|privilege| GrantRow {
                    kind: "table",
                    schema: &grant.database,
                    name: &grant.measurement,
                    is_pattern: true,
                    ..of_token(privilege, "token grants")
                }));
            }
        }
        for grant in self.book.grants.iter().filter(|grant| self.is_shown(grant)) {
            let Some(principal) = self.named(&grant.principal) else { continue };
            rows.push(GrantRow {
                principal,
                privilege: grant.privilege,
                kind: grant.kind.word(),
                schema: &grant.schema,
                name: &grant.name,
                is_pattern: grant.is_pattern,
                source: "grant",
                by: self.token(grant.by),
                at: Some(grant.at.0),
                changed: Some(grant.changed.0),
            });
        }
        vec![
            texts(rows.iter().map(|row| Some(row.principal.0))),
            texts(rows.iter().map(|row| Some(row.principal.1))),
            texts(rows.iter().map(|row| Some(row.privilege.word()))),
            texts(rows.iter().map(|row| Some(row.kind))),
            texts(rows.iter().map(|row| Some(row.schema))),
            texts(rows.iter().map(|row| Some(row.name))),
            flags(rows.iter().map(|row| row.is_pattern)),
            texts(rows.iter().map(|row| Some(row.source))),
            texts(rows.iter().map(|row| row.by)),
            times(rows.iter().map(|row| row.at)),
            integers(rows.iter().map(|row| row.changed)),
        ]
    }
}

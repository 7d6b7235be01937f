//! Who may ask, and what: tokens, roles, grants, and the one question that decides.

mod book;
mod change;
mod privilege;
mod right;

pub use book::{Access, AccessBook, GrantKind, Granted, Membership, Role};
pub use change::{AccessChange, GrantChange, GrantTarget, Principal};
pub use privilege::{BUILT_IN_ROLES, OPERATOR_ROLE, Privilege, Privileges};
pub use right::Object;

use cenote_vocab::{Micros, Permission, Permissions, Scope};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ObjectChange;
use crate::tenant::OPERATING;
use crate::tokens::INTERNAL_TOKEN;

/// Rights on databases and tables by pattern: literal, `*`, leading or trailing `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Which databases.
    pub database: String,
    /// Which tables.
    #[serde(default = "everything")]
    pub measurement: String,
    /// Which rights.
    pub permissions: Vec<Permission>,
}

fn everything() -> String {
    "*".to_owned()
}

/// A token as lists show it: never with its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Small and unique in the tenant: clients parse an integer.
    pub id: i64,
    /// Its public id.
    pub uuid: Uuid,
    /// Unique in the tenant; the user of the Postgres wire.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Rights on everything.
    pub permissions: Permissions,
    /// Rights by pattern.
    pub grants: Vec<Grant>,
    /// Schema for bare names.
    pub default_database: Option<String>,
    /// When it was made.
    pub created: Micros,
    /// When it ends.
    pub expires: Option<Micros>,
    /// Written at most once a minute.
    pub last_used: Option<Micros>,
    /// False after `revoke`.
    pub enabled: bool,
}

/// What a new token should be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Checked: 1 to 128 characters, no `@`.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Rights on everything.
    pub permissions: Permissions,
    /// Rights by pattern.
    pub grants: Vec<Grant>,
    /// Schema for bare names.
    pub default_database: Option<String>,
    /// When it ends.
    pub expires: Option<Micros>,
}

/// A change of a token; `None` leaves as it is.
#[derive(Clone, Debug, Default)]
pub struct TokenChange {
    /// New name.
    pub name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New rights.
    pub permissions: Option<Permissions>,
    /// New rights by pattern.
    pub grants: Option<Vec<Grant>>,
    /// New end; `Some(None)` for never.
    pub expires: Option<Option<Micros>>,
    /// Off or on.
    pub enabled: Option<bool>,
}

/// Who asks, proven. Only the catalog makes one.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The tenant and its catalog.
    pub scope: Scope,
    /// The token behind it.
    pub token: std::sync::Arc<Token>,
    /// What is granted in the tenant, as it is now.
    pub access: std::sync::Arc<Access>,
}

/// The one question of rights: may `principal` do this with `object`? What nobody has granted is denied.
///
/// A token's permissions hold everywhere in its tenant, its grants by pattern, and what was granted to it or to one of its roles
/// on the object or on something that the object is in. There are no rules that deny.
pub fn authorize(principal: &Identity, privilege: Privilege, object: Object<'_>) -> bool {
    principal.has(|right| right.gives(privilege, object))
}

/// What gives somebody a privilege.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Giving {
    /// The permissions of its token.
    Permissions,
    /// A grant of its token by database and measurement.
    OfToken(Grant),
    /// A role that is built in.
    Role(String),
    /// A grant to it, or to a role that it has.
    Granted(Granted),
}

impl Identity {
    /// All that makes [`authorize`] answer as it does: nothing if the privilege is lacking.
    pub fn giving(&self, privilege: Privilege, object: Object<'_>) -> Vec<Giving> {
        let mut giving = Vec::new();
        if right::Right::of_permissions(self.token.permissions.into()).gives(privilege, object) {
            giving.push(Giving::Permissions);
        }
        let of_token =
            self.token.grants.iter().filter(|grant| right::Right::of_token(grant).gives(privilege, object));
        giving.extend(of_token.cloned().map(Giving::OfToken));
        giving.extend(self.access.book().giving(self.token.id, privilege, object));
        if giving.is_empty() && object == Object::Deployment && self.operates() {
            giving.push(Giving::Permissions); // the node itself
        }
        giving
    }

    /// As [`authorize`], of a table; `None`: of any that is or may be in the schema.
    pub fn allows(&self, privilege: Privilege, schema: &str, table: Option<&str>) -> bool {
        match table {
            Some(table) => authorize(self, privilege, Object::Table(schema, table)),
            None => self.has(|right| right.reaches_into(privilege, schema)),
        }
    }

    /// As [`authorize`], of a schema, and so of every table in it.
    pub fn allows_all_of(&self, privilege: Privilege, schema: &str) -> bool {
        authorize(self, privilege, Object::Schema(schema))
    }

    /// As [`authorize`], of everything in the tenant.
    pub fn allows_everywhere(&self, privilege: Privilege) -> bool {
        authorize(self, privilege, Object::Tenant)
    }

    /// True if the principal has the privilege at least somewhere.
    pub fn allows_somewhere(&self, privilege: Privilege) -> bool {
        // Who operates the deployment asks its questions somewhere, and finds there what others may know.
        let counts = |right: &right::Right<'_>| right.is_in_tenant() || privilege == Privilege::Use;
        self.has(|right| counts(&right) && right.privileges.allow(privilege))
    }

    /// True if the principal operates the deployment: has the role `operator`, or is the node itself in the operating tenant.
    pub fn operates(&self) -> bool {
        let is_node = self.token.id == INTERNAL_TOKEN && self.scope.catalog() == OPERATING;
        is_node || self.access.book().is_operator(self.token.id)
    }

    /// Changes of objects, and that what they make is the principal's. Who may manage everything needs no grant for that; a schema is
    /// no one's whose rights end before its other tables.
    pub fn owning(&self, objects: Vec<ObjectChange>) -> Vec<ObjectChange> {
        if self.allows_everywhere(Privilege::Manage) {
            return objects;
        }
        let made = objects.iter().filter_map(|change| match change {
            ObjectChange::CreateTable(new) => Some(GrantTarget::Table(new.id)),
            ObjectChange::CreateSchema { name, .. }
                if authorize(self, Privilege::Create, Object::Schema(name)) =>
            {
                Some(GrantTarget::Schema(name.clone()))
            }
            _ => None,
        });
        let own = |target| {
            let (principal, privileges) = (Principal::Token(self.token.id), vec![Privilege::Manage]);
            let own = GrantChange { principal, privileges, target, by: self.token.id };
            ObjectChange::Access(Box::new(AccessChange::Own(own)))
        };
        let owned: Vec<ObjectChange> = made.map(own).collect();
        objects.into_iter().chain(owned).collect()
    }

    /// A privilege that the principal would have on an object if it were another, and has not now.
    pub fn gains(&self, from: Object<'_>, to: Object<'_>) -> Option<Privilege> {
        let gained =
            |privilege: &Privilege| authorize(self, *privilege, to) && !authorize(self, *privilege, from);
        Privilege::ALL.into_iter().find(gained)
    }

    /// Roles that the principal has.
    pub fn roles(&self) -> Vec<String> {
        self.access.book().roles_of(self.token.id).map(str::to_owned).collect()
    }

    fn has(&self, test: impl Fn(right::Right<'_>) -> bool) -> bool {
        test(right::Right::of_permissions(self.token.permissions.into()))
            || self.token.grants.iter().any(|grant| test(right::Right::of_token(grant)))
            || self.access.book().rights(self.token.id).any(&test)
            || (self.operates() && test(right::Right::of_operator()))
    }
}

/// True if `name` fits: `*`, `prefix*`, `*suffix`, or the same text.
pub fn pattern_matches(pattern: &str, name: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(suffix), _) => name.ends_with(suffix),
        (None, Some(prefix)) => name.starts_with(prefix),
        (None, None) => pattern == name,
    }
}

/// What SCRAM-SHA-256 (RFC 5802, RFC 7677) needs of a token, so that the secret itself is not stored.
#[derive(Clone, Debug)]
pub struct ScramVerifier {
    /// 16 bytes.
    pub salt: Vec<u8>,
    /// 4096
    pub iterations: u32,
    /// 32 bytes.
    pub stored_key: Vec<u8>,
    /// 32 bytes.
    pub server_key: Vec<u8>,
    /// The identity once the exchange proves the secret; `None` for an unknown, revoked or expired user: the exchange must
    /// run to its end and fail.
    pub identity: Option<Identity>,
}

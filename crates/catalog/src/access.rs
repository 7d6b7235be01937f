//! Tokens: who may ask.

use cenote_vocab::{Micros, Permission, Permissions, Scope};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
}

impl Identity {
    /// True if the token may do this to this table (`None`: to any table of the database; for creating it).
    pub fn allows(&self, permission: Permission, database: &str, table: Option<&str>) -> bool {
        self.token.permissions.allows(permission)
            || self.token.grants.iter().any(|grant| {
                grant.permissions.iter().copied().collect::<Permissions>().allows(permission)
                    && pattern_matches(&grant.database, database)
                    && table.is_none_or(|table| pattern_matches(&grant.measurement, table))
            })
    }

    /// True if the token may do this to every table of the database, and so to the database itself.
    pub fn allows_all_of(&self, permission: Permission, database: &str) -> bool {
        self.token.permissions.allows(permission)
            || self.token.grants.iter().any(|grant| {
                grant.permissions.iter().copied().collect::<Permissions>().allows(permission)
                    && pattern_matches(&grant.database, database)
                    && grant.measurement == "*"
            })
    }

    /// True if the token may do this everywhere in the tenant.
    pub fn allows_everywhere(&self, permission: Permission) -> bool {
        self.token.permissions.allows(permission)
    }

    /// True if the token has the right at least somewhere.
    pub fn allows_somewhere(&self, permission: Permission) -> bool {
        self.allows_everywhere(permission)
            || self
                .token
                .grants
                .iter()
                .any(|grant| grant.permissions.iter().copied().collect::<Permissions>().allows(permission))
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

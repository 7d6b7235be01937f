//! Declared: who may ask, and who acts.

use super::{Table, Word, bytes, column, flag, id, int, name, nullable, text, time, uuid};

/// Tokens: hashes and verifiers, never secrets.
pub(crate) const TOKEN: Table = Table::new(
    "cn_token",
    &[
        id("catalog_id"),
        id("token_id"),
        uuid("token_uuid"),
        name("name"),
        text("description"),
        column("secret_hash", Word::Hash32),
        bytes("scram_salt"),
        int("scram_iterations"),
        column("stored_key", Word::Hash32),
        column("server_key", Word::Hash32),
        text("permissions"),
        text("grants"),
        nullable(name("default_database")),
        time("created_us"),
        nullable(time("expires_us")),
        nullable(time("last_used_us")),
        flag("enabled"),
        id("changed_txn"),
    ],
    &["catalog_id", "token_id"],
)
.unique(&[&["secret_hash"], &["catalog_id", "name"]]);

/// Roles that were made; those that are built in have no row.
pub(crate) const ROLE: Table = Table::new(
    "cn_role",
    &[id("catalog_id"), name("name"), time("created_us"), id("changed_txn")],
    &["catalog_id", "name"],
);

/// Who has a role: `token:7`, `role:analyst`.
pub(crate) const ROLE_MEMBER: Table = Table::new(
    "cn_role_member",
    &[id("catalog_id"), name("role"), name("member"), id("changed_txn")],
    &["catalog_id", "role", "member"],
);

/// One privilege on one object, or on those of a pattern. What is not of its kind is 0, the nil UUID, or empty.
pub(crate) const GRANT: Table = Table::new(
    "cn_grant",
    &[
        id("catalog_id"),
        name("principal"),
        name("privilege"),
        name("object_kind"),
        id("object_id"),
        uuid("object_uuid"),
        name("schema_pattern"),
        name("name_pattern"),
        id("granted_by"),
        time("granted_us"),
        id("changed_txn"),
    ],
    &[
        "catalog_id",
        "principal",
        "privilege",
        "object_kind",
        "object_id",
        "object_uuid",
        "schema_pattern",
        "name_pattern",
    ],
);

/// Who did what, and what was refused.
pub(crate) const AUDIT: Table = Table::new(
    "cn_audit",
    &[
        id("catalog_id"),
        time("at_us"),
        uuid("audit_id"),
        nullable(text("actor")),
        nullable(text("address")),
        name("protocol"),
        name("action"),
        nullable(text("object")),
        name("outcome"),
        nullable(text("reason")),
        nullable(text("request_id")),
        nullable(text("detail")),
        id("times"),
    ],
    &["catalog_id", "audit_id"],
)
.indexes(&[("at", &["catalog_id", "at_us", "audit_id"])]);

/// Leases; a row stays for ever, so that its fence never falls.
pub(crate) const LEASES: Table =
    Table::new("cn_leases", &[name("name"), name("holder"), id("fence"), time("expires_us")], &["name"]);

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

/// Leases; a row stays for ever, so that its fence never falls.
pub(crate) const LEASES: Table =
    Table::new("cn_leases", &[name("name"), name("holder"), id("fence"), time("expires_us")], &["name"]);

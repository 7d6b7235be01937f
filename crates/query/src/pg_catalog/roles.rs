//! Relations of roles: the owner of everything, and the asker. Other tokens are nobody's business here.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use datafusion::common::Result;

use super::facts::{OWNER, OWNER_NAME, PgFacts};
use super::relation::{Cell, Columns, Row};

pub(crate) static ROLES: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "rolname:text rolsuper:bool rolinherit:bool rolcreaterole:bool rolcreatedb:bool rolcanlogin:bool rolreplication:bool \
         rolconnlimit:int4 rolpassword:text? rolvaliduntil:timestamptz? rolbypassrls:bool rolconfig:text[]? oid:oid",
    )
});

pub(crate) static AUTHID: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "oid:oid rolname:text rolsuper:bool rolinherit:bool rolcreaterole:bool rolcreatedb:bool rolcanlogin:bool \
         rolreplication:bool rolbypassrls:bool rolconnlimit:int4 rolpassword:text? rolvaliduntil:timestamptz?",
    )
});

pub(crate) static USERS: LazyLock<Columns> = LazyLock::new(|| {
    Columns::new(
        "usename:text usesysid:oid usecreatedb:bool usesuper:bool userepl:bool usebypassrls:bool passwd:text? \
         valuntil:timestamptz? useconfig:text[]?",
    )
});

pub(crate) static GROUPS: LazyLock<Columns> =
    LazyLock::new(|| Columns::new("groname:text grosysid:oid grolist:int4[]?"));

/// OID, name, whether all is allowed, whether it can log in.
pub(crate) fn all(facts: &PgFacts) -> Vec<(u32, &str, bool, bool)> {
    let mut roles = vec![(facts.role(), facts.user(), facts.is_admin(), true)];
    if facts.user() != OWNER_NAME {
        roles.push((OWNER, OWNER_NAME, true, false));
    }
    roles
}

fn role(oid: u32, name: &str, is_super: bool, logs_in: bool) -> Row {
    vec![
        ("oid", Cell::Oid(oid)),
        ("rolname", name.into()),
        ("rolsuper", is_super.into()),
        ("rolinherit", true.into()),
        ("rolcreaterole", is_super.into()),
        ("rolcreatedb", is_super.into()),
        ("rolcanlogin", logs_in.into()),
        ("rolconnlimit", Cell::Int(-1)),
        ("rolpassword", "********".into()),
    ]
}

pub(crate) fn roles(facts: &PgFacts) -> Result<RecordBatch> {
    let rows: Vec<Row> = all(facts)
        .into_iter()
        .map(|(oid, name, is_super, logs_in)| role(oid, name, is_super, logs_in))
        .collect();
    ROLES.batch(&rows)
}

pub(crate) fn authids(facts: &PgFacts) -> Result<RecordBatch> {
    let rows: Vec<Row> = all(facts)
        .into_iter()
        .map(|(oid, name, is_super, logs_in)| {
            let mut row = role(oid, name, is_super, logs_in);
            row.retain(|(column, _)| *column != "rolpassword");
            row
        })
        .collect();
    AUTHID.batch(&rows)
}

pub(crate) fn users(facts: &PgFacts) -> Result<RecordBatch> {
    let rows: Vec<Row> = all(facts)
        .into_iter()
        .filter(|(.., logs_in)| *logs_in)
        .map(|(oid, name, is_super, _)| -> Row {
            vec![
                ("usename", name.into()),
                ("usesysid", Cell::Oid(oid)),
                ("usecreatedb", is_super.into()),
                ("usesuper", is_super.into()),
                ("passwd", "********".into()),
            ]
        })
        .collect();
    USERS.batch(&rows)
}

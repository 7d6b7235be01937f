//! Changes of roles and grants, as commits carry them.

use std::fmt;

use cenote_vocab::{SchemaId, TableId};
use uuid::Uuid;

use super::Privilege;
use crate::Error;

/// Who may be granted something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// The owner of a token, by its number.
    Token(i64),
    /// The owner of a token, as far as the issuer of its bearer tokens vouches for it: the roles of its claims.
    Claims(i64),
    /// Everybody who has a role.
    Role(String),
}

impl Principal {
    /// `token:7`, `role:analyst`: as it is stored.
    pub(crate) fn stored(&self) -> String {
        match self {
            Self::Token(id) => format!("token:{id}"),
            Self::Claims(id) => format!("claims:{id}"),
            Self::Role(name) => format!("role:{name}"),
        }
    }

    pub(crate) fn of_stored(text: &str) -> Result<Self, Error> {
        let found = match text.split_once(':') {
            Some(("token", id)) => id.parse().ok().map(Self::Token),
            Some(("claims", id)) => id.parse().ok().map(Self::Claims),
            Some(("role", name)) => Some(Self::Role(name.to_owned())),
            _ => None,
        };
        found.ok_or_else(|| Error::Corrupt(format!("principal {text:?} of a grant")))
    }
}

/// What a grant is on. Names that were resolved keep their object when it is renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantTarget {
    /// The tenant with its catalog.
    Catalog,
    /// A schema by its name, which may be new in the same commit.
    Schema(String),
    /// A schema.
    SchemaOf(SchemaId),
    /// Schemas by pattern.
    Schemas(String),
    /// A table or view.
    Table(TableId),
    /// The table of an asset.
    Asset(TableId),
    /// Tables by patterns of schema and name.
    Tables(String, String),
    /// A pipeline.
    Pipeline(Uuid),
    /// Pipelines by patterns of schema and name.
    Pipelines(String, String),
    /// Jobs by name or pattern: they are never renamed.
    Job(String),
}

/// A grant of some privileges, or the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantChange {
    /// Who gets or loses them.
    pub principal: Principal,
    /// Which.
    pub privileges: Vec<Privilege>,
    /// On what.
    pub target: GrantTarget,
    /// The token that says so.
    pub by: i64,
}

/// A change of who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessChange {
    /// `CREATE ROLE`
    CreateRole(String),
    /// `DROP ROLE`: with its members and its grants.
    DropRole(String),
    /// `GRANT ROLE … TO …`
    AddMember {
        /// The role.
        role: String,
        /// Who has it then.
        member: Principal,
    },
    /// `REVOKE ROLE … FROM …`
    RemoveMember {
        /// The role.
        role: String,
        /// Who had it.
        member: Principal,
    },
    /// `GRANT`
    Grant(GrantChange),
    /// Whoever makes an object may manage it: nothing if the same commit did not make it after all.
    Own(GrantChange),
    /// `REVOKE`
    Revoke(GrantChange),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(id) => write!(f, "token {id}"),
            Self::Claims(id) => write!(f, "claims of token {id}"),
            Self::Role(name) => write!(f, "role {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_stored_as_words() {
        for principal in [Principal::Token(16_385), Principal::Claims(7), Principal::Role("a:b".into())] {
            assert_eq!(Principal::of_stored(&principal.stored()).expect("its own words"), principal);
        }
        assert!(Principal::of_stored("token:x").is_err());
        assert!(Principal::of_stored("group:x").is_err());
    }
}

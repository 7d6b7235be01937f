//! Privileges: what can be granted, and what the words of tokens mean.

use std::fmt;

use cenote_vocab::{Permission, Permissions};

/// A right that can be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Privilege {
    /// See it, resolve names in it.
    Use,
    /// Read rows, versions and changes.
    Select,
    /// Add rows.
    Insert,
    /// Change rows.
    Update,
    /// Take rows away.
    Delete,
    /// Make tables, views, assets and pipelines.
    Create,
    /// Materialize, trigger, cancel.
    Run,
    /// Change a definition; compact, tag.
    Alter,
    /// Take an object away.
    Drop,
    /// See queries of others.
    Monitor,
    /// See all rows of `system.*`, and published files.
    ReadMetadata,
    /// All of the above, and grant them.
    Manage,
}

use Privilege::{
    Alter, Create, Delete, Drop, Insert, Manage, Monitor, ReadMetadata, Run, Select, Update, Use,
};

impl Privilege {
    /// All of them.
    pub const ALL: [Self; 12] =
        [Use, Select, Insert, Update, Delete, Create, Run, Alter, Drop, Monitor, ReadMetadata, Manage];

    /// As GRANT writes it.
    pub fn word(self) -> &'static str {
        match self {
            Use => "USE",
            Select => "SELECT",
            Insert => "INSERT",
            Update => "UPDATE",
            Delete => "DELETE",
            Create => "CREATE",
            Run => "RUN",
            Alter => "ALTER",
            Drop => "DROP",
            Monitor => "MONITOR",
            ReadMetadata => "READ METADATA",
            Manage => "MANAGE",
        }
    }

    /// The privilege of a word, in capitals.
    pub fn of_word(word: &str) -> Option<Self> {
        Privilege::ALL.into_iter().find(|privilege| privilege.word() == word)
    }

    /// The permission of a token that holds it everywhere.
    pub fn permission(self) -> Permission {
        match self {
            Use | Select | ReadMetadata => Permission::Read,
            Insert | Update | Create | Run | Alter => Permission::Write,
            Delete | Drop => Permission::Delete,
            Monitor | Manage => Permission::Admin,
        }
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of [`Privilege`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privileges(u16);

impl Privileges {
    /// The set with `privilege` added.
    #[must_use]
    pub fn with(self, privilege: Privilege) -> Self {
        Self(self.0 | 1 << privilege as u8)
    }

    /// True if the set gives `privilege`: MANAGE gives all, anything gives USE, who may read all rows may read what is said of them.
    pub fn allow(self, privilege: Privilege) -> bool {
        let has = |one: Privilege| self.0 & 1 << one as u8 != 0;
        has(Manage)
            || match privilege {
                Use => self.0 != 0,
                ReadMetadata => has(ReadMetadata) || has(Select),
                other => has(other),
            }
    }

    /// Those that were given by name, in order.
    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::ALL.into_iter().filter(move |privilege| self.0 & 1 << *privilege as u8 != 0)
    }

    /// What a built-in role may do, everywhere in its tenant; `None` for the name of no such role.
    pub fn of_role(name: &str) -> Option<Self> {
        let words: &[Privilege] = match name {
            "reader" => &[Use, Select],
            "writer" => &[Use, Select, Insert, Update, Delete, Create, Run],
            "admin" => &[Manage],
            _ => return None,
        };
        Some(words.iter().copied().collect())
    }
}

/// The names of [`Privileges::of_role`].
pub const BUILT_IN_ROLES: [&str; 3] = ["reader", "writer", "admin"];

/// The role of those who operate the deployment: its tenants. It is in the operating tenant only, and gives no privilege in any.
pub const OPERATOR_ROLE: &str = "operator";

impl FromIterator<Privilege> for Privileges {
    fn from_iter<I: IntoIterator<Item = Privilege>>(privileges: I) -> Self {
        privileges.into_iter().fold(Self::default(), Self::with)
    }
}

/// What the permissions of tokens have always meant.
impl From<Permissions> for Privileges {
    fn from(permissions: Permissions) -> Self {
        let of = |permission: Permission| -> &[Privilege] {
            match permission {
                Permission::Read => &[Use, Select],
                Permission::Write => &[Insert, Update, Create, Run, Alter],
                Permission::Delete => &[Delete, Drop],
                Permission::Admin => &[Manage],
            }
        };
        permissions.iter().flat_map(|permission| of(permission).iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_and_permissions_give_what_they_name() {
        for privilege in Privilege::ALL {
            assert_eq!(Privilege::of_word(privilege.word()), Some(privilege));
            let permissions = Permissions::NONE.with(privilege.permission());
            assert!(Privileges::from(permissions).allow(privilege), "{privilege}");
        }
        assert_eq!(Privilege::of_word("FLY"), None);
    }

    #[test]
    fn manage_gives_all_and_nothing_else_gives_manage() {
        let manage = Privileges::default().with(Manage);
        assert!(Privilege::ALL.into_iter().all(|privilege| manage.allow(privilege)));
        let others: Privileges =
            Privilege::ALL.into_iter().filter(|privilege| *privilege != Manage).collect();
        assert!(!others.allow(Manage));
        assert!(Privileges::default().with(Insert).allow(Use) && !Privileges::default().allow(Use));
        assert!(!Privileges::default().with(Insert).allow(Select));
    }

    #[test]
    fn built_in_roles_are_named_once() {
        assert!(BUILT_IN_ROLES.into_iter().all(|name| Privileges::of_role(name).is_some()));
        assert_eq!(Privileges::of_role("Reader"), None);
        assert!(!Privileges::of_role("writer").expect("a role").allow(Drop));
    }
}

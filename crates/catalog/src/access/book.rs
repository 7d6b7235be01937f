//! Everything that is granted in one tenant, in memory: asked for each object of each statement.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cenote_vocab::{Micros, Txn};
use parking_lot::RwLock;

use super::right::{Fits, Place, Right};
use super::{BUILT_IN_ROLES, Giving, OPERATOR_ROLE, Object, Principal, Privilege, Privileges};
use crate::TenantState;

/// For how long the book of a process that is not the only writer is believed.
const BELIEVED_MICROS: i64 = 30_000_000;

/// A role that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Unique in the tenant.
    pub name: String,
    /// When it was made.
    pub created: Micros,
    /// By which transaction.
    pub changed: Txn,
}

/// Who has a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The role.
    pub role: String,
    /// Who has it.
    pub member: Principal,
    /// By which transaction.
    pub changed: Txn,
}

/// What kind of object a grant is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantKind {
    /// The tenant with its catalog.
    Catalog,
    /// Schemas.
    Schema,
    /// Tables and views.
    Table,
    /// The table of an asset.
    Asset,
    /// Pipelines.
    Pipeline,
    /// Jobs.
    Job,
}

impl GrantKind {
    /// `table`, …: as it is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Schema => "schema",
            Self::Table => "table",
            Self::Asset => "asset",
            Self::Pipeline => "pipeline",
            Self::Job => "job",
        }
    }
}

/// One privilege that somebody holds on something that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Who.
    pub principal: Principal,
    /// Which.
    pub privilege: Privilege,
    /// On what kind of object.
    pub kind: GrantKind,
    /// The schema, as it is named now, or its pattern; empty where there is none.
    pub schema: String,
    /// The object, as it is named now, or its pattern; empty for schemas and the catalog.
    pub name: String,
    /// Whether these are patterns.
    pub is_pattern: bool,
    /// The token that granted it.
    pub by: i64,
    /// When.
    pub at: Micros,
    /// By which transaction.
    pub changed: Txn,
}

impl Granted {
    /// The one object that it is on; `None` for a pattern.
    pub fn object(&self) -> Option<Object<'_>> {
        let is_one = !self.is_pattern;
        is_one.then_some(match self.kind {
            GrantKind::Catalog => Object::Tenant,
            GrantKind::Schema => Object::Schema(&self.schema),
            GrantKind::Table | GrantKind::Asset => Object::Table(&self.schema, &self.name),
            GrantKind::Pipeline => Object::Pipeline(&self.schema, &self.name),
            GrantKind::Job => Object::Job(&self.name),
        })
    }

    fn right(&self) -> Right<'_> {
        let fits = |text| if self.is_pattern { Fits::Pattern(text) } else { Fits::Exactly(text) };
        let (schema, name) = (fits(self.schema.as_str()), fits(self.name.as_str()));
        let place = match self.kind {
            GrantKind::Catalog => Place::Tenant,
            GrantKind::Schema => Place::Schema(schema),
            GrantKind::Table | GrantKind::Asset => Place::Table(schema, name),
            GrantKind::Pipeline => Place::Pipeline(schema, name),
            GrantKind::Job => Place::Job(name),
        };
        Right { privileges: Privileges::default().with(self.privilege), place }
    }
}

/// Roles, who has them, and what is granted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessBook {
    /// Roles that were made, by name.
    pub roles: Vec<Role>,
    /// Who has which.
    pub members: Vec<Membership>,
    /// What is granted, on objects that are there.
    pub grants: Vec<Granted>,
    /// Whether the tenant may do anything.
    pub state: TenantState,
    /// Whether the tenant operates the deployment, so that it has the role `operator`.
    pub is_operating: bool,
    by_token: HashMap<i64, Holder>,
    /// Roles that somebody has by itself.
    by_member: HashMap<Principal, BTreeSet<String>>,
}

/// What one token's owner has.
#[derive(Clone, Debug, Default, PartialEq)]
struct Holder {
    roles: BTreeSet<String>,
    /// Of built-in roles, everywhere.
    everywhere: Privileges,
    /// Places in `grants`.
    grants: Vec<usize>,
}

impl AccessBook {
    pub(crate) fn new(roles: Vec<Role>, members: Vec<Membership>, grants: Vec<Granted>) -> Self {
        let mut of_roles: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut of_tokens: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (at, grant) in grants.iter().enumerate() {
            match &grant.principal {
                Principal::Role(name) => of_roles.entry(name).or_default().push(at),
                Principal::Token(id) | Principal::Claims(id) => of_tokens.entry(*id).or_default().push(at),
            }
        }
        let mut by_member: HashMap<Principal, BTreeSet<String>> = HashMap::new();
        for one in &members {
            by_member.entry(one.member.clone()).or_default().insert(one.role.clone());
        }
        let in_roles = by_member.keys().filter_map(|member| match member {
            Principal::Token(id) | Principal::Claims(id) => Some(*id),
            Principal::Role(_) => None,
        });
        let tokens: BTreeSet<i64> = in_roles.chain(of_tokens.keys().copied()).collect();
        let holder = |id: i64| {
            let mut roles = roles_of(&by_member, Principal::Token(id));
            roles.extend(roles_of(&by_member, Principal::Claims(id)));
            let built_in = roles.iter().filter_map(|role| Privileges::of_role(role));
            let everywhere = built_in.flat_map(Privileges::iter).collect();
            let mut held = of_tokens.get(&id).cloned().unwrap_or_default();
            held.extend(roles.iter().filter_map(|role| of_roles.get(role.as_str())).flatten());
            Holder { roles, everywhere, grants: held }
        };
        let by_token = tokens.into_iter().map(|id| (id, holder(id))).collect();
        let (state, is_operating) = (TenantState::Active, false);
        Self { by_token, by_member, roles, members, grants, state, is_operating }
    }

    /// The book of a tenant in this state, and whether it operates the deployment.
    pub(crate) fn of_tenant(self, state: TenantState, is_operating: bool) -> Self {
        Self { state, is_operating, ..self }
    }

    /// The roles that are built in.
    pub fn built_in_roles(&self) -> impl Iterator<Item = &'static str> {
        BUILT_IN_ROLES.into_iter().chain(self.is_operating.then_some(OPERATOR_ROLE))
    }

    /// True for the name of a role that is built in, also of one that only the operating tenant has.
    pub fn is_built_in(name: &str) -> bool {
        name == OPERATOR_ROLE || Privileges::of_role(name).is_some()
    }

    /// True if a token's owner operates the deployment.
    pub fn is_operator(&self, token: i64) -> bool {
        self.is_operating && self.roles_of(token).any(|role| role == OPERATOR_ROLE)
    }

    /// Roles that a token's owner has, by itself or through other roles.
    pub fn roles_of(&self, token: i64) -> impl Iterator<Item = &str> {
        self.by_token.get(&token).into_iter().flat_map(|holder| holder.roles.iter().map(String::as_str))
    }

    /// Roles that the claims of its bearer tokens give to a token's owner.
    pub fn claimed(&self, token: i64) -> BTreeSet<&str> {
        let claimed = self.by_member.get(&Principal::Claims(token));
        claimed.into_iter().flatten().map(String::as_str).collect()
    }

    /// True if whoever has `role` has `other` too.
    pub fn implies(&self, role: &str, other: &str) -> bool {
        role == other || roles_of(&self.by_member, Principal::Role(role.to_owned())).contains(other)
    }

    /// True for a role that was made, and for the built-in ones.
    pub fn has_role(&self, name: &str) -> bool {
        match name {
            OPERATOR_ROLE => self.is_operating,
            _ => Privileges::of_role(name).is_some() || self.roles.iter().any(|role| role.name == name),
        }
    }

    /// Of roles and grants those that give somebody a privilege.
    pub(super) fn giving(&self, token: i64, privilege: Privilege, object: Object<'_>) -> Vec<Giving> {
        let Some(holder) = self.by_token.get(&token) else { return Vec::new() };
        let built_in = |role: &&String| {
            Privileges::of_role(role)
                .is_some_and(|privileges| Right::everywhere(privileges).gives(privilege, object))
        };
        let roles = holder.roles.iter().filter(built_in).cloned().map(Giving::Role);
        let operates = object == Object::Deployment && self.is_operator(token);
        let roles = roles.chain(operates.then(|| Giving::Role(OPERATOR_ROLE.to_owned())));
        let held = holder.grants.iter().filter_map(|at| self.grants.get(*at));
        let held = held.filter(|grant| grant.right().gives(privilege, object)).cloned();
        roles.chain(held.map(Giving::Granted)).collect()
    }

    pub(super) fn rights(&self, token: i64) -> impl Iterator<Item = Right<'_>> {
        let holder = self.by_token.get(&token);
        let everywhere = holder.map(|holder| Right::everywhere(holder.everywhere));
        let held = holder.into_iter().flat_map(|holder| &holder.grants);
        everywhere.into_iter().chain(held.filter_map(|at| self.grants.get(*at)).map(Granted::right))
    }
}

/// All roles that somebody has, through other roles too. Circles end where they began.
fn roles_of(by_member: &HashMap<Principal, BTreeSet<String>>, who: Principal) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![who];
    while let Some(member) = next.pop() {
        for role in by_member.get(&member).into_iter().flatten() {
            if found.insert(role.clone()) {
                next.push(Principal::Role(role.clone()));
            }
        }
    }
    found
}

/// The book of one tenant, shared by all its identities: who is connected sees a change at once.
#[derive(Debug, Default)]
pub struct Access {
    book: RwLock<(Arc<AccessBook>, Option<Micros>)>,
    /// Grows with every change of rights, and of tokens.
    generation: AtomicU64,
    /// One reads the database at a time: what was read later is kept.
    pub(crate) reading: tokio::sync::Mutex<()>,
}

impl Access {
    /// As it is now.
    pub fn book(&self) -> Arc<AccessBook> {
        self.book.read().0.clone()
    }

    pub(crate) fn is_fresh(&self, now: Micros) -> bool {
        self.book.read().1.is_some_and(|read| now.0.saturating_sub(read.0) < BELIEVED_MICROS)
    }

    pub(crate) fn put(&self, book: AccessBook, now: Micros) {
        let mut known = self.book.write();
        known.1 = Some(now);
        if *known.0 != book {
            known.0 = Arc::new(book);
            self.touch();
        }
    }

    /// Something has changed that decides who may do what: what runs for long looks again.
    pub(crate) fn touch(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// What is known may be old: it is read again when somebody asks next.
    pub(crate) fn doubt(&self) {
        self.book.write().1 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(principal: Principal, privilege: Privilege, schema: &str, name: &str) -> Granted {
        let (kind, is_pattern) = (GrantKind::Table, false);
        let (schema, name) = (schema.to_owned(), name.to_owned());
        Granted {
            principal,
            privilege,
            kind,
            schema,
            name,
            is_pattern,
            by: 1,
            at: Micros(0),
            changed: Txn(1),
        }
    }

    fn member(role: &str, member: Principal) -> Membership {
        Membership { role: role.to_owned(), member, changed: Txn(1) }
    }

    #[test]
    fn rights_come_through_roles_of_roles_and_circles_end() {
        let role = |name: &str| Principal::Role(name.to_owned());
        let members = vec![
            member("a", Principal::Token(7)),
            member("b", role("a")),
            member("a", role("b")),
            member("reader", Principal::Token(8)),
        ];
        let grants = vec![
            granted(role("b"), Privilege::Select, "s", "t"),
            granted(Principal::Token(7), Privilege::Insert, "s", "u"),
        ];
        let book = AccessBook::new(Vec::new(), members, grants);
        let may = |token, privilege, name: &str| {
            book.rights(token).any(|right| right.gives(privilege, Object::Table("s", name)))
        };
        assert_eq!(book.roles_of(7).collect::<Vec<_>>(), ["a", "b"]);
        assert!(may(7, Privilege::Select, "t") && may(7, Privilege::Insert, "u"));
        assert!(!may(7, Privilege::Insert, "t") && !may(7, Privilege::Select, "u"));
        assert!(may(8, Privilege::Select, "u") && !may(8, Privilege::Insert, "u"));
        assert!(!may(9, Privilege::Use, "t"));
        assert!(book.implies("a", "b") && book.implies("b", "a") && !book.implies("a", "reader"));
    }
}

//! `GRANT`, `REVOKE`, `CREATE ROLE`, `DROP ROLE`, `SHOW GRANTS`. They are staged like other changes of objects.

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Field;
use cenote_catalog::{
    AccessBook, AccessChange, GrantChange, GrantKind, GrantTarget, Names, OPERATOR_ROLE, Object,
    ObjectChange, Principal, Privilege, pattern_matches,
};
use cenote_vocab::{ErrorKind, nearest};
use sqlparser::ast::Ident;

use super::schemas::part_of;
use super::{Answer, Guard, Prepared, asset_lookup, pipeline};
use crate::Error;
use crate::parse::{Given, GrantStatement, Named, On, Who, folded, unsupported};
use crate::plan::{CATALOG, Found, Resolver};
use crate::session::Inner;
use crate::system;
use crate::transaction::Staged;

/// The most bytes of a role's name.
const NAME_BYTES_MAX: usize = 128;

/// Runs one of them.
pub(crate) async fn run(
    session: &Inner,
    statement: &GrantStatement,
    prepared: &Prepared,
    guard: &Guard,
) -> Result<Answer, Error> {
    session.check_writable()?;
    let book = session.engine().lake().catalog.access(&session.identity().scope).await?;
    let asked = Asked { session, book: &book };
    let mut done = Answer::done(statement.command());
    let (change, operation) = match statement {
        GrantStatement::CreateRole { name, if_not_exists } => {
            asked.manages(Object::Tenant)?;
            if asked.has_role(name) {
                let text = format!("role \"{name}\" already exists");
                return match if_not_exists {
                    true => Ok(done.with_notice(format!("{text}, skipping"))),
                    false => Err(Error::new(ErrorKind::Conflict, text).with_sqlstate("42710")),
                };
            }
            if AccessBook::is_built_in(name) {
                let text = format!("the name \"{name}\" is that of a role that is built in");
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42939"));
            }
            check_name(name)?;
            (AccessChange::CreateRole(name.clone()), "create_role")
        }
        GrantStatement::DropRole { name, if_exists } => {
            asked.manages(Object::Tenant)?;
            if AccessBook::is_built_in(name) {
                let text = format!("role \"{name}\" is built in");
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42809"));
            }
            match asked.role(name) {
                Err(error) if *if_exists => {
                    return Ok(done.with_notice(format!("{error}, skipping")));
                }
                other => other?,
            }
            (AccessChange::DropRole(name.clone()), "drop_role")
        }
        GrantStatement::Member { role, who, given } => (asked.member(role, who, *given).await?, "grant_role"),
        GrantStatement::Privileges { privileges, on, who, given } => {
            let grant = GrantChange {
                target: asked.target(on).await?,
                principal: asked.principal(who).await?,
                privileges: privileges.clone(),
                by: session.identity().token.id,
            };
            match given {
                Given::Yes => (AccessChange::Grant(grant), "grant"),
                Given::No => (AccessChange::Revoke(grant), "revoke"),
            }
        }
    };
    if let Some(notice) = asked.comes_back(&change) {
        done = done.with_notice(notice);
    }
    let staged = Staged {
        objects: vec![ObjectChange::Access(Box::new(change))],
        sql: vec![prepared.sql.clone()],
        operation,
        ..Staged::default()
    };
    let txn = session.finish(staged, guard).await?;
    Ok(done.with_txn(txn))
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let text =
            format!("the name of a role has 1 to {NAME_BYTES_MAX} bytes, and no control character in them");
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42602"));
    }
    Ok(())
}

/// Who asks, and what is granted so far.
struct Asked<'a> {
    session: &'a Inner,
    book: &'a AccessBook,
}

impl Asked<'_> {
    fn manages(&self, object: Object<'_>) -> Result<(), Error> {
        self.session.require(Privilege::Manage, object)
    }

    /// True for roles that are there, as the open transaction leaves them.
    fn has_role(&self, name: &str) -> bool {
        let staged = self.session.last_staged(|change| {
            let ObjectChange::Access(change) = change else { return None };
            match change.as_ref() {
                AccessChange::CreateRole(made) if made == name => Some(true),
                AccessChange::DropRole(gone) if gone == name => Some(false),
                _ => None,
            }
        });
        staged.unwrap_or_else(|| self.book.has_role(name))
    }

    /// The schema of a name: by its number, so that another that takes the name meanwhile is none; one that the open transaction
    /// makes has none yet.
    fn schema(&self, names: &Names, name: String) -> GrantTarget {
        let is_made = self.session.last_staged(|change| {
            matches!(change, ObjectChange::CreateSchema { name: made, .. } if *made == name).then_some(())
        });
        match names.schemas.get(&name).filter(|_| is_made.is_none()) {
            Some((schema, _)) => GrantTarget::SchemaOf(schema.id),
            None => GrantTarget::Schema(name),
        }
    }

    /// What is to be said of roles that come back by themselves.
    fn comes_back(&self, change: &AccessChange) -> Option<String> {
        let AccessChange::RemoveMember { role, member: Principal::Token(id) } = change else { return None };
        let is_claimed = self.book.claimed(*id).contains(role.as_str());
        is_claimed.then(|| {
            format!("role \"{role}\" was given by a claim: a bearer token that says so gives it again")
        })
    }

    fn role(&self, name: &str) -> Result<(), Error> {
        if self.has_role(name) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("role \"{name}\" does not exist")).with_sqlstate("42704"))
    }

    async fn principal(&self, who: &Who) -> Result<Principal, Error> {
        match who {
            Who::Role(name) => self.role(name).map(|()| Principal::Role(name.clone())),
            Who::Token(name) => {
                let catalog = &self.session.engine().lake().catalog;
                let tokens = catalog.tokens(&self.session.identity().scope).await?;
                match tokens.iter().find(|token| token.name == *name) {
                    Some(token) => Ok(Principal::Token(token.id)),
                    None => {
                        let text = format!("token \"{name}\" does not exist");
                        Err(Error::new(ErrorKind::NotFound, text).with_sqlstate("42704"))
                    }
                }
            }
        }
    }

    async fn member(&self, role: &str, who: &Who, given: Given) -> Result<AccessChange, Error> {
        match role {
            // Who manages the operating tenant does not operate the deployment by that.
            OPERATOR_ROLE if self.book.is_operating => self.manages(Object::Deployment)?,
            _ => self.manages(Object::Tenant)?,
        }
        self.role(role)?;
        let (member, role) = (self.principal(who).await?, role.to_owned());
        if given == Given::No {
            return Ok(AccessChange::RemoveMember { role, member });
        }
        if let Principal::Role(name) = &member {
            if role == OPERATOR_ROLE {
                // Who may give that role to others would give them this one.
                let text = "role \"operator\" is given to tokens, not to roles";
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("0LP01"));
            }
            if AccessBook::is_built_in(name) {
                let text = format!("role \"{name}\" is built in: it gets no more rights");
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42809"));
            }
            if self.book.implies(&role, name) {
                let text = format!("role \"{role}\" has role \"{name}\" already");
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("0LP01"));
            }
        }
        Ok(AccessChange::AddMember { role, member })
    }

    /// The object that is meant, which the asker manages.
    async fn target(&self, on: &On) -> Result<GrantTarget, Error> {
        let session = self.session;
        let (names, path) = (session.names().await?, session.search_path());
        let resolver = Resolver { names: &names, identity: session.identity(), search_path: &path };
        Ok(match (on.kind, &on.named) {
            (GrantKind::Catalog, Named::Name(name)) => {
                check_catalog(name)?;
                self.manages(Object::Tenant)?;
                GrantTarget::Catalog
            }
            (GrantKind::Schema, Named::Name(name)) => {
                let schema = schema(&resolver, name)?;
                self.manages(Object::Schema(&schema))?;
                self.schema(&names, schema)
            }
            (GrantKind::Schema, Named::Pattern(pattern)) => {
                self.manages(Object::Tenant)?;
                GrantTarget::Schemas(pattern.clone())
            }
            (GrantKind::Table, Named::Name(name)) => match resolver.find(name, Privilege::Manage)? {
                Found::Table(table) => GrantTarget::Table(table.id),
                Found::System { .. } | Found::Made { .. } => {
                    return Err(Error::new(ErrorKind::Denied, "who may read system tables is not granted")
                        .with_hint("GRANT READ METADATA ON CATALOG lake shows all of their rows"));
                }
            },
            (GrantKind::Asset, Named::Name(name)) => {
                let (_, table) = asset_lookup::find(session, name, Privilege::Use).await?;
                self.manages(table.object())?;
                GrantTarget::Asset(table.id)
            }
            (GrantKind::Pipeline, Named::Name(name)) => {
                let pipeline = pipeline::own(session, pipeline::find(session, name).await?)?;
                GrantTarget::Pipeline(pipeline.id)
            }
            (GrantKind::Table, Named::Pattern(pattern)) => {
                let (schema, name) = self.pattern(pattern)?;
                GrantTarget::Tables(schema, name)
            }
            (GrantKind::Pipeline, Named::Pattern(pattern)) => {
                let (schema, name) = self.pattern(pattern)?;
                GrantTarget::Pipelines(schema, name)
            }
            (GrantKind::Job, Named::Name(name)) => {
                let job = self.job(name).await?;
                self.manages(Object::Job(&job))?;
                GrantTarget::Job(job)
            }
            (GrantKind::Job, Named::Pattern(pattern)) => {
                self.manages(Object::Tenant)?;
                GrantTarget::Job(pattern.clone())
            }
            (GrantKind::Catalog | GrantKind::Asset, Named::Pattern(_)) => {
                return Err(unsupported(&format!("a pattern of {}s", on.kind.word())));
            }
        })
    }

    /// The two parts of a pattern, if the asker manages all that may fit it.
    fn pattern(&self, pattern: &str) -> Result<(String, String), Error> {
        let Some((schema, name)) = pattern.split_once('.') else {
            let text = format!("pattern '{pattern}' needs a schema, such as 'default.{pattern}'");
            return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42602"));
        };
        let is_one = !schema.contains('*');
        self.manages(if is_one { Object::Schema(schema) } else { Object::Tenant })?;
        Ok((schema.to_owned(), name.to_owned()))
    }

    async fn job(&self, name: &[Ident]) -> Result<String, Error> {
        let wanted = name.iter().map(folded).collect::<Vec<_>>().join(".");
        let jobs = self.session.engine().lake().catalog.jobs(&self.session.identity().scope).await?;
        if jobs.iter().any(|job| job.name == wanted) {
            return Ok(wanted);
        }
        let near = nearest(&wanted, jobs.iter().map(|job| job.name.as_str()));
        let error = Error::new(ErrorKind::NotFound, format!("job \"{wanted}\" does not exist"))
            .with_sqlstate("42704");
        Err(match near {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error,
        })
    }
}

fn check_catalog(name: &[Ident]) -> Result<(), Error> {
    match name {
        [name] if folded(name) == CATALOG => Ok(()),
        _ => {
            let name = name.iter().map(folded).collect::<Vec<_>>().join(".");
            Err(Error::new(ErrorKind::NotFound, format!("catalog \"{name}\" does not exist"))
                .with_sqlstate("3D000"))
        }
    }
}

/// The schema, if the asker may know it.
fn schema(resolver: &Resolver<'_>, name: &[Ident]) -> Result<String, Error> {
    let ident = part_of(name)?;
    let found = resolver.schema(&ident)?;
    match found {
        Some(name) => Ok(name.to_owned()),
        None => {
            let text = format!("schema \"{}\" does not exist", folded(&ident));
            Err(Error::new(ErrorKind::NotFound, text).with_sqlstate("3F000"))
        }
    }
}

/// Columns of `system.access.grants` that people look at first.
const SHOWN: [&str; 7] =
    ["principal_kind", "principal", "privilege", "object_kind", "schema_name", "object_name", "source"];

/// Columns of `SHOW GRANTS`.
pub(crate) fn shown_columns() -> Vec<Field> {
    let all = system::grant_columns();
    SHOWN.iter().filter_map(|name| all.field_with_name(name).ok().cloned()).collect()
}

/// `SHOW GRANTS [ON …] [FOR …]`: of what is granted those rows that the asker may see.
pub(crate) async fn shown(
    session: &Inner,
    on: Option<&On>,
    who: Option<&Who>,
) -> Result<Vec<ArrayRef>, Error> {
    let wanted = match on {
        Some(on) => Some((on.kind, meant(session, on).await?)),
        None => None,
    };
    let rows = system::rows(&session.facts(), "access", "grants").await?;
    let text = |name: &str| rows.column_by_name(name).map(|column| column.as_string::<i32>().clone());
    let (Some(kinds), Some(principals)) = (text("principal_kind"), text("principal")) else {
        return Ok(Vec::new());
    };
    let (Some(objects), Some(schemas), Some(names)) =
        (text("object_kind"), text("schema_name"), text("object_name"))
    else {
        return Ok(Vec::new());
    };
    let patterns = rows.column_by_name("is_pattern").map(|column| column.as_boolean().clone());
    let is_pattern = |row: usize| patterns.as_ref().is_some_and(|patterns| patterns.value(row));
    let is_whose = |row: usize| match who {
        None => true,
        Some(Who::Role(name)) => kinds.value(row) == "role" && principals.value(row) == name,
        Some(Who::Token(name)) => kinds.value(row) == "token" && principals.value(row) == name,
    };
    let is_on = |row: usize| {
        let Some((kind, (schema, name))) = &wanted else { return true };
        let fits =
            |text: &str, wanted: &str| text == wanted || (is_pattern(row) && pattern_matches(text, wanted));
        let is_kind = match kind {
            GrantKind::Table | GrantKind::Asset => ["table", "asset"].contains(&objects.value(row)),
            other => objects.value(row) == other.word(),
        };
        is_kind && fits(schemas.value(row), schema) && fits(names.value(row), name)
    };
    let kept: BooleanArray = (0..rows.num_rows()).map(|row| Some(is_whose(row) && is_on(row))).collect();
    let rows = filter_record_batch(&rows, &kept)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("internal error: {error}")))?;
    Ok(SHOWN.iter().filter_map(|name| rows.column_by_name(name).cloned()).collect())
}

/// Schema and name of what is asked about; of a pattern its parts.
async fn meant(session: &Inner, on: &On) -> Result<(String, String), Error> {
    let (names, path) = (session.names().await?, session.search_path());
    let resolver = Resolver { names: &names, identity: session.identity(), search_path: &path };
    let of_table = |name: &[Ident]| -> Result<(String, String), Error> {
        match resolver.find(name, Privilege::Use)? {
            Found::Table(table) => Ok((table.schema_name.clone(), table.name.clone())),
            Found::System { .. } | Found::Made { .. } => Err(unsupported("SHOW GRANTS on a system table")),
        }
    };
    Ok(match (on.kind, &on.named) {
        (GrantKind::Catalog, Named::Name(name)) => {
            check_catalog(name)?;
            (String::new(), String::new())
        }
        (GrantKind::Schema, Named::Name(name)) => (schema(&resolver, name)?, String::new()),
        (GrantKind::Table | GrantKind::Asset, Named::Name(name)) => of_table(name)?,
        (GrantKind::Pipeline, Named::Name(name)) => {
            let pipeline = pipeline::find(session, name).await?;
            let pipeline = pipeline::authorized(session, pipeline, Privilege::Use)?;
            (pipeline.schema, pipeline.name)
        }
        (GrantKind::Job, Named::Name(name)) => {
            (String::new(), name.iter().map(folded).collect::<Vec<_>>().join("."))
        }
        (GrantKind::Schema | GrantKind::Catalog, Named::Pattern(pattern)) => (pattern.clone(), String::new()),
        (GrantKind::Job, Named::Pattern(pattern)) => (String::new(), pattern.clone()),
        (_, Named::Pattern(pattern)) => {
            let (schema, name) = pattern.split_once('.').unwrap_or(("*", pattern));
            (schema.to_owned(), name.to_owned())
        }
    })
}

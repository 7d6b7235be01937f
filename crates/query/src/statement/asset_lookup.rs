//! Which assets names mean, for whom.

use std::collections::BTreeSet;
use std::sync::Arc;

use cenote_catalog::{Asset, AssetRun, Error as CatalogError, Names, Object, Privilege, TableDef, authorize};
use cenote_vocab::{ErrorKind, Fault, nearest};
use sqlparser::ast::Ident;
use uuid::Uuid;

use crate::Error;
use crate::parse::folded;
use crate::plan::{CATALOG, Found, Resolver, denied};
use crate::session::Inner;

/// The most assets that one request names (`selection_max`).
const SELECTED_MAX: usize = 1_000;
/// The most unknown names that an error tells.
const UNKNOWN_MAX: usize = 10;

/// What names of assets are looked up in.
struct Lookup<'a> {
    session: &'a Inner,
    names: Arc<Names>,
    path: Vec<String>,
    assets: Vec<Asset>,
}

impl<'a> Lookup<'a> {
    async fn load(session: &'a Inner) -> Result<Self, Error> {
        let assets = session.engine().lake().catalog.assets(&session.identity().scope).await?;
        Ok(Self { session, names: session.names().await?, path: session.search_path(), assets })
    }

    /// The asset and its table, if the asker may do this with it: whose it is may do everything, others what they were granted.
    fn find(&self, name: &[Ident], privilege: Privilege) -> Result<(&Asset, Arc<TableDef>), Error> {
        let identity = self.session.identity();
        let resolver = Resolver { names: &self.names, identity, search_path: &self.path };
        let found = match resolver.find(name, Privilege::Use) {
            Ok(Found::Table(table)) => {
                let asset = self.assets.iter().find(|asset| asset.table == table.id);
                asset.map(|asset| (asset, table))
            }
            Ok(Found::System { .. } | Found::Made { .. }) => None,
            Err(error) if error.kind() == ErrorKind::NotFound => self.owned(name),
            Err(error) => return Err(error),
        };
        let (asset, table) = found.ok_or_else(|| self.not_found(name))?;
        match asset.allows(identity, privilege, &table) {
            true => Ok((asset, table)),
            false => Err(denied(privilege, &table.full_name())),
        }
    }

    /// One's own, whose table one may not know any more.
    fn owned(&self, name: &[Ident]) -> Option<(&Asset, Arc<TableDef>)> {
        let parts: Vec<String> = name.iter().map(folded).collect();
        let (schemas, name) = match parts.as_slice() {
            [name] => (self.path.as_slice(), name),
            [schema, name] => (std::slice::from_ref(schema), name),
            [catalog, schema, name] if catalog == CATALOG => (std::slice::from_ref(schema), name),
            _ => return None,
        };
        let owner = self.session.identity().token.id;
        schemas.iter().find_map(|schema| {
            let table = self.names.schemas.get(schema)?.1.get(name)?;
            let asset = self.assets.iter().find(|asset| asset.table == table.id && asset.owner == owner)?;
            Some((asset, table.clone()))
        })
    }

    fn not_found(&self, name: &[Ident]) -> Error {
        let asked = name.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        let known = self.assets.iter().filter_map(|asset| self.names.table_by_id(asset.table));
        let readable = known.filter(|table| table.is_known_to(self.session.identity()));
        let last = name.last().map_or("", |part| part.value.as_str());
        let near = nearest(last, readable.map(|table| table.name.as_str())).map(str::to_owned);
        CatalogError::AssetNotFound { name: asked, nearest: near }.into()
    }
}

/// The asset of a name, and its table.
pub(crate) async fn find(
    session: &Inner,
    name: &[Ident],
    privilege: Privilege,
) -> Result<(Asset, Arc<TableDef>), Error> {
    let known = Lookup::load(session).await?;
    known.find(name, privilege).map(|(asset, table)| (asset.clone(), table))
}

/// A run, if the asker may do this with every asset that its tasks make. `NotFound`, as if it were not there, for who may know of
/// none of them.
pub(crate) async fn find_run(session: &Inner, id: Uuid, privilege: Privilege) -> Result<AssetRun, Error> {
    let (catalog, identity) = (&session.engine().lake().catalog, session.identity());
    let scope = &identity.scope;
    let run = catalog.asset_run(scope, id).await?;
    if authorize(identity, Privilege::Manage, Object::Tenant) {
        return Ok(run);
    }
    let assets = catalog.assets(scope).await?;
    let names = catalog.tables_by_id(scope, catalog.head(scope).await?.txn).await?;
    let mut is_known = authorize(identity, Privilege::ReadMetadata, Object::Tenant);
    let mut lacking = None;
    for made in run.tasks.iter().map(|task| task.asset).collect::<BTreeSet<_>>() {
        let asset = assets.iter().find(|asset| asset.id == made);
        let found = asset.and_then(|asset| Some((asset, names.table_by_id(asset.table)?)));
        match found {
            Some((asset, table)) if asset.allows(identity, privilege, table) => is_known = true,
            Some((_, table)) if table.is_known_to(identity) => {
                is_known = true;
                lacking = Some(table.full_name());
            }
            // It is not named; nor is one that is gone, whose rights went with it.
            _ => lacking = lacking.or_else(|| Some("an asset of the run".to_owned())),
        }
    }
    match lacking {
        None if is_known => Ok(run),
        Some(object) if is_known => Err(denied(privilege, &object)),
        _ => Err(CatalogError::RunNotFound(id.to_string()).into()),
    }
}

/// The assets of these names, which the asker may run; those that are unknown are named.
pub(crate) async fn select(session: &Inner, names: &[Vec<Ident>]) -> Result<Vec<Uuid>, Error> {
    if names.len() > SELECTED_MAX {
        let text = format!("{} assets are named, at most {SELECTED_MAX} (selection_max)", names.len());
        return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("54000"));
    }
    let known = Lookup::load(session).await?;
    let mut selected = BTreeSet::new();
    let mut unknown = Vec::new();
    for name in names {
        match known.find(name, Privilege::Run) {
            Ok((asset, _)) => drop(selected.insert(asset.id)),
            Err(error) if error.kind() == ErrorKind::NotFound => unknown.push(error),
            Err(error) => return Err(error),
        }
        if unknown.len() == UNKNOWN_MAX {
            break;
        }
    }
    if unknown.len() > 1 {
        let texts: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        return Err(Error::new(ErrorKind::NotFound, texts.join("; ")).with_sqlstate("42704"));
    }
    match unknown.pop() {
        Some(error) => Err(error),
        None => Ok(selected.into_iter().collect()),
    }
}

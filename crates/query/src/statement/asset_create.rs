//! `CREATE ASSET`: a query becomes a recipe, and a table for its rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use cenote_catalog::{
    ASSET, Asset, AssetSpec, Dependency, Error as CatalogError, FlowChange, Mapping, NewTable, Object,
    ObjectChange, Privilege, SliceRange, TableDef,
};
use cenote_vocab::{ErrorKind, TableId};
use datafusion::sql::parser::Statement as AnyStatement;
use sqlparser::ast::Statement as SqlStatement;
use uuid::Uuid;

use super::asset::{Steering, flow, marked};
use super::asset_rules::{check_key, check_mapping, code_of, fits, refuse_cycle, set_options};
use super::asset_slice::{Known, check_column, check_spec, with_literals};
use super::create_table::new_table;
use super::{Answer, refuse_parameters};
use crate::Error;
use crate::parse::{CreateAsset, Parsed, TableClauses, parse, quote};
use crate::plan::{Resolver, Snapshot};

impl Steering<'_> {
    pub(super) async fn create(&self, create: &CreateAsset) -> Result<Answer, Error> {
        let (session, done) = (self.session, Answer::done("CREATE ASSET"));
        let (lake, scope) = (session.engine().lake(), &session.identity().scope);
        let partition = create.partition.clone();
        let mut spec = AssetSpec { eager: create.eager, partition, ..AssetSpec::default() };
        set_options(&mut spec, &create.options)?;
        if let Some(schedule) = &create.schedule {
            session.engine().assets()?.check_schedule(schedule)?;
            spec.schedule = Some(schedule.clone());
        }
        let snapshot = Arc::new(Snapshot::committed(lake, scope).await?);
        let (names, path) = (snapshot.names.clone(), session.search_path());
        let resolver = Resolver { names: &names, identity: session.identity(), search_path: &path };
        let (schema, name) = resolver.creatable(&create.name, Privilege::Create)?;
        let assets = lake.catalog.assets(scope).await?;
        let taken = names.schemas.get(&schema).and_then(|(_, tables)| tables.get(&name)).cloned();
        let known = taken.as_ref().and_then(|taken| assets.iter().find(|asset| asset.table == taken.id));
        match known {
            Some(_) if create.if_not_exists => {
                return Ok(done.with_notice(format!("asset \"{name}\" already exists, skipping")));
            }
            Some(known) if create.or_replace && known.owner == session.identity().token.id => {}
            Some(_) if create.or_replace => {
                session.require(Privilege::Manage, Object::Table(&schema, &name))?
            }
            Some(_) => return Err(CatalogError::TableExists(format!("{schema}.{name}")).into()),
            None => {}
        }
        let slices = spec.slices()?;
        // Any slice will do: literals have types, and that is what is asked here.
        let known_slice = slices.as_ref().map(|slices| (slices, SliceRange::one(0)));
        let query = with_literals(&create.query, &Known { slices: known_slice, logical: session.now() })?;
        let (outputs, mut upstream) = self.planned(&snapshot, &query, &path).await?;
        check_key(&spec, &outputs)?;
        check_column(&spec, &outputs)?;
        let mut depends = Vec::with_capacity(create.depends.len());
        for (name, mapping) in &create.depends {
            let table = resolver.writable(name, Privilege::Select)?;
            if depends.iter().any(|(other, _): &(Arc<TableDef>, Mapping)| other.id == table.id) {
                let text = format!("DEPENDS ON names {} twice", table.full_name());
                return Err(Error::new(ErrorKind::Invalid, text).with_sqlstate("42601"));
            }
            upstream.push(table.id);
            depends.push((table, *mapping));
        }
        upstream.sort();
        upstream.dedup();
        spec.depends = depends
            .iter()
            .map(|(table, mapping)| Dependency { table: table.id.0, mapping: *mapping })
            .collect();
        let mut asset = Asset {
            id: known.map_or_else(|| lake.ids.uuid(), |known| known.id),
            table: taken.as_ref().map_or(TableId(0), |taken| taken.id),
            owner: session.identity().token.id,
            search_path: path.clone(),
            query: create.query.clone(),
            code: [0; 32],
            spec,
            upstream,
            paused: known.is_some_and(|known| known.paused),
            created: known.map_or_else(|| session.now(), |known| known.created),
            version: known.map_or(1, |known| known.version + 1),
        };
        asset.code = code_of(&asset);
        check_spec(&asset)?;
        for (table, mapping) in &depends {
            check_mapping(&assets, &asset, (table, *mapping))?;
        }
        if let Some(taken) = &taken {
            refuse_cycle(&assets, &asset, &names)?;
            if known.is_none() {
                session.require(Privilege::Alter, taken.object())?;
                fits(taken, &outputs)?;
            }
        }
        let mut objects = Vec::new();
        let mut tables = Vec::new();
        match taken {
            Some(taken) if known.is_none() => tables.push(marked(&taken, Some(asset.id), snapshot.txn)),
            Some(_) => {}
            None => {
                let made = self.new_table(&query, (schema, name), &outputs, asset.id).await?;
                asset.table = made.id;
                let made = vec![ObjectChange::CreateTable(Box::new(made))];
                objects.extend(session.identity().owning(made));
            }
        }
        objects.push(flow(FlowChange::PutAsset(Box::new(asset))));
        let txn = self.commit("create_asset", tables, objects).await?;
        Ok(done.with_txn(Some(txn)))
    }

    /// The columns that the query answers, and the tables that it reads.
    pub(super) async fn planned(
        &self,
        snapshot: &Arc<Snapshot>,
        query: &str,
        path: &[String],
    ) -> Result<(SchemaRef, Vec<TableId>), Error> {
        let statement = query_of(query)?;
        self.guard
            .run(Box::pin(async {
                let mut binder = self.session.binder(snapshot.clone());
                let plan = binder.plan(statement, query, path).await?;
                refuse_parameters(&plan, "an asset", query)?;
                let plan = binder.optimized(plan, query).await?;
                let inputs = binder.inputs().keys().copied().collect();
                Ok((plan.schema().inner().clone(), inputs))
            }))
            .await
    }

    async fn new_table(
        &self,
        query: &str,
        (schema, name): (String, String),
        outputs: &SchemaRef,
        asset: Uuid,
    ) -> Result<NewTable, Error> {
        let text = format!("CREATE TABLE {}.{} AS {}", quote(&schema), quote(&name), query);
        let Parsed::Sql { statement, .. } = parse(&text)? else { return Err(not_a_query()) };
        let AnyStatement::Statement(statement) = *statement else { return Err(not_a_query()) };
        let SqlStatement::CreateTable(made) = *statement else { return Err(not_a_query()) };
        let clauses = TableClauses::default();
        let mut table = new_table(self.session, &made, &clauses, (schema, name), Some(outputs), None).await?;
        table.properties.insert(ASSET.to_owned(), asset.to_string());
        Ok(table)
    }
}

fn not_a_query() -> Error {
    Error::new(ErrorKind::Invalid, "an asset needs a query: CREATE ASSET … AS SELECT …")
        .with_sqlstate("42601")
}

fn query_of(text: &str) -> Result<AnyStatement, Error> {
    let Parsed::Sql { statement, .. } = parse(text)? else { return Err(not_a_query()) };
    match statement.as_ref() {
        AnyStatement::Statement(inner) if matches!(**inner, SqlStatement::Query(_)) => Ok(*statement),
        _ => Err(not_a_query()),
    }
}

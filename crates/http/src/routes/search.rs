//! Search: what there is whose name, columns, labels or description hold some words.

mod score;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cenote_catalog::{Asset, LABEL, Pipeline, Privilege, TableDef, TableKind};
use cenote_vocab::{ErrorKind, Fault};
use serde_json::{Value, json};

use self::score::{Part, Wanted};
use super::databases::names;
use super::jobs::knows;
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// Found objects of an answer, if nothing else is asked; most of them.
const LIMIT: u64 = 20;
const LIMIT_MAX: u64 = 100;
/// Found objects that are kept besides those of the page before the worst are let go.
const KEPT_BESIDES: usize = 64;
/// Bytes of `q`.
const TEXT_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Table,
    Column,
    Schema,
    Asset,
    Job,
    Pipeline,
}

const KINDS: [(&str, Kind); 6] = [
    ("table", Kind::Table),
    ("column", Kind::Column),
    ("schema", Kind::Schema),
    ("asset", Kind::Asset),
    ("job", Kind::Job),
    ("pipeline", Kind::Pipeline),
];

/// An object that matched.
#[derive(Debug)]
struct Found {
    kind: Kind,
    id: String,
    name: String,
    path: String,
    matched: Vec<(Part, String)>,
    score: f64,
}

impl Found {
    /// Best first; those that are as good by name.
    fn order(&self) -> (u64, &str, Kind, &str) {
        // Scores are positive: their bits are ordered as they are.
        (u64::MAX - self.score.to_bits(), &self.name, self.kind, &self.id)
    }

    fn cursor(&self) -> String {
        let (score, name, kind, id) = self.order();
        BASE64_URL_SAFE_NO_PAD.encode(json!([score, name, kind_name(kind), id]).to_string())
    }

    fn shown(&self) -> Value {
        let matched: Vec<Value> =
            self.matched.iter().map(|(part, text)| json!({"field": part.shown(), "text": text})).collect();
        json!({
            "type": kind_name(self.kind), "id": self.id, "name": self.name, "path": self.path,
            "matched": matched, "score": self.score,
        })
    }
}

fn kind_name(kind: Kind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name)
}

/// What the caller may see and what holds all words of `q`, the last as a beginning; best first.
#[utoipa::path(
    get, path = "/api/v1/search", tag = "databases",
    params(
        ("q" = String, Query),
        ("types" = Option<String>, Query, description = "a comma list of table, column, schema, asset, job, pipeline"),
        ("limit" = Option<u64>, Query, description = "20 without it, 100 at most"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "`results`, and `next_cursor` if there are more", body = Object),
        (status = 400, description = "no word to look for, or a type that there is not"),
    )
)]
pub(super) async fn search(State(app): State<App>, call: Call) -> Result<Json<Value>, Problem> {
    call.require_somewhere(Privilege::Use)?;
    call.parameters.only(&["q", "types", "limit", "cursor", "u", "p"])?;
    let text = call.parameters.first(&["q"]).unwrap_or_default();
    if text.len() > TEXT_MAX {
        return Err(Problem::bad_request(format!("q has {} bytes, {TEXT_MAX} are allowed", text.len())));
    }
    let wanted = Wanted::of(text)
        .ok_or_else(|| Problem::bad_request("q must hold a word of two letters or digits at least"))?;
    let kinds = kinds(call.parameters.first(&["types"]))?;
    let limit = call.parameters.number("limit")?.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit must be 1 to {LIMIT_MAX}, got {limit}")));
    }
    let after = call.parameters.first(&["cursor"]).map(place).transpose()?;

    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut search = Search { wanted, kinds, after, limit, found: Vec::new(), worst: None };
    search.tables(&app, &call).await?;
    search.others(&app, &call).await?;
    let mut found = search.found;
    found.sort_by(|a, b| a.order().cmp(&b.order()));
    let next = (found.len() > limit).then(|| found[limit - 1].cursor());
    let results: Vec<Value> = found.iter().take(limit).map(Found::shown).collect();
    Ok(Json(json!({"results": results, "next_cursor": next})))
}

fn kinds(text: Option<&str>) -> Result<Vec<Kind>, Problem> {
    let Some(text) = text else { return Ok(KINDS.map(|(_, kind)| kind).to_vec()) };
    let kind = |name: &str| {
        let known = KINDS.iter().find(|(known, _)| *known == name.trim());
        known.map(|(_, kind)| *kind).ok_or_else(|| {
            let known = KINDS.map(|(name, _)| name).join(", ");
            Problem::bad_request(format!("unknown type {name:?}: expected {known}"))
        })
    };
    text.split(',').map(kind).collect()
}

/// The place that a cursor names.
fn place(cursor: &str) -> Result<(u64, String, Kind, String), Problem> {
    let read = || {
        let text = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (score, name, kind, id): (u64, String, String, String) = serde_json::from_slice(&text).ok()?;
        let (_, kind) = KINDS.iter().find(|(known, _)| *known == kind)?;
        Some((score, name, *kind, id))
    };
    read().ok_or_else(|| Problem::bad_request("cursor is not one of this search"))
}

struct Search {
    wanted: Wanted,
    kinds: Vec<Kind>,
    /// What is found stands behind this place.
    after: Option<(u64, String, Kind, String)>,
    limit: usize,
    /// The best so far, and some more.
    found: Vec<Found>,
    /// Once there are enough: score and name behind which nothing is of the page.
    worst: Option<(u64, String)>,
}

impl Search {
    fn wants(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Keeps the object if it may be of the page. Of what does not match nothing is made but the comparison.
    fn look(
        &mut self,
        kind: Kind,
        id: impl FnOnce() -> String,
        path: impl FnOnce() -> String,
        parts: &[(Part, &str)],
    ) {
        let Some((score, matched)) = self.wanted.score(parts) else { return };
        let name = parts.first().map_or("", |(_, name)| *name);
        let rank = (u64::MAX - score.to_bits(), name);
        if self.worst.as_ref().is_some_and(|(score, name)| rank > (*score, name.as_str())) {
            return;
        }
        let matched = matched.into_iter().map(|(part, text)| (part, text.to_owned())).collect();
        let found = Found { kind, id: id(), name: name.to_owned(), path: path(), matched, score };
        if let Some((score, name, kind, id)) = &self.after
            && found.order() <= (*score, name.as_str(), *kind, id.as_str())
        {
            return;
        }
        self.found.push(found);
        if self.found.len() > 2 * self.limit + KEPT_BESIDES {
            self.found.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
            self.found.truncate(self.limit + 1);
            self.worst = self.found.last().map(|last| (last.order().0, last.name.clone()));
        }
    }

    /// Schemas, tables, views and their columns that the caller may know of.
    async fn tables(&mut self, app: &App, call: &Call) -> Result<(), Problem> {
        let (names, _) = names(app.services()?, call).await?;
        for (name, (schema, tables)) in &names.schemas {
            if self.wants(Kind::Schema) && call.identity.allows(Privilege::Use, name, None) {
                let part = [(Part::Name, name.as_str())];
                self.look(Kind::Schema, || schema.uuid.to_string(), || name.clone(), &part);
            }
            for table in tables.values().filter(|table| !is_hidden(table)) {
                if call.identity.allows(Privilege::Use, name, Some(&table.name)) {
                    self.table(table);
                }
            }
        }
        Ok(())
    }

    fn table(&mut self, table: &TableDef) {
        let uuid = table.uuid;
        if self.wants(Kind::Table) {
            let labels = labels(table);
            let mut parts = vec![(Part::Name, table.name.as_str())];
            parts.extend(table.schema.fields.iter().map(|field| (Part::Column, field.name.as_str())));
            parts.extend(table.comment.iter().map(|comment| (Part::Description, comment.as_str())));
            parts.extend(labels.iter().map(|label| (Part::Label, label.as_str())));
            self.look(Kind::Table, || uuid.to_string(), || table.full_name(), &parts);
        }
        if self.wants(Kind::Column) {
            for field in &table.schema.fields {
                let comment = field.comment.as_deref().unwrap_or_default();
                let parts = [(Part::Name, field.name.as_str()), (Part::Description, comment)];
                self.look(
                    Kind::Column,
                    || format!("{uuid}/{}", field.id),
                    || format!("{}.{}", table.full_name(), field.name),
                    &parts,
                );
            }
        }
    }

    /// An asset has the name, the labels and the readers of its table.
    fn asset(&mut self, asset: &Asset, table: &TableDef) {
        let labels = labels(table);
        let mut parts = vec![(Part::Name, table.name.as_str())];
        parts.extend(asset.spec.description.iter().map(|text| (Part::Description, text.as_str())));
        parts.extend(labels.iter().map(|label| (Part::Label, label.as_str())));
        self.look(Kind::Asset, || asset.id.to_string(), || table.full_name(), &parts);
    }

    /// Assets, jobs and pipelines that the caller may know of.
    async fn others(&mut self, app: &App, call: &Call) -> Result<(), Problem> {
        let services = app.services()?;
        if self.wants(Kind::Asset) {
            let scope = &call.identity.scope;
            let assets = services.catalog.assets(scope).await?;
            let names = services.catalog.tables_by_id(scope, services.catalog.head(scope).await?.txn).await?;
            for asset in &assets {
                let table = names.table_by_id(asset.table);
                if let Some(table) = table.filter(|table| table.is_known_to(&call.identity)) {
                    self.asset(asset, table);
                }
            }
        }
        if self.wants(Kind::Job) {
            let jobs = services.catalog.jobs(&call.identity.scope).await?;
            for job in jobs.iter().filter(|job| knows(call, job)) {
                let part = [(Part::Name, job.name.as_str())];
                self.look(Kind::Job, || job.id.to_string(), || job.name.clone(), &part);
            }
        }
        if self.wants(Kind::Pipeline) {
            let session = services.engine.open_session(call.identity.clone(), call.session(None)).await;
            let pipelines = match session {
                Ok(session) => session.pipelines().await,
                Err(error) => Err(error),
            };
            match pipelines {
                Ok(pipelines) => pipelines.iter().for_each(|pipeline| self.pipeline(pipeline)),
                // A node without pipelines has none.
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                Err(error) => return Err(Problem::of(&error)),
            }
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        let labels = pipeline.options.iter().filter(|(option, _)| option.starts_with(LABEL));
        let labels: Vec<String> =
            labels.map(|(option, value)| format!("{} {value}", &option[LABEL.len()..])).collect();
        let mut parts = vec![(Part::Name, pipeline.name.as_str())];
        parts.extend(labels.iter().map(|label| (Part::Label, label.as_str())));
        self.look(Kind::Pipeline, || pipeline.id.to_string(), || pipeline.full_name(), &parts);
    }
}

fn labels(table: &TableDef) -> Vec<String> {
    table.labels().map(|(label, value)| format!("{label} {value}")).collect()
}

/// The table with the rows of a materialized view: the view stands for it.
fn is_hidden(table: &TableDef) -> bool {
    table.kind == TableKind::Table && table.materialized().is_some()
}

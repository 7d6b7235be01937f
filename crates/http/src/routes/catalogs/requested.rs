//! Bodies of these paths: what is to be made, and what is to be changed.

use std::collections::BTreeMap;

use axum::body::Body;
use cenote_catalog::LABEL;
use cenote_query::{ColumnPlace, ColumnSpec, DefaultSpec, TableEdit, TableSpec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::body;
use crate::problem::Problem;
use crate::routes::flow::snake;

/// Bytes of a body (`catalog_body_max`).
const BODY_MAX: u64 = 4 << 20;
/// Changes of columns in one request (`column_changes_max`).
const COLUMN_CHANGES_MAX: usize = 2_000;

/// The body with names of members in snake_case; one without a byte is an empty object.
pub(super) async fn read(body: Body) -> Result<Value, Problem> {
    let bytes = body::read(body, BODY_MAX, "catalog_body_max").await?;
    match bytes.is_empty() {
        true => Ok(Value::Object(Map::new())),
        false => snake(serde_json::from_slice(&bytes).map_err(|error| invalid(&error))?),
    }
}

/// The body as what it should be.
pub(super) fn understood<T: DeserializeOwned>(body: &Value) -> Result<T, Problem> {
    T::deserialize(body).map_err(|error| invalid(&error))
}

fn invalid(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!("invalid JSON: {error}"))
}

/// A schema to be, or changes of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaBody {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    properties: BTreeMap<String, Value>,
    #[serde(default)]
    description: Option<Value>,
    #[serde(default)]
    owner: Option<Value>,
}

impl SchemaBody {
    /// Options that are set; `None`: the option goes. 501 for what schemas do not have yet.
    pub(super) fn properties(&self) -> Result<BTreeMap<String, Option<String>>, Problem> {
        if self.description.is_some() {
            return Err(Problem::not_built("the description of a schema"));
        }
        if self.owner.is_some() {
            return Err(owner());
        }
        properties(&self.properties)
    }
}

/// A table to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTable {
    pub(super) name: String,
    columns: Vec<NewColumn>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    location: Option<Value>,
    #[serde(default)]
    owner: Option<Value>,
    #[serde(default)]
    properties: BTreeMap<String, Value>,
    #[serde(default)]
    labels: BTreeMap<String, Value>,
    #[serde(default)]
    partition_by: Vec<String>,
    #[serde(default)]
    sort_by: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewColumn {
    name: String,
    data_type: String,
    #[serde(default = "yes")]
    nullable: bool,
    #[serde(default)]
    default: Option<Value>,
    #[serde(default)]
    description: Option<String>,
}

fn yes() -> bool {
    true
}

impl NewTable {
    /// What the statement is made of. 501 for what tables do not have yet.
    pub(super) fn spec(&self) -> Result<TableSpec, Problem> {
        if self.location.is_some() {
            return Err(Problem::not_built("choosing the location of a table"));
        }
        if self.owner.is_some() {
            return Err(owner());
        }
        let given = properties(&self.properties)?.into_iter().chain(labels(&self.labels)?);
        let mut properties: BTreeMap<String, String> =
            given.filter_map(|(name, value)| Some((name, value?))).collect();
        if let Some(format) = &self.format
            && properties.insert("format".into(), format.clone()).is_some_and(|other| other != *format)
        {
            return Err(Problem::bad_request("format is given twice"));
        }
        Ok(TableSpec {
            columns: self.columns.iter().map(NewColumn::spec).collect::<Result<_, _>>()?,
            partition_by: self.partition_by.clone(),
            sort_by: self.sort_by.clone(),
            properties,
            description: self.description.clone(),
        })
    }
}

impl NewColumn {
    fn spec(&self) -> Result<ColumnSpec, Problem> {
        Ok(ColumnSpec {
            name: self.name.clone(),
            data_type: self.data_type.clone(),
            nullable: self.nullable,
            default: default(self.default.as_ref())?,
            description: self.description.clone(),
        })
    }
}

/// Changes of a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableChanges {
    #[serde(default)]
    pub(super) name: Option<String>,
    /// `null` takes it off.
    #[serde(default, deserialize_with = "given")]
    description: Option<Option<String>>,
    #[serde(default)]
    owner: Option<Value>,
    #[serde(default)]
    labels: BTreeMap<String, Value>,
    #[serde(default)]
    properties: BTreeMap<String, Value>,
    #[serde(default)]
    columns: Vec<ColumnChange>,
}

/// `null` is something that was said.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum ColumnChange {
    Add {
        name: Path,
        data_type: String,
        #[serde(default = "yes")]
        nullable: bool,
        #[serde(default)]
        default: Option<Value>,
        #[serde(default)]
        description: Option<String>,
        #[serde(default)]
        position: Option<Position>,
    },
    Rename {
        name: Path,
        to: String,
    },
    Drop {
        name: Path,
    },
    #[serde(alias = "alterType")]
    AlterType {
        name: Path,
        data_type: String,
    },
    #[serde(alias = "setNullable")]
    SetNullable {
        name: Path,
        nullable: bool,
    },
    Move {
        name: Path,
        position: Position,
    },
    Comment {
        name: Path,
        description: Option<String>,
    },
}

/// A column, or a field in struct columns from the outermost.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Path {
    Name(String),
    Names(Vec<String>),
}

impl Path {
    fn names(&self) -> Vec<String> {
        match self {
            Self::Name(name) => vec![name.clone()],
            Self::Names(names) => names.clone(),
        }
    }
}

/// `"first"`, `"last"`, `{"after": "c"}`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Position {
    First,
    Last,
    After(String),
}

impl Position {
    fn place(&self) -> ColumnPlace {
        match self {
            Self::First => ColumnPlace::First,
            Self::Last => ColumnPlace::Last,
            Self::After(name) => ColumnPlace::After(name.clone()),
        }
    }
}

impl TableChanges {
    /// The changes in the order in which they are made: columns as they are listed, then the table, its name last.
    pub(super) fn edits(&self) -> Result<Vec<TableEdit>, Problem> {
        if self.owner.is_some() {
            return Err(owner());
        }
        if self.columns.len() > COLUMN_CHANGES_MAX {
            let text = format!("columns has more than {COLUMN_CHANGES_MAX} changes (column_changes_max)");
            return Err(Problem::bad_request(text));
        }
        let mut edits = self.columns.iter().map(ColumnChange::edit).collect::<Result<Vec<_>, _>>()?;
        edits.extend(self.description.clone().map(TableEdit::Describe));
        let options: BTreeMap<_, _> =
            properties(&self.properties)?.into_iter().chain(labels(&self.labels)?).collect();
        if !options.is_empty() {
            edits.push(TableEdit::SetProperties(options));
        }
        edits.extend(self.name.clone().map(TableEdit::Rename));
        Ok(edits)
    }
}

impl ColumnChange {
    fn edit(&self) -> Result<TableEdit, Problem> {
        Ok(match self {
            Self::Add { name, data_type, nullable, default: value, description, position } => {
                let mut parent = name.names();
                let name = parent.pop().unwrap_or_default();
                let column = ColumnSpec {
                    name,
                    data_type: data_type.clone(),
                    nullable: *nullable,
                    default: default(value.as_ref())?,
                    description: description.clone(),
                };
                let place = position.as_ref().map(Position::place).unwrap_or_default();
                TableEdit::AddColumn { parent, column, place }
            }
            Self::Rename { name, to } => TableEdit::RenameColumn { path: name.names(), to: to.clone() },
            Self::Drop { name } => TableEdit::DropColumn(name.names()),
            Self::AlterType { name, data_type } => {
                TableEdit::AlterType { path: name.names(), data_type: data_type.clone() }
            }
            Self::SetNullable { name, nullable } => {
                TableEdit::SetNullable { path: name.names(), nullable: *nullable }
            }
            Self::Move { name, position } => {
                TableEdit::MoveColumn { path: name.names(), place: position.place() }
            }
            Self::Comment { name, description } => {
                TableEdit::DescribeColumn { path: name.names(), description: description.clone() }
            }
        })
    }
}

/// A value, or `{"function": "now" | "uuid"}`.
fn default(value: Option<&Value>) -> Result<Option<DefaultSpec>, Problem> {
    let Some(value) = value else { return Ok(None) };
    if let Value::Object(members) = value {
        let function = members.get("function").and_then(Value::as_str).filter(|_| members.len() == 1);
        return match function {
            Some("now") => Ok(Some(DefaultSpec::Now)),
            Some("uuid") => Ok(Some(DefaultSpec::Uuid)),
            _ => Err(Problem::bad_request(
                "default is a value, or {\"function\": \"now\"}, or {\"function\": \"uuid\"}",
            )),
        };
    }
    Ok(scalar("default", value)?.map(DefaultSpec::Literal))
}

/// What names options: as SQL folds it, so that both mean the same.
fn properties(given: &BTreeMap<String, Value>) -> Result<BTreeMap<String, Option<String>>, Problem> {
    let property = |(name, value): (&String, &Value)| {
        if name.starts_with(LABEL) {
            return Err(Problem::bad_request(format!("property {name}: labels stand in labels")));
        }
        Ok((folded("property", name)?, scalar(name, value)?))
    };
    given.iter().map(property).collect()
}

fn labels(given: &BTreeMap<String, Value>) -> Result<BTreeMap<String, Option<String>>, Problem> {
    let label = |(name, value): (&String, &Value)| {
        Ok((format!("{LABEL}{}", folded("label", name)?), scalar(name, value)?))
    };
    given.iter().map(label).collect()
}

fn folded(what: &str, name: &str) -> Result<String, Problem> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
    match (1..=128).contains(&name.len()) && name.bytes().all(is_plain) {
        true => Ok(name.to_owned()),
        false => Err(Problem::bad_request(format!(
            "{what} {name:?}: a name has 1 to 128 of a-z, 0-9, \".\", \"_\", \"-\", \"/\""
        ))),
    }
}

/// A text, a number or a boolean as text; `null` is nothing.
fn scalar(name: &str, value: &Value) -> Result<Option<String>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok(Some(value.to_string())),
        other => Err(Problem::bad_request(format!("{name} is a text, a number or a boolean, got {other}"))),
    }
}

fn owner() -> Problem {
    Problem::not_built("changing the owner by path").hinted("grant MANAGE on the object instead")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edits(body: Value) -> Result<Vec<String>, String> {
        let changes: TableChanges = understood(&body).map_err(|problem| problem.text)?;
        let edits = changes.edits().map_err(|problem| problem.text)?;
        Ok(edits
            .iter()
            .map(|edit| format!("{edit:?}").split(['(', ' ', '{']).next().unwrap_or("").to_owned())
            .collect())
    }

    #[test]
    fn changes_are_made_in_one_order_and_null_is_something_that_was_said() {
        let body = json!({
            "name": "cpus", "description": null, "labels": {"team": "core"}, "properties": {"dedup": null},
            "columns": [{"op": "add", "name": "a", "data_type": "INT", "position": {"after": "b"}},
                {"op": "alterType", "name": ["s", "x"], "data_type": "BIGINT"}, {"op": "comment", "name": "b", "description": null}],
        });
        let wanted = ["AddColumn", "AlterType", "DescribeColumn", "Describe", "SetProperties", "Rename"];
        assert_eq!(edits(body).expect("changes"), wanted);
        assert_eq!(edits(json!({})).expect("none"), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (body, wanted) in [
            (json!({"names": "x"}), "unknown field"),
            (json!({"columns": [{"op": "erase", "name": "a"}]}), "unknown variant"),
            (json!({"columns": [{"op": "drop", "name": "a", "to": "b"}]}), "unknown field"),
            (json!({"columns": [{"op": "add", "name": "a"}]}), "data_type"),
            (json!({"properties": {"label.x": "y"}}), "labels stand in labels"),
            (json!({"properties": {"Dedup": "last"}}), "a name has"),
            (json!({"labels": {"team": ["a"]}}), "a text, a number or a boolean"),
            (
                json!({"columns": [{"op": "add", "name": "a", "data_type": "INT", "default": {"function": "drop"}}]}),
                "default is",
            ),
            (json!({"owner": "ada"}), "owner"),
        ] {
            let told = edits(body.clone()).expect_err("refused");
            assert!(told.contains(wanted), "{body}: {told}");
        }
    }
}

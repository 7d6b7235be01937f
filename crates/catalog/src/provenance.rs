//! What a version of a table was made of, commit by commit: exact facts, no graph of what usually happens.
//!
//! ```text
//! (table, version) ─► the commit that made it ─ inputs ─► (table, version) ─► the commit that made that ─► …
//! ```

use std::collections::BTreeSet;

use cenote_vocab::{Scope, TableId, Txn};

use crate::inner::Inner;
use crate::reading::check_scope;
use crate::sql::history;
use crate::{Error, Input, TransactionFacts};

/// Commits on the way back from a version of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provenance {
    /// By hop; the one that made the version itself is the first.
    pub commits: Vec<ProvenanceCommit>,
    /// True if there were more than so many.
    pub truncated: bool,
}

/// A commit that changed the rows of a table, and what it read.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvenanceCommit {
    /// How many steps back, from 1.
    pub hop: u32,
    /// The table.
    pub table: TableId,
    /// What the commit said of itself.
    pub facts: TransactionFacts,
    /// What it read.
    pub inputs: Vec<ProvenanceInput>,
}

/// Something that a commit read.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvenanceInput {
    /// As the commit said it.
    pub input: Input,
    /// The table and the version, if it is one.
    pub version: Option<(TableId, Txn)>,
    /// The commit that made that version; `None` if it is no table, or its history is not kept so far back.
    pub made_by: Option<Txn>,
}

/// Breadth first from a version, at most `depth` steps back and over at most `commits_max` commits; each commit of a table once, so a
/// cycle of tables ends.
pub(crate) async fn provenance(
    inner: &Inner,
    scope: &Scope,
    (table, at): (TableId, Txn),
    depth: u32,
    commits_max: usize,
) -> Result<Provenance, Error> {
    check_scope(scope, table)?;
    let mut found = Provenance::default();
    let Some(first) = made_by(inner, table, at).await? else { return Ok(found) };
    let mut visited = BTreeSet::from([(table, first)]);
    let mut level = vec![(table, first)];
    for hop in 1..=depth {
        let mut next = Vec::new();
        for (table, txn) in level {
            let facts = history::facts(&inner.database, scope.catalog(), txn).await?;
            let facts = facts.ok_or_else(|| Error::Corrupt(format!("transaction {txn} has no row")))?;
            let mut inputs = Vec::with_capacity(facts.inputs.len());
            for input in &facts.inputs {
                // What becomes of a table's own rows is told by its history.
                let version =
                    version(input).filter(|(input, _)| *input != table && input.catalog() == scope.catalog());
                let made_by = match version {
                    Some((table, at)) => made_by(inner, table, at).await?,
                    None => None,
                };
                if let (Some((table, _)), Some(txn)) = (version, made_by)
                    && !visited.contains(&(table, txn))
                {
                    if visited.len() >= commits_max {
                        found.truncated = true;
                    } else {
                        visited.insert((table, txn));
                        next.push((table, txn));
                    }
                }
                inputs.push(ProvenanceInput { input: input.clone(), version, made_by });
            }
            found.commits.push(ProvenanceCommit { hop, table, facts, inputs });
        }
        if next.is_empty() {
            break;
        }
        level = next;
    }
    Ok(found)
}

/// The newest commit that changed the rows of a table up to a version.
async fn made_by(inner: &Inner, table: TableId, at: Txn) -> Result<Option<Txn>, Error> {
    let newest = history::row_changes(&inner.database, table, (Txn(0), at), 1).await?;
    Ok(newest.first().map(|(txn, _)| *txn))
}

/// The version of a table that an input is. A range ends at a version, or inside of a transaction: then at that one.
fn version(input: &Input) -> Option<(TableId, Txn)> {
    let to = input.to.as_deref()?;
    let txn = to.split(':').next()?.parse().ok()?;
    Some((TableId(input.node.parse().ok()?), Txn(txn)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_a_version_of_a_table_or_something_else() {
        let read = |node: &str, to: Option<&str>| {
            version(&Input { node: node.to_owned(), from: None, to: to.map(str::to_owned) })
        };
        assert_eq!(read("12", Some("7")), Some((TableId(12), Txn(7))));
        assert_eq!(read("12", Some("7:3:1")), Some((TableId(12), Txn(7))), "a place inside of it");
        assert_eq!(read("12", None), None);
        assert_eq!(read("ingest:http", Some("7")), None);
        assert_eq!(read("ext:kafka://host/topic", Some("0:9")), None);
    }
}

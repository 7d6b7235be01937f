//! Nodes of lineage as a caller may see them.

use std::collections::BTreeMap;

use cenote_catalog::{TablesById, node_name};

use crate::call::Call;

/// The nodes of one answer.
pub(super) struct Nodes<'a> {
    pub(super) tables: &'a TablesById,
    call: &'a Call,
    /// Opaque ids of nodes without a name.
    hidden: BTreeMap<String, String>,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(tables: &'a TablesById, call: &'a Call) -> Self {
        Self { tables, call, hidden: BTreeMap::new() }
    }

    /// Its id and name; a node that the caller may not read has an id of this answer, and no name.
    pub(super) fn id(&mut self, node: &str) -> (String, Option<String>) {
        match node_name(self.tables, &self.call.identity, node) {
            Some(name) => (node.to_owned(), Some(name)),
            None => {
                let next = format!("hidden-{}", self.hidden.len() + 1);
                (self.hidden.entry(node.to_owned()).or_insert(next).clone(), None)
            }
        }
    }
}

//! The end of a commit: what changed is compared with what was, and becomes rows.

use std::collections::{BTreeSet, HashMap, HashSet};

use cenote_vocab::{FieldId, LIVE, SchemaId, TableId, TableSchema};

use super::step::Step;
use super::writes::{CURRENT_NO, FieldRow, FlatField, SchemaRow, TableRow};
use crate::Names;

impl Step<'_> {
    /// Gives sequence numbers and last transactions to the tables that were changed.
    pub(super) fn settle_tallies(&mut self) {
        for (table, mut tally) in std::mem::take(&mut self.tallies) {
            let work = self.world.table_mut(table);
            work.state.table_seq = tally.seq;
            work.state.last_txn = self.txn;
            if tally.data_change {
                work.last_data_txn = Some(self.txn);
            }
            tally.schema_no = work.def.as_ref().map_or(tally.schema_no, |def| def.schema.no);
            self.writes.tallies.push(tally);
        }
    }

    /// Compares the definitions before and after the commit and writes the difference.
    pub(super) fn settle_definitions(&mut self) {
        for (table, before) in std::mem::take(&mut self.before) {
            let after = self.world.def(table).cloned();
            if before == after {
                continue;
            }
            self.tell_table(before.as_ref(), after.as_ref());
            if before.is_some() {
                self.writes.table_ends.push((table, self.txn));
            }
            let Some(after) = after else { continue };
            if self.undropped.contains(&table) {
                self.writes.tables.push(TableRow { def: after, end: LIVE });
                continue;
            }
            let schema_before = before.as_ref().map(|def| def.schema.clone()).unwrap_or_default();
            self.write_fields(table, &schema_before, &after.schema);
            if after.spec.no > 0 && before.as_ref().is_none_or(|before| before.spec != after.spec) {
                self.writes.specs.push((table, after.spec.clone()));
            }
            if after.sort.no > 0 && before.as_ref().is_none_or(|before| before.sort != after.sort) {
                self.writes.sorts.push((table, after.sort.clone()));
            }
            self.writes.tables.push(TableRow { def: after, end: LIVE });
        }
    }

    fn write_fields(&mut self, table: TableId, before: &TableSchema, after: &TableSchema) {
        if before.no == after.no {
            return;
        }
        self.writes.table_schemas.push((table, after.no, self.txn));
        let (old, new) = (FlatField::all(before), FlatField::all(after));
        let old: HashMap<FieldId, FlatField> = old.into_iter().map(|field| (field.id, field)).collect();
        let ids: HashSet<FieldId> = new.iter().map(|field| field.id).collect();
        let gone = old.keys().filter(|id| !ids.contains(id)).copied();
        let changed = new.iter().filter(|field| old.get(&field.id).is_some_and(|old| old != *field));
        let ends = gone.chain(changed.map(|field| field.id)).map(|id| (table, id, after.no));
        self.writes.field_ends.extend(ends);
        let fresh = new.into_iter().filter(|field| old.get(&field.id) != Some(field));
        let (begin_no, end_no) = (after.no, CURRENT_NO);
        self.writes.fields.extend(fresh.map(|field| FieldRow { table, begin_no, end_no, field }));
    }

    pub(super) fn settle_schemas(&mut self) {
        let find = |names: &Names, id: SchemaId| {
            names.schemas.values().find(|(schema, _)| schema.id == id).map(|(schema, _)| schema.clone())
        };
        let mut changed = BTreeSet::new();
        for id in std::mem::take(&mut self.schemas_touched) {
            let (before, after) = (find(&self.names_before, id), find(&self.world.names, id));
            if before == after {
                continue;
            }
            changed.insert(id);
            self.tell_schema(before.as_ref(), after.as_ref());
            if before.is_some() {
                self.writes.schema_ends.push((id, self.txn));
            }
            if let Some(after) = after {
                self.writes.schemas.push(SchemaRow { schema: after, begin: self.txn, end: LIVE });
            }
        }
        self.schemas_touched = changed;
    }
}

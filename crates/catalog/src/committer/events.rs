//! What a commit tells of the objects that it changed.

use std::sync::Arc;

use cenote_vocab::Txn;
use serde_json::{Value, json};
use uuid::Uuid;

use super::step::Step;
use super::writes::EventRow;
use crate::{AccessChange, Cancel, FlowChange, SchemaDef, TableDef, TableKind, TaskEnd, TaskOutcome};

impl Step<'_> {
    /// Tells what became of a table or view.
    pub(super) fn tell_table(&mut self, before: Option<&Arc<TableDef>>, after: Option<&Arc<TableDef>>) {
        let undropped = after.is_some_and(|def| self.undropped.contains(&def.id));
        let (Some(def), told) = (after.or(before), table_verbs(before, after, undropped)) else { return };
        let object_type = match def.kind {
            TableKind::View { .. } => "view",
            _ => "table",
        };
        for (kind, payload) in told {
            self.tell(EventRow {
                kind,
                object_type,
                object_id: def.id.to_string(),
                schema: Some(def.schema_name.clone()),
                name: Some(def.name.clone()),
                payload,
                ..EventRow::default()
            });
        }
    }

    /// Tells what became of a schema.
    pub(super) fn tell_schema(&mut self, before: Option<&SchemaDef>, after: Option<&SchemaDef>) {
        let kind = match (before, after) {
            (None, _) => "schema.created",
            (_, None) => "schema.dropped",
            _ => "schema.altered",
        };
        let Some(schema) = after.or(before) else { return };
        self.tell(EventRow {
            kind,
            object_type: "schema",
            object_id: schema.id.0.to_string(),
            schema: Some(schema.name.clone()),
            ..EventRow::default()
        });
    }

    /// Tells what the commit says of assets and runs.
    pub(super) fn tell_flow(&mut self) {
        let changes: Vec<FlowChange> = self.writes.flow.iter().map(|(_, change)| change.clone()).collect();
        for change in &changes {
            self.tell_flow_change(change);
        }
    }

    fn tell_flow_change(&mut self, change: &FlowChange) {
        let event = match change {
            FlowChange::PutAsset(asset) => {
                let def = self.world.def(asset.table);
                let kind = if asset.version <= 1 { "asset.created" } else { "asset.altered" };
                EventRow {
                    schema: def.map(|def| def.schema_name.clone()),
                    name: def.map(|def| def.name.clone()),
                    ..event_of("asset", kind, asset.id, json!({"table_id": asset.table.to_string()}))
                }
            }
            FlowChange::PauseAsset { asset, paused, .. } => {
                event_of("asset", if *paused { "asset.paused" } else { "asset.resumed" }, *asset, Value::Null)
            }
            FlowChange::DropAsset(asset) => event_of("asset", "asset.dropped", *asset, Value::Null),
            FlowChange::PutCheck(check) => EventRow {
                name: Some(check.name.clone()),
                ..event_of("check", "check.created", check.id, json!({"table_id": check.table.to_string()}))
            },
            FlowChange::DropCheck(check) => event_of("check", "check.dropped", *check, Value::Null),
            FlowChange::CreateRun(run) => {
                if let Some(tick) = &run.tick {
                    self.tell(event_of("trigger", "trigger.fired", tick.trigger, json!({"run_id": run.id})));
                }
                event_of("run", "run.created", run.id, json!({"cause": run.cause, "tasks": run.tasks.len()}))
            }
            // Only its time was noted.
            FlowChange::Tick(tick) if tick.key.is_empty() => return,
            FlowChange::Tick(tick) => {
                let reason = json!({"status": tick.status, "reason": tick.reason});
                event_of("trigger", "trigger.skipped", tick.trigger, reason)
            }
            FlowChange::EndTask(end) => {
                for check in end.checks.iter().filter(|check| !check.passed) {
                    let payload = json!({"run_id": end.run, "severity": check.severity.name()});
                    let failed = event_of("check", "check.failed", check.check, payload);
                    self.tell(EventRow { name: Some(check.name.clone()), ..failed });
                }
                task_finished(end)
            }
            FlowChange::CancelRun { run, reason, why } => run_cancelled(*run, reason, *why),
            FlowChange::PauseRun { run, paused } => {
                event_of("run", if *paused { "run.paused" } else { "run.resumed" }, *run, Value::Null)
            }
        };
        self.tell(event);
    }

    /// Tells whose rights the commit changes; which they are now is asked elsewhere, by who may know it.
    pub(super) fn tell_access(&mut self) {
        let changes: Vec<AccessChange> =
            self.writes.access.iter().map(|(_, change)| change.clone()).collect();
        for change in &changes {
            let (kind, object_type, object_id) = match change {
                AccessChange::CreateRole(name) => ("role.created", "role", name.clone()),
                AccessChange::DropRole(name) => ("role.dropped", "role", name.clone()),
                AccessChange::AddMember { member, .. } | AccessChange::RemoveMember { member, .. } => {
                    ("grant.changed", "grant", member.stored())
                }
                AccessChange::Grant(grant) | AccessChange::Revoke(grant) => {
                    ("grant.changed", "grant", grant.principal.stored())
                }
                // With the object that it made.
                AccessChange::Own(_) => continue,
            };
            self.tell(EventRow { kind, object_type, object_id, ..EventRow::default() });
        }
    }

    /// Tells what became of tenants, by their UUIDs: whoever reads the feed of the operating tenant need not know their names.
    pub(super) fn tell_tenants(&mut self) {
        let changes: Vec<(&'static str, Uuid)> =
            self.writes.tenants.iter().map(|(_, change)| (change.event(), change.tenant())).collect();
        for (kind, tenant) in changes {
            self.tell(event_of("tenant", kind, tenant, Value::Null));
        }
    }

    fn tell(&mut self, event: EventRow) {
        self.writes.events.push(EventRow { txn: self.txn, ..event });
    }

    /// Schemas come before what is in them and go after it; the rest in the order in which it was told.
    pub(super) fn settle_events(&mut self) {
        let rank = |event: &EventRow| match (event.object_type, event.kind) {
            ("schema", "schema.dropped") => 3,
            ("schema", _) => 0,
            ("table" | "view", _) => 1,
            _ => 2,
        };
        self.writes.events.sort_by_key(rank);
        for (event, n) in self.writes.events.iter_mut().zip(0_i64..) {
            event.n = n;
        }
    }
}

/// Puts events of a transaction behind those that it told already. Commits of rows come after all of them.
pub(super) fn tell_behind(events: &mut Vec<EventRow>, txn: Txn, told: Vec<EventRow>) {
    let told_already = events.iter().filter(|event| event.txn == txn).map(|event| event.n + 1);
    let first = told_already.max().unwrap_or(0);
    events.extend((first..).zip(told).map(|(n, event)| EventRow { txn, n, ..event }));
}

pub(crate) fn task_finished(end: &TaskEnd) -> EventRow {
    let payload = json!({
        "run_id": end.run,
        "task_key": end.key,
        "asset_id": end.asset,
        "outcome": outcome(&end.outcome),
    });
    event_of("task", "task.finished", end.task, payload)
}

/// Somebody, a check or its deadline ends a run; what runs of it may not have ended yet.
pub(crate) fn run_cancelled(run: Uuid, reason: &str, why: Cancel) -> EventRow {
    let kind = match why {
        Cancel::Asked => "run.cancelled",
        Cancel::TimedOut => "run.timed_out",
    };
    event_of("run", kind, run, json!({ "reason": reason }))
}

/// All tasks of a run are at their ends.
pub(crate) fn run_finished(run: Uuid, state: &str) -> EventRow {
    event_of("run", "run.finished", run, json!({ "state": state }))
}

/// Kinds, each with what more is to be said.
fn table_verbs(
    before: Option<&Arc<TableDef>>,
    after: Option<&Arc<TableDef>>,
    undropped: bool,
) -> Vec<(&'static str, Option<Value>)> {
    let (Some(old), Some(new)) = (before, after) else {
        let payload = undropped.then(|| json!({"undropped": true}));
        return vec![(if before.is_none() { "table.created" } else { "table.dropped" }, payload)];
    };
    let mut told = Vec::new();
    if (old.schema_id, &old.name) != (new.schema_id, &new.name) {
        told.push(("table.renamed", Some(json!({"from": {"schema": old.schema_name, "name": old.name}}))));
    }
    let same_but_name = TableDef {
        schema_id: new.schema_id,
        schema_name: new.schema_name.clone(),
        name: new.name.clone(),
        begin_txn: new.begin_txn,
        ..(**old).clone()
    };
    if same_but_name != **new {
        told.push(("table.altered", None));
    }
    told
}

/// An event of an object without a name.
pub(crate) fn event_of(object_type: &'static str, kind: &'static str, id: Uuid, payload: Value) -> EventRow {
    let payload = Some(payload).filter(|payload| !payload.is_null());
    EventRow { kind, object_type, object_id: id.to_string(), payload, ..EventRow::default() }
}

fn outcome(outcome: &TaskOutcome) -> &'static str {
    match outcome {
        TaskOutcome::Succeeded { .. } => "SUCCEEDED",
        TaskOutcome::Failed { .. } => "FAILED",
        TaskOutcome::Cancelled(_) => "CANCELLED",
    }
}

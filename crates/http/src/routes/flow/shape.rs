//! How runs, tasks, assets and partitions look in JSON.

use std::collections::BTreeMap;

use cenote_catalog::{
    AssetExplanation, AssetRun, Because, EagerVerdict, Explained, FailedAttempt, Mode, PartitionStatus,
    Partitioning, ReadInput, RerunKind, RunExplanation, RunOutline, SliceValue, StaleReason, TaskRecord,
    Waiting,
};
use cenote_query::{AssetView, Replayed, plan_id};
use cenote_vocab::{Micros, Txn};
use serde_json::{Value, json};

/// The words that are shown for the states of tasks.
pub(super) const TASK_STATES: [&str; 7] =
    ["PENDING", "QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED"];

/// The word that is shown for the state of a task.
pub(super) fn task_state(stored: &str) -> &str {
    match stored {
        "BLOCKED" | "WAITING" => "PENDING",
        "READY" => "QUEUED",
        other => other,
    }
}

/// How many tasks of each state that is shown.
pub(super) fn counts(stored: &BTreeMap<String, i64>) -> Value {
    let of = |shown: &str| -> i64 {
        stored.iter().filter(|(state, _)| task_state(state) == shown).map(|(_, count)| count).sum()
    };
    json!({
        "total": stored.values().sum::<i64>(),
        "pending": of("PENDING"),
        "queued": of("QUEUED"),
        "running": of("RUNNING"),
        "succeeded": of("SUCCEEDED"),
        "failed": of("FAILED"),
        "skipped": of("SKIPPED"),
        "cancelled": of("CANCELLED"),
    })
}

/// A run without its tasks.
pub(super) fn run(run: &AssetRun) -> Value {
    json!({
        "runId": run.id.to_string(),
        "kind": "asset",
        "workspaceId": "lake",
        "planId": run.fingerprint.as_deref().map(plan_id),
        "state": run.state,
        "trigger": run.cause,
        "actor": run.actor,
        "reason": run.reason,
        "labels": run.labels,
        "priority": run.priority,
        "concurrency": run.concurrency,
        "logicalTime": run.logical.map(Micros::rfc3339),
        "createdAt": run.created.rfc3339(),
        "startedAt": run.started.map(Micros::rfc3339),
        "completedAt": run.completed.map(Micros::rfc3339),
        "deadlineAt": run.deadline.map(Micros::rfc3339),
        "parentRunId": run.parent.map(|parent| parent.to_string()),
        "rerunKind": run.rerun.map(RerunKind::name),
        "snapshotTxn": run.snapshot.map(|txn| txn.0),
        "errorMessage": run.error,
        "version": run.version,
    })
}

/// A task.
pub(super) fn task(task: &TaskRecord) -> Value {
    let retries = (task.attempt - 1).max(0);
    let asset = task.key.rsplit_once('/').map_or(task.key.as_str(), |(asset, _)| asset);
    let waiting = task.waiting.map(|waiting| match waiting {
        Waiting::RetryAt => {
            json!({"reason": waiting.name(), "until": task.not_before.map(Micros::rfc3339)})
        }
        _ => json!({"reason": waiting.name()}),
    });
    json!({
        "taskKey": task.key,
        "assetKey": asset.replacen('/', ".", 1),
        "partitions": task.partitions,
        "state": task_state(&task.state),
        "attempt": task.attempt,
        "reason": task.reason,
        "startedAt": task.started.map(Micros::rfc3339),
        "completedAt": task.completed.map(Micros::rfc3339),
        "errorMessage": task.error,
        "errorCategory": task.category,
        "waiting": waiting,
        "outputTxn": task.output.map(|txn| txn.0),
        "rows": task.rows,
        "retryAttribution": (retries > 0).then(|| json!({"retries": retries, "reason": task.category})),
        "skipAttribution": task.skipped_by.as_ref().map(|(upstream, resolution)| {
            json!({"upstreamTaskKey": upstream, "upstreamResolution": resolution})
        }),
    })
}

/// What came of doing the tasks of a run again.
pub(super) fn replay(id: &str, tasks: &[Replayed]) -> Value {
    let differing = tasks.iter().map(|task| task.differing).sum::<Option<u64>>();
    let shown: Vec<Value> = tasks
        .iter()
        .map(|task| {
            json!({
                "taskKey": task.task,
                "identical": task.identical,
                "rows": task.rows,
                "differingRows": task.differing,
                "deterministic": task.deterministic,
            })
        })
        .collect();
    json!({
        "runId": id,
        "identical": tasks.iter().all(|task| task.identical),
        "rows": tasks.iter().map(|task| task.rows).sum::<u64>(),
        "differingRows": differing,
        "deterministic": tasks.iter().all(|task| task.deterministic),
        "tasks": shown,
    })
}

/// Something that made a run happen.
pub(super) fn because(cause: &Because) -> Value {
    json!({"kind": cause.kind, "id": cause.id, "at": cause.at.rfc3339(), "text": cause.text})
}

/// The plan of a run beside that of the run before.
pub(super) fn plan(run: &AssetRun, why: &RunExplanation) -> Value {
    let difference = &why.difference;
    let changed: Vec<Value> = difference
        .changed
        .iter()
        .map(|change| json!({"taskKey": change.task, "field": change.field, "from": change.from, "to": change.to}))
        .collect();
    json!({
        "fingerprint": run.fingerprint,
        "previousFingerprint": why.previous.as_ref().and_then(|(_, fingerprint)| fingerprint.as_ref()),
        "previousRunId": why.previous.as_ref().map(|(run, _)| run.to_string()),
        "diff": {"added": difference.added, "removed": difference.removed, "changed": changed},
    })
}

/// A table that a task read.
pub(super) fn input(input: &ReadInput) -> Value {
    let changed: Vec<Value> = input
        .changed_by
        .iter()
        .map(|(txn, run)| json!({"txn": txn.0, "runId": run.map(|run| run.to_string())}))
        .collect();
    json!({
        "table": input.name,
        "txn": input.txn.0,
        "previousTxn": input.previous.map(|txn| txn.0),
        "changedBy": changed,
    })
}

/// An attempt that did not succeed.
pub(super) fn retry(attempt: &FailedAttempt) -> Value {
    json!({
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "category": attempt.category,
        "message": attempt.message,
        "at": attempt.at.rfc3339(),
    })
}

/// Why an asset, or a partition of one, is as it is.
pub(super) fn explanation(why: &AssetExplanation) -> Value {
    let reason = |reason: &StaleReason| {
        json!({
            "code": reason.code,
            "upstream": reason.upstream,
            "recordedTxn": reason.recorded.map(|txn| txn.0),
            "currentTxn": reason.current.map(|txn| txn.0),
            "by": reason.by.map(|(txn, run)| json!({"txn": txn.0, "runId": run.map(|run| run.to_string())})),
            "text": reason.text,
        })
    };
    let outline = |run: &RunOutline| {
        json!({
            "runId": run.run.to_string(), "state": run.state, "completedAt": run.completed.map(Micros::rfc3339),
        })
    };
    let eager = |eager: &EagerVerdict| {
        let condition = |(name, met, detail): &(&str, bool, String)| json!({"condition": name, "met": met, "detail": detail, "children": []});
        json!({
            "verdict": eager.verdict, "conditions": eager.conditions.iter().map(condition).collect::<Vec<_>>(),
        })
    };
    json!({
        "state": why.state,
        "reasons": why.reasons.iter().map(reason).collect::<Vec<_>>(),
        "lastRun": why.last_run.as_ref().map(outline),
        "openRun": why.open_run.as_ref().map(outline),
        "nextTick": why.next_tick.map(Micros::rfc3339),
        "eager": why.eager.as_ref().map(eager),
        "steps": steps(&why.steps),
    })
}

/// The rows of an explanation.
pub(in crate::routes) fn steps(rows: &[Explained]) -> Vec<Value> {
    let step = |row: &Explained| {
        json!({
            "step": row.step,
            "subject": row.subject,
            "verdict": row.verdict,
            "reason": row.reason,
            "detail": row.detail,
        })
    };
    rows.iter().map(step).collect()
}

/// An asset.
pub(super) fn asset(view: &AssetView) -> Value {
    let (asset, spec) = (&view.asset, &view.asset.spec);
    let mode = match spec.mode {
        Mode::Replace => "replace",
        Mode::Append => "append",
        Mode::Merge => "merge",
    };
    let depends: Vec<Value> = view
        .upstream
        .iter()
        .map(|upstream| {
            json!({"table": format!("{}.{}", upstream.name.0, upstream.name.1), "mapping": upstream.mapping})
        })
        .collect();
    json!({
        "assetId": asset.id.to_string(),
        "assetKey": view.key(),
        "schema": view.name.0,
        "name": view.name.1,
        "kind": "sql",
        "owner": view.owner,
        "status": view.status,
        "paused": asset.paused,
        "query": asset.query,
        "codeId": hex::encode(asset.code),
        "mode": mode,
        "key": spec.key,
        "partition": spec.partition.as_ref().map(partitioning),
        "perPartition": spec.per_partition,
        "dependsOn": depends,
        "schedule": spec.schedule.as_ref().map(|schedule| {
            json!({"cron": schedule.cron, "timezone": schedule.zone, "ifStale": schedule.if_stale})
        }),
        "eager": spec.eager,
        "attempts": spec.attempts,
        "timeoutSeconds": spec.timeout_s,
        "priority": spec.priority,
        "keepRuns": spec.keep_runs,
        "description": spec.description,
        "createdAt": asset.created.rfc3339(),
        "version": asset.version,
    })
}

fn partitioning(said: &Partitioning) -> Value {
    match said {
        Partitioning::Time { column, period, start, end, zone } => json!({
            "column": column, "period": period.name(), "start": start, "end": end, "timezone": zone,
        }),
        Partitioning::Values { column, values } => {
            let values: Vec<Value> = values.iter().map(value).collect();
            json!({"column": column, "values": values})
        }
    }
}

fn value(value: &SliceValue) -> Value {
    match value {
        SliceValue::Null => Value::Null,
        SliceValue::Bool(value) => (*value).into(),
        SliceValue::Int(value) => (*value).into(),
        SliceValue::Text(text) => text.as_str().into(),
    }
}

/// A partition of an asset.
pub(super) fn partition(asset: &str, state: &PartitionStatus) -> Value {
    let success = state.facts.as_ref().and_then(|facts| facts.success.as_ref());
    json!({
        "assetKey": asset,
        "partitionKey": state.key,
        "status": state.status,
        "staleReason": state.reason.filter(|_| state.status == "stale"),
        "lastMaterializationAt": success.map(|success| success.at.rfc3339()),
        "lastMaterializationRunId": success.map(|success| success.run.to_string()),
        "outputTxn": success.map(|success| success.txn).map(|Txn(txn)| txn),
        "lastAttemptOutcome": state.facts.as_ref().map(|facts| facts.last.1.as_str()),
        "lastAttemptAt": state.facts.as_ref().map(|facts| facts.last.2.rfc3339()),
        "lastAttemptRunId": state.facts.as_ref().map(|facts| facts.last.0.to_string()),
    })
}

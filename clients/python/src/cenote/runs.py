"""Runs: of assets they are begun, watched, steered, done again; of jobs, pipelines and statements they are seen.

A run that was begun goes on by itself, whether or not anybody waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union

from .errors import Error
from .http import Http, path, rest
from .values import instant, instant_or_none, moment

#: States that a run never leaves.
ENDED = frozenset(("SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"))
#: Seconds between two looks at a run, at first and at most.
LOOK_SECONDS_FIRST = 0.05
LOOK_SECONDS_MAX = 1.0


@dataclass(frozen=True)
class Task:
    """One step of a run: one asset, one range of its partitions."""

    key: str
    asset: str
    #: What it makes, such as `day=d:2026-01-01..2026-01-31`; None for the whole table.
    partitions: str | None
    #: PENDING, QUEUED, RUNNING, SUCCEEDED, FAILED, SKIPPED or CANCELLED.
    state: str
    attempt: int
    #: Why it is in the plan.
    reason: str
    started_at: datetime | None
    completed_at: datetime | None
    error: str | None
    #: INFRASTRUCTURE and TIMEOUT are tried again; DATA_QUALITY and CONFIGURATION are not.
    error_category: str | None
    #: What it waits for: `upstream`, `asset_busy`, `slots`, `paused` or `retry_at`.
    waiting: str | None
    #: The transaction of its rows.
    output_txn: int | None
    rows: int | None
    #: The task whose failure is why this one is SKIPPED.
    skipped_by: str | None


@dataclass(frozen=True)
class Run:
    """A run as it was when it was asked for."""

    id: str
    #: `asset`, and without tasks `job`, `pipeline` or `query`.
    kind: str
    plan_id: str | None
    #: PENDING, RUNNING, PAUSED, CANCELLING, SUCCEEDED, FAILED, CANCELLED or TIMED_OUT.
    state: str
    #: `person`, `schedule` or `eager`; of other kinds `commit` or `start` too.
    trigger: str
    actor: str | None
    labels: dict[str, str]
    priority: int
    logical_time: datetime | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    #: The run that this one does again, and how: FROM_FAILURE, SUBSET or REPLAY.
    parent_id: str | None
    rerun_kind: str | None
    #: What it reads of tables that it does not make.
    snapshot_txn: int | None
    error: str | None
    task_count: int
    tasks_succeeded: int
    tasks_failed: int
    #: The first 200; none in a list of runs.
    tasks: Sequence[Task] = field(default=(), repr=False)

    @property
    def ended(self) -> bool:
        """True in a state that it never leaves."""
        return self.state in ENDED

    @property
    def succeeded(self) -> bool:
        """True if all its tasks did."""
        return self.state == "SUCCEEDED"


@dataclass(frozen=True)
class StartedRun:
    """A run that was asked for."""

    id: str
    plan_id: str
    state: str
    #: False if the run of this key was there.
    created: bool
    created_at: datetime


@dataclass(frozen=True)
class PlannedTask:
    """A task that a run would have."""

    key: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a run would do. The same selection of the same recipes has the same fingerprint."""

    id: str
    fingerprint: str
    tasks: list[PlannedTask]


@dataclass(frozen=True)
class Cause:
    """Something that made a run happen."""

    kind: str
    id: str | None
    at: datetime
    text: str


@dataclass(frozen=True)
class Step:
    """A row of an explanation."""

    step: str
    subject: str
    verdict: str
    reason: str | None
    detail: str | None


@dataclass(frozen=True)
class RunExplanation:
    """Why a run is as it is."""

    state: str
    #: From the run to the person or the commit that began it.
    because: list[Cause]
    steps: list[Step]
    #: All of it as the node tells it: also `plan`, beside that of the run before, and `tasks`, with what they read.
    answer: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class ReplayedTask:
    """A task that was done again, beside what it had made."""

    key: str
    identical: bool
    rows: int
    #: None where there are more than a million, or the history of the table is gone.
    differing_rows: int | None
    #: False if its code asks for chance or the clock.
    deterministic: bool


@dataclass(frozen=True)
class Replay:
    """What came of doing a run again."""

    identical: bool
    rows: int
    differing_rows: int | None
    deterministic: bool
    tasks: list[ReplayedTask]


class RunFailed(Error):
    """A run that was waited for did not succeed."""

    def __init__(self, run: Run):
        self.run = run
        failed = next((f": task {task.key}: {task.error}" for task in run.tasks if task.state == "FAILED"), "")
        why = failed or (f": {run.error}" if run.error else "")
        super().__init__(f"run {run.id} is {run.state}{why}")


#: A run, or its id.
RunLike = Union[Run, StartedRun, str]


class Runs:
    """The runs that the token may know of."""

    def __init__(self, http: Http, headers: dict[str, str]):
        self._http, self._headers = http, headers

    def start(
        self,
        selection: str | Iterable[str],
        *,
        upstream: bool = False,
        downstream: bool = False,
        partitions: str | Iterable[str] | None = None,
        partition_range: tuple[str, str] | None = None,
        partition_status: str | None = None,
        chunk: int | None = None,
        concurrency: int | None = None,
        run_key: str | None = None,
        labels: Mapping[str, str] | None = None,
        priority: int | None = None,
        logical_time: datetime | None = None,
        timeout_seconds: int | None = None,
    ) -> StartedRun:
        """Begins a run that makes these assets (`schema.name`).

        With `upstream` it makes the assets that they read too, with `downstream` those that read them.

        Of an asset with partitions say which, in one way: `partitions` such as `day=2026-01-01`, `partition_range` from
        one to another and both of them, or `partition_status`, which is `missing`, `stale` or `failed`.

        A task makes at most `chunk` partitions; at most `concurrency` tasks run at a time. Under a `run_key` the run is
        begun once, however often it is asked for; another request under it is a `Conflict`. `logical_time` is what
        `logical_time()` is in its statements. After `timeout_seconds` the run is ended.
        """
        asked = _selected(selection, upstream, downstream, partitions, partition_range, partition_status, chunk)
        more = {
            "concurrency": concurrency,
            "runKey": run_key,
            "labels": None if labels is None else dict(labels),
            "priority": priority,
            "logicalTime": None if logical_time is None else moment(logical_time),
            "timeoutSeconds": timeout_seconds,
        }
        asked.update((name, value) for name, value in more.items() if value is not None)
        begun = self._http.ask("POST", path("runs"), asked, self._headers, repeatable=run_key is not None)
        return _started(begun)

    def plan(
        self,
        selection: str | Iterable[str],
        *,
        upstream: bool = False,
        downstream: bool = False,
        partitions: str | Iterable[str] | None = None,
        partition_range: tuple[str, str] | None = None,
        partition_status: str | None = None,
        chunk: int | None = None,
    ) -> Plan:
        """What `start` would begin. Nothing is stored."""
        asked = _selected(selection, upstream, downstream, partitions, partition_range, partition_status, chunk)
        planned = self._http.ask("POST", path("runs", dry_run=True), asked, self._headers, repeatable=True)
        tasks = [PlannedTask(task["taskKey"], task["reason"]) for task in planned["tasks"]]
        return Plan(planned["planId"], planned["fingerprint"], tasks)

    def get(self, run: RunLike) -> Run:
        """A run with the first 200 of its tasks."""
        return _run(self._http.ask("GET", self._path(run), headers=self._headers))

    def list(
        self,
        *,
        kind: str | None = None,
        asset: str | None = None,
        state: str | None = None,
        trigger: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Run]:
        """Runs of assets, or of another `kind`, newest first, without their tasks.

        They are asked for page by page while it is iterated.
        """
        times = {name: moment(at) for name, at in (("since", since), ("until", until)) if at is not None}
        wanted = {"kind": kind, "asset": asset, "state": state, "trigger": trigger, **times}
        return map(_run, self._http.entries("runs", headers=self._headers, **wanted))

    def tasks(self, run: RunLike, *, state: str | None = None) -> Iterator[Task]:
        """All tasks of a run, by key."""
        return map(_task, self._http.entries("runs", run_id(run), "tasks", headers=self._headers, state=state))

    def wait(self, run: RunLike, *, timeout: float | None = None) -> Run:
        """Waits for the end of a run and gives the run, whatever its end is.

        After `timeout` seconds it is a TimeoutError, and the run goes on.
        """
        until = None if timeout is None else time.monotonic() + timeout
        pause = LOOK_SECONDS_FIRST
        while True:
            found = self.get(run)
            if found.ended:
                return found
            left = LOOK_SECONDS_MAX if until is None else until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"run {found.id} is {found.state} after {timeout} s")
            rest(min(pause, left))
            pause = min(2 * pause, LOOK_SECONDS_MAX)

    def cancel(self, run: RunLike, *, reason: str | None = None) -> Run:
        """Ends a run: what has not begun does not begin, what had committed stays. `Conflict` if it has ended."""
        asked = {} if reason is None else {"reason": reason}
        return _run(self._http.ask("POST", self._path(run, "cancel"), asked, self._headers))

    def pause(self, run: RunLike) -> Run:
        """Lets no further task begin; those that run end."""
        return _run(self._http.ask("POST", self._path(run, "pause"), headers=self._headers))

    def resume(self, run: RunLike) -> Run:
        """Lets a run go on that was paused."""
        return _run(self._http.ask("POST", self._path(run, "resume"), headers=self._headers))

    def rerun(
        self,
        run: RunLike,
        *,
        tasks: str | Iterable[str] | None = None,
        upstream: bool = False,
        downstream: bool = False,
        idempotency_key: str | None = None,
    ) -> StartedRun:
        """Begins a run of the tasks that did not succeed, on what there is now.

        With `tasks` it is of these, by key, whether or not they succeeded; with `upstream` what they read is made too,
        with `downstream` what reads them. `Conflict` if the run goes on, or has no task that did not succeed.
        """
        if tasks is None and not upstream and not downstream:
            return self._again(run, {"mode": "fromFailure"}, idempotency_key)
        asked = {"mode": "subset", "tasks": [] if tasks is None else _texts(tasks)}
        return self._again(
            run, {**asked, "includeUpstream": upstream, "includeDownstream": downstream}, idempotency_key
        )

    def replay(self, run: RunLike) -> Replay:
        """Does a run that succeeded again, by the recipes of then on what it read, and compares. Nothing is published.

        `Conflict` with the reason `snapshot_expired` if what it read is no longer kept.
        """
        told = self._http.ask("POST", self._path(run, "rerun"), {"mode": "replay"}, self._headers, repeatable=True)
        tasks = [
            ReplayedTask(
                key=task["taskKey"],
                identical=task["identical"],
                rows=task["rows"],
                differing_rows=task["differingRows"],
                deterministic=task["deterministic"],
            )
            for task in told["tasks"]
        ]
        return Replay(told["identical"], told["rows"], told["differingRows"], told["deterministic"], tasks)

    def replay_and_commit(self, run: RunLike, *, idempotency_key: str | None = None) -> StartedRun:
        """Begins a run that publishes the rows of then again, whatever the recipes are now."""
        return self._again(run, {"mode": "replay", "commit": True}, idempotency_key)

    def explain(self, run: RunLike) -> RunExplanation:
        """What began a run, in what its plan differs from that of the run before, what its tasks read."""
        told = self._http.ask("GET", self._path(run, "explain"), headers=self._headers)
        because = [Cause(cause["kind"], cause["id"], instant(cause["at"]), cause["text"]) for cause in told["because"]]
        return RunExplanation(told["state"], because, steps_of(told), told)

    def _again(self, run: RunLike, asked: dict[str, Any], key: str | None) -> StartedRun:
        headers = self._headers if key is None else {**self._headers, "idempotency-key": key}
        begun = self._http.ask("POST", self._path(run, "rerun"), asked, headers, repeatable=key is not None)
        return _started(begun)

    def _path(self, run: RunLike, *more: str) -> str:
        return path("runs", run_id(run), *more)


def run_id(run: RunLike) -> str:
    """The id of a run."""
    return run if isinstance(run, str) else run.id


def _selected(
    selection: str | Iterable[str],
    upstream: bool,
    downstream: bool,
    partitions: str | Iterable[str] | None,
    partition_range: tuple[str, str] | None,
    partition_status: str | None,
    chunk: int | None,
) -> dict[str, Any]:
    """What is to be made, in the node's words."""
    asked: dict[str, Any] = {"selection": _texts(selection)}
    if upstream:
        asked["includeUpstream"] = True
    if downstream:
        asked["includeDownstream"] = True
    if partitions is not None:
        asked["partitionKeys"] = _texts(partitions)
    if partition_range is not None:
        start, end = partition_range
        asked["partitionRange"] = {"start": start, "end": end}
    if partition_status is not None:
        asked["partitionStatus"] = partition_status
    if chunk is not None:
        asked["chunk"] = chunk
    return asked


def _texts(one_or_more: str | Iterable[str]) -> list[str]:
    return [one_or_more] if isinstance(one_or_more, str) else list(one_or_more)


def steps_of(told: Mapping[str, Any]) -> list[Step]:
    """The rows of an explanation."""
    return [
        Step(step["step"], step["subject"], step["verdict"], step["reason"], step["detail"]) for step in told["steps"]
    ]


def _started(begun: Mapping[str, Any]) -> StartedRun:
    return StartedRun(begun["runId"], begun["planId"], begun["state"], begun["created"], instant(begun["createdAt"]))


def _run(shown: Mapping[str, Any]) -> Run:
    counts = shown.get("taskCounts")
    if counts is None:  # a list has them beside the run
        counts = {
            "total": shown.get("taskCount", 0),
            "succeeded": shown.get("tasksSucceeded", 0),
            "failed": shown.get("tasksFailed", 0),
        }
    return Run(
        id=shown["runId"],
        kind=shown["kind"],
        plan_id=shown.get("planId"),
        state=shown["state"],
        trigger=shown["trigger"],
        actor=shown["actor"],
        labels=shown.get("labels", {}),
        priority=shown.get("priority", 0),
        logical_time=instant_or_none(shown.get("logicalTime")),
        created_at=instant(shown["createdAt"]),
        started_at=instant_or_none(shown["startedAt"]),
        completed_at=instant_or_none(shown["completedAt"]),
        parent_id=shown.get("parentRunId"),
        rerun_kind=shown.get("rerunKind"),
        snapshot_txn=shown.get("snapshotTxn"),
        error=shown["errorMessage"],
        task_count=counts["total"],
        tasks_succeeded=counts["succeeded"],
        tasks_failed=counts["failed"],
        tasks=[_task(task) for task in shown.get("tasks", ())],
    )


def _task(shown: Mapping[str, Any]) -> Task:
    waiting, skipped = shown["waiting"], shown["skipAttribution"]
    return Task(
        key=shown["taskKey"],
        asset=shown["assetKey"],
        partitions=shown["partitions"],
        state=shown["state"],
        attempt=shown["attempt"],
        reason=shown["reason"],
        started_at=instant_or_none(shown["startedAt"]),
        completed_at=instant_or_none(shown["completedAt"]),
        error=shown["errorMessage"],
        error_category=shown["errorCategory"],
        waiting=waiting and waiting["reason"],
        output_txn=shown["outputTxn"],
        rows=shown["rows"],
        skipped_by=skipped and skipped["upstreamTaskKey"],
    )

"""Assets: tables with the queries that fill them, how they are, and making them now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union

from .http import Http, path
from .runs import Run, RunFailed, Runs, Step, steps_of
from .values import instant, instant_or_none


@dataclass(frozen=True)
class Dependency:
    """A table that an asset reads."""

    table: str
    #: Which of its partitions belong to which of the asset: `identity`, `all`, `latest` or `window(a, b)`.
    mapping: str


@dataclass(frozen=True)
class Asset:
    """An asset as it was when it was asked for."""

    id: str
    #: `schema.name`.
    key: str
    kind: str
    owner: str | None
    description: str | None
    #: `missing`, `running`, `failed`, `stale` or `fresh`.
    status: str
    paused: bool
    query: str
    #: `replace`, `append` or `merge`.
    mode: str
    #: `column`, and of time `period`, `start`, `end`, `timezone`, else `values`; None for an asset without partitions.
    partition: dict[str, Any] | None
    depends_on: list[Dependency]
    #: `cron`, `timezone` and `ifStale`.
    schedule: dict[str, Any] | None
    eager: bool
    created_at: datetime
    version: int


@dataclass(frozen=True)
class Partition:
    """A slice of an asset: its last success, and beside it its last attempt."""

    asset: str
    #: Such as `day=d:2026-01-01`.
    key: str
    #: `missing`, `running`, `failed`, `stale` or `fresh`.
    status: str
    stale_reason: str | None
    materialized_at: datetime | None
    run_id: str | None
    output_txn: int | None
    last_attempt_at: datetime | None
    last_attempt_outcome: str | None
    last_attempt_run_id: str | None


@dataclass(frozen=True)
class PartitionRange:
    """Neighbours that are alike, from `start` to `end` and both of them."""

    start: str
    end: str
    count: int
    status: str
    stale_reason: str | None


@dataclass(frozen=True)
class PartitionCounts:
    """How many partitions of an asset are how."""

    total: int
    materialized: int
    stale: int
    missing: int
    failed: int
    stale_as_of: datetime


@dataclass(frozen=True)
class Reason:
    """Why an asset is not fresh."""

    code: str
    text: str | None
    #: What it reads, as of which transaction it did, and the newest that changed it.
    upstream: str | None
    recorded_txn: int | None
    current_txn: int | None


@dataclass(frozen=True)
class AssetExplanation:
    """Why an asset, or a partition of it, is as it is, and when it runs next."""

    state: str
    reasons: list[Reason]
    #: When its schedule is due, if nothing holds it.
    next_tick: datetime | None
    steps: list[Step]
    #: All of it as the node tells it: also `lastRun`, `openRun`, and the conditions of `eager`.
    answer: dict[str, Any] = field(repr=False)


#: An asset, or its key `schema.name`.
AssetLike = Union[Asset, str]


class Assets:
    """The assets that the token may know of. They are made by `CREATE ASSET`, which `Client.execute` runs."""

    def __init__(self, http: Http, headers: dict[str, str], runs: Runs):
        self._http, self._headers, self._runs = http, headers, runs

    def list(
        self, *, schema: str | None = None, owner: str | None = None, status: str | None = None
    ) -> Sequence[Asset]:
        """Assets, by key."""
        return [
            _asset(shown)
            for shown in self._http.entries("assets", headers=self._headers, schema=schema, owner=owner, status=status)
        ]

    def get(self, asset: AssetLike) -> Asset:
        """One asset."""
        return _asset(self._http.ask("GET", self._path(asset), headers=self._headers))

    def materialize(
        self, selection: AssetLike | Iterable[AssetLike], *, timeout: float | None = None, **options: Any
    ) -> Run:
        """Makes assets now and waits for the end; `RunFailed` if they could not be made.

        `options` are those of `runs.start`. After `timeout` seconds it is a TimeoutError, and the run goes on.
        """
        selected = [selection] if isinstance(selection, (Asset, str)) else selection
        begun = self._runs.start([asset_key(asset) for asset in selected], **options)
        run = self._runs.wait(begun, timeout=timeout)
        if not run.succeeded:
            raise RunFailed(run)
        return run

    def partitions(
        self, asset: AssetLike, *, from_: str | None = None, to: str | None = None, status: str | None = None
    ) -> Iterator[Partition]:
        """Partitions in order, from one to another and both of them; asked for page by page while they are iterated."""
        wanted = {"from": from_, "to": to, "status": status}
        shown = self._http.entries("assets", asset_key(asset), "partitions", headers=self._headers, **wanted)
        return map(_partition, shown)

    def partition_ranges(
        self, asset: AssetLike, *, from_: str | None = None, to: str | None = None, status: str | None = None
    ) -> Iterator[PartitionRange]:
        """The same with neighbours that are alike as one."""
        wanted = {"from": from_, "to": to, "status": status, "format": "ranges"}
        shown = self._http.entries("assets", asset_key(asset), "partitions", headers=self._headers, **wanted)
        return map(_range, shown)

    def partition_counts(self, asset: AssetLike) -> PartitionCounts:
        """How many partitions are how."""
        counts = self._http.ask("GET", self._path(asset, "partitions", "summary"), headers=self._headers)
        return PartitionCounts(
            total=counts["totalPartitions"],
            materialized=counts["materializedPartitions"],
            stale=counts["stalePartitions"],
            missing=counts["missingPartitions"],
            failed=counts["failedPartitions"],
            stale_as_of=instant(counts["staleAsOf"]),
        )

    def explain(self, asset: AssetLike, partition: str | None = None) -> AssetExplanation:
        """Why an asset, or this partition of it, is as it is, and what keeps it from running."""
        target = path("assets", asset_key(asset), "explain", partition=partition)
        told = self._http.ask("GET", target, headers=self._headers)
        reasons = [_reason(reason) for reason in told["reasons"]]
        return AssetExplanation(told["state"], reasons, instant_or_none(told["nextTick"]), steps_of(told), told)

    def pause(self, asset: AssetLike) -> Asset:
        """Lets no trigger run it; what was due meanwhile is not made up for."""
        return self._change(asset, {"paused": True})

    def resume(self, asset: AssetLike) -> Asset:
        """Lets its triggers run it again."""
        return self._change(asset, {"paused": False})

    def delete(self, asset: AssetLike, *, cascade: bool = False, force: bool = False) -> None:
        """Forgets the recipe. The table stays, unless `cascade`; `force` does it also while others read it."""
        target = path("assets", asset_key(asset), cascade=cascade, force=force)
        self._http.ask("DELETE", target, headers=self._headers)

    def _change(self, asset: AssetLike, asked: dict[str, Any]) -> Asset:
        return _asset(self._http.ask("PATCH", self._path(asset), asked, self._headers))

    def _path(self, asset: AssetLike, *more: str) -> str:
        return path("assets", asset_key(asset), *more)


def asset_key(asset: AssetLike) -> str:
    """The key of an asset."""
    return asset if isinstance(asset, str) else asset.key


def _asset(shown: Mapping[str, Any]) -> Asset:
    return Asset(
        id=shown["assetId"],
        key=shown["assetKey"],
        kind=shown["kind"],
        owner=shown["owner"],
        description=shown["description"],
        status=shown["status"],
        paused=shown["paused"],
        query=shown["query"],
        mode=shown["mode"],
        partition=shown["partition"],
        depends_on=[Dependency(upstream["table"], upstream["mapping"]) for upstream in shown["dependsOn"]],
        schedule=shown["schedule"],
        eager=shown["eager"],
        created_at=instant(shown["createdAt"]),
        version=shown["version"],
    )


def _partition(shown: Mapping[str, Any]) -> Partition:
    return Partition(
        asset=shown["assetKey"],
        key=shown["partitionKey"],
        status=shown["status"],
        stale_reason=shown["staleReason"],
        materialized_at=instant_or_none(shown["lastMaterializationAt"]),
        run_id=shown["lastMaterializationRunId"],
        output_txn=shown["outputTxn"],
        last_attempt_at=instant_or_none(shown["lastAttemptAt"]),
        last_attempt_outcome=shown["lastAttemptOutcome"],
        last_attempt_run_id=shown["lastAttemptRunId"],
    )


def _reason(shown: Mapping[str, Any]) -> Reason:
    return Reason(
        code=shown["code"],
        text=shown.get("text"),
        upstream=shown.get("upstream"),
        recorded_txn=shown.get("recordedTxn"),
        current_txn=shown.get("currentTxn"),
    )


def _range(shown: Mapping[str, Any]) -> PartitionRange:
    return PartitionRange(shown["start"], shown["end"], shown["count"], shown["status"], shown["staleReason"])

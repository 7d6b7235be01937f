"""Jobs: what the node does by itself, and doing it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .http import Http, path
from .values import instant_or_none


@dataclass(frozen=True)
class Job:
    """A job and when it runs."""

    id: str
    name: str
    enabled: bool
    #: In a row, up to now.
    failures: int
    checked_at: datetime | None
    next_at: datetime | None


@dataclass(frozen=True)
class JobAct:
    """What a run did, or would do, with one partition of one table."""

    table: str | None
    partition: str | None
    action: str | None
    reason: str | None
    files_in: int
    bytes_in: int
    files_out: int
    bytes_out: int
    txn: int | None


class Jobs:
    """The jobs of the node's tenant."""

    def __init__(self, http: Http):
        self._http = http

    def list(self) -> list[Job]:
        """All jobs, by name."""
        return [_job(job) for job in self._http.ask("GET", path("jobs"))["data"]]

    def run(self, name: str, *, dry_run: bool = False) -> Sequence[JobAct]:
        """Runs a job now and waits for its end; with `dry_run` only says what it would do."""
        target = path("jobs", name, "run", dry_run=dry_run)
        return [_act(act) for act in self._http.ask("POST", target, repeatable=dry_run)["data"]]


def _job(shown: dict[str, Any]) -> Job:
    return Job(
        id=shown["id"],
        name=shown["name"],
        enabled=shown["enabled"],
        failures=shown["failures"],
        checked_at=instant_or_none(shown.get("checkedAt")),
        next_at=instant_or_none(shown.get("nextAt")),
    )


def _act(shown: dict[str, Any]) -> JobAct:
    return JobAct(
        table=shown["table"],
        partition=shown["partition"],
        action=shown["action"],
        reason=shown["reason"],
        files_in=shown["filesIn"],
        bytes_in=shown["bytesIn"],
        files_out=shown["filesOut"],
        bytes_out=shown["bytesOut"],
        txn=shown["txn"],
    )

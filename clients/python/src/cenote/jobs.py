"""Jobs: what the node does by itself, and doing it now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .http import Http, Request, path
from .values import converter

_instant = converter("TIMESTAMP(6)")


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
        answer = self._http.send(Request("GET", path("jobs"), repeatable=True))
        return [_job(job) for job in json.loads(answer.body)["data"]]

    def run(self, name: str, *, dry_run: bool = False) -> Sequence[JobAct]:
        """Runs a job now and waits for its end; with `dry_run` only says what it would do."""
        target = path("jobs", name, "run", dry_run=dry_run)
        answer = self._http.send(Request("POST", target, repeatable=dry_run))
        return [_act(act) for act in json.loads(answer.body)["data"]]


def _job(shown: dict[str, Any]) -> Job:
    def at(name: str) -> datetime | None:
        text = shown.get(name)
        return _instant(text) if text and _instant else None

    return Job(shown["id"], shown["name"], shown["enabled"], shown["failures"], at("checkedAt"), at("nextAt"))


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

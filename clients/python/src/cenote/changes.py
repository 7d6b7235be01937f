"""The change feed of a table as an iterator that goes on by itself after a lost connection.

Each change has its position; an iterator that starts from a position gives what comes after it. Whoever stores the
position together with what was made of the change sees every change exactly once.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Union

from .errors import of_body
from .http import Http, Request, chunks, path, rest
from .values import Convert, converter, moment

#: Seconds without a byte after which a feed is taken for lost; the node shows a sign of life every 15 s.
SILENCE_SECONDS_MAX = 60.0
#: Seconds between the end of a stream and the next.
PAUSE_SECONDS = 0.1
#: What every change has besides the columns of its table.
COMMON = ("_txn", "_committed_at", "_change_type", "_row_id", "_file", "_pos")

Start = Union[int, str, datetime]


@dataclass(frozen=True)
class Change:
    """One change of one row."""

    #: Where to go on from after this change.
    position: str
    #: `insert`, `delete`, `update_preimage` or `update_postimage`.
    kind: str
    txn: int
    committed_at: datetime
    #: Of the row through all its changes, if the table keeps row ids.
    row_id: int | None
    row: dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """Which changes."""

    table: str
    start: Start
    end: Start | None
    #: Parameters that go to the node as they are.
    options: dict[str, Any]
    headers: dict[str, str]

    def request(self, start: Start, **more: Any) -> Request:
        target = path(
            "tables", self.table, "changes", **{"from": _moment(start)}, to=_moment(self.end), **self.options, **more
        )
        return Request("GET", target, headers=self.headers, repeatable=True)


def changes(node: Http, wanted: Wanted, wait: bool) -> Iterator[Change]:
    """Changes in order; without `wait` it ends with the newest that there is now."""
    if wanted.end is None and not wait:
        wanted = replace(wanted, end=_page(node, wanted.request(wanted.start, limit=1))["head"])
    start = wanted.start
    while True:
        for change in _events(node, wanted.request(start)):
            yield change
            start = change.position
        if wanted.end is not None and not _page(node, wanted.request(start, limit=1))["changes"]:
            return
        rest(PAUSE_SECONDS)


def _events(node: Http, request: Request) -> Iterator[Change]:
    """The changes of one stream. It ends because it is at its end, or the node stops, or the connection is lost."""
    headers = {**request.headers, "accept": "text/event-stream"}
    request = replace(request, headers=headers, timeout=SILENCE_SECONDS_MAX)
    columns: dict[str, Convert] = {}
    with node.stream(request) as response:
        text = b""
        for chunk in _until_lost(chunks(response)):
            *events, text = (text + chunk).split(b"\n\n")
            for event in events:
                fields = dict(line.split(": ", 1) for line in event.decode().split("\n") if ": " in line)
                if "data" not in fields:
                    continue  # a sign of life
                data = json.loads(fields["data"], parse_float=Decimal)  # digits that a DECIMAL needs
                if fields.get("event") == "schema":
                    columns = _converters(data["columns"])
                elif fields.get("event") == "error":
                    raise of_body(data["status"], data)
                else:
                    yield _change(fields["id"], data, columns)


def _until_lost(parts: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from parts
    except (OSError, http.client.HTTPException):
        return  # the next stream goes on from the last change; if it cannot be opened, that is the error


def _converters(columns: list[dict[str, str]]) -> dict[str, Convert]:
    found = ((column["name"], converter(column["type"])) for column in columns)
    return {name: convert for name, convert in found if convert is not None}


def _change(position: str, data: dict[str, Any], columns: dict[str, Convert]) -> Change:
    row = {
        name: columns[name](value) if value is not None and name in columns else value for name, value in data.items()
    }
    txn, committed_at, kind, row_id, _, _ = (row.pop(name) for name in COMMON)
    return Change(position, kind, txn, committed_at, row_id, row)


def _page(node: Http, request: Request) -> dict[str, Any]:
    page: dict[str, Any] = json.loads(node.send(request).body)
    return page


def _moment(start: Start | None) -> str | None:
    if isinstance(start, datetime):
        return moment(start)
    return None if start is None else str(start)

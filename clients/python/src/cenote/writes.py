"""Rows in: large input goes as several requests, each of which is stored whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .errors import Error, PartialWrite
from .frames import Columns, cut, length, pieces
from .http import Answer, Http, Request, path
from .message_pack import columns as packed

#: Rows of one request.
ROWS_MAX = 100_000
#: Bytes of one request, far below the node's `limits.body_max`.
BYTES_MAX = 16 << 20


@dataclass(frozen=True)
class Written:
    """What was stored."""

    rows: int
    #: The level that was reached: `memory`, `durable` or `committed`.
    ack: str | None
    #: The newest transaction, if `ack` is `committed`.
    txn: int | None
    #: True if the idempotency key was known: the rows are there once, from the first time.
    replayed: bool


@dataclass(frozen=True)
class Settings:
    """What the requests of one write have in common."""

    headers: dict[str, str]
    ack: str | None
    idempotency_key: str | None


def write_columns(
    http: Http, table: str, data: Any, tags: Iterable[str], time_unit: str | None, settings: Settings
) -> Written:
    """Stores what `frames.pieces` takes."""
    names = list(tags)
    bodies = (body for piece in pieces(data, ROWS_MAX) for body in _bodies(table, piece, names, time_unit, BYTES_MAX))
    return _send(http, path("write", "msgpack", ack=settings.ack), bodies, settings)


def write_lines(
    http: Http, lines: str | bytes | Iterable[str], precision: str, accept_partial: bool, settings: Settings
) -> Written:
    """Stores line protocol; a text is one request, lines are as many as it takes."""
    if isinstance(lines, str):
        lines = lines.encode()
    bodies = [lines] if isinstance(lines, bytes) else _joined(lines, BYTES_MAX)
    target = path("write", "line-protocol", precision=precision, accept_partial=accept_partial, ack=settings.ack)
    return _send(http, target, bodies, settings)


def _bodies(table: str, columns: Columns, tags: list[str], time_unit: str | None, bytes_max: int) -> Iterator[bytes]:
    """The columns in requests of at most `bytes_max`, halved as often as it takes; one row may be longer."""
    body = packed(table, columns, tags, time_unit)
    rows = length(columns)
    if len(body) <= bytes_max or rows <= 1:
        yield body
        return
    for start, end in ((0, rows // 2), (rows // 2, rows)):
        yield from _bodies(table, cut(columns, start, end), tags, time_unit, bytes_max)


def _joined(lines: Iterable[str], bytes_max: int) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        raw = line.rstrip("\n").encode() + b"\n"
        if held and size + len(raw) > bytes_max:
            yield b"".join(held)
            held, size = [], 0
        held.append(raw)
        size += len(raw)
    if held:
        yield b"".join(held)


def _send(http: Http, target: str, bodies: Iterable[bytes], settings: Settings) -> Written:
    """Sends the requests in order. After a failure those before it are stored: the error says how many rows."""
    stored = Written(0, settings.ack, None, False)
    for number, body in enumerate(bodies):
        headers = dict(settings.headers)
        if settings.idempotency_key is not None:
            # the first has the key itself, so that other data under the same key is refused
            headers["idempotency-key"] = settings.idempotency_key + (f"/{number}" if number else "")
        request = Request("POST", target, body, headers, repeatable="idempotency-key" in headers)
        try:
            stored = _added(stored, http.send(request))
        except Error as error:
            error.rows_stored = stored.rows + (error.rows_written if isinstance(error, PartialWrite) else 0)
            raise
    return stored


def _added(before: Written, answer: Answer) -> Written:
    headers = answer.headers
    txn = headers["x-cenote-txn"]
    return Written(
        rows=before.rows + int(headers["x-cenote-rows"] or 0),
        ack=headers["x-cenote-ack"] or before.ack,
        txn=int(txn) if txn else before.txn,
        replayed=before.replayed or headers["idempotency-replayed"] == "true",
    )

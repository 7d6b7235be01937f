"""What can go wrong: no answer came, or the answer says what is wrong and where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Error(Exception):
    """Any failure of a request."""

    #: Rows of earlier requests of the same `write`, which are stored.
    rows_stored = 0


class ConnectionFailed(Error):
    """No whole answer came."""

    #: True if the request may have had its effect: it was sent, and could not be repeated safely.
    outcome_unknown = False


@dataclass(frozen=True)
class Place:
    """Where in the SQL text an error is; all count characters, from 1."""

    line: int
    column: int
    position: int
    length: int


class ServerError(Error):
    """The node refused or failed; the subclass says which."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None):
        self.status = status
        #: What is wrong, with the place in the SQL text drawn under it.
        self.message: str = str(body.get("message") or body.get("error") or f"HTTP status {status}")
        #: The word of this path for the status, such as `invalid` or `NOT_FOUND`.
        self.code: str | None = body.get("code")
        self.sqlstate: str | None = body.get("sqlstate")
        #: The next step, if the node knows one.
        self.hint: str | None = body.get("hint")
        #: More than the status says: `outcome_unknown`, `idempotency_conflict`, `draining`.
        self.reason: str | None = body.get("reason")
        #: Which statement of a text failed, from 1.
        self.statement: int | None = body.get("statement")
        self.place = _place(body)
        self.request_id: str | None = body.get("request_id")
        #: True if the same request may succeed later.
        self.retryable: bool = body.get("retryable") is True
        #: Seconds that the node asks to wait before.
        self.retry_after = retry_after
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class Invalid(ServerError):
    """The request is wrong: 400 and the other statuses of that kind."""


class Unauthenticated(ServerError):
    """401: no token, or not one that the node knows."""


class Denied(ServerError):
    """403: the token may not do this."""


class NotFound(ServerError):
    """404: there is no such thing, or the token may not know of it. 410: it is no longer kept."""


class Conflict(ServerError):
    """409: another change came first, or the name or key is taken. Nothing was applied."""


class Exhausted(ServerError):
    """413, 429, 507: over a limit, which the message names."""


class Unavailable(ServerError):
    """503: later."""


class TimedOut(ServerError):
    """408, 504: it took longer than allowed."""


class Cancelled(ServerError):
    """499: someone ended it."""


class Unsupported(ServerError):
    """415, 501: this release cannot do it."""


class NodeFailed(ServerError):
    """500: a defect of the node, or damaged data; the node's log has more under `request_id`."""


@dataclass(frozen=True)
class RejectedLine:
    """A line of line protocol that was not stored."""

    number: int
    reason: str
    text: str


class PartialWrite(Invalid):
    """With `accept_partial`: bad lines were left out, the good ones are stored."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None):
        super().__init__(status, body, retry_after)
        self.rows_written = int(body.get("lines_written") or 0)
        self.rows_rejected = int(body.get("lines_rejected") or 0)
        #: The first of the rejected lines; the node lists at most 100.
        self.rejected = [
            RejectedLine(line["line_number"], line["error_message"], line["original_line"])
            for line in body.get("data") or []
        ]


_CLASSES: dict[int, type[ServerError]] = {
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    408: TimedOut,
    409: Conflict,
    410: NotFound,
    413: Exhausted,
    415: Unsupported,
    429: Exhausted,
    499: Cancelled,
    501: Unsupported,
    503: Unavailable,
    504: TimedOut,
    507: Exhausted,
}


def of_answer(status: int, content: bytes, retry_after: str | None) -> ServerError:
    """The exception of an answer whose status is not 2xx."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):  # not from a node: a proxy in between, for example
        body = {"message": content[:1000].decode(errors="replace").strip()}
    seconds = float(retry_after) if retry_after is not None and retry_after.isdigit() else None
    return of_body(status, body, seconds)


def of_body(status: int, body: Mapping[str, Any], retry_after: float | None = None) -> ServerError:
    """The exception of an error body."""
    if "lines_written" in body:
        return PartialWrite(status, body, retry_after)
    usual = Invalid if 400 <= status < 500 else NodeFailed
    return _CLASSES.get(status, usual)(status, body, retry_after)


def _place(body: Mapping[str, Any]) -> Place | None:
    if "position" not in body:
        return None
    return Place(body["line"], body["column"], body["position"], body["length"])

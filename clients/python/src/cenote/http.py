"""Requests and answers: connections that are kept, and the rule for sending a request again.

A request is sent again after the node's `Retry-After` where its answer says that nothing happened, and after a lost
answer only if it is `repeatable`: it reads, or carries an idempotency key.
"""

from __future__ import annotations

import http.client
import json
import selectors
import socket
import ssl
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from .errors import ConnectionFailed, Error, ServerError, of_answer

CONNECT_SECONDS_MAX = 10.0
#: Connections that wait for their next request.
IDLE_MAX = 8
#: Entries of a page of a list: the most that the node gives.
PAGE_ENTRIES = 200
#: Bytes that one step of a streamed answer takes in.
CHUNK = 1 << 16
PAUSE_SECONDS_FIRST = 0.1
#: Longest pause before another attempt, whatever the node asks for.
PAUSE_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: True if having its effect twice is the same as once.
    repeatable: bool = False
    #: Seconds without a byte after which it fails; the client's own without it.
    timeout: float | None = None


@dataclass(frozen=True)
class Answer:
    """A whole answer whose status is 2xx."""

    body: bytes
    headers: http.client.HTTPMessage


class Call:
    """Requests that follow one another, and that another thread may end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._socket: socket.socket | None = None

    @property
    def ended(self) -> bool:
        """True if it was ended."""
        return self._end.is_set()

    def end(self) -> None:
        """Lets nothing more be sent, and closes what is open: who reads from it reads its end."""
        with self._lock:
            self._end.set()
            if self._socket is not None:
                with suppress(OSError):  # it is closed already
                    self._socket.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def using(self, connected: socket.socket) -> Iterator[None]:
        """While it runs, `end` closes this connection."""
        with self._lock:
            self._refuse()
            self._socket = connected
        try:
            yield
        finally:
            with self._lock:
                self._socket = None

    def pause(self, seconds: float) -> None:
        """Waits, and not longer than until it is ended."""
        self._end.wait(seconds)
        self._refuse()

    def _refuse(self) -> None:
        if self.ended:
            raise Error("the call was cancelled")


#: The call that this thread works for, if another may end it.
CALL: ContextVar[Call | None] = ContextVar("CALL", default=None)


class Http:
    """The node at one URL. Usable by several threads at once."""

    def __init__(
        self, url: str, headers: Mapping[str, str], timeout: float, retries_max: int, context: ssl.SSLContext | None
    ):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url must be http://host:port or https://host:port, got {url!r}")
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._context = (context or ssl.create_default_context()) if parts.scheme == "https" else None
        self._headers, self._timeout, self._retries_max = dict(headers), timeout, retries_max
        self._idle: deque[http.client.HTTPConnection] = deque()  # its methods are atomic
        self._closed = False

    def send(self, request: Request) -> Answer:
        """The whole answer; an error for a status that is not 2xx."""
        attempt = 0
        while True:
            try:
                with self._answering(request) as response:
                    return Answer(response.read(), response.headers)
            except Error as error:
                self._wait_for_next(attempt, request, error)
                attempt += 1

    def ask(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool = False,
    ) -> dict[str, Any]:
        """The object that is answered to this one; empty for an answer without a body. GET is always repeatable."""
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        answer = self.send(Request(method, target, content, headers or {}, repeatable or method == "GET"))
        said: dict[str, Any] = json.loads(answer.body or b"{}")
        return said

    def entries(self, *parts: str, headers: Mapping[str, str], **parameters: object) -> Iterator[dict[str, Any]]:
        """The entries of a list, which are asked for page by page."""
        cursor: str | None = None
        while True:
            target = path(*parts, **parameters, limit=PAGE_ENTRIES, cursor=cursor)
            page = self.ask("GET", target, headers=headers)
            yield from page["data"]
            cursor = page["nextCursor"]
            if cursor is None:
                return

    @contextmanager
    def stream(self, request: Request) -> Iterator[http.client.HTTPResponse]:
        """The answer as it comes; leaving before its end closes the connection, which cancels its statement."""
        attempt = 0
        while True:
            begun = False
            try:
                with self._answering(request) as response:
                    begun = True
                    yield response
                return
            except Error as error:
                if begun:
                    raise
                self._wait_for_next(attempt, request, error)
                attempt += 1

    def close(self) -> None:
        """Ends the connections that no request uses; the others end with their request."""
        self._closed = True
        while self._idle:
            self._idle.popleft().close()

    @contextmanager
    def _answering(self, request: Request) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection(request)
        call = CALL.get()
        whole = False
        try:
            with nullcontext() if call is None else call.using(connection.sock):
                connection.request(
                    request.method, self._prefix + request.path, request.body, {**self._headers, **request.headers}
                )
                response = connection.getresponse()
                if not 200 <= response.status < 300:
                    content = response.read()
                    whole = not response.will_close
                    raise of_answer(response.status, content, response.headers["retry-after"])
                yield response
                whole = response.isclosed() and not response.will_close
        except (OSError, http.client.HTTPException) as error:
            failed = ConnectionFailed(f"no whole answer from {self._host}: {error or type(error).__name__}")
            failed.outcome_unknown = not request.repeatable
            raise failed from error
        finally:
            if whole and not self._closed and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
            else:
                connection.close()

    def _connection(self, request: Request) -> http.client.HTTPConnection:
        if self._closed:
            raise Error("the client is closed")
        timeout = request.timeout or self._timeout
        while self._idle:
            try:
                connection = self._idle.pop()  # the youngest: the others may end
            except IndexError:
                break  # another thread was quicker
            if connection.sock is not None and not _has_news(connection):
                connection.sock.settimeout(timeout)
                return connection
            connection.close()
        connection = self._new_connection()
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise ConnectionFailed(f"cannot connect to {self._host}: {error}") from error
        connection.sock.settimeout(timeout)
        return connection

    def _new_connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS_MAX)
        return http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS_MAX, context=self._context)

    def _wait_for_next(self, attempt: int, request: Request, error: Error) -> None:
        """Waits until the request may be sent again; raises `error` if it may not."""
        if attempt >= self._retries_max or not _may_repeat(request, error):
            raise error
        pause = PAUSE_SECONDS_FIRST * 2**attempt
        if isinstance(error, ServerError) and error.retry_after is not None:
            pause = max(pause, error.retry_after)
        rest(min(pause, PAUSE_SECONDS_MAX))


def _may_repeat(request: Request, error: Error) -> bool:
    if isinstance(error, ServerError):
        known = error.reason != "outcome_unknown" or request.repeatable
        return error.retryable and error.retry_after is not None and known
    return isinstance(error, ConnectionFailed) and request.repeatable


def _has_news(connection: http.client.HTTPConnection) -> bool:
    """True if an idle connection has something to read: its end, as nothing was asked."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection.sock, selectors.EVENT_READ)
        return bool(selector.select(timeout=0))


def rest(seconds: float) -> None:
    """Waits, and not longer than until the call is ended that this thread works for."""
    call = CALL.get()
    if call is None:
        time.sleep(seconds)
    else:
        call.pause(seconds)


def chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it comes; the parts before a break are given before its error."""
    while chunk := response.read1(CHUNK):
        yield chunk
    finish(response)


def finish(response: http.client.HTTPResponse) -> None:
    """Reads the end of a body, which tells a whole one from one that broke off."""
    rest = response.read()
    if response.length:
        raise http.client.IncompleteRead(rest, response.length)


def path(*parts: str, **parameters: object) -> str:
    """A path of quoted parts, and the parameters that are not None."""
    quoted = "/".join(urllib.parse.quote(part, safe="") for part in parts)
    given = {name: _text(value) for name, value in parameters.items() if value is not None}
    return f"/api/v1/{quoted}" + (f"?{urllib.parse.urlencode(given)}" if given else "")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

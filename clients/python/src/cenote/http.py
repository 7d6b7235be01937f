"""Requests and answers: connections that are kept, and the rule for sending a request again.

A request is sent again after the node's `Retry-After` where its answer says that nothing happened, and after a lost
answer only if it is `repeatable`: it reads, or carries an idempotency key.
"""

from __future__ import annotations

import http.client
import selectors
import ssl
import time
import urllib.parse
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from .errors import ConnectionFailed, Error, ServerError, of_answer

CONNECT_SECONDS_MAX = 10.0
#: Connections that wait for their next request.
IDLE_MAX = 8
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
        whole = False
        try:
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
        time.sleep(min(pause, PAUSE_SECONDS_MAX))


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

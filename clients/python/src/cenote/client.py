"""The client: one node, one token, one database that names without one mean."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from .aio import Aio
from .assets import Assets
from .changes import Change, Start, Wanted, changes
from .http import Http, Request, path
from .jobs import Jobs
from .parameters import parameters
from .results import Outcome, Query, outcomes
from .runs import Runs
from .tables import Tables
from .tokens import Tokens
from .writes import Settings, Written, write_columns, write_lines

#: Seconds that an answer may come later than the statement's own limit.
ANSWER_SECONDS_MAX = 10.0
#: Calls of `aio` that wait for the node at a time; others wait for one of them.
AWAITED_MAX = 64


def connect(
    url: str = "http://127.0.0.1:8000",
    *,
    token: str | None = None,
    database: str | None = None,
    timeout: float = 300.0,
    retries_max: int = 4,
    ssl_context: ssl.SSLContext | None = None,
) -> Client:
    """A client of the node at `url`; connections are made when a request needs one.

    `timeout`: seconds without a byte after which a request fails. `retries_max`: how often a request is sent again
    where that is safe. `ssl_context`: for https with other certificates than the system's.
    """
    headers = {"user-agent": "cenote-python"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return Client(Http(url, headers, timeout, retries_max, ssl_context), database)


class Client:
    """See `connect`. Usable by several threads at once."""

    def __init__(self, http: Http, database: str | None):
        self._http = http
        self._database = {} if database is None else {"x-cenote-database": database}
        self.tables = Tables(http, self._database)
        self.tokens = Tokens(http)
        self.jobs = Jobs(http)
        self.runs = Runs(http, self._database)
        self.assets = Assets(http, self._database, self.runs)
        self._threads = ThreadPoolExecutor(AWAITED_MAX, "cenote")  # none begins before it has something to do
        #: The same methods, to be awaited.
        self.aio = Aio(self, self._threads)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()
        self._threads.shutdown(wait=False)

    def write(
        self,
        table: str,
        data: Any,
        *,
        tags: Iterable[str] = (),
        time_unit: str | None = None,
        ack: str | None = None,
        idempotency_key: str | None = None,
    ) -> Written:
        """Stores rows (dicts), columns (a dict of lists), a pandas DataFrame, or anything that hands out Arrow.

        Table and columns are made if they are not there. The column `time` holds datetimes, or numbers in `time_unit`
        (`s`, `ms`, `us`, `ns`; found by magnitude without it); without it the time of receipt counts. A DataFrame's
        DatetimeIndex is its `time`. `tags` are the text columns that name a series.

        `ack`: the rows are `memory` in memory, `durable` on disk (the node's default), `committed` in the catalog.
        Under an `idempotency_key` rows are stored once, however often they are sent, and always `committed`; the data
        must then be the same, in the same order.

        Large data goes as several requests, in order: if one fails, `rows_stored` of its error says what is stored.
        """
        settings = Settings(self._database, ack, idempotency_key)
        return write_columns(self._http, table, data, tags, time_unit, settings)

    def write_lines(
        self,
        lines: str | bytes | Iterable[str],
        *,
        precision: str = "ns",
        accept_partial: bool = False,
        ack: str | None = None,
        idempotency_key: str | None = None,
    ) -> Written:
        """Stores InfluxDB line protocol: a text in one request, or lines in as many as it takes.

        With `accept_partial` good lines are stored and bad ones raise `PartialWrite`, which lists them; without it a
        bad line fails its request.
        """
        settings = Settings(self._database, ack, idempotency_key)
        return write_lines(self._http, lines, precision, accept_partial, settings)

    def query(
        self, sql: str, params: Sequence[Any] = (), *, timeout: float | None = None, query_id: str | None = None
    ) -> Query:
        """A statement that reads, to be asked by a method of the result.

        `params` are the values of $1, $2, … `timeout`: seconds after which the node ends it. `query_id` names it for
        `cancel`. Ctrl-C while it runs, or leaving an iteration, cancels it too.
        """
        body = self._statement(sql, params, timeout)
        if query_id is not None:
            body["query_id"] = query_id
        return Query(self._http, self._request("query", body, timeout, repeatable=query_id is None))

    def execute(
        self, sql: str, params: Sequence[Any] = (), *, timeout: float | None = None, idempotency_key: str | None = None
    ) -> Outcome:
        """Runs a statement of any class; of several, which are one transaction, the last one's outcome.

        Under an `idempotency_key` it is applied once, however often it is sent.
        """
        return self.execute_all(sql, params, timeout=timeout, idempotency_key=idempotency_key)[-1]

    def execute_all(
        self, sql: str, params: Sequence[Any] = (), *, timeout: float | None = None, idempotency_key: str | None = None
    ) -> list[Outcome]:
        """Runs statements as one transaction: all of them happen, or nothing. The outcome of each."""
        request = self._request("sql", self._statement(sql, params, timeout), timeout, idempotency_key is not None)
        if idempotency_key is not None:
            headers = {**request.headers, "idempotency-key": idempotency_key}
            request = Request("POST", request.path, request.body, headers, True, request.timeout)
        return outcomes(self._http.send(request).body)

    def cancel(self, query_id: str) -> None:
        """Ends a running query, of any client; `Conflict` if it has ended already."""
        self._http.send(Request("DELETE", path("queries", query_id)))

    def changes(
        self,
        table: str,
        from_: Start = 0,
        *,
        to: Start | None = None,
        wait: bool = True,
        types: Iterable[str] | None = None,
        columns: Iterable[str] | None = None,
        preimages: bool | None = None,
        expired: bool | None = None,
    ) -> Iterator[Change]:
        """The changes of a table after `from_`, in order: a position of a change, a transaction, or a time.

        0 stands for everything that is kept. It ends after `to`; without it, with `wait` never, and without `wait`
        with the newest change. `types`, `columns`, `preimages`, `expired` are those of SQL's `table_changes`.
        """
        options = {
            "types": None if types is None else ",".join(types),
            "columns": None if columns is None else ",".join(columns),
            "preimages": preimages,
            "expired": expired,
        }
        return changes(self._http, Wanted(table, from_, to, options, self._database), wait)

    def _statement(self, sql: str, params: Sequence[Any], timeout: float | None) -> dict[str, Any]:
        body: dict[str, Any] = {"sql": sql, "exact": True}
        if params:
            body["params"] = parameters(params)
        if timeout is not None:
            body["timeout_ms"] = max(1, round(timeout * 1000))
        return body

    def _request(self, name: str, body: dict[str, Any], timeout: float | None, repeatable: bool) -> Request:
        headers = {**self._database, "content-type": "application/json"}
        silence_max = None if timeout is None else timeout + ANSWER_SECONDS_MAX
        content = json.dumps(body, ensure_ascii=False).encode()
        return Request("POST", path(name), content, headers, repeatable, silence_max)

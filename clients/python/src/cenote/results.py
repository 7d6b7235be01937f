"""SQL out: a query whose rows stream, and the outcome of statements that change something."""

from __future__ import annotations

import codecs
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .errors import ConnectionFailed, of_body
from .http import Http, Request, chunks, finish
from .values import convert_row, converters

if TYPE_CHECKING:
    import pandas
    import pyarrow

Row = tuple[Any, ...]
ARROW = "application/vnd.apache.arrow.stream"
#: Of an answer that failed after its beginning, by `truncation_reason`.
STATUS_BY_REASON = {"cancelled": 499, "timeout": 504}


@dataclass(frozen=True)
class Outcome:
    """What one statement did."""

    command: str
    rows_affected: int
    #: The transaction that it made or read, if it was a transaction of its own.
    txn: int | None
    columns: list[str]
    rows: list[Row]


class Query:
    """A question. Nothing is sent before one of its methods is called, and each call asks anew."""

    def __init__(self, http: Http, request: Request):
        self._http, self._request = http, request

    def __iter__(self) -> Iterator[Row]:
        """The rows as they come. A reader that stops early cancels the query when the iterator is closed."""
        with self._answer() as answer:
            yield from answer

    def rows(self) -> list[Row]:
        """All rows."""
        return list(self)

    def dicts(self) -> list[dict[str, Any]]:
        """All rows, by name. Of two columns with one name the last wins."""
        with self._answer() as answer:
            return [dict(zip(answer.columns, row)) for row in answer]

    def value(self) -> Any:
        """The one value of an answer of one row and one column; any other shape is a ValueError."""
        rows = self.rows()
        if len(rows) != 1 or len(rows[0]) != 1:
            raise ValueError(f"expected one row of one column, got {len(rows)} rows")
        return rows[0][0]

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """Arrow batches as they come (needs pyarrow)."""
        with self._arrow() as reader:
            yield from reader

    def to_arrow(self) -> pyarrow.Table:
        """All rows as an Arrow table (needs pyarrow)."""
        with self._arrow() as reader:
            return reader.read_all()

    def to_pandas(self, **options: Any) -> pandas.DataFrame:
        """All rows as a DataFrame (needs pyarrow and pandas); the options are those of pyarrow.Table.to_pandas."""
        return self.to_arrow().to_pandas(**options)

    @contextmanager
    def _answer(self) -> Iterator[RowReader]:
        with self._http.stream(self._request) as response:
            yield RowReader(response)

    @contextmanager
    def _arrow(self) -> Iterator[pyarrow.RecordBatchReader]:
        import pyarrow

        request = replace(self._request, headers={**self._request.headers, "accept": ARROW})
        with self._http.stream(request) as response, pyarrow.ipc.open_stream(response) as reader:
            yield reader
            finish(response)


class RowReader:
    """Rows of `{"success":true,"columns":[…],"types":[…],"data":[[…],…],…}` while it comes in."""

    def __init__(self, response: http.client.HTTPResponse):
        self._chunks = chunks(response)
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text = ""
        self._broken: Exception | None = None
        start = self._find(',"data":[')
        head = json.loads(self._text[:start] + "}")
        self._text = self._text[start + len(',"data":[') :]
        self.columns: list[str] = head["columns"]
        self._converters = converters(head["types"])

    def __iter__(self) -> Iterator[Row]:
        scan = json.JSONDecoder().raw_decode
        at = 0
        while True:
            while at < len(self._text) and self._text[at] == ",":
                at += 1
            if self._text.startswith("]", at):
                return self._finish(at + 1)
            try:
                row, at = scan(self._text, at)
            except json.JSONDecodeError:  # the row is not yet whole
                self._text, at = self._text[at:], 0
                self._read(at_least=len(self._text))
                continue
            yield convert_row(row, self._converters)

    def _find(self, what: str) -> int:
        while (start := self._text.find(what)) < 0:
            self._read(at_least=len(self._text))
        return start

    def _read(self, at_least: int) -> None:
        """Takes in more; ever larger steps, so that one long row is not scanned over and over."""
        parts, size = [self._text], 0
        while size <= at_least and (part := self._next()) is not None:
            parts.append(part)
            size += len(part)
        if size == 0:
            raise self._broken or ConnectionFailed("the answer ended in the middle of a row")
        self._text = "".join(parts)

    def _next(self) -> str | None:
        try:
            chunk = next(self._chunks, None)
        except (OSError, http.client.HTTPException) as error:
            self._broken = error  # what came before it is read first: it may say why
            return None
        return None if chunk is None else self._decode(chunk)

    def _finish(self, at: int) -> None:
        """Reads what stands after the rows; raises what it says went wrong."""
        parts = [self._text[at:]]
        while (part := self._next()) is not None:
            parts.append(part)
        tail = "".join(parts).strip().removeprefix(",")
        said = json.loads("{" + tail) if tail.endswith("}") else {}
        if "error" in said:
            raise of_body(STATUS_BY_REASON.get(said.get("truncation_reason", ""), 500), said)
        if self._broken is not None:
            raise self._broken


def outcomes(body: bytes) -> list[Outcome]:
    """The results of a text of statements."""
    return [_outcome(result) for result in json.loads(body)["results"]]


def _outcome(result: dict[str, Any]) -> Outcome:
    to_convert = converters(result.get("types", ()))
    rows = [convert_row(row, to_convert) for row in result.get("data", ())]
    return Outcome(result["command"], result["rows_affected"], result["txn"], result.get("columns", []), rows)

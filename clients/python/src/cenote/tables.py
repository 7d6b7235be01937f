"""Tables: which there are, and their columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .http import Http, path


@dataclass(frozen=True)
class Table:
    """A table as the catalog shows it."""

    database: str
    name: str
    #: In files and in the buffer.
    rows: int
    files: int
    megabytes: float
    location: str


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    tag: bool
    nullable: bool


class Tables:
    """The tables that the token may read."""

    def __init__(self, http: Http, headers: dict[str, str]):
        self._http, self._headers = http, headers

    def list(self) -> list[Table]:
        """Those of the client's database, or of all databases if it was not given one."""
        return [
            Table(
                database=table["database"],
                name=table["measurement"],
                rows=table["row_count"],
                files=table["file_count"],
                megabytes=table["total_size_mb"],
                location=table["storage_path"],
            )
            for table in self._http.ask("GET", path("measurements"), headers=self._headers)["measurements"]
        ]

    def describe(self, name: str) -> Sequence[Column]:
        """The columns of a table in the client's database."""
        target = path("measurements", name, "schema")
        return [
            Column(column["name"], column["type"], column["tag"], column["nullable"])
            for column in self._http.ask("GET", target, headers=self._headers)["columns"]
        ]

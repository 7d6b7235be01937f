"""Commits of ten rows into an Iceberg table by PyIceberg with its catalog in SQLite, for so many seconds by so many writers;
prints how many.

Run by `commit.py`: a writer that is still trying again when the time is over ends with the process.

    python iceberg.py DIRECTORY WRITERS SECONDS
    python iceberg.py DIRECTORY count
"""

import logging
import pathlib
import sys

import pyarrow as pa
import writers
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import OperationalError


def _catalog(directory: pathlib.Path) -> SqlCatalog:
    return SqlCatalog("bench", uri=f"sqlite:///{directory}/catalog.sqlite", warehouse=f"file://{directory}")


def main() -> None:
    directory = pathlib.Path(sys.argv[1])
    if sys.argv[2] == "count":
        return print(_catalog(directory).load_table("bench.commits").scan().count())
    count, seconds = int(sys.argv[2]), float(sys.argv[3])
    logging.getLogger("pyiceberg").setLevel(logging.ERROR)  # it says each time that it tries again
    schema = pa.schema([("writer", pa.int64()), ("n", pa.int64()), ("note", pa.string())])
    catalog = _catalog(directory)
    catalog.create_namespace("bench")
    catalog.create_table("bench.commits", schema)

    def writer(number: int):
        table = _catalog(directory).load_table("bench.commits")

        def commit(done: int) -> bool:
            rows = range(done * writers.ROWS, (done + 1) * writers.ROWS)
            columns = [[number] * writers.ROWS, rows, [f"text {row}" for row in range(writers.ROWS)]]
            try:
                table.append(pa.table(columns, schema=schema))
                return True
            except (CommitFailedException, OperationalError):
                table.refresh()
                return False

        return commit

    writers.run(count, seconds, writer)


if __name__ == "__main__":
    main()

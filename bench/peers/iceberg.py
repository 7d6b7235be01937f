"""Commits of ten rows into an Iceberg table by PyIceberg, with its catalog in SQLite."""

import pathlib
import threading
import time

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import OperationalError

ROWS = 10


def _catalog(directory: pathlib.Path) -> SqlCatalog:
    return SqlCatalog("bench", uri=f"sqlite:///{directory}/catalog.sqlite", warehouse=f"file://{directory}")


def commits_per_second(directory: pathlib.Path, writers: int, seconds: float) -> tuple[float, int]:
    """Commits of all writers in a second, and how many were refused and tried again."""
    schema = pa.schema([("writer", pa.int64()), ("n", pa.int64()), ("note", pa.string())])
    catalog = _catalog(directory)
    catalog.create_namespace("bench")
    catalog.create_table("bench.commits", schema)
    counts, refused, began = [], [], time.perf_counter()

    def append(writer: int) -> None:
        table, done, failed = _catalog(directory).load_table("bench.commits"), 0, 0
        while time.perf_counter() < began + seconds:
            columns = [[writer] * ROWS, range(done * ROWS, (done + 1) * ROWS), [f"text {row}" for row in range(ROWS)]]
            try:
                table.append(pa.table(columns, schema=schema))
                done += 1
            except (CommitFailedException, OperationalError):
                failed += 1
                table.refresh()
        counts.append(done)
        refused.append(failed)

    threads = [threading.Thread(target=append, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    stored = _catalog(directory).load_table("bench.commits").scan().count()
    if stored != sum(counts) * ROWS:
        raise RuntimeError(f"{sum(counts) * ROWS} rows were committed, {stored} are there")
    return sum(counts) / elapsed, sum(refused)

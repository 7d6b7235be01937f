"""Commits of ten rows into a DuckLake with its catalog in SQLite, for so many seconds by so many writers; prints how many.

Run by `commit.py` in an environment of its own: DuckLake is not there for the newest DuckDB.

    python ducklake.py DIRECTORY WRITERS SECONDS
"""

import importlib.util
import json
import pathlib
import sys
import threading
import time

import duckdb

ROWS = 10


def load(connection: duckdb.DuckDBPyConnection, extension: str) -> None:
    package = importlib.util.find_spec(f"duckdb_extension_{extension}").submodule_search_locations[0]
    [path] = pathlib.Path(package).rglob("*.duckdb_extension")
    connection.execute(f"LOAD '{path}'")


def count(lake: duckdb.DuckDBPyConnection) -> int:
    for _ in range(100):  # its catalog may be locked for a while after so many writers
        try:
            return lake.execute("SELECT count(*) FROM lake.commits").fetchone()[0]
        except duckdb.Error:
            time.sleep(0.1)
    sys.exit("the catalog stays locked")


def main() -> None:
    directory, writers, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    lake = duckdb.connect()
    load(lake, "sqlite_scanner")
    load(lake, "ducklake")
    lake.execute(f"ATTACH 'ducklake:sqlite:{directory}/catalog.sqlite' AS lake (DATA_PATH '{directory}/data')")
    lake.execute("CREATE TABLE lake.commits (writer BIGINT, n BIGINT, note VARCHAR)")
    counts, refused, began = [], [], time.perf_counter()

    def insert(writer: int) -> None:
        connection, done, failed = lake.cursor(), 0, 0
        while time.perf_counter() < began + seconds:
            values = ", ".join(f"({writer}, {done * ROWS + row}, 'text {row}')" for row in range(ROWS))
            try:
                connection.execute(f"INSERT INTO lake.commits VALUES {values}")
                done += 1
            except duckdb.Error:  # a conflict: the writer tries again
                failed += 1
        counts.append(done)
        refused.append(failed)

    threads = [threading.Thread(target=insert, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    stored = count(lake)
    if stored != sum(counts) * ROWS:
        sys.exit(f"{sum(counts) * ROWS} rows were committed, {stored} are there")
    print(json.dumps({"commits_per_second": sum(counts) / elapsed, "refused": sum(refused), "version": duckdb.__version__}))


if __name__ == "__main__":
    main()

"""Commits of ten rows into a DuckLake with its catalog in SQLite, for so many seconds by so many writers; prints how many.

Run by `commit.py` in an environment of its own: DuckLake is not there for the newest DuckDB.

    python ducklake.py DIRECTORY WRITERS SECONDS
    python ducklake.py DIRECTORY count
"""

import importlib.util
import pathlib
import sys
import time

import duckdb
import writers


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
    directory = sys.argv[1]
    lake = duckdb.connect()
    load(lake, "sqlite_scanner")
    load(lake, "ducklake")
    lake.execute(f"ATTACH 'ducklake:sqlite:{directory}/catalog.sqlite' AS lake (DATA_PATH '{directory}/data')")
    if sys.argv[2] == "count":
        return print(count(lake))
    number_of_writers, seconds = int(sys.argv[2]), float(sys.argv[3])
    lake.execute("CREATE TABLE lake.commits (writer BIGINT, n BIGINT, note VARCHAR)")

    def writer(number: int):
        connection = lake.cursor()

        def commit(done: int) -> bool:
            values = ", ".join(f"({number}, {done * writers.ROWS + row}, 'text {row}')" for row in range(writers.ROWS))
            try:
                connection.execute(f"INSERT INTO lake.commits VALUES {values}")
                return True
            except duckdb.Error:  # a conflict: the writer tries again
                return False

        return commit

    writers.run(number_of_writers, seconds, writer)


if __name__ == "__main__":
    main()

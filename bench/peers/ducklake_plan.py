"""Planning queries on a DuckLake of many files with its catalog in SQLite: the milliseconds of each, by round, as JSON.

Run by `plan.py` in an environment of its own. Standard input: what is asked, see there.

    python ducklake_plan.py DIRECTORY
"""

import contextlib
import json
import pathlib
import re
import sqlite3
import sys
import time

import duckdb
from ducklake import load

directory, asked = sys.argv[1], json.load(sys.stdin)
files, rows = asked["files"], asked["rows_per_file"]
columns = ", ".join(f"{name} {kind}" for name, kind in asked["columns"].items())


@contextlib.contextmanager
def attached():
    with duckdb.connect() as connection:
        load(connection, "sqlite_scanner")
        load(connection, "ducklake")
        connection.execute(f"ATTACH 'ducklake:sqlite:{directory}/catalog.sqlite' AS lake (DATA_PATH '{directory}/data')")
        yield connection


def bytes_read() -> int:
    return int(pathlib.Path("/proc/self/io").read_text().split("rchar: ")[1].split("\n")[0])


def seconds(n: str) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%S', '{asked['start']}', '+' || ({n}) || ' seconds')"


with attached() as lake:
    lake.execute("CALL lake.set_option('data_inlining_row_limit', 0)")
    lake.execute(f"CREATE TABLE lake.cpu ({columns})")
    lake.execute(f"INSERT INTO lake.cpu VALUES ('{asked['start']}', 'a', 1.5, 1, 0), ('{asked['start']}', 'b', 2.5, 2, 1)")

with contextlib.closing(sqlite3.connect(f"{directory}/catalog.sqlite")) as catalog, catalog:
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {files})"

    def copy(table: str, new: dict) -> None:
        names = [name for _, name, *_ in catalog.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(new.get(name, name) for name in names)
        catalog.execute(f"{numbers} INSERT INTO {table} SELECT {values} FROM numbers, {table} WHERE data_file_id = 0")

    step = asked["step_seconds"]
    copy("ducklake_data_file", {"data_file_id": "n", "path": "n || '.parquet'", "record_count": str(rows), "row_id_start": f"n * {rows}"})
    low, high = seconds(f"n * {step}"), seconds(f"n * {step} + {asked['file_seconds'] - 1}")
    copy(
        "ducklake_file_column_stats",
        {
            "data_file_id": "n",
            "min_value": f"CASE column_id WHEN 1 THEN {low} ELSE min_value END",
            "max_value": f"CASE column_id WHEN 1 THEN {high} ELSE max_value END",
        },
    )
    catalog.execute(f"UPDATE ducklake_table_stats SET record_count = {files * rows}, next_row_id = {(files + 1) * rows}")
    catalog.execute(f"UPDATE ducklake_table_column_stats SET max_value = {seconds(str((files + 2) * step))} WHERE column_id = 1")
    catalog.execute(f"UPDATE ducklake_snapshot SET next_file_id = {files + 1} WHERE snapshot_id = (SELECT max(snapshot_id) FROM ducklake_snapshot)")

with attached() as lake:
    lake.execute("USE lake")
    times = []
    for questions in asked["rounds"]:
        taken, before = [], bytes_read()
        for text, first in questions:
            # EXPLAIN asks for no files; a query does, then misses the object of the first.
            began = time.perf_counter()
            try:
                lake.execute(text.format("cpu"))
                sys.exit(f"{text}: there is no file that it could read")
            except duckdb.IOException as error:
                taken.append((time.perf_counter() - began) * 1000)
                missed = int(re.search(r"(\d+)\.parquet", str(error))[1])
            if missed not in range(first, first + asked["expected"]):
                sys.exit(f"{text}: file {missed} was asked for, expected one from {first} on")
        times.append(taken)
        read = (bytes_read() - before) / len(questions)
print(json.dumps({"times": times, "read": read}))

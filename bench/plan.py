"""Planning a query over one hour of a table of many files, beside PyIceberg and DuckLake with their catalogs in SQLite on the same
disk. A file is cut every 30 seconds and holds a minute; the objects do not exist, since planning opens none.

Each system makes a table in its own way and commits one file or more; then its catalog is told of all of them: PyIceberg by its
own commits, Cenote and DuckLake by rows of their database, copied from that of the first file.
"""

import contextlib
import datetime
import json
import pathlib
import random
import sqlite3
import subprocess
import tempfile
import time

import figures
from commit import PEERS, ducklake_python
from node import Node

FILES = {"small": 20_000, "full": 1_000_000}
#: Questions of one round, each for another hour.
HOURS = 20
#: Of a peer that takes seconds for each.
HOURS_OF_SLOW = 3
FILES_PER_COMMIT = 10_000
STEP_SECONDS = 30
FILE_SECONDS = 60
ROWS_PER_FILE = 1_000
START = datetime.datetime(2025, 1, 1)
EXPECTED = (3600 + FILE_SECONDS) // STEP_SECONDS - 1
COLUMNS = {"time": "TIMESTAMP", "host": "VARCHAR", "usage": "DOUBLE", "requests": "BIGINT", "errors": "BIGINT"}


def hours(files: int, seed: int) -> list[str]:
    """Beginnings of hours within the table's time, by chance."""
    span = files * STEP_SECONDS // 3600 - 2
    return [str(START + datetime.timedelta(hours=hour)) for hour in random.Random(seed).choices(range(1, span), k=HOURS)]


def question(hour: str) -> str:
    end = datetime.datetime.fromisoformat(hour) + datetime.timedelta(hours=1)
    return f"SELECT max(usage) FROM {{}} WHERE time >= TIMESTAMP '{hour}' AND time < TIMESTAMP '{end}'"


def first_file(hour: str) -> int:
    """The number of the first file that holds some of an hour."""
    return int((datetime.datetime.fromisoformat(hour) - START).total_seconds()) // STEP_SECONDS - FILE_SECONDS // STEP_SECONDS + 1


def fill_cenote(node: Node, files: int) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    node.sql(f"CREATE TABLE cpu ({columns}) WITH (inline_max = '0', compaction.enabled = off)")
    end = START + datetime.timedelta(seconds=files * STEP_SECONDS + FILE_SECONDS)
    node.sql(f"INSERT INTO cpu VALUES ('{START}', 'a', 1.5, 1, 0), ('{end}', 'b', 2.5, 2, 0)")
    node.stop()
    with contextlib.closing(sqlite3.connect(node.directory / "catalog.db")) as catalog, catalog:
        [(table, first)] = catalog.execute("SELECT table_id, file_id FROM cn_file").fetchall()
        columns = [name for _, name, *_ in catalog.execute("PRAGMA table_info(cn_file)")]
        begin = int(START.replace(tzinfo=datetime.timezone.utc).timestamp()) * 1_000_000
        new = {
            "file_id": "file_id + n",
            "path": "'data/' || n || '.parquet'",
            "path_hash": "randomblob(16)",
            "row_count": str(ROWS_PER_FILE),
            "row_id_start": f"row_id_start + n * {ROWS_PER_FILE}",
            "t_min": f"{begin} + n * {STEP_SECONDS * 1_000_000}",
            "t_max": f"{begin} + n * {STEP_SECONDS * 1_000_000} + {FILE_SECONDS * 1_000_000 - 1}",
        }
        numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {files})"
        values = ", ".join(new.get(name, name) for name in columns)
        catalog.execute(f"{numbers} INSERT INTO cn_file SELECT {values} FROM numbers, cn_file WHERE file_id = {first}")
        catalog.execute(f"{numbers} INSERT INTO cn_bounds SELECT table_id, file_id + n, stats FROM numbers, cn_bounds WHERE file_id = {first}")
        catalog.execute(f"UPDATE cn_file SET t_max = t_min + {FILE_SECONDS * 1_000_000 - 1} WHERE file_id = {first}")
        counters = f"live_files = {files + 1}, live_rows = {(files + 1) * ROWS_PER_FILE}"
        catalog.execute(f"UPDATE cn_partition SET {counters} WHERE table_id = {table}")
        catalog.execute(
            f"UPDATE cn_table_state SET {counters}, max_span_us = {FILE_SECONDS * 1_000_000}, "
            f"next_row_id = {(files + 2) * ROWS_PER_FILE} WHERE table_id = {table}"
        )
        catalog.execute(f"UPDATE cn_head SET next_file = next_file + {files}")
    node.start()


def bytes_read(process: int | str = "self") -> int:
    """What a process has read so far, from files and sockets, cached or not."""
    text = pathlib.Path(f"/proc/{process}/io").read_text()
    return int(text.split("rchar: ")[1].split("\n")[0])


def cenote(files: int, rounds: int) -> tuple[list[list[float]], float]:
    with Node() as node:
        fill_cenote(node, files)
        times = []
        with node.connect() as connection:
            for number in range(rounds + 1):
                taken, before = [], bytes_read(node.process.pid)
                for hour in hours(files, number):
                    text = question(hour).format("cpu")
                    began = time.perf_counter()
                    plan = connection.execute(f"EXPLAIN {text}").fetchall()
                    taken.append((time.perf_counter() - began) * 1000)
                times.append(taken)
                read = (bytes_read(node.process.pid) - before) / HOURS
        # All have the statistics of the first file, so the one that begins where the hour ends is not left out by its own.
        check("cenote", f"files={EXPECTED + 1}," in "".join(map(str, plan)), plan)
        return times[1:], read


def check(system: str, holds: bool, plan) -> None:
    if not holds:
        raise RuntimeError(f"{system}: the plan is not over {EXPECTED} files: {str(plan)[-600:]}")


def pyiceberg(files: int, rounds: int) -> tuple[list[list[float]], float]:
    from pyiceberg import types
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.conversions import to_bytes
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.schema import Schema
    from pyiceberg.typedef import Record

    kinds = {"TIMESTAMP": types.TimestampType(), "VARCHAR": types.StringType(), "DOUBLE": types.DoubleType(), "BIGINT": types.LongType()}
    fields = [types.NestedField(number, name, kinds[kind]) for number, (name, kind) in enumerate(COLUMNS.items(), 1)]
    epoch = int(START.replace(tzinfo=datetime.timezone.utc).timestamp()) * 1_000_000
    ends = {2: ("a", "b"), 3: (1.5, 2.5), 4: (1, 2), 5: (0, 1)}
    lower = {number: to_bytes(fields[number - 1].field_type, low) for number, (low, _) in ends.items()}
    upper = {number: to_bytes(fields[number - 1].field_type, high) for number, (_, high) in ends.items()}
    counts = dict.fromkeys(range(1, 6), ROWS_PER_FILE)

    def file(number: int) -> DataFile:
        begin = epoch + number * STEP_SECONDS * 1_000_000
        end = begin + FILE_SECONDS * 1_000_000 - 1
        made = DataFile.from_args(
            content=DataFileContent.DATA, file_path=f"file://{directory}/data/{number}.parquet", file_format=FileFormat.PARQUET,
            partition=Record(), record_count=ROWS_PER_FILE, file_size_in_bytes=10_000, value_counts=counts,
            lower_bounds=lower | {1: to_bytes(fields[0].field_type, begin)}, upper_bounds=upper | {1: to_bytes(fields[0].field_type, end)},
        )
        made.spec_id = 0
        return made

    with tempfile.TemporaryDirectory(prefix="pyiceberg-plan-") as directory:
        catalog = SqlCatalog("bench", uri=f"sqlite:///{directory}/catalog.sqlite", warehouse=f"file://{directory}")
        catalog.create_namespace("bench")
        table = catalog.create_table("bench.cpu", Schema(*fields))
        for first in range(0, files, FILES_PER_COMMIT):
            with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
                for number in range(first, min(first + FILES_PER_COMMIT, files)):
                    append.append_data_file(file(number))
        times = []
        for number in range(rounds + 1):
            taken, before = [], bytes_read()
            for hour in hours(files, number)[:HOURS_OF_SLOW]:
                end = datetime.datetime.fromisoformat(hour) + datetime.timedelta(hours=1)
                within = And(GreaterThanOrEqual("time", hour.replace(" ", "T")), LessThan("time", end.isoformat()))
                began = time.perf_counter()
                plan = list(catalog.load_table("bench.cpu").scan(row_filter=within).plan_files())
                taken.append((time.perf_counter() - began) * 1000)
            times.append(taken)
            read = (bytes_read() - before) / HOURS_OF_SLOW
        check("pyiceberg", len(plan) == EXPECTED, len(plan))
        return times[1:], read


def ducklake(files: int, rounds: int) -> tuple[list[list[float]], float]:
    with tempfile.TemporaryDirectory(prefix="ducklake-plan-") as directory:
        asked = {
            "columns": COLUMNS, "files": files, "expected": EXPECTED, "start": str(START), "step_seconds": STEP_SECONDS,
            "file_seconds": FILE_SECONDS, "rows_per_file": ROWS_PER_FILE,
            "rounds": [[(question(hour), first_file(hour)) for hour in hours(files, number)[:HOURS_OF_SLOW]] for number in range(rounds + 1)],
        }
        command = [ducklake_python(), PEERS / "ducklake_plan.py", directory]
        answer = subprocess.run(command, input=json.dumps(asked).encode(), check=True, stdout=subprocess.PIPE)
        told = json.loads(answer.stdout)
        return told["times"][1:], told["read"]


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    files = FILES["small" if small else "full"]
    times, read = {}, {}
    for name, system in {"cenote": cenote, "ducklake": ducklake, "pyiceberg": pyiceberg}.items():
        taken, read[name] = system(files, rounds)
        times[name] = [figures.median(round) for round in taken]
        print(f"{name}: {figures.median(times[name]):.2f} ms", flush=True)
    rows = [
        {
            "system": name,
            "plan_ms": figures.median(taken),
            "lowest": min(taken),
            "highest": max(taken),
            "kib_read": read[name] / 1024,
            "ratio": figures.ratio(taken, times["cenote"]),
        }
        for name, taken in times.items()
    ]
    return rows, {"files": files, "files_in_an_hour": EXPECTED}

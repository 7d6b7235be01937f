"""Durable commits per second of ten rows each, beside PyIceberg and DuckLake with their catalogs in SQLite on the same disk.

Cenote's are INSERTs over the Postgres wire. A commit that a peer refuses because another was first is tried again by its
writer and counts once; what is done after the time counts for nobody.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import figures
from node import Node

ROWS = 10
WRITERS = (1, 64)
PEERS = pathlib.Path(__file__).resolve().parent / "peers"


def _insert(node: Node, writer: int, until: float, counts: list) -> None:
    with node.connect() as connection:
        done = 0
        while time.perf_counter() < until:
            values = ", ".join(f"({writer}, {done * ROWS + row}, 'text {row}')" for row in range(ROWS))
            connection.execute(f"INSERT INTO commits VALUES {values}")
            done += 1
        counts.append(done)


def _cenote(writers: int, seconds: float) -> tuple[float, int]:
    with Node() as node:
        node.sql("CREATE TABLE commits (writer BIGINT, n BIGINT, note VARCHAR)")
        counts, began = [], time.perf_counter()
        threads = [threading.Thread(target=_insert, args=(node, writer, began + seconds, counts)) for writer in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - began
        if len(counts) != writers:
            raise RuntimeError("a writer failed")
        stored = int(node.sql("SELECT count(*) FROM commits")[0][0])
        if stored != sum(counts) * ROWS:
            raise RuntimeError(f"{sum(counts) * ROWS} rows were committed, {stored} are there")
        return sum(counts) / elapsed, 0


def _peer(name: str, python: pathlib.Path | str, writers: int, seconds: float) -> tuple[float, int]:
    with tempfile.TemporaryDirectory(prefix=f"{name}-bench-", ignore_cleanup_errors=True) as directory:
        def peer(*arguments: str):
            command = [python, PEERS / f"{name}.py", directory, *arguments]
            return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

        done, stored = peer(str(writers), str(seconds)), peer("count")
        if stored < done["commits"] * ROWS:
            raise RuntimeError(f"{name}: {done['commits'] * ROWS} rows were committed, {stored} are there")
        return done["commits"] / seconds, done["refused"]


def _pyiceberg(writers: int, seconds: float) -> tuple[float, int]:
    return _peer("iceberg", sys.executable, writers, seconds)


def ducklake_python() -> pathlib.Path:
    """The Python of an environment with a DuckDB that DuckLake is there for; made if it is not there."""
    python = PEERS / ".venv-ducklake" / "bin" / "python"
    if not python.exists():
        requirements = PEERS / "requirements-ducklake.txt"
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements], check=True)
    return python


def _ducklake(writers: int, seconds: float) -> tuple[float, int]:
    return _peer("ducklake", ducklake_python(), writers, seconds)


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    seconds = 2 if small else 10
    results = []
    for writers in WRITERS:
        rates = {"cenote": [], "pyiceberg": [], "ducklake": []}
        refused = dict.fromkeys(rates, 0)
        for _ in range(rounds):
            for system, commits in (("cenote", _cenote), ("pyiceberg", _pyiceberg), ("ducklake", _ducklake)):
                rate, again = commits(writers, seconds)
                rates[system].append(rate)
                refused[system] += again
        for system, measured in rates.items():
            results.append(
                {
                    "writers": writers,
                    "system": system,
                    "commits_per_second": figures.median(measured),
                    "lowest": min(measured),
                    "highest": max(measured),
                    "refused": refused[system],
                    "ratio": figures.ratio(rates["cenote"], measured),
                }
            )
    return results, {"rows_per_commit": ROWS}

"""Many small commits for a long time: how many objects they become, and what a query pays for that.

A hundred clients commit ten rows each, one after the other, for ten minutes, while the node looks after the table by itself.
"""

import pathlib
import threading
import time

import figures
from node import Node

CLIENTS, SECONDS = 100, 600
CLIENTS_SMALL, SECONDS_SMALL = 10, 10
ROWS = 10
QUERIES = {
    "count and sum": "SELECT count(*), sum(n) FROM small",
    "by client": "SELECT client, count(*), max(note) FROM small GROUP BY client ORDER BY client",
    "one client": "SELECT count(*), max(n) FROM small WHERE client = 7",
}


def _insert(node: Node, client: int, until: float, counts: list, failed: list) -> None:
    try:
        with node.connect() as connection:
            done = 0
            while time.perf_counter() < until:
                values = ", ".join(f"({client}, {done * ROWS + row}, 'text {row}')" for row in range(ROWS))
                connection.execute(f"INSERT INTO small VALUES {values}")
                done += 1
            counts.append(done)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run is void
        failed.append(error)


def _times(node: Node, rounds: int) -> dict[str, list[float]]:
    with node.connect() as connection:
        times = {name: [] for name in QUERIES}
        for _ in range(rounds):
            for name, text in QUERIES.items():
                began = time.perf_counter()
                connection.execute(text).fetchall()
                times[name].append((time.perf_counter() - began) * 1000)
        return times


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    clients, seconds = (CLIENTS_SMALL, SECONDS_SMALL) if small else (CLIENTS, SECONDS)
    with Node() as node:
        node.sql("CREATE TABLE small (client BIGINT, n BIGINT, note VARCHAR)")
        counts, failed, began = [], [], time.perf_counter()
        threads = [
            threading.Thread(target=_insert, args=(node, client, began + seconds, counts, failed)) for client in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - began
        if failed:
            raise RuntimeError(f"{len(failed)} clients failed, one with: {failed[0]}")
        stored = int(node.sql("SELECT count(*) FROM small")[0][0])
        if stored != sum(counts) * ROWS:
            raise RuntimeError(f"{sum(counts) * ROWS} rows were committed, {stored} are there")
        objects = len(list(pathlib.Path(node.directory / "lake").rglob("*.parquet")))
        loose = _times(node, max(rounds, 5))
        node.sql("FLUSH small")
        node.sql("OPTIMIZE TABLE small FULL")
        merged = _times(node, max(rounds, 5))
        results = [
            {"what": "commits", "clients": clients, "seconds": elapsed, "commits_per_second": sum(counts) / elapsed, "objects": objects}
        ]
        for name in QUERIES:
            against = figures.ratio(loose[name], merged[name])
            results.append(
                {"what": name, "loose_ms": figures.median(loose[name]), "merged_ms": figures.median(merged[name]), "ratio": against["ratio"]}
            )
    return results, {"rows_per_commit": ROWS}

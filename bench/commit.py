"""Durable commits per second: INSERTs of ten rows over the Postgres wire, each a commit of its own."""

import threading
import time

import figures
from node import Node

ROWS = 10
WRITERS = (1, 64)


def _insert(node: Node, writer: int, until: float, counts: list) -> None:
    with node.connect() as connection:
        done = 0
        while time.perf_counter() < until:
            values = ", ".join(f"({writer}, {done * ROWS + row}, 'text {row}')" for row in range(ROWS))
            connection.execute(f"INSERT INTO commits VALUES {values}")
            done += 1
        counts.append(done)


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    seconds = 2 if small else 10
    results = []
    for writers in WRITERS:
        rates = []
        for _ in range(rounds):
            with Node() as node:
                node.sql("CREATE TABLE commits (writer BIGINT, n BIGINT, note VARCHAR)")
                counts, began = [], time.perf_counter()
                threads = [
                    threading.Thread(target=_insert, args=(node, writer, began + seconds, counts)) for writer in range(writers)
                ]
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
                rates.append(sum(counts) / elapsed)
        results.append({"writers": writers, "commits_per_second": figures.median(rates), "lowest": min(rates), "highest": max(rates)})
    return results, {"rows_per_commit": ROWS}

"""Compaction, and what it is for: a thousand files of about 1 MiB merged, and a sorted table beside plain Parquet.

The rows stand in the order of time, from a hundred hosts. Merging them is timed with the server's CPU seconds and its highest
resident memory. The files as they were before are the plain Parquet that DataFusion reads beside our merged, sorted table;
every answer must equal DataFusion's. The same is done once more with the data on an S3 server that takes its time.
"""

import pathlib
import shutil
import tempfile
import time

import figures
from node import Node
from objects import Objects

#: What the S3 server waits before each answer.
DELAY_SECONDS = 0.02
HOSTS = 100
FILES, FILES_SMALL = 1_000, 40
#: Three random doubles and two columns that pack well: about 1 MiB of Parquet.
ROWS_PER_FILE = 40_000
START = "TIMESTAMP '2026-01-01 00:00:00'"

HOUR = "time >= TIMESTAMP '2026-01-03 07:00:00' AND time < TIMESTAMP '2026-01-03 08:00:00'"
QUERIES = {
    "all rows": "SELECT count(*), sum(a), max(b), min(c) FROM {table}",
    "one host": "SELECT count(*), sum(a), max(b), min(c) FROM {table} WHERE host = 'host-42'",
    "one host, one hour": "SELECT count(*), sum(a), max(b) FROM {table} WHERE host = 'host-42' AND " + HOUR,
    "all hosts, one hour": "SELECT host, count(*), avg(a) FROM {table} WHERE " + HOUR + " GROUP BY host ORDER BY host",
}


def _fill(node: Node, files: int) -> None:
    node.sql(
        "CREATE TABLE readings (time TIMESTAMP, host VARCHAR, a DOUBLE, b DOUBLE, c DOUBLE) "
        "SORTED BY (host, time) WITH (compaction.enabled = off, inline_max = '0')"
    )
    with node.connect() as connection:
        for file in range(files):
            first = file * ROWS_PER_FILE
            connection.execute(
                f"INSERT INTO readings SELECT {START} + value * INTERVAL '10 milliseconds', "
                f"'host-' || (value % {HOSTS})::VARCHAR, random(), random(), random() "
                f"FROM generate_series({first}, {first + ROWS_PER_FILE - 1})"
            )


def _live(node: Node) -> list[tuple[pathlib.Path, int]]:
    rows = node.sql("SELECT path, size_bytes FROM system.storage.files WHERE table_name = 'readings' AND end_txn IS NULL")
    return [(node.directory / "lake" / path, size) for path, size in rows]


def _timed(ask, text: str) -> tuple[float, list]:
    began = time.perf_counter()
    rows = ask(text)
    return (time.perf_counter() - began) * 1000, rows


def _same(ours: list, theirs: list) -> bool:
    def close(a, b):
        return abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1) if isinstance(a, float) else a == b

    return len(ours) == len(theirs) and all(close(a, b) for x, y in zip(ours, theirs) for a, b in zip(x, y))


def _optimized(node: Node, rounds: int, where: str) -> dict:
    """Merges the table in a process that did nothing before."""
    before = _live(node)
    with node.connect() as connection:
        ask = lambda text: connection.execute(text.format(table="readings")).fetchall()  # noqa: E731
        loose = [_timed(ask, QUERIES["all rows"]) for _ in range(rounds)]
    node.restart()
    own = node.resident_mib()
    with node.connect() as connection:
        ask = lambda text: connection.execute(text.format(table="readings")).fetchall()  # noqa: E731
        cpu, began = node.cpu_seconds(), time.perf_counter()
        node.watch_peak()
        connection.execute("OPTIMIZE TABLE readings")
        took, cpu, peak = time.perf_counter() - began, node.cpu_seconds() - cpu, node.peak_mib()
        merged = [_timed(ask, QUERIES["all rows"]) for _ in range(rounds)]
    if not _same(loose[0][1], merged[0][1]):
        raise RuntimeError("OPTIMIZE changed rows")
    after = _live(node)
    mib = sum(size for _, size in before) / (1 << 20)
    loose, merged = [took for took, _ in loose], [took for took, _ in merged]
    return {
        "what": f"OPTIMIZE, {where}",
        "files": len(before),
        "files_after": len(after),
        "mib": mib,
        "mib_after": sum(size for _, size in after) / (1 << 20),
        "seconds": took,
        "mib_per_s": mib / took,
        "mib_per_cpu_s": mib / cpu,
        "own_mib": own,
        "peak_mib": peak,
        "scan_ms_before": figures.median(loose),
        "scan_ms_after": figures.median(merged),
        "full_scan_before_to_after": figures.ratio(loose, merged)["ratio"],
    }


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    import datafusion

    results = []
    with Objects(DELAY_SECONDS) as objects, Node(settings=objects.settings) as node:
        _fill(node, FILES_SMALL if small else FILES)
        results.append(_optimized(node, rounds, f"S3, {DELAY_SECONDS * 1000:.0f} ms a request"))
        print(figures.table(results), flush=True)
    with tempfile.TemporaryDirectory(prefix="plain-parquet-") as plain, Node() as node:
        _fill(node, FILES_SMALL if small else FILES)
        for path, _ in _live(node):
            shutil.copy(path, plain)
        results.append(_optimized(node, rounds, "local"))
        print(figures.table(results[-1:]), flush=True)
        with node.connect() as connection:
            cenote = lambda text: connection.execute(text.format(table="readings")).fetchall()  # noqa: E731
            peer = datafusion.SessionContext()
            peer.register_parquet("readings", plain)
            fusion = lambda text: [  # noqa: E731
                row for batch in peer.sql(text.format(table="readings")).collect() for row in zip(*batch.to_pydict().values())
            ]
            for name, text in QUERIES.items():
                if not _same(cenote(text), fusion(text)):
                    raise RuntimeError(f"{name}: the answers differ")
                ours, theirs = [], []
                for _ in range(rounds):
                    ours.append(_timed(cenote, text)[0])
                    theirs.append(_timed(fusion, text)[0])
                against = figures.ratio(ours, theirs)
                row = {"what": name, "cenote_ms": figures.median(ours), "plain_parquet_ms": figures.median(theirs)}
                results.append(row | {"ratio": against["ratio"], "95%": f"{against['low']:.2f}..{against['high']:.2f}"})
                print(figures.table(results[-1:]), flush=True)
    return results, {"rows_per_file": ROWS_PER_FILE, "hosts": HOSTS}

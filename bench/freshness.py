"""How soon a row is in a materialized view, how soon a pipeline goes on after kill -9, and what pipelines cost.

Latency: a thousand rows a second over the line protocol, acknowledged when durable; of one row of each batch, the time from sending
it until a reader on the Postgres wire sees it in the view. Recovery: kill -9 of a node whose pipeline holds so many keys; the time
from the start of the process until the pipeline runs, and until a row written then is in its result. Memory: a join that forgets
after 10 s, at so many rows a second; and a state of ten times its memory.
"""

import threading
import time

import figures
from node import Node

BATCH, PAUSE = 10, 0.01
SECONDS, SECONDS_SMALL = 60, 5
KEYS, KEYS_SMALL = (100_000, 1_000_000), (10_000,)
IDLE, IDLE_SMALL = 1_000, 20
IDLE_SECONDS = 20
JOIN_RATE, JOIN_RATE_SMALL = 50_000, 2_000
JOIN_SECONDS, JOIN_SECONDS_SMALL = 600, 40
#: By then what comes is what is forgotten.
JOIN_STEADY_SECONDS = 30
SPILLED_KEYS, SPILLED_KEYS_SMALL = 5_000_000, 50_000
SPILLED_MEMORY, SPILLED_MEMORY_SMALL = "100MiB", "2MiB"
PATIENCE = 600


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _latency(seconds: float) -> dict:
    with Node() as node:
        node.write("/api/v1/write/line-protocol?db=default&precision=us", b"src,k=a v=0i 1767225600000000\n")
        node.sql("CREATE MATERIALIZED VIEW m WITH (wait = true) AS SELECT k, count(*) AS n, max(v) AS v FROM src GROUP BY k")
        sent, stop = {}, threading.Event()

        def write() -> None:
            number, due = 0, time.perf_counter()
            while not stop.is_set():
                lines = []
                for _ in range(BATCH):
                    number += 1
                    lines.append(f"src,k=a v={number}i {1767225600000000 + number}")
                sent[number] = time.perf_counter()
                node.write("/api/v1/write/line-protocol?db=default&precision=us", "\n".join(lines).encode())
                due += PAUSE
                time.sleep(max(0.0, due - time.perf_counter()))

        writer = threading.Thread(target=write)
        writer.start()
        waits, seen, until = [], 0, time.perf_counter() + seconds
        with node.connect() as connection:
            while time.perf_counter() < until:
                newest = connection.execute("SELECT max(v) FROM m").fetchone()[0]
                now = time.perf_counter()
                for number in [number for number in list(sent) if seen < number <= newest]:
                    waits.append((now - sent[number]) * 1000)
                seen = newest
        stop.set()
        writer.join()
        total = max(sent)
        node.sql("REFRESH MATERIALIZED VIEW m")
        if [int(value) for value in node.sql("SELECT n, v FROM m")[0]] != [total + 1, total]:
            raise RuntimeError("the view is not its query")
        return {
            "what": "row sent to row seen in a view, ms", "rows/s": total / seconds,
            "p50": figures.median(waits), "p99": _quantile(waits, 0.99),
        }


def _until(node: Node, sql: str, expected) -> float:
    began = time.perf_counter()
    while time.perf_counter() - began < PATIENCE:
        rows = node.sql(sql)
        if rows and str(rows[0][0]) == str(expected):
            return time.perf_counter()
        time.sleep(0.005)
    raise TimeoutError(f"{sql}: {rows}")


def _recovery(keys: int) -> dict:
    with Node() as node:
        node.sql("CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)")
        node.sql("CREATE TABLE out (k BIGINT, n BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED)")
        node.sql(f"INSERT INTO src SELECT now()::TIMESTAMP, value, value % 100 FROM range(0, {keys})")
        node.sql(
            "CREATE PIPELINE p WITH (updating_ttl = 'off') AS INSERT INTO out SELECT k, count(*), sum(v) FROM src GROUP BY k"
        )
        _until(node, "SELECT count(*) FROM out", keys)
        state = node.sql("SELECT sum(state_bytes) FROM system.stream.operators")[0][0]
        node.kill()
        began = time.perf_counter()
        node._start()
        running = _until(node, "SELECT state FROM system.stream.pipelines WHERE name = 'p'", "running") - began
        node.sql("INSERT INTO src VALUES (now()::TIMESTAMP, 7, 1)")
        seen = _until(node, "SELECT n FROM out WHERE k = 7", 2) - began
        return {
            "what": f"recovery, {keys:,} keys", "state MiB": int(state or 0) / 1024 / 1024,
            "running after s": running, "new row in the result after s": seen,
        }


def _idle(pipelines: int) -> dict:
    with Node() as node:
        node.sql("CREATE TABLE src (time TIMESTAMP, v BIGINT)")
        node.sql("CREATE TABLE out (v BIGINT)")
        for number in range(pipelines):
            node.sql(f"CREATE PIPELINE p{number} AS INSERT INTO out SELECT v FROM src WHERE v = {number}")
        _until(node, "SELECT count(*) FROM system.stream.pipelines WHERE state = 'running'", pipelines)
        time.sleep(2)
        before, began = node.cpu_seconds(), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        share = (node.cpu_seconds() - before) / (time.perf_counter() - began)
        return {"what": f"{pipelines:,} idle pipelines", "share of a core": share, "MiB": node.resident_mib()}


def _forgetting(rate: int, seconds: float) -> dict:
    with Node() as node:
        impulse = f"WITH (connector = 'impulse', event_rate = {rate // 2})"
        node.sql(
            f"CREATE PIPELINE p WITH (updating_ttl = '10s') AS $$ CREATE TABLE a {impulse}; CREATE TABLE b {impulse}; "
            "CREATE TABLE nowhere WITH (connector = 'blackhole'); "
            "INSERT INTO nowhere SELECT a.counter AS one, b.counter AS other FROM a JOIN b ON a.counter = b.counter $$"
        )
        began, memory, states = time.perf_counter(), [], []
        while time.perf_counter() - began < seconds:
            time.sleep(1)
            if time.perf_counter() - began >= JOIN_STEADY_SECONDS:
                memory.append(node.resident_mib())
                states.append(int(node.sql("SELECT sum(state_rows) FROM system.stream.operators")[0][0]))
        read = node.sql("SELECT sum(lag_rows) FROM system.stream.sources")[0][0]
        return {
            "what": f"join that forgets after 10 s, {seconds:.0f} s", "rows/s": rate, "rows behind": int(read or 0),
            "MiB": memory[0], "MiB at most": max(memory), "rows held": states[0], "rows held at most": max(states),
        }


def _spilling(keys: int, memory: str) -> dict:
    with Node() as node:
        node.sql("CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)")
        node.sql("CREATE TABLE out (k BIGINT, n BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED)")
        for first in range(2):
            node.sql(f"INSERT INTO src SELECT now()::TIMESTAMP, value * 7 % {keys}, {first} FROM range(0, {keys})")
        began = time.perf_counter()
        node.sql(
            f"CREATE PIPELINE p WITH (updating_ttl = 'off', state_memory = '{memory}') AS "
            "INSERT INTO out SELECT k, count(*), sum(v) FROM src GROUP BY k"
        )
        _until(node, "SELECT sum(n) FROM out", 2 * keys)
        seconds = time.perf_counter() - began
        _until(node, "SELECT sum(state_rows) > 0 FROM system.stream.operators", True)
        held, spilled = node.sql("SELECT sum(state_bytes), sum(spilled_bytes) FROM system.stream.operators")[0]
        return {
            "what": f"{keys:,} keys with state_memory = {memory}", "rows/s": 2 * keys / seconds,
            "state MiB": int(held) / 1024 / 1024, "spilled MiB": int(spilled) / 1024 / 1024, "MiB": node.resident_mib(),
        }


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    rows = [_latency(SECONDS_SMALL if small else SECONDS)]
    rows += [_recovery(keys) for keys in (KEYS_SMALL if small else KEYS)]
    rows.append(_idle(IDLE_SMALL if small else IDLE))
    rows.append(_forgetting(*((JOIN_RATE_SMALL, JOIN_SECONDS_SMALL) if small else (JOIN_RATE, JOIN_SECONDS))))
    rows.append(_spilling(*((SPILLED_KEYS_SMALL, SPILLED_MEMORY_SMALL) if small else (SPILLED_KEYS, SPILLED_MEMORY))))
    return rows, {}

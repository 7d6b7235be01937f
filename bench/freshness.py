"""How soon a row is in a materialized view, how soon a pipeline goes on after kill -9, how fast it catches up, and what pipelines cost.

Latency: a thousand rows a second over the line protocol, acknowledged when durable; of one row of each batch, the time from sending
it until a reader on the Postgres wire sees it in the view; and in its table, from the acknowledgement. Recovery: kill -9 of a node whose pipeline holds so many keys; the time
from the start of the process until the pipeline runs, and until a row written then is in its result. Memory: a join that forgets
after 10 s, at so many rows a second; and a state, or open windows, of ten times its memory. Catching up: rows that were there before the
pipeline, beside one statement that adds up the same (beside one bounded run of the same plan: crates/stream/tests/it/backlog.rs). An
epoch: Nexmark's q5 with one row in each, and with none, the steps of it.
"""

import pathlib
import threading
import time

import figures
from node import Node

HERE = pathlib.Path(__file__).parent

BATCH, PAUSE = 10, 0.01
SECONDS, SECONDS_SMALL = 60, 5
PROBES, PROBES_SMALL = 2_000, 50
#: The last is a state of about 1 GB.
KEYS, KEYS_SMALL = (100_000, 1_000_000, 14_000_000), (10_000,)
KEYS_OF_INSERT = 1_000_000
BACKLOG, BACKLOG_SMALL = 50_000_000, 200_000
BACKLOG_OF_INSERT = 5_000_000
EPOCHS, EPOCHS_SMALL = 500, 20
IDLE, IDLE_SMALL = 1_000, 20
IDLE_SECONDS = 20
JOIN_RATE, JOIN_RATE_SMALL = 50_000, 2_000
JOIN_SECONDS, JOIN_SECONDS_SMALL = 600, 40
#: By then what comes is what is forgotten.
JOIN_STEADY_SECONDS = 30
#: Memory of the last third of that time, less than so many times that of the first.
JOIN_GROWTH_MAX = 1.1
#: Milliseconds of the plan in an epoch without rows for it, less than these.
EMPTY_EPOCH_MAX = 1.0
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


def _visible(probes: int) -> dict:
    """From the acknowledgement of a row, which is durable, to the end of the first query that answers it; a hundred batches of ten rows
    a second go into the table beside it."""
    with Node() as node:
        path = "/api/v1/write/line-protocol?db=default&precision=us"
        node.write(path, b"src,k=a v=0i 1767225600000000\n")
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                number += BATCH
                lines = (f"src,k=b v=-1i {1767225600000000 + number + row}" for row in range(BATCH))
                node.write(path, "\n".join(lines).encode())
                time.sleep(PAUSE)

        writer = threading.Thread(target=write)
        writer.start()
        waits = []
        with node.connect() as connection:
            for probe in range(1, probes + 1):
                node.write(path, f"src,k=a v={probe}i {1767225600000000 + probe}\n".encode())
                acknowledged = time.perf_counter()
                while connection.execute(f"SELECT count(*) FROM src WHERE k = 'a' AND v = {probe}").fetchone()[0] != 1:
                    pass
                waits.append((time.perf_counter() - acknowledged) * 1000)
        stop.set()
        writer.join()
        return {"what": "row acknowledged to row in an answer, ms", "probes": probes, "p50": figures.median(waits), "p99": _quantile(waits, 0.99)}


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
        for first in range(0, keys, KEYS_OF_INSERT):
            last = min(first + KEYS_OF_INSERT, keys)
            node.sql(f"INSERT INTO src SELECT now()::TIMESTAMP, value, value % 100 FROM range({first}, {last})")
        node.sql(
            "CREATE PIPELINE p WITH (updating_ttl = 'off') AS INSERT INTO out SELECT k, count(*), sum(v) FROM src GROUP BY k"
        )
        _until(node, "SELECT count(*) FROM out", keys)
        state = node.sql("SELECT sum(state_bytes) FROM system.stream.operators")[0][0]
        node.kill()
        began = time.perf_counter()
        node.start()
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
        third = max(1, len(memory) // 3)
        growth = figures.median(memory[-third:]) / figures.median(memory[:third])
        if seconds >= JOIN_SECONDS and growth > JOIN_GROWTH_MAX:
            raise RuntimeError(f"memory grows: {growth:.2f} times from the first third to the last, {memory}")
        return {
            "what": f"join that forgets after 10 s, {seconds:.0f} s", "rows/s": rate, "rows behind": int(read or 0),
            "MiB": memory[0], "MiB at most": max(memory), "last third / first": growth,
            "rows held": states[0], "rows held at most": max(states),
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


def _windows(keys: int, memory: str) -> dict:
    """The same of windows that are all open until the last row: four of each key."""
    with Node() as node:
        node.sql("CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)")
        node.sql("CREATE TABLE out (start TIMESTAMP, k BIGINT, n BIGINT, total BIGINT)")
        for window in range(4):
            node.sql(f"INSERT INTO src SELECT TIMESTAMP '2026-01-01 00:{window:02}:30', value * 7 % {keys}, value FROM range(0, {keys})")
        node.sql(
            f"CREATE PIPELINE p WITH (watermark_delay = '1 hour', state_memory = '{memory}') AS INSERT INTO out "
            "SELECT w.start, k, n, total FROM (SELECT tumble(INTERVAL '1 minute') AS w, k, count(*) AS n, sum(v) AS total FROM src GROUP BY 1, 2)"
        )
        began = time.perf_counter()
        _until(node, f"SELECT sum(state_rows) >= {4 * keys} FROM system.stream.operators", True)
        read = time.perf_counter() - began
        held, spilled = node.sql("SELECT sum(state_bytes), sum(spilled_bytes) FROM system.stream.operators")[0]
        resident = node.resident_mib()
        node.sql("INSERT INTO src VALUES (TIMESTAMP '2026-01-02', 0, 0)")
        began = time.perf_counter()
        _until(node, "SELECT sum(n) FROM out", 4 * keys)
        return {
            "what": f"windows of {4 * keys:,} groups with state_memory = {memory}", "rows/s": 4 * keys / read,
            "state MiB": int(held) / 1024 / 1024, "spilled MiB": int(spilled) / 1024 / 1024, "MiB": resident,
            "closed after s": time.perf_counter() - began, "MiB at most": node.peak_mib(),
        }


def _backlog(rows: int) -> dict:
    with Node() as node:
        node.sql("CREATE TABLE src (time TIMESTAMP, k BIGINT, v BIGINT)")
        for first in range(0, rows, BACKLOG_OF_INSERT):
            last = min(first + BACKLOG_OF_INSERT, rows)
            node.sql(f"INSERT INTO src SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '100 microseconds', value % 1000, value FROM range({first}, {last})")
        node.sql("INSERT INTO src VALUES (TIMESTAMP '2026-01-03', -1, 0)")
        node.wait_for_merges()
        for name in ("drained", "bounded"):
            node.sql(f"CREATE TABLE {name} (start TIMESTAMP, k BIGINT, n BIGINT, total BIGINT)")
        began = time.perf_counter()
        node.sql(
            "CREATE PIPELINE p AS INSERT INTO drained SELECT w.start, k, n, total FROM ("
            "SELECT tumble(INTERVAL '10 seconds') AS w, k, count(*) AS n, sum(v) AS total FROM src GROUP BY 1, 2)"
        )
        _until(node, "SELECT sum(n) FROM drained", rows)
        drained = time.perf_counter() - began
        node.sql("PAUSE PIPELINE p")
        began = time.perf_counter()
        node.sql(
            "INSERT INTO bounded SELECT date_bin(INTERVAL '10 seconds', time), k, count(*), sum(v) FROM src WHERE k >= 0 GROUP BY 1, 2"
        )
        bounded = time.perf_counter() - began
        differ = "SELECT count(*) FROM (SELECT * FROM bounded EXCEPT SELECT * FROM drained)"
        if int(node.sql(differ)[0][0]):
            raise RuntimeError("the windows are not those of the statement")
        return {
            "what": f"backlog of {rows:,} rows", "rows/s": rows / drained, "statement rows/s": rows / bounded,
            "share of the statement": bounded / drained,
        }


def _q5() -> dict[str, str]:
    parts = (part.split("\n", 1) for part in (HERE / "nexmark" / "q5.sql").read_text().split("--- ")[1:])
    return {name.strip(): body.strip() for name, body in parts}


def _epochs(epochs: int) -> dict:
    """Steps of an epoch that reads one row, of the plan of q5."""
    parts = _q5()
    with Node() as node:
        node.sql("CREATE TABLE bid (time TIMESTAMP, auction BIGINT)")
        node.sql(parts["setup"])
        node.sql(f"CREATE PIPELINE p AS $$ {parts['views']}; INSERT INTO out {parts['query']} $$")
        insert = "INSERT INTO bid VALUES (TIMESTAMP '2026-01-01' + {number} * INTERVAL '1 millisecond', {number} % 10)"
        return {"what": f"epoch of one row, q5, mean of {epochs}", **_steps(node, epochs, insert)}


def _empty_epochs(epochs: int) -> dict:
    """The same with nothing to read for q5: what brings the epochs about is a row of another table, which goes nowhere."""
    parts = _q5()
    with Node() as node:
        node.sql("CREATE TABLE bid (time TIMESTAMP, auction BIGINT)")
        node.sql("CREATE TABLE tick (time TIMESTAMP, n BIGINT)")
        node.sql(parts["setup"])
        node.sql("INSERT INTO bid SELECT TIMESTAMP '2026-01-01' + value * INTERVAL '1 millisecond', value % 100 FROM range(0, 1000)")
        node.sql(
            f"CREATE PIPELINE p AS $$ CREATE TABLE nowhere WITH (connector = 'blackhole'); {parts['views']}; "
            f"INSERT INTO out {parts['query']}; INSERT INTO nowhere SELECT n FROM tick $$"
        )
        # It stands behind the bids, so event time stays.
        steps = _steps(node, epochs, "INSERT INTO tick VALUES (TIMESTAMP '2026-01-02', {number})")
        if epochs >= EPOCHS and steps["run ms"] > EMPTY_EPOCH_MAX:
            raise RuntimeError(f"an epoch without rows takes {steps}")
        return {"what": f"epoch without a row, q5, mean of {epochs}", **steps}


def _steps(node: Node, epochs: int, insert: str) -> dict[str, float]:
    """Means of the steps of so many epochs, one for each row."""
    counted = "SELECT count(*) FROM system.stream.epochs"
    first = int(node.sql(counted)[0][0])
    before = {}
    for number in range(epochs + 1):
        node.sql(insert.format(number=number))
        if number == 0:
            # The first brings along what was there before.
            while int(node.sql(counted)[0][0]) == first:
                time.sleep(0.005)
            time.sleep(2)
            first, before = int(node.sql(counted)[0][0]), _phases(node)
        else:
            _until(node, counted, first + number)
    after = _phases(node)
    return {
        f"{phase} ms": 1000 * (after[phase][0] - before[phase][0]) / (after[phase][1] - before[phase][1])
        for phase in ("cut", "run", "stage", "commit", "finish")
    }


def _phases(node: Node) -> dict[str, list[float]]:
    """Of the steps of epochs the time of all, and how many there were."""
    _, answer = node.request("GET", "/metrics", None, {"Authorization": f"Bearer {node.token}"})
    phases = {}
    for line in answer.decode().splitlines():
        for at, name in enumerate(("sum", "count")):
            if line.startswith(f"cenote_pipeline_epoch_phase_seconds_{name}{{"):
                phase = line.split('phase="')[1].split('"')[0]
                phases.setdefault(phase, [0.0, 0.0])[at] = float(line.rsplit(" ", 1)[1])
    return phases


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    rows = [_visible(PROBES_SMALL if small else PROBES), _latency(SECONDS_SMALL if small else SECONDS)]
    rows += [_recovery(keys) for keys in (KEYS_SMALL if small else KEYS)]
    rows.append(_idle(IDLE_SMALL if small else IDLE))
    rows.append(_forgetting(*((JOIN_RATE_SMALL, JOIN_SECONDS_SMALL) if small else (JOIN_RATE, JOIN_SECONDS))))
    rows.append(_spilling(*((SPILLED_KEYS_SMALL, SPILLED_MEMORY_SMALL) if small else (SPILLED_KEYS, SPILLED_MEMORY))))
    rows.append(_windows(*((SPILLED_KEYS_SMALL // 4, SPILLED_MEMORY_SMALL) if small else (SPILLED_KEYS // 2, SPILLED_MEMORY))))
    rows.append(_backlog(BACKLOG_SMALL if small else BACKLOG))
    rows.append(_epochs(EPOCHS_SMALL if small else EPOCHS))
    rows.append(_empty_epochs(EPOCHS_SMALL if small else EPOCHS))
    return rows, {}

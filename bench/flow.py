"""How long the control side takes over HTTP, and what it costs: runs, their explanation, partitions, events, publication.

The real API, as in `catalog.py`: loopback, one keep-alive connection, a token, on SQLite and on PostgreSQL; 50 commits a second beside what
is only read. Runs are of trivial assets (`SELECT 1`), so that what is timed is the control side and not the query. Each run is seen to have
succeeded.
"""

import http.client
import json
import random
import threading
import time

from catalog import Client, Suite, quantile
from database import Postgres, Sqlite
from node import Node

#: Samples of what changes something; of what is only read there are as many as in the suite `catalog`.
RUNS, RUNS_SMALL = 200, 5
#: Runs of so many tasks that do not wait for each other.
WIDE, WIDE_SAMPLES, WIDE_SAMPLES_SMALL = 100, 50, 2
MANY_TASKS, MANY_TASKS_SMALL = 2_000, 100
PARTITIONS = 10_000
PLANNED_TASKS = 10_000
#: Each asset has a run every second: 10,800 in an hour.
TICKING, TICKING_SECONDS, TICKING_SECONDS_SMALL = 3, 120, 5
#: Schedules of every minute.
SCHEDULES, SCHEDULES_SMALL = 1_000, 20
PUBLISHED_TABLES, COLUMNS_OF_PUBLISHED = 1_000, 20
PUBLICATIONS, PUBLICATIONS_SMALL = 20, 2
PATIENCE = 300

TARGETS_MS = {
    "run of 1 task: created to begun": 50,
    "run of 100 tasks: asked to answered": 30,
    "explain of a run": 20,
    "explain of an asset": 20,
    "summary of 10,000 partitions": 5,
    "page of 10,000 partitions": 20,
    "plan of 10,000 tasks": 500,
    "commit to event": 50,
    "publication after one change": 2_000,
    "tick behind its time": 1_000,
}


def micros(text: str) -> float:
    """Milliseconds since midnight of a time as the API writes it; the suite does not run over midnight's end."""
    hours, minutes, seconds = text[11:].rstrip("Z").split(":")
    return (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000


def ended(client: Client, run: str) -> dict:
    until = time.perf_counter() + PATIENCE
    while time.perf_counter() < until:
        found = json.loads(client.ask(f"/api/v1/runs/{run}"))
        if found["state"] not in ("PENDING", "RUNNING"):
            if found["state"] != "SUCCEEDED":
                raise RuntimeError(f"run {run}: {json.dumps(found)[:500]}")
            return found
        time.sleep(0.005)
    raise TimeoutError(f"run {run} does not end")


class Flow(Suite):
    """The figures of one database."""

    targets = TARGETS_MS

    def run(self) -> list[dict]:
        with Node(settings=self.database.settings) as node:
            node.sql("CREATE ASSET one AS SELECT 1 AS n")
            self.single_runs(node)
            self.wide_runs(node)
            self.many_tasks(node)
            self.reading(node)
            self.events(node)
        with Node(settings=self.database.settings) as node:
            self.ticking(node)
        with Node(settings=self.database.settings) as node:
            self.schedules(node)
        with Node(settings=(*self.database.settings, "metadata.publish_interval=0s")) as node:
            self.publications(node)
        return self.rows

    def single_runs(self, node: Node) -> None:
        """From the row of a run to the row of its task's attempt, nothing beside it."""
        client, waits = Client(node), []
        for _ in range(RUNS_SMALL if self.small else RUNS):
            run = json.loads(client.ask("/api/v1/runs", {"selection": ["default.one"]}))["runId"]
            found = ended(client, run)
            waits.append(micros(found["tasks"][0]["startedAt"]) - micros(found["createdAt"]))
        self.note("run of 1 task: created to begun", waits)

    def wide_runs(self, node: Node) -> None:
        client, times = Client(node), []
        node.sql("CREATE SCHEMA wide")
        names = [f"wide.a{number}" for number in range(WIDE)]
        for name in names:
            node.sql(f"CREATE ASSET {name} AS SELECT 1 AS n")
        for _ in range(WIDE_SAMPLES_SMALL if self.small else WIDE_SAMPLES):
            began = time.perf_counter()
            run = json.loads(client.ask("/api/v1/runs", {"selection": names}))["runId"]
            times.append((time.perf_counter() - began) * 1000)
            ended(client, run)
        self.note("run of 100 tasks: asked to answered", times)

    def many_tasks(self, node: Node) -> None:
        """Tasks of one partition each, one run: how many are done in a second."""
        client, count = Client(node), MANY_TASKS_SMALL if self.small else MANY_TASKS
        node.sql(
            "CREATE ASSET many PARTITION BY (hour(ts)) START '2020-01-01T00:00:00Z' WITH (per_partition = true) AS "
            "SELECT TIMESTAMP '2020-01-01 00:00:00' AS ts, 1 AS n"
        )
        day, hour = divmod(count - 1, 24)
        last = time.strftime("%Y-%m-%d", time.gmtime(1577836800 + day * 86400)) + f"T{hour:02}:00:00Z"
        began = time.perf_counter()
        asked = {"selection": ["default.many"], "partitionRange": {"start": "hour=2020-01-01T00:00:00Z", "end": f"hour={last}"}}
        run = json.loads(client.ask("/api/v1/runs", asked))["runId"]
        found = ended(client, run)
        seconds = time.perf_counter() - began
        if found["taskCounts"]["succeeded"] != count:
            raise RuntimeError(f"not all of {count}: {found['taskCounts']}")
        row = {"database": self.database.name, "operation": f"run of {count:,} tasks", "tasks_per_second": count / seconds}
        row["holds"] = self.database.name != "sqlite" or row["tasks_per_second"] >= 500
        self.rows.append(row)
        print(f"{self.database.name}: {row['tasks_per_second']:.0f} tasks a second", flush=True)

    def reading(self, node: Node) -> None:
        """What is only asked, commits beside it."""
        client = Client(node)
        run = json.loads(client.ask("/api/v1/runs", {"selection": ["default.one"]}))["runId"]
        ended(client, run)
        node.sql("CREATE TABLE src (ts TIMESTAMP, n BIGINT)")
        node.sql("INSERT INTO src SELECT TIMESTAMP '1995-01-01' + value * INTERVAL '1 day', 1 FROM range(0, 10000)")
        node.sql("CREATE ASSET days PARTITION BY (day(ts)) START '1995-01-01' END '2022-05-19' AS SELECT ts, n FROM src")
        asked = {"selection": ["default.days"], "partitionRange": {"start": "day=1995-01-01", "end": "day=2022-05-18"}}
        ended(client, json.loads(client.ask("/api/v1/runs", asked))["runId"])
        summary = json.loads(client.ask("/api/v1/assets/default.days/partitions/summary"))
        if summary["materializedPartitions"] != PARTITIONS:
            raise RuntimeError(f"not {PARTITIONS} partitions: {summary}")
        node.sql(
            "CREATE ASSET hours PARTITION BY (hour(ts)) START '2020-01-01T00:00:00Z' WITH (per_partition = true) AS SELECT ts, n FROM src"
        )
        planned = {"selection": ["default.hours"], "partitionRange": {"start": "hour=2020-01-01T00:00:00Z", "end": "hour=2021-02-20T15:00:00Z"}}

        def plan(client: Client) -> int:
            text = client.ask("/api/v1/runs?dry_run=true", planned)
            if len(json.loads(text)["tasks"]) != PLANNED_TASKS:
                raise RuntimeError(f"not {PLANNED_TASKS} tasks: {text[:300]!r}")
            return len(text)

        chance = random.Random(3)
        page = lambda client: len(client.ask(f"/api/v1/assets/default.days/partitions?limit=200&from=day={1996 + chance.randrange(20)}-01-01"))
        self.measure(
            node,
            {
                "explain of a run": (lambda client: len(client.ask(f"/api/v1/runs/{run}/explain")), self.samples),
                "explain of an asset": (lambda client: len(client.ask("/api/v1/assets/default.one/explain")), self.samples),
                "summary of 10,000 partitions": (lambda client: len(client.ask("/api/v1/assets/default.days/partitions/summary")), self.samples),
                "page of 10,000 partitions": (page, self.samples),
                "plan of 10,000 tasks": (plan, 5 if self.small else 50),
            },
        )

    def events(self, node: Node) -> None:
        """From the answer of a commit to its event at a listener of the stream."""
        node.sql("CREATE TABLE told (n BIGINT)")
        client, heard, waits = Client(node), {}, []
        connection = http.client.HTTPConnection("127.0.0.1", node.http, timeout=PATIENCE)
        connection.request("GET", "/api/v1/events?kinds=table.committed&object=default.told", headers=client.headers | {"Accept": "text/event-stream"})
        answer = connection.getresponse()

        def listen() -> None:
            try:
                for line in answer:
                    if line.startswith(b"data:"):
                        heard[json.loads(line[5:])["txn"]] = time.perf_counter()
            except (OSError, ValueError):
                pass  # the connection is closed at the end

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        committed = []
        for _ in range(RUNS_SMALL if self.small else self.samples):
            client.ask("/api/v1/sql", {"sql": "INSERT INTO told VALUES (1)"})
            committed.append(time.perf_counter())
            time.sleep(0.005)
        until = time.perf_counter() + PATIENCE
        while len(heard) < len(committed) and time.perf_counter() < until:
            time.sleep(0.01)
        connection.sock.close()
        if len(heard) != len(committed):
            raise RuntimeError(f"{len(heard)} events of {len(committed)} commits")
        for at, told in zip(committed, (heard[txn] for txn in sorted(heard))):
            waits.append(max(0.0, told - at) * 1000)
        self.note("commit to event", waits)

    def ticking(self, node: Node) -> None:
        """What 10,800 runs an hour cost, and what an idle node does."""
        seconds = TICKING_SECONDS_SMALL if self.small else TICKING_SECONDS
        time.sleep(2)

        def share() -> float:
            before, began = node.cpu_seconds(), time.perf_counter()
            time.sleep(seconds)
            return (node.cpu_seconds() - before) / (time.perf_counter() - began)

        idle = share()
        for number in range(TICKING):
            node.sql(f"CREATE ASSET tick_{number} SCHEDULE '* * * * * *' AS SELECT 1 AS n")
        time.sleep(3)
        counted = "SELECT count(*) FROM system.flow.runs WHERE kind = 'asset' AND state = 'SUCCEEDED'"
        first, began = int(node.sql(counted)[0][0]), time.perf_counter()
        busy = share()
        an_hour = (int(node.sql(counted)[0][0]) - first) / (time.perf_counter() - began) * 3600
        row = {
            "database": self.database.name, "operation": "runs of every second", "runs_per_hour": an_hour,
            "share_of_a_core": busy, "share_of_a_core_idle": idle, "holds": busy < 0.1 and an_hour >= 10_000,
        }
        self.rows.append(row)
        print(f"{self.database.name}: {an_hour:.0f} runs an hour: {busy:.3f} of a core (idle {idle:.3f})", flush=True)

    def schedules(self, node: Node) -> None:
        """Schedules that are due at the same second: how far behind it the run of each is made."""
        count = SCHEDULES_SMALL if self.small else SCHEDULES
        at = time.gmtime(time.time() + 120 + count * 0.05)
        cron = f"0 {at.tm_min} {at.tm_hour} * * *"
        for number in range(count):
            node.sql(f"CREATE ASSET s{number} SCHEDULE '{cron}' AS SELECT 1 AS n")
        due = (at.tm_hour * 3600 + at.tm_min * 60) * 1000
        until = time.perf_counter() + PATIENCE + 300
        while time.perf_counter() < until:
            rows = node.sql("SELECT scheduled_for, at FROM system.flow.ticks WHERE status = 'TRIGGERED' AND scheduled_for IS NOT NULL")
            if len(rows) == count:
                break
            time.sleep(0.5)
        else:
            raise TimeoutError(f"{len(rows)} of {count} ticks")
        self.note("tick behind its time", [micros(row[1].replace(" ", "T")) - due for row in rows], schedules=count)

    def publications(self, node: Node) -> None:
        client = Client(node)
        for number in range(PUBLISHED_TABLES if not self.small else 20):
            columns = ", ".join(f"column_{number} BIGINT" for number in range(COLUMNS_OF_PUBLISHED))
            node.sql(f"CREATE TABLE t{number:04} ({columns})")
        publish = lambda: json.loads(client.ask("/api/v1/metadata/publish", {}))
        publish()
        stored = lambda: {path: path.stat().st_size for path in (node.directory).rglob("*") if path.is_file() and "_cenote" in path.parts}
        times, put = [], []
        for number in range(PUBLICATIONS_SMALL if self.small else PUBLICATIONS):
            node.sql(f"CREATE TABLE u{number} (n BIGINT)")
            before, began = stored(), time.perf_counter()
            publish()
            times.append((time.perf_counter() - began) * 1000)
            put.append(sum(size for path, size in stored().items() if path not in before))
        self.note("publication after one change", times, bytes_put=quantile(put, 0.5))


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    rows, missing = [], []
    for kind in (Sqlite, Postgres):
        try:
            database = kind()
        except FileNotFoundError as error:
            missing.append(str(error))
            print(error, flush=True)
            continue
        with database:
            rows += Flow(database, small, rounds).run()
    return rows, {"missing": missing}

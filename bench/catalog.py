"""How long the catalog takes to answer over HTTP: one table, all tables, lineage, plans, search, events.

The real API: loopback, one keep-alive connection, a token, JSON; on SQLite and on PostgreSQL, while another process makes 50 commits a
second. The percentiles are over all samples behind a warm-up. Tables and edges of lineage are made by giving the stopped node's database
copies of the rows that the node made for one table; assets are made by SQL.

A machine without PostgreSQL is measured on SQLite alone, and the document says so.
"""

import http.client
import json
import multiprocessing
import random
import socket
import time
import urllib.parse
import uuid

from database import Postgres, Sqlite
from node import Node

#: Samples of each operation behind the warm-up: at least a thousand.
SAMPLES, SAMPLES_SMALL = 1_000, 30
WARM_UP, WARM_UP_SMALL = 100, 5
#: Samples of what is measured beside.
SAMPLES_BESIDE = 100
COMMITS_PER_SECOND = 50

TABLES = {"small": 1_000, "full": 100_000}
#: Columns of the tables that are only there, and of those that are looked up.
COLUMNS_OF_MANY, COLUMNS_OF_ONE = 4, 50
LOOKED_UP = 100
#: A full scan: a page of so many tables with so many columns each.
SCANNED, COLUMNS_OF_SCANNED = 1_000, 20
#: Search goes over these tables too: with those that are scanned and looked up 100,000 columns.
SEARCHED = {"small": 50, "full": 3_750}
COLUMNS_OF_SEARCHED = 20
#: Lineage: each node leads to so many others.
NODES = {"small": 900, "full": 10_000}
FAN_OUT = 10
CHAIN = 25
#: Assets, each of which reads one before it.
ASSETS = {"small": (20,), "full": (100, 1_000)}

TARGETS_MS = {
    "one table": 5,
    "one table of many": 5,
    "full scan": 50,
    "lineage 5 hops": 10,
    "lineage 20 hops of a chain": 10,
    "lineage 10,000 nodes": 100,
    "plan of 100 tasks": 20,
    "plan of 1,000 tasks": 200,
    "search for one": 50,
    "search for all": 50,
    "events": 20,
}


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Client:
    """One keep-alive connection with a token."""

    def __init__(self, node: Node):
        self.connection = http.client.HTTPConnection("127.0.0.1", node.http, timeout=600)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = {"Authorization": f"Bearer {node.token}", "Content-Type": "application/json"}

    def ask(self, path: str, body: dict | None = None) -> bytes:
        method = "GET" if body is None else "POST"
        self.connection.request(method, path, None if body is None else json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]!r}")
        return text


def write(port: int, token: str, stop, count) -> None:
    """Makes commits at an even pace, one row each; runs in a process of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    due = time.perf_counter()
    while not stop.is_set():
        connection.request("POST", "/api/v1/sql", json.dumps({"sql": "INSERT INTO zz.written VALUES (1)"}), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"a commit: {answer.status} {text[:500]!r}")
        count.value += 1
        due = max(due + 1 / COMMITS_PER_SECOND, time.perf_counter() - 1)
        time.sleep(max(0.0, due - time.perf_counter()))


class Writer:
    def __init__(self, node: Node):
        node.sql("CREATE SCHEMA IF NOT EXISTS zz")
        node.sql("CREATE TABLE IF NOT EXISTS zz.written (n BIGINT)")
        context = multiprocessing.get_context("spawn")
        self.stop, self.count = context.Event(), context.Value("q", 0)
        self.process = context.Process(target=write, args=(node.http, node.token, self.stop, self.count), daemon=True)

    def __enter__(self):
        self.process.start()
        while self.count.value == 0 and self.process.is_alive():
            time.sleep(0.01)
        self.began, self.first = time.perf_counter(), self.count.value
        return self

    def __exit__(self, *_):
        self.rate = (self.count.value - self.first) / (time.perf_counter() - self.began)
        self.stop.set()
        self.process.join(timeout=60)
        if self.process.exitcode != 0:
            raise RuntimeError(f"the writer ended with {self.process.exitcode}")


class Suite:
    """The figures of one database."""

    targets = TARGETS_MS

    def __init__(self, database, small: bool, rounds: int):
        self.database, self.small, self.size = database, small, "small" if small else "full"
        self.samples = SAMPLES_SMALL if small else max(SAMPLES, 200 * rounds)
        self.warm_up = WARM_UP_SMALL if small else WARM_UP
        self.rows: list[dict] = []

    def note(self, operation: str, times: list[float], **facts) -> None:
        """Writes down milliseconds, and whether their 95th percentile is what it should be."""
        target = self.targets.get(operation)
        row = {
            "database": self.database.name,
            "operation": operation,
            "p50_ms": quantile(times, 0.5),
            "p95_ms": quantile(times, 0.95),
            "p99_ms": quantile(times, 0.99),
            "target_p95_ms": target,
            "samples": len(times),
            **facts,
        }
        row["holds"] = target is None or row["p95_ms"] <= target
        self.rows.append(row)
        print(f"{self.database.name}: {operation}: p95 {row['p95_ms']:.2f} ms", flush=True)

    def measure(self, node: Node, operations: dict) -> None:
        """Each operation is a function that asks once and answers the bytes of the answer; all while the writer writes."""
        with Writer(node) as writer:
            client = Client(node)
            for operation, (ask, samples) in operations.items():
                for _ in range(min(self.warm_up, samples)):
                    ask(client)
                times, size = [], 0
                for _ in range(samples):
                    began = time.perf_counter()
                    size = ask(client)
                    times.append((time.perf_counter() - began) * 1000)
                self.note(operation, times, bytes=size)
        for row in self.rows:
            row.setdefault("commits_per_second", writer.rate)

    def run(self) -> list[dict]:
        with Node(settings=self.database.settings) as node:
            self.thousand(node)
        return self.rows

    def thousand(self, node: Node) -> None:
        """A thousand tables; then the same node with all the others."""
        columns(node, "wide", LOOKED_UP, COLUMNS_OF_ONE, self.database)
        columns(node, "default", SCANNED, COLUMNS_OF_SCANNED, self.database)
        for assets in ASSETS[self.size]:
            chain_of_assets(node, assets)
        chance = random.Random(1)
        wide = lambda client: len(client.ask(f"/api/v1/catalogs/lake/schemas/wide/tables/t{chance.randrange(LOOKED_UP):06}"))
        self.measure(
            node,
            {
                "one table": (wide, self.samples),
                "full scan": (full_scan, self.samples),
                "full scan by SQL": (system_table, min(self.samples, SAMPLES_BESIDE)),
                "events": (events(node), self.samples),
                **{f"plan of {assets:,} tasks": (plan(assets), self.samples) for assets in ASSETS[self.size]},
            },
        )
        columns(node, "searched", SEARCHED[self.size], COLUMNS_OF_SEARCHED, self.database)
        found = {"search for one": (search("t000007"), self.samples), "search for all": (search("column"), self.samples)}
        self.measure(node, found)
        self.many(node, wide)

    def many(self, node: Node, wide) -> None:
        many = TABLES[self.size]
        first = columns(node, "many", many, COLUMNS_OF_MANY, self.database)
        lineage(node, first, NODES[self.size], self.database)
        other = lambda client: len(client.ask(f"/api/v1/catalogs/lake/schemas/many/tables/t{random.randrange(many):06}"))
        self.measure(
            node,
            {
                "one table of many": (wide, self.samples),
                "any table of many": (other, self.samples),
                "lineage 5 hops": (graph("t000000", 5, 1_000), self.samples),
                "lineage 20 hops of a chain": (graph(f"t{NODES[self.size]:06}", 20, 10_000), self.samples),
                "lineage 10,000 nodes": (graph("t000000", 100, 10_000), min(self.samples, SAMPLES_BESIDE)),
            },
        )


def columns(node: Node, schema: str, tables: int, of_each: int, database) -> int:
    """Tables t000000, t000001, … of one schema; answers the id of the first. The node makes the first, the others are copies of its rows."""
    node.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}" if schema != "default" else "SELECT 1")
    kinds = ("BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMP")
    written = ", ".join(f"column_{number} {kinds[number % len(kinds)]}" for number in range(of_each))
    node.sql(f'CREATE TABLE "{schema}".t000000 ({written})')
    node.stop()
    with database.opened(node.directory) as catalog:
        [head] = catalog.rows("SELECT * FROM cn_head")
        [table] = catalog.rows(
            "SELECT t.* FROM cn_table t JOIN cn_schema s ON s.schema_id = t.schema_id "
            f"WHERE s.name = '{schema}' AND t.name = 't000000' AND t.end_txn = {2**63 - 1} AND s.end_txn = {2**63 - 1}"
        )
        own = table["table_id"]
        of_table = {name: catalog.rows(f"SELECT * FROM {name} WHERE table_id = {own}") for name in ("cn_table_schema", "cn_table_state", "cn_field")}
        ids = [(head["catalog_id"] << 32) + head["next_object"] + number for number in range(tables - 1)]

        def copies():
            for number, id in enumerate(ids, 1):
                new = uuid.uuid4()
                place = table["location"].rsplit("/", 1)[0] + f"/{new}"
                yield table | {"table_id": id, "table_uuid": new, "name": f"t{number:06}", "location": place}

        catalog.insert("cn_table", copies())
        for name, rows in of_table.items():
            catalog.insert(name, (row | {"table_id": id} for id in ids for row in rows))
        catalog.execute(f"UPDATE cn_head SET next_object = next_object + {tables - 1}")
    node.start()
    return own


def lineage(node: Node, first: int, nodes: int, database) -> None:
    """Edges between the tables of schema `many`: each of so many leads to ten others, and behind them stands a chain."""
    node.stop()
    with database.opened(node.directory) as catalog:
        [head] = catalog.rows("SELECT * FROM cn_head")
        ids = [row["table_id"] for row in catalog.rows(
            "SELECT t.table_id FROM cn_table t JOIN cn_schema s ON s.schema_id = t.schema_id "
            f"WHERE s.name = 'many' AND t.end_txn = {2**63 - 1} ORDER BY t.name LIMIT {nodes + CHAIN + 1}"
        )]
        if ids[0] != first:
            raise RuntimeError("the first table is another")
        pairs = [(ids[source], ids[(source * FAN_OUT + way + 1) % nodes]) for source in range(nodes) for way in range(FAN_OUT)]
        pairs += list(zip(ids[nodes:], ids[nodes + 1 :]))
        chance = random.Random(2)
        edge = lambda source, target: {
            "catalog_id": head["catalog_id"], "edge_id": chance.randbytes(32), "source_id": str(source), "target_id": str(target),
            "code_id": None, "edge_type": "derives_from", "first_txn": head["txn"], "last_txn": head["txn"], "commits": 1,
            "rows_written": 10, "last_run_id": None, "soundness": "table_only",
        }
        node_of = lambda id: {"catalog_id": head["catalog_id"], "node_id": str(id), "kind": "table", "first_txn": head["txn"], "last_txn": head["txn"]}
        catalog.insert("cn_node", map(node_of, ids))
        catalog.insert("cn_edge", (edge(source, target) for source, target in pairs if source != target))
    node.start()


def chain_of_assets(node: Node, count: int) -> None:
    """So many assets in a tree: each reads one before it."""
    schema = f"plan_{count}"
    node.sql(f"CREATE SCHEMA {schema}")
    node.sql(f"CREATE TABLE {schema}.raw (n BIGINT)")
    for number in range(count):
        source = f"a{(number - 1) // 2}" if number else "raw"
        node.sql(f"CREATE ASSET {schema}.a{number} AS SELECT n FROM {schema}.{source}")


def plan(assets: int):
    def ask(client: Client) -> int:
        text = client.ask("/api/v1/runs?dry_run=true", {"selection": [f"plan_{assets}.a0"], "includeDownstream": True})
        if len(json.loads(text)["tasks"]) != assets:
            raise RuntimeError(f"not a plan of {assets} tasks: {text[:300]!r}")
        return len(text)

    return ask


def full_scan(client: Client) -> int:
    text = client.ask(f"/api/v1/tables?limit={SCANNED}&include=columns")
    if text.count(b'"data_type"') < SCANNED * COLUMNS_OF_SCANNED:
        raise RuntimeError("not all columns of all tables")
    return len(text)


def system_table(client: Client) -> int:
    return len(client.ask("/api/v1/sql", {"sql": "SELECT * FROM system.catalog.tables"}))


def events(node: Node):
    """Pages of 500 out of the newest events."""
    node.sql("CREATE SCHEMA IF NOT EXISTS zz")
    node.sql("CREATE TABLE IF NOT EXISTS zz.written (n BIGINT)")
    for _ in range(600):
        node.sql("INSERT INTO zz.written VALUES (1)")

    def ask(client: Client) -> int:
        after = ask.head - 550
        text = client.ask(f"/api/v1/events?after={after}&limit=500")
        if text.count(b'"txn":') < 500:
            raise RuntimeError(f"not a page of 500 events: {len(text)} bytes")
        return len(text)

    ask.head = node.sql("SELECT max(txn) FROM system.catalog.transactions")[0][0]
    return ask


def graph(table: str, depth: int, nodes_max: int):
    path = f"/api/v1/lineage/many.{table}?direction=downstream&depth={depth}&max_nodes={nodes_max}"

    def ask(client: Client) -> int:
        text = client.ask(path)
        if text.count(b'"edge_type"') < min(depth, CHAIN):
            raise RuntimeError(f"too few edges: {text[:300]!r}")
        return len(text)

    return ask


def search(words: str):
    path = f"/api/v1/search?q={urllib.parse.quote(words)}&types=table,column"

    def ask(client: Client) -> int:
        text = client.ask(path)
        if b'"score"' not in text:
            raise RuntimeError(f"nothing was found: {text[:300]!r}")
        return len(text)

    return ask


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
            rows += Suite(database, small, rounds).run()
    size = "small" if small else "full"
    facts = {
        "commits_per_second_asked": COMMITS_PER_SECOND,
        "tables": TABLES[size], "columns_of_each": COLUMNS_OF_MANY, "columns_of_one_table": COLUMNS_OF_ONE,
        "scanned": f"{SCANNED} tables of {COLUMNS_OF_SCANNED} columns",
        "searched_columns": SEARCHED[size] * COLUMNS_OF_SEARCHED + SCANNED * COLUMNS_OF_SCANNED + LOOKED_UP * COLUMNS_OF_ONE,
        "edges": NODES[size] * FAN_OUT, "nodes": NODES[size], "chain": CHAIN,
        "missing": missing,
    }
    return rows, facts

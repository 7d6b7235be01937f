"""TPC-H: our answers and times beside DuckDB's and DataFusion's on the same Parquet files.

The files are the ones that our node wrote: loaded once, then all three read them. Queries are the unmodified texts of
`bench/tpch`. Every round asks the three in turn; answers are compared row by row before anything is timed.
"""

import collections
import contextlib
import datetime
import decimal
import pathlib
import subprocess
import sys
import tempfile
import time

import duckdb

import figures
from node import Node

QUERIES = pathlib.Path(__file__).parent / "tpch"
TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]
#: Rows of one request while loading: far below `limits.body_max`.
CHUNK_ROWS = 150_000
FLOAT_TOLERANCE = 1e-6


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    scale = scale_factor(small)
    with loaded(scale) as node:
        return compare(node, rounds), {"scale_factor": scale}


def check_answers(small: bool) -> None:
    """Exits with the first answer that is not DuckDB's, of tables as they were loaded and of such that have a past."""
    settings = ("table.inline_max=0", "ingest.flush_age=24h", "compaction.enabled=false")
    with tempfile.TemporaryDirectory(prefix="cenote-tpch-") as directory, Node(settings=settings) as node:
        generate(pathlib.Path(directory), scale_factor(small))
        duck = duckdb.connect()
        for table in TABLES:
            duck.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{directory}/{table}.parquet')")
        load(node, pathlib.Path(directory))
        equal_to(duck, node, "loaded")
        for table in TABLES:
            give_past(node, duck, table)
        equal_to(duck, node, "changed")
        for table, key in {"lineitem": "l_orderkey", "orders": "o_orderkey"}.items():
            left = f"{key} % 100 = 3"
            node.sql(f"DELETE FROM {table} WHERE NOT ({left})")
            duck.execute(f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM read_parquet('{directory}/{table}.parquet') WHERE {left}")
            few_of(duck, node, table)
        equal_to(duck, node, "nearly empty")


def few_of(duck, node: Node, table: str) -> None:
    """LIMIT gives as many rows as it says, each of them one that is left, also where nearly all before it are gone."""
    left = collections.Counter(map(repr, duck.execute(f"SELECT * FROM {table}").fetchall()))
    with node.connect() as connection:
        for limit in range(1, 11):
            columns = ", ".join(name for name, *_ in duck.execute(f"DESCRIBE {table}").fetchall())
            rows = connection.execute(f"SELECT {columns} FROM {table} LIMIT {limit}").fetchall()
            strange = collections.Counter(map(repr, rows)) - left
            if len(rows) != limit or strange:
                sys.exit(f"{limit} of {table}: {len(rows)} rows, {strange} are not left")
    print(f"one to ten of {table}: left", flush=True)


def equal_to(duck, node: Node, state: str) -> None:
    with node.connect() as connection:
        for name, text in queries():
            wrong = difference(connection.execute(text).fetchall(), duck.execute(text).fetchall())
            if wrong:
                sys.exit(f"{name} of {state} tables: {wrong}")
            print(f"{name} of {state} tables: equal", flush=True)


def give_past(node: Node, duck, table: str) -> None:
    """The same rows by other ways: strangers among them that were deleted, a renamed key, widened columns, rows that were
    updated, rows in the buffer (of tables without dates, which CSV does not carry)."""
    columns = [(name, kind) for name, kind, *_ in duck.execute(f"DESCRIBE {table}").fetchall()]
    names = [name for name, _ in columns]
    key, others = names[0], ", ".join(names[1:])
    wide = [name for name, kind in columns if kind == "BIGINT"]
    dated = any(kind == "DATE" for _, kind in columns)
    old = lambda name: "was_key" if name == key else name  # noqa: E731
    shown = ", ".join(f"{old(name)} {'INTEGER' if name in wide else kind}" for name, kind in columns)
    node.sql(f"CREATE TABLE past ({shown}{'' if dated else ', time TIMESTAMP'})")
    listed = f"was_key, {others}"
    node.sql(
        f"INSERT INTO past ({listed}) SELECT {key}, {others} FROM {table} WHERE {key} % 2 = 0 "
        f"UNION ALL SELECT -1 - {key}, {others} FROM {table}"
    )
    node.sql("DELETE FROM past WHERE was_key < 0")
    widened = "".join(f", ALTER COLUMN {old(name)} TYPE BIGINT" for name in wide)
    node.sql(f"ALTER TABLE past {widened.removeprefix(', ')}")
    node.sql(f"ALTER TABLE past RENAME COLUMN was_key TO {key}")
    buffered = "FALSE" if dated else f"{key} % 10 = 7"
    node.sql(f"INSERT INTO past ({key}, {others}) SELECT {key}, {others} FROM {table} WHERE {key} % 2 <> 0 AND NOT {buffered}")
    node.sql(f"UPDATE past SET {key} = {key} WHERE {key} % 5 = 1")
    if not dated:
        text = ", ".join(names)
        rows = duck.execute(f"SELECT '2026-01-01T00:00:00Z' AS time, {text} FROM {table} WHERE {key} % 10 = 7")
        with tempfile.NamedTemporaryFile(suffix=".csv") as sink:
            duckdb.from_arrow(rows.to_arrow_table()).write_csv(sink.name, header=True)
            node.write("/api/v1/write/csv?db=default&table=past", pathlib.Path(sink.name).read_bytes())
    node.sql(f"DROP TABLE {table}")
    node.sql(f"ALTER TABLE past RENAME TO {table}")


def scale_factor(small: bool) -> float:
    return 0.01 if small else 1


def queries() -> list[tuple[str, str]]:
    return [(path.stem, path.read_text().rstrip().rstrip(";")) for path in sorted(QUERIES.glob("q*.sql"))]


@contextlib.contextmanager
def loaded(scale: float):
    """A node that holds TPC-H's tables."""
    with tempfile.TemporaryDirectory(prefix="cenote-tpch-") as directory, Node(settings=("table.inline_max=0",)) as node:
        generate(pathlib.Path(directory), scale)
        began = time.perf_counter()
        load(node, pathlib.Path(directory))
        node.wait_for_merges()
        print(f"loaded scale factor {scale} in {time.perf_counter() - began:.0f} s", flush=True)
        yield node


def generate(directory: pathlib.Path, scale: float) -> None:
    program = pathlib.Path(sys.executable).parent / "tpchgen-cli"
    subprocess.run([program, "parquet", "-s", str(scale), "--output-dir", directory], check=True, capture_output=True)


def load(node: Node, directory: pathlib.Path) -> None:
    """Tables of TPC-H's own types, filled by CREATE TABLE AS from rows that came in as CSV."""
    source = duckdb.connect()
    for table in TABLES:
        source.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{directory}/{table}.parquet')")
        columns = source.execute(f"DESCRIBE {table}").fetchall()
        staged = ", ".join(f"{name} {'VARCHAR' if kind == 'DATE' else kind}" for name, kind, *_ in columns)
        node.sql(f"CREATE TABLE default.stage_{table} (time TIMESTAMP, {staged})")
        reader = source.execute(f"SELECT '1970-01-01T00:00:00Z' AS time, * FROM {table}").to_arrow_reader(CHUNK_ROWS)
        for batch in reader:
            sink = pathlib.Path(directory) / "chunk.csv"
            duckdb.from_arrow(batch).write_csv(str(sink), header=True)
            node.write(f"/api/v1/write/csv?db=default&table=stage_{table}", sink.read_bytes())
        cast = ", ".join(f"CAST({name} AS DATE) AS {name}" if kind == "DATE" else name for name, kind, *_ in columns)
        node.sql(f"CREATE TABLE {table} AS SELECT {cast} FROM stage_{table}")
        node.sql(f"DROP TABLE stage_{table}")


def compare(node: Node, rounds: int) -> list[dict]:
    import datafusion

    files = {table: live_files(node, table) for table in TABLES}
    duck = duckdb.connect()
    fusion = datafusion.SessionContext()
    for table, paths in files.items():
        duck.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({paths!r})")
        fusion.register_parquet(table, folder(node, table, paths))
    results = []
    with node.connect() as connection:
        ask = {
            "cenote": lambda text: connection.execute(text).fetchall(),
            "duckdb": lambda text: duck.execute(text).fetchall(),
            "datafusion": lambda text: [row for batch in fusion.sql(text).collect() for row in zip(*batch.to_pydict().values())],
        }
        for name, text in queries():
            wrong = difference(ask["cenote"](text), ask["duckdb"](text))
            if wrong:
                raise RuntimeError(f"{name}: {wrong}")
            taken = {engine: [] for engine in ask}
            for _ in range(rounds):
                for engine, answer in ask.items():
                    began = time.perf_counter()
                    answer(text)
                    taken[engine].append((time.perf_counter() - began) * 1000)
            row = {"query": name} | {f"{engine}_ms": figures.median(times) for engine, times in taken.items()}
            for peer in ("duckdb", "datafusion"):
                against = figures.ratio(taken["cenote"], taken[peer])
                row |= {f"to_{peer}": against["ratio"], f"to_{peer}_95%": f"{against['low']:.2f}..{against['high']:.2f}"}
            results.append(row)
            print(figures.table([row]), flush=True)
    mean = {"query": "geometric mean"}
    for peer in ("duckdb", "datafusion"):
        mean[f"to_{peer}"] = figures.geometric_mean([row[f"to_{peer}"] for row in results])
    return [*results, {name: mean.get(name, "") for name in results[0]}]


def live_files(node: Node, table: str) -> list[str]:
    rows = node.sql(f"SELECT path FROM system.storage.files WHERE table_name = '{table}' AND schema_name = 'default' AND end_txn IS NULL")
    return [str(node.directory / "lake" / path) for [path] in rows]


def folder(node: Node, table: str, paths: list[str]) -> str:
    """A folder with the table's live files alone: what was merged lies beside them for a while."""
    directory = node.directory / "live" / table
    directory.mkdir(parents=True)
    for path in map(pathlib.Path, paths):
        (directory / path.name).hardlink_to(path)
    return str(directory)


def difference(ours: list, theirs: list) -> str | None:
    """What differs between two answers, rows in any order; numbers within one part in a million."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, DuckDB has {len(theirs)}"
    for number, (mine, other) in enumerate(zip(sorted(map(key, ours)), sorted(map(key, theirs)))):
        if len(mine) != len(other) or not all(same(a, b) for a, b in zip(mine, other)):
            return f"row {number}: {mine}, DuckDB has {other}"
    return None


def key(row) -> tuple:
    return tuple(plain(value) for value in row)


def plain(value):
    if isinstance(value, (decimal.Decimal, int)):
        return round(float(value), 4)
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()[:10]
    return value.rstrip() if isinstance(value, str) else value


def same(a, b) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= FLOAT_TOLERANCE * max(1.0, abs(a), abs(b)) + 1e-4
    return a == b

"""Reads the data files of two tables with DuckDB and pyarrow; prints what they hold as JSON.

Standard input: {"cpu": [paths], "typed": [paths]}.
"""

import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

files = json.load(sys.stdin)
cpu = pa.concat_tables([pq.read_table(file) for file in files["cpu"]])
typed = pq.read_table(files["typed"][0], columns=["d", "m", "i"]).to_pylist()[0]
answer = {
    "pyarrow": {
        "count": cpu.num_rows,
        "sum_n": pc.sum(cpu["n"]).as_py(),
        "hosts": pc.count_distinct(cpu["host"]).as_py(),
        "sum_usage": pc.sum(cpu["usage"]).as_py(),
        "up": pc.sum(pc.cast(cpu["up"], pa.int64())).as_py(),
        "typed": f"{typed['d']}|{typed['m']}|{typed['i']}",
    }
}
count, sum_n, hosts, sum_usage, up = duckdb.sql(
    "SELECT count(*), sum(n), count(DISTINCT host), sum(usage), count(*) FILTER (WHERE up) "
    f"FROM read_parquet({files['cpu']!r})"
).fetchone()
d, m, i = duckdb.sql(f"SELECT d, m, i FROM read_parquet({files['typed'][0]!r})").fetchone()
answer["duckdb"] = {
    "count": count,
    "sum_n": int(sum_n),
    "hosts": hosts,
    "sum_usage": sum_usage,
    "up": up,
    "typed": f"{d}|{m}|{i}",
}
answer["every_leaf_has_a_field_id"] = all(
    b"PARQUET:field_id" in (field.metadata or {})
    for paths in files.values()
    for path in paths
    for field in pq.read_schema(path)
)
print(json.dumps(answer))

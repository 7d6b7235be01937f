"""Reads the data files of three tables with DuckDB and pyarrow; prints what they hold as JSON.

Standard input: {"cpu": [paths], "typed": [paths], "nested": [paths]}.
"""

import io
import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def fields(field):
    """The field and all that are in it."""
    yield field
    kind = field.type
    if pa.types.is_struct(kind):
        inner = [kind.field(at) for at in range(kind.num_fields)]
    elif pa.types.is_map(kind):
        inner = [kind.key_field, kind.item_field]
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = [kind.value_field]
    else:
        inner = []
    for child in inner:
        yield from fields(child)


def every_node_has_a_field_id(file):
    return all(
        b"PARQUET:field_id" in (field.metadata or {}) for column in pq.read_schema(file) for field in fields(column)
    )


def with_a_node_without_id(path):
    """The file again, less the id of the last field within a column."""
    table = pq.read_table(path)
    place = table.schema.get_field_index("point")
    *inner, last = table.schema.field(place).type
    point = pa.field("point", pa.struct([*inner, last.remove_metadata()]), metadata=table.schema.field(place).metadata)
    again = io.BytesIO()
    pq.write_table(table.cast(table.schema.set(place, point)), again)
    return again


def shown(tags, point, counts):
    return f"{','.join(tags)}|{point['x']}|{point['y']}|{dict(counts)['k']}"


files = json.load(sys.stdin)
cpu = pa.concat_tables([pq.read_table(file) for file in files["cpu"]])
typed = pq.read_table(files["typed"][0], columns=["d", "m", "i"]).to_pylist()[0]
nested = pq.read_table(files["nested"][0]).to_pylist()[0]
answer = {
    "pyarrow": {
        "count": cpu.num_rows,
        "sum_n": pc.sum(cpu["n"]).as_py(),
        "hosts": pc.count_distinct(cpu["host"]).as_py(),
        "sum_usage": pc.sum(cpu["usage"]).as_py(),
        "up": pc.sum(pc.cast(cpu["up"], pa.int64())).as_py(),
        "typed": f"{typed['d']}|{typed['m']}|{typed['i']}",
        "nested": shown(nested["tags"], nested["point"], nested["counts"]),
    }
}
count, sum_n, hosts, sum_usage, up = duckdb.sql(
    "SELECT count(*), sum(n), count(DISTINCT host), sum(usage), count(*) FILTER (WHERE up) "
    f"FROM read_parquet({files['cpu']!r})"
).fetchone()
d, m, i = duckdb.sql(f"SELECT d, m, i FROM read_parquet({files['typed'][0]!r})").fetchone()
nested = duckdb.sql(f"SELECT tags, point, counts FROM read_parquet({files['nested'][0]!r})").fetchone()
answer["duckdb"] = {
    "count": count,
    "sum_n": int(sum_n),
    "hosts": hosts,
    "sum_usage": sum_usage,
    "up": up,
    "typed": f"{d}|{m}|{i}",
    "nested": shown(*nested),
}
answer["every_node_has_a_field_id"] = all(every_node_has_a_field_id(path) for paths in files.values() for path in paths)
answer["a_missing_id_is_seen"] = not every_node_has_a_field_id(with_a_node_without_id(files["nested"][0]))
print(json.dumps(answer))

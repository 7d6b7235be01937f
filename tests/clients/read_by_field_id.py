"""Reads the files of versions of a table whose columns changed, by field id, with PyIceberg and DuckDB; prints the rows of both as
JSON, a list per version.

Standard input: [{"files": [paths], "columns": [[field id, name, type, initial default or null], …]}, …], in the table's order; its
first column orders the rows.
"""

import json
import sys

import duckdb
import pyarrow.parquet as pq
from pyiceberg import types
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, PyArrowFileIO
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask
from pyiceberg.table.metadata import TableMetadataV2
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER

ICEBERG = {
    "int32": types.IntegerType(),
    "int64": types.LongType(),
    "double": types.DoubleType(),
    "string": types.StringType(),
}
DUCKDB = {"int32": "INTEGER", "int64": "BIGINT", "double": "DOUBLE", "string": "VARCHAR"}


def iceberg(files, columns):
    fields = [
        types.NestedField(number, name, ICEBERG[kind], required=False, initial_default=default)
        for number, name, kind, default in columns
    ]
    schema = Schema(*fields)
    metadata = TableMetadataV2(
        location="file:///nowhere",
        last_column_id=max(column[0] for column in columns),
        schemas=[schema],
        current_schema_id=schema.schema_id,
        partition_specs=[PartitionSpec()],
        default_spec_id=0,
        sort_orders=[UNSORTED_SORT_ORDER],
        default_sort_order_id=0,
    )
    tasks = []
    for path in files:
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=f"file://{path}",
            file_format=FileFormat.PARQUET,
            partition={},
            record_count=pq.read_metadata(path).num_rows,
            file_size_in_bytes=0,
        )
        file.spec_id = 0
        tasks.append(FileScanTask(file))
    table = ArrowScan(metadata, PyArrowFileIO(), schema, AlwaysTrue()).to_table(tasks)
    return [list(row.values()) for row in table.to_pylist()]


def duck(files, columns):
    fields = ", ".join(
        f"{number}: {{name: '{name}', type: '{DUCKDB[kind]}', default_value: {'NULL::VARCHAR' if default is None else repr(str(default))}}}"
        for number, name, kind, default in columns
    )
    return [list(row) for row in duckdb.sql(f"SELECT * FROM read_parquet({files!r}, schema = MAP {{{fields}}})").fetchall()]


asked = json.load(sys.stdin)
print(json.dumps({read.__name__: [sorted(read(one["files"], one["columns"])) for one in asked] for read in (iceberg, duck)}))

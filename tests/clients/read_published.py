"""Reads published metadata from a directory, with pyarrow alone; prints the names of the tables as JSON.

Argument: the directory that holds current.json.
"""

import hashlib
import json
import pathlib
import sys

import pyarrow.parquet as pq

root = pathlib.Path(sys.argv[1])
pointer = json.loads((root / "current.json").read_text())
manifest = json.loads((root / pointer["manifest"]).read_text())
assert manifest["manifest_id"] == pointer["manifest_id"] and manifest["txn"] == pointer["txn"], pointer
right = True
names = []
for table in manifest["tables"]:
    rows = 0
    for file in table["files"]:
        bytes = (root / file["path"]).read_bytes()
        right &= hashlib.sha256(bytes).hexdigest() == file["sha256"] and len(bytes) == file["bytes"]
        read = pq.read_table(root / file["path"])
        right &= [field.metadata[b"PARQUET:field_id"] for field in read.schema] == [
            str(at + 1).encode() for at in range(len(read.schema))
        ]
        right &= pq.read_metadata(root / file["path"]).metadata[b"cenote.table"].decode() == table["name"]
        rows += read.num_rows
        if table["name"] == "catalog.tables":
            names += read.column("table_name").to_pylist()
    right &= rows == table["rows"]
json.dump({"tables": names, "every_file_has_its_hash_and_field_ids": right}, sys.stdout)

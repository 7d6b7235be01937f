"""Runs the script of /api/v1/metadata/duckdb.sql in DuckDB, then queries; prints the answers as JSON.

Standard input: {"script": SQL, "queries": [SQL]}. HTTP comes from DuckDB's extension httpfs (the package of that name), or, where
it is not installed, from a file system that sends HEAD and Range requests.
"""

import json
import os
import sys
import urllib.request

import duckdb


def with_extension(connection):
    try:
        import duckdb_extension_httpfs as package
    except ImportError:
        return False
    version = f"v{duckdb.__version__}"
    file = os.path.join(os.path.dirname(package.__file__), "extensions", version, "httpfs.duckdb_extension")
    connection.execute(f"LOAD '{file}'")
    return True


def with_file_system(connection):
    from fsspec import AbstractFileSystem
    from fsspec.spec import AbstractBufferedFile

    class RangedFile(AbstractBufferedFile):
        def _fetch_range(self, start, end):
            request = urllib.request.Request(self.path, headers={"Range": f"bytes={start}-{end - 1}"})
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 206, answer.status
                return answer.read()

    class Ranged(AbstractFileSystem):
        protocol = "http"
        cachable = False

        @classmethod
        def _strip_protocol(cls, path):
            return path

        def info(self, path, **options):
            with urllib.request.urlopen(urllib.request.Request(path, method="HEAD")) as answer:
                return {"name": path, "type": "file", "size": int(answer.headers["Content-Length"])}

        def glob(self, path, **options):
            return [path]

        def exists(self, path, **options):
            return True

        def modified(self, path):
            import datetime

            return datetime.datetime(2026, 1, 1)

        def _open(self, path, mode="rb", **options):
            return RangedFile(self, path, mode, size=self.info(path)["size"])

    connection.register_filesystem(Ranged())


asked = json.load(sys.stdin)
connection = duckdb.connect()
real = with_extension(connection)
if not real:
    with_file_system(connection)
connection.execute(asked["script"])
answers = [[list(row) for row in connection.execute(query).fetchall()] for query in asked["queries"]]
json.dump({"httpfs": real, "answers": answers}, sys.stdout, default=str)

"""A catalog database of a node that is being measured: opened while the node is stopped, to give it rows that would take the node long.

Both databases get the same rows: `copies` of what the node itself made, with other ids and names.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import uuid

READY_SECONDS_MAX = 60


class Sqlite:
    """The catalog in the node's directory."""

    name = "sqlite"
    settings: tuple[str, ...] = ()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @contextlib.contextmanager
    def opened(self, directory: pathlib.Path):
        with contextlib.closing(sqlite3.connect(directory / "catalog.db")) as connection:
            with connection:
                yield _SqliteRows(connection)


class _SqliteRows:
    def __init__(self, connection):
        self.connection = connection

    def rows(self, text: str) -> list[dict]:
        cursor = self.connection.execute(text)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]

    def insert(self, table: str, rows) -> None:
        rows = iter(rows)
        first = next(rows, None)
        if first is None:
            return
        names = list(first)
        text = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        values = lambda row: [value.bytes if isinstance(value, uuid.UUID) else value for value in row.values()]
        self.connection.execute(text, values(first))
        self.connection.executemany(text, (values(row) for row in rows))

    def execute(self, text: str) -> None:
        self.connection.execute(text)


class Postgres:
    """A server of its own on a free port, with its usual settings: a commit is on disk when it is answered."""

    name = "postgresql"

    def __init__(self):
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs:
            raise FileNotFoundError("PostgreSQL is not installed: /usr/lib/postgresql/*/bin/initdb")
        self.programs = programs[-1].parent
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cenote-bench-postgres-"))
        self.owner = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self.directory, "postgres", "postgres")
            self.owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self.settings = (f"catalog.url={self.url}", "catalog.auto_migrate=true")

    def __enter__(self):
        data = self.directory / "data"
        init = [*self.owner, self.programs / "initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-D", data]
        subprocess.run(init, check=True, cwd=self.directory, stdout=subprocess.DEVNULL)
        command = [*self.owner, self.programs / "postgres", "-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.directory]
        self.log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(command, cwd=self.directory, stdout=self.log, stderr=self.log)
        began = time.perf_counter()
        while subprocess.run([self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode:
            if self.process.poll() is not None or time.perf_counter() - began > READY_SECONDS_MAX:
                raise RuntimeError(f"PostgreSQL is not ready: see {self.directory}/log")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @contextlib.contextmanager
    def opened(self, _: pathlib.Path):
        import psycopg

        with psycopg.connect(self.url) as connection:
            yield _PostgresRows(connection)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ANALYZE")


class _PostgresRows:
    def __init__(self, connection):
        self.connection = connection

    def rows(self, text: str) -> list[dict]:
        cursor = self.connection.execute(text)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]

    def insert(self, table: str, rows) -> None:
        rows = iter(rows)
        first = next(rows, None)
        if first is None:
            return
        with self.connection.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(first)}) FROM STDIN") as copy:
            copy.write_row(list(first.values()))
            for row in rows:
                copy.write_row(list(row.values()))

    def execute(self, text: str) -> None:
        self.connection.execute(text)

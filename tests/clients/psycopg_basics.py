"""What a psycopg 3 program does first: parameters, types in text and binary, transactions, errors, cancel."""

import datetime
import decimal
import sys
import threading
import time

import psycopg

port, token = sys.argv[1:3]
where = f"host=127.0.0.1 port={port} user=admin password={token} dbname=lake"

with psycopg.connect(where, autocommit=True) as connection:
    connection.execute(
        "CREATE TABLE typed (b BOOLEAN, i INT, n BIGINT, f DOUBLE, t TEXT, d DATE, at TIMESTAMP, z TIMESTAMPTZ, m DECIMAL(12,2), y BYTEA)"
    )
    row = (
        True,
        7,
        2**53 + 1,
        1.5,
        "grün 'x'",
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 1, 2, 3, 456789),
        datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc),
        decimal.Decimal("1234.50"),
        b"\x00\xff",
    )
    connection.execute(
        "INSERT INTO typed VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", row
    )
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        found = cursor.execute("SELECT * FROM typed WHERE n = %s", (2**53 + 1,)).fetchone()
        assert found == row, (binary, found)
        nothing = cursor.execute("SELECT NULL::INT, NULL::TEXT").fetchone()
        assert nothing == (None, None), nothing
    for _ in range(8):  # the driver prepares after five runs
        assert connection.execute("SELECT n + %s FROM typed", (1,)).fetchone() == (2**53 + 2,)
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO typed (i, t) VALUES (%s, %s)", [(n, f"row {n}") for n in range(20)])
    assert connection.execute("SELECT count(*) FROM typed").fetchone() == (21,)
    notices = []
    connection.add_notice_handler(lambda notice: notices.append((notice.severity, notice.message_primary)))
    connection.execute("CREATE TABLE declared (id INT PRIMARY KEY, at TIMESTAMP DEFAULT now())")
    assert notices == [("NOTICE", "PRIMARY KEY is not enforced")], notices
    connection.execute("INSERT INTO declared (id) VALUES (1)")
    [(id, at)] = connection.execute("SELECT * FROM declared").fetchall()
    assert id == 1 and isinstance(at, datetime.datetime), (id, at)
    try:
        connection.execute("SELECT nothing FROM typed")
        raise AssertionError("an unknown column is an error")
    except psycopg.errors.UndefinedColumn as error:
        assert error.diag.statement_position == "8", error.diag.statement_position

with psycopg.connect(where) as connection:
    connection.execute("CREATE TABLE moved (n BIGINT)")
    connection.execute("INSERT INTO moved VALUES (1)")
    connection.rollback()
    try:
        connection.execute("SELECT * FROM moved")
        raise AssertionError("rolled back")
    except psycopg.errors.UndefinedTable:
        connection.rollback()
    connection.execute("CREATE TABLE moved (n BIGINT)")
    connection.execute("INSERT INTO moved VALUES (1)")
    connection.commit()
    assert connection.execute("SELECT count(*) FROM moved").fetchone() == (1,)

with psycopg.connect(where) as connection, psycopg.connect(where, autocommit=True) as other:
    accounts = "SELECT id, n FROM account ORDER BY id"
    connection.execute("CREATE TABLE account (id BIGINT, n BIGINT)")
    connection.execute("INSERT INTO account VALUES (1, 10), (2, 10), (3, 0)")
    connection.commit()
    before, after = [(1, 10), (2, 10), (3, 0)], [(1, 6), (2, 14)]
    for end in (connection.rollback, connection.commit):
        assert connection.execute("UPDATE account SET n = n - %s WHERE id = %s", (4, 1)).rowcount == 1
        assert connection.execute("UPDATE account SET n = n + %s WHERE id = %s", (4, 2)).rowcount == 1
        assert connection.execute("DELETE FROM account WHERE n = %s", (0,)).rowcount == 1
        assert connection.execute(accounts).fetchall() == after
        assert other.execute(accounts).fetchall() == before
        end()
    assert other.execute(accounts).fetchall() == after
    connection.execute("UPDATE account SET n = 0 WHERE id = 1")
    other.execute("UPDATE account SET n = 1 WHERE id = 1")
    try:
        connection.commit()
        raise AssertionError("another was first")
    except psycopg.errors.SerializationFailure:
        pass
    assert other.execute(accounts).fetchall() == [(1, 1), (2, 14)]

with psycopg.connect(where, autocommit=True) as connection:
    timer = threading.Timer(0.5, connection.cancel)
    timer.start()
    began = time.monotonic()
    try:
        connection.execute("SELECT count(*) FROM generate_series(1, 100) a(x), generate_series(1, 10000000000) b(y) WHERE x * y % 7 = 3")
        raise AssertionError("cancelled")
    except psycopg.errors.QueryCanceled:
        assert time.monotonic() - began < 10
    timer.join()
    assert connection.execute("SELECT 1").fetchone() == (1,)

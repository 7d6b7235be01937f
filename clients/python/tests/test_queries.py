"""Every way out: types, parameters, errors, streams, cancelling."""

import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import cenote

from .node import NodeTest, needs, unique

UTC = timezone.utc
#: Takes minutes.
SLOW = "SELECT sum(value % 7) FROM generate_series(1, 1000000000000)"
ID = "550e8400-e29b-41d4-a716-446655440000"


class Queries(NodeTest):
    def state(self, query_id: str) -> str:
        return self.client.query("SELECT state FROM system.queries WHERE id = $1", [query_id]).value()

    def wait_for(self, query_id: str, *states: str) -> None:
        for _ in range(200):
            found = self.client.query("SELECT state FROM system.queries WHERE id = $1", [query_id]).rows()
            if found and found[0][0] in states:
                return
            time.sleep(0.05)
        self.fail(f"query {query_id} is not {states} but {found}")

    def test_every_type_comes_as_its_python_value(self) -> None:
        self.client.execute(
            f"""CREATE TABLE {self.table} (b BOOLEAN, i INT, n BIGINT, f DOUBLE, t TEXT, y BYTEA, d DATE, c TIME,
                ts TIMESTAMP, tz TIMESTAMPTZ, m DECIMAL(38,10), u UUID, j JSON, l DATE[],
                s STRUCT(x DECIMAL(5,2), y VARCHAR), k MAP(BIGINT, DATE))"""
        )
        self.client.execute(
            f"""INSERT INTO {self.table} VALUES (true, 7, 9007199254740993, 0.1, 'grün', decode('00ff', 'hex'),
                '2024-02-29', '01:02:03.000004', '2024-02-29T01:02:03.000004', '2024-02-29T01:02:03+01:00',
                '1234567890123456789012345678.0123456789', $1, '{{"a": [1.5, null]}}',
                [DATE '2024-02-29', NULL], named_struct('x', 1.5, 'y', 'z'), map([1], [DATE '2024-02-29']))""",
            [ID],
        )
        self.client.execute(f"INSERT INTO {self.table} (b) VALUES (NULL)")
        day = date(2024, 2, 29)
        moment = datetime(2024, 2, 29, 1, 2, 3, 4, UTC)
        wanted = (
            *(True, 7, 9007199254740993, 0.1, "grün", b"\x00\xff", day, moment.time(), moment),
            moment.replace(hour=0, microsecond=0),
            *(Decimal("1234567890123456789012345678.0123456789"), UUID(ID), {"a": [1.5, None]}, [day, None]),
            *({"x": Decimal("1.50"), "y": "z"}, {1: day}),
        )
        found = self.client.query(f"SELECT * FROM {self.table} ORDER BY n").rows()
        self.assertEqual(found, [wanted, (None,) * len(wanted)])
        self.assertEqual(self.client.execute(f"SELECT * FROM {self.table} ORDER BY n").rows, found)

    def test_parameters_of_every_kind(self) -> None:
        moment = datetime(2024, 2, 29, 1, 2, 3, 4, timezone(timedelta(hours=1)))
        for sql, given in [
            ("$1::BIGINT", 1 << 62),
            ("$1::DOUBLE", 0.1),
            ("$1::BOOLEAN", False),
            ("$1", "it's"),
            ("$1::DECIMAL(38,2)", Decimal("123456789012345678901234.50")),
            ("$1::DATE", date(2024, 2, 29)),
            ("$1::TIME", moment.time()),
            ("$1::TIMESTAMPTZ", moment),
            ("$1::TIMESTAMP", moment),
            ("$1::BIGINT", None),
        ]:
            self.assertEqual(self.client.query(f"SELECT {sql}", [given]).value(), given, sql)
        raw = b"\x00\xff"
        self.assertEqual(self.client.query("SELECT decode($1, 'hex')", [raw.hex()]).value(), raw)
        later = self.client.query(
            "SELECT TIMESTAMP '2024-01-01' + $1::INTERVAL", [timedelta(days=1, milliseconds=5)]
        ).value()
        self.assertEqual(later, datetime(2024, 1, 2, 0, 0, 0, 5000, UTC))
        with self.assertRaisesRegex(cenote.Invalid, r"parameter \$1"):
            self.client.query("SELECT $1 + 1", ["x"]).rows()

    def test_errors_say_what_where_and_what_to_do(self) -> None:
        self.client.write(self.table, {"usage": [1.0]})
        with self.assertRaises(cenote.Invalid) as raised:
            self.client.query(f"SELECT 1,\n  usge FROM {self.table}").rows()
        error = raised.exception
        self.assertEqual((error.status, error.sqlstate, error.retryable), (400, "42703", False))
        self.assertEqual((error.place.line, error.place.column, error.place.length), (2, 3, 4))
        self.assertIn("usage", error.hint)
        self.assertIn("^^^^", str(error))
        with self.assertRaises(cenote.NotFound):
            self.client.query("SELECT 1 FROM missing").rows()
        with self.assertRaises(cenote.Unauthenticated):
            self.connect(token="cnt_wrong").query("SELECT 1").rows()
        with self.assertRaisesRegex(cenote.Invalid, "only queries"):
            self.client.query(f"DROP TABLE {self.table}").rows()

    def test_rows_have_names_and_an_answer_one_value(self) -> None:
        query = self.client.query("SELECT 1 AS a, 'x' AS b")
        self.assertEqual((query.rows(), query.dicts()), ([(1, "x")], [{"a": 1, "b": "x"}]))
        with self.assertRaises(ValueError):
            query.value()
        self.assertEqual(self.client.query("SELECT 1 WHERE false").rows(), [])

    def test_a_large_answer_streams_whole(self) -> None:
        sql = "SELECT value, repeat('é', (value % 50)::INT) AS t FROM generate_series(1, 200000)"
        total = 0
        for value, text in self.client.query(sql):
            total += value
            assert len(text) == value % 50
        self.assertEqual(total, 200_000 * 200_001 // 2)

    def test_one_long_row_comes_whole(self) -> None:
        self.assertEqual(len(self.client.query("SELECT repeat('x\"', 3000000)").value()), 6_000_000)

    @needs("pyarrow")
    def test_arrow_streams_and_keeps_types(self) -> None:
        import pyarrow

        query = self.client.query(
            "SELECT value AS n, (value / 4.0)::DECIMAL(10,2) AS m FROM generate_series(1, 100000)"
        )
        table = query.to_arrow()
        self.assertEqual((table.num_rows, table.schema.field("m").type), (100_000, pyarrow.decimal128(10, 2)))
        self.assertEqual(sum(batch.num_rows for batch in query.batches()), 100_000)
        with self.assertRaises(cenote.NotFound):
            self.client.query("SELECT 1 FROM missing").to_arrow()

    def test_leaving_an_iteration_cancels(self) -> None:
        query_id = unique("q")
        rows = iter(self.client.query("SELECT value FROM generate_series(1, 100000000)", query_id=query_id))
        self.assertEqual(list(itertools.islice(rows, 3)), [(1,), (2,), (3,)])
        rows.close()
        self.wait_for(query_id, "CANCELLED")

    def test_ctrl_c_cancels(self) -> None:
        query_id = unique("q")

        def press() -> None:
            self.wait_for(query_id, "RUNNING")
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        thread = threading.Thread(target=press)
        with self.assertRaises(KeyboardInterrupt):
            thread.start()
            self.client.query(SLOW, query_id=query_id).rows()
        thread.join()
        self.wait_for(query_id, "CANCELLED")
        self.assertEqual(self.client.query("SELECT 1").value(), 1)

    def test_a_query_is_cancelled_by_its_name_and_by_its_time(self) -> None:
        query_id = unique("q")
        with ThreadPoolExecutor() as threads:
            running = threads.submit(self.client.query(SLOW, query_id=query_id).rows)
            self.wait_for(query_id, "RUNNING")
            self.client.cancel(query_id)
            with self.assertRaises(cenote.Cancelled):
                running.result()
        with self.assertRaises(cenote.Conflict):
            self.client.cancel(query_id)
        with self.assertRaises(cenote.TimedOut):
            self.client.query(SLOW, timeout=0.3).rows()

    def test_statements_happen_all_or_not_at_all(self) -> None:
        made, inserted = self.client.execute_all(
            f"CREATE TABLE {self.table} (a BIGINT); INSERT INTO {self.table} VALUES (1), (2)"
        )
        self.assertEqual((made.command, inserted.command, inserted.rows_affected), ("CREATE TABLE", "INSERT", 2))
        with self.assertRaises(cenote.Invalid) as raised:
            self.client.execute(f"DELETE FROM {self.table}; SELECT nope FROM {self.table}")
        self.assertEqual(raised.exception.statement, 2)
        self.assertEqual(self.count(), 2)

    def test_a_key_applies_a_statement_once(self) -> None:
        self.client.execute(f"CREATE TABLE {self.table} (a BIGINT)")
        outcomes = [
            self.client.execute(f"INSERT INTO {self.table} VALUES ($1)", [1], idempotency_key=self.table)
            for _ in range(3)
        ]
        self.assertEqual({(outcome.rows_affected, outcome.txn) for outcome in outcomes}, {(1, outcomes[0].txn)})
        self.assertEqual(self.count(), 1)

    def test_names_are_those_of_the_clients_database(self) -> None:
        database = unique("db").replace("-", "_")
        other = self.connect(database=database)
        other.write(self.table, {"n": [1]})
        self.assertEqual(other.query(f"SELECT n FROM {self.table}").value(), 1)
        self.assertEqual([table.name for table in other.tables.list()], [self.table])
        self.assertEqual([column.name for column in other.tables.describe(self.table)], ["time", "n"])
        with self.assertRaises(cenote.NotFound):
            self.client.tables.describe(self.table)

    def test_one_client_serves_many_threads(self) -> None:
        def write_and_read(number: int) -> int:
            self.client.write(self.table, {"n": [number] * 10})
            return self.client.query(f"SELECT count(*) FROM {self.table} WHERE n = $1", [number]).value()

        with ThreadPoolExecutor(8) as threads:
            self.assertEqual(set(threads.map(write_and_read, range(24))), {10})
        self.assertEqual(self.count(), 240)

"""Every way in, read back."""

import math
import random
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from unittest import mock

import cenote

from .node import NodeTest, needs, unique

UTC = timezone.utc
START = datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC)
#: Kinds of values that the node keeps exactly, by what makes one.
KINDS = {
    "flag": lambda seed: seed.random() < 0.5,
    "whole": lambda seed: seed.choice([0, -1, 127, 128, seed.randint(-(1 << 63), (1 << 63) - 1)]),
    "number": lambda seed: seed.choice([0.5, -0.0, 5e-324, 1.7976931348623157e308, seed.uniform(-1e9, 1e9)]),
    "text": lambda seed: "".join(seed.choices("aé漢🦀\x00\n\"'\\", k=seed.choice([0, 1, 31, 32, 300]))),
    "long": lambda seed: seed.choice("xy") * seed.choice([255, 256, 65_535, 65_536]),
    "raw": lambda seed: seed.randbytes(seed.choice([0, 1, 255, 256])),
    "moment": lambda seed: START + timedelta(microseconds=seed.randint(-(1 << 55), 1 << 55)),
}


class Writes(NodeTest):
    def rows(self, columns: str = "*") -> list[tuple[object, ...]]:
        return self.client.query(f"SELECT {columns} FROM {self.table} ORDER BY time").rows()

    def test_rows_may_lack_columns(self) -> None:
        rows = [
            {"time": START, "host": "a", "usage": 1.5},
            {"time": START + timedelta(seconds=1), "host": "b", "n": 3},
        ]
        written = self.client.write(self.table, rows, tags=["host"])
        self.assertEqual((written.rows, written.ack, written.replayed), (2, "durable", False))
        self.assertEqual(self.rows("time, host, usage, n"), [(START, "a", 1.5, None), (rows[1]["time"], "b", None, 3)])
        tags = [column.name for column in self.client.tables.describe(self.table) if column.tag]
        self.assertEqual(tags, ["host"])

    def test_random_columns_come_back_as_they_were(self) -> None:
        number = random.randrange(1 << 32)
        seed = random.Random(number)
        for _ in range(8):
            table, count = unique("random"), seed.choice([1, 15, 16, 300])
            data = {"time": [START + timedelta(microseconds=row) for row in range(count)]}
            for name, make in KINDS.items():
                missing = seed.choice([0.0, 0.2])
                data[name] = [None if seed.random() < missing else make(seed) for _ in range(count)]
                data[name][0] = make(seed)  # so that the column has a type
            self.client.write(table, data)
            found = self.client.query(f"SELECT {', '.join(data)} FROM {table} ORDER BY time").rows()
            self.assertEqual(found, list(zip(*data.values())), f"seed {number}")

    @needs("pyarrow")
    def test_numbers_that_are_none_are_kept_in_arrow(self) -> None:
        self.client.write(self.table, {"v": [math.nan, math.inf, 1.0]})
        found = self.client.query(f"SELECT v FROM {self.table}").to_arrow().column("v").to_pylist()
        self.assertEqual(sorted(map(str, found)), ["1.0", "inf", "nan"])
        values = {value for (value,) in self.client.query(f"SELECT v FROM {self.table}")}
        self.assertEqual(values, {None, 1.0})

    def test_times_come_in_every_unit(self) -> None:
        for number, unit in [(1_700_000_000, "s"), (1_700_000_000_000, "ms"), (1_700_000_000_000_000_000, "ns")]:
            self.client.write(self.table, {"time": [number], "v": [1]}, time_unit=unit)
        self.client.write(self.table, {"time": ["2023-11-14T22:13:20Z"], "v": [1]})
        self.assertEqual(set(self.rows("time")), {(datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),)})

    def test_declared_decimals_keep_every_digit(self) -> None:
        self.client.execute(f"CREATE TABLE {self.table} (time TIMESTAMP, price DECIMAL(20,4), detail JSON)")
        prices = [Decimal("1234567890123456.7890"), Decimal("-0.0001"), None]
        times = [START + timedelta(seconds=row) for row in range(3)]
        self.client.write(self.table, {"time": times, "price": prices, "detail": ['{"a": [1]}', None, "null"]})
        self.assertEqual([price for (price,) in self.rows("price")], prices)
        self.assertEqual(self.rows("detail")[0], ({"a": [1]},))

    @needs("pandas", "pyarrow")
    def test_a_dataframe_and_its_index(self) -> None:
        import pandas

        index = pandas.date_range("2024-01-01", periods=3, freq="s", tz="Europe/Berlin")
        frame = pandas.DataFrame(
            {
                "v": [1.5, float("nan"), 2.0],
                "n": pandas.array([1, None, 3], dtype="Int64"),
                "host": pandas.Categorical(["a", "b", None]),
                "seen": pandas.to_datetime(["2024-01-01", None, "2024-01-03"]),
                "up": [True, False, True],
            },
            index=index,
        )
        self.assertEqual(self.client.write(self.table, frame, tags=["host"]).rows, 3)
        first = datetime(2023, 12, 31, 23, tzinfo=UTC)
        day = datetime(2024, 1, 1, tzinfo=UTC)
        wanted = [
            (first, 1.5, 1, "a", day, True),
            (first + timedelta(seconds=1), None, None, "b", None, False),
            (first + timedelta(seconds=2), 2.0, 3, None, day + timedelta(days=2), True),
        ]
        self.assertEqual(self.rows("time, v, n, host, seen, up"), wanted)
        back = self.client.query(f"SELECT v FROM {self.table} ORDER BY time").to_pandas()
        self.assertEqual(back["v"].dropna().tolist(), [1.5, 2.0])

    @needs("pyarrow")
    def test_arrow_tables_and_batches(self) -> None:
        import pyarrow

        table = pyarrow.table(
            {
                "time": pyarrow.array([START, START + timedelta(seconds=1)], pyarrow.timestamp("ns")),
                "v": pyarrow.array([1.5, 2.5]),
                "n": pyarrow.array([1, None], pyarrow.int32()),
                "host": pyarrow.array(["a", "b"]).dictionary_encode(),
                "raw": pyarrow.array([b"\xff", None]),
                "price": pyarrow.array([Decimal("1.50"), None]),
            }
        )
        self.assertEqual(self.client.write(self.table, table.slice(0, 1), tags=["host"]).rows, 1)
        self.assertEqual(self.client.write(self.table, table.slice(1).to_batches()[0], tags=["host"]).rows, 1)
        wanted = [(START, 1.5, 1, "a", b"\xff", "1.50"), (START + timedelta(seconds=1), 2.5, None, "b", None, None)]
        self.assertEqual(self.rows("time, v, n, host, raw, price"), wanted)

    def test_large_data_goes_as_several_requests(self) -> None:
        with mock.patch("cenote.writes.BYTES_MAX", 4_096), mock.patch("cenote.writes.ROWS_MAX", 500):
            self.assertEqual(self.client.write(self.table, ({"n": n, "t": "x" * 20} for n in range(1_200))).rows, 1_200)
        self.assertEqual(
            self.client.query(f"SELECT count(*), count(DISTINCT n) FROM {self.table}").rows(), [(1200, 1200)]
        )
        with mock.patch("cenote.writes.ROWS_MAX", 2), self.assertRaises(cenote.Invalid) as raised:
            self.client.write(self.table, {"n": [1, 2, 3, 4, 5], "t": ["x", "x", "x", 4, "x"]})
        self.assertEqual(raised.exception.rows_stored, 2)
        self.assertEqual(self.count(), 1_202)

    def test_a_key_stores_once(self) -> None:
        data = {"n": list(range(10))}
        with mock.patch("cenote.writes.ROWS_MAX", 4):
            first = self.client.write(self.table, data, idempotency_key=self.table)
            again = self.client.write(self.table, data, idempotency_key=self.table)
            self.assertEqual((first.ack, first.replayed, again.replayed), ("committed", False, True))
            self.assertEqual((first.rows, again.rows, first.txn), (10, 10, again.txn))
            with self.assertRaises(cenote.Conflict) as raised:
                self.client.write(self.table, {"n": [1]}, idempotency_key=self.table)
        self.assertEqual(raised.exception.reason, "idempotency_conflict")
        self.assertEqual(self.count(), 10)

    def test_each_acknowledgement_is_told(self) -> None:
        for ack in ("memory", "durable", "committed"):
            written = self.client.write(self.table, {"n": [1]}, ack=ack)
            self.assertEqual((written.ack, written.txn is None), (ack, ack != "committed"))
        with self.assertRaisesRegex(cenote.Invalid, "expected memory, durable or committed"):
            self.client.write(self.table, {"n": [1]}, ack="never")

    def test_wrong_data_is_refused_before_anything_is_sent(self) -> None:
        for bad in [{"a": [1, 2], "b": [1]}, {"a": [{}]}, {"a": [1 << 63]}, {"a": "text"}, [1], 5, "text"]:
            with self.assertRaises((TypeError, ValueError, OverflowError)):
                self.client.write(self.table, bad)
        with self.assertRaises(cenote.NotFound):
            self.count()

    def test_a_conflict_of_types_names_the_column(self) -> None:
        self.client.write(self.table, {"v": [True]})
        with self.assertRaisesRegex(cenote.Invalid, 'column "v".*boolean'):
            self.client.write(self.table, {"v": ["x"]})

    def test_lines_good_and_bad(self) -> None:
        self.client.write_lines(f"{self.table},host=a v=1 1700000000000000000")
        self.client.write_lines((f"{self.table} v={n} {n}" for n in range(1, 4)), precision="s")
        bad = [f"{self.table} v=9 9", "broken", f"{self.table} v=10 10"]
        with self.assertRaises(cenote.Invalid):
            self.client.write_lines(bad)
        self.assertEqual(self.count(), 4)
        with self.assertRaises(cenote.PartialWrite) as raised:
            self.client.write_lines(bad, accept_partial=True)
        error = raised.exception
        self.assertEqual((error.rows_written, error.rows_stored, error.rejected[0].number), (2, 2, 2))
        self.assertEqual(self.count(), 6)

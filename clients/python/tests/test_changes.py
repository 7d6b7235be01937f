"""The change feed: order, positions, waiting."""

import itertools
import threading
from datetime import datetime, timezone
from decimal import Decimal

import cenote

from .node import NodeTest


class Changes(NodeTest):
    def setUp(self) -> None:
        super().setUp()
        self.client.execute(f"CREATE TABLE {self.table} (a BIGINT, m DECIMAL(10,2), at TIMESTAMP)")

    def insert(self, *numbers: int) -> None:
        values = ", ".join(f"({number}, {number}.50, '2024-01-01')" for number in numbers)
        self.client.execute(f"INSERT INTO {self.table} VALUES {values}")

    def now(self, from_: cenote.changes.Start = 0, **options: object) -> list[cenote.Change]:
        return list(self.client.changes(self.table, from_, wait=False, **options))

    def test_changes_come_in_order_with_typed_values(self) -> None:
        self.assertEqual(self.now(), [])
        self.insert(1, 2)
        self.client.execute(f"DELETE FROM {self.table} WHERE a = 1")
        kinds = [(change.kind, change.row["a"]) for change in self.now()]
        self.assertEqual(kinds, [("insert", 1), ("insert", 2), ("delete", 1)])
        first = self.now()[0]
        self.assertEqual(first.row, {"a": 1, "m": Decimal("1.50"), "at": datetime(2024, 1, 1, tzinfo=timezone.utc)})
        self.assertLess(abs((datetime.now(timezone.utc) - first.committed_at).total_seconds()), 600)
        self.assertEqual([change.row for change in self.now(types=["delete"], columns=["a"])], [{"a": 1}])

    def test_a_position_resumes_behind_its_change(self) -> None:
        self.insert(1, 2, 3)
        self.insert(4)
        everything = self.now()
        for number, change in enumerate(everything):
            self.assertEqual(self.now(change.position), everything[number + 1 :])
        self.assertEqual(self.now(to=everything[0].txn), everything[:3])

    def test_a_reader_waits_for_what_comes(self) -> None:
        self.insert(1)
        writer = threading.Timer(0.3, self.insert, [2, 3])
        changes = self.client.changes(self.table)
        first = next(changes)
        writer.start()
        self.assertEqual([change.row["a"] for change in (first, *itertools.islice(changes, 2))], [1, 2, 3])
        changes.close()
        writer.join()

    def test_many_changes_come_each_once(self) -> None:
        sql = f"INSERT INTO {self.table} SELECT value, 1, NULL FROM generate_series(1, 5000)"
        self.client.execute(sql)
        self.assertEqual(sorted(change.row["a"] for change in self.now()), list(range(1, 5001)))

    def test_wrong_questions_are_refused(self) -> None:
        with self.assertRaises(cenote.NotFound):
            next(self.client.changes("missing"))
        with self.assertRaises(cenote.Invalid):
            self.now("no position")

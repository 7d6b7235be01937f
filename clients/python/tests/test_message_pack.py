"""Bytes of every layout, without a node."""

import unittest
from array import array
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from cenote.message_pack import Instants, column, columns, value


class Values(unittest.TestCase):
    def test_each_kind_has_its_layout(self) -> None:
        text = "ü" * 100
        for given, packed in [
            (None, b"\xc0"),
            (True, b"\xc3"),
            (-1, b"\xd3" + b"\xff" * 8),
            (1.0, b"\xcb\x3f\xf0" + bytes(6)),
            ("hi", b"\xa2hi"),
            (text, b"\xd9\xc8" + text.encode()),
            ("x" * 300, b"\xda\x01\x2c" + b"x" * 300),
            ("x" * 70_000, b"\xdb\x00\x01\x11\x70" + b"x" * 70_000),
            (b"\xff", b"\xc4\x01\xff"),
            (b"\xff" * 300, b"\xc5\x01\x2c" + b"\xff" * 300),
            (Decimal("1.50"), b"\xa41.50"),
            (datetime(1970, 1, 1, 0, 0, 1, 5), b"\xc7\x0c\xff" + (5000).to_bytes(4, "big") + (1).to_bytes(8, "big")),
        ]:
            self.assertEqual(value(given), packed, given)

    def test_instants_before_1970_and_of_other_zones(self) -> None:
        early = b"\xc7\x0c\xff" + (999_999_000).to_bytes(4, "big") + b"\xff" * 8
        zone = timezone(timedelta(hours=2))
        self.assertEqual(value(datetime(1970, 1, 1, 1, 59, 59, 999_999, zone)), early)
        self.assertEqual(column(Instants([-1_000, None], "ns")), b"\x92" + early + b"\xc0")

    def test_what_has_no_exact_form_is_refused(self) -> None:
        for given in [{"a": 1}, [1], datetime(2024, 1, 1).date(), object()]:
            with self.assertRaises(TypeError):
                value(given)
        with self.assertRaises(OverflowError):
            value(1 << 63)
        with self.assertRaises(ValueError):
            value("\ud800")


class Columns(unittest.TestCase):
    def test_runs_of_numbers_are_what_single_values_are(self) -> None:
        for numbers in [[0, -1, 1 << 62, -(1 << 63)], [0.5, float("inf"), -0.0, 1e-300]]:
            self.assertEqual(column(numbers), b"\x94" + b"".join(map(value, numbers)))
        self.assertEqual(column(array("d", [0.5])), b"\x91" + value(0.5))
        self.assertEqual(column([1, 0.5, None, True]), b"\x94" + b"".join(map(value, [1, 0.5, None, True])))

    def test_heads_grow_with_the_length(self) -> None:
        for length, head in [(15, b"\x9f"), (16, b"\xdc\x00\x10"), (1 << 16, b"\xdd\x00\x01\x00\x00")]:
            self.assertEqual(column([None] * length), head + b"\xc0" * length)

    def test_times_are_plain_numbers_with_a_unit(self) -> None:
        body = columns("m", {"time": [datetime(1970, 1, 1, 0, 0, 1)]}, ["h"], None)
        time = b"\xa4time\x91" + value(1_000_000)
        self.assertEqual(body, b"\x84\xa1m\xa1m\xa7columns\x81" + time + b"\xa4tags\x91\xa1h\xa9time_unit\xa2us")
        self.assertEqual(columns("m", {"time": [1]}, [], "s")[-12:], b"\xa9time_unit\xa1s")

    def test_errors_name_column_and_row(self) -> None:
        for bad, said in [([1, 1 << 70], "row 1: 1180591620717411303424"), (["a", {}], "row 1: a value of type dict")]:
            with self.assertRaisesRegex((TypeError, OverflowError), f"column 'c': {said}"):
                columns("m", {"c": bad}, [], None)

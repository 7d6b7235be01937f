"""Texts of answers and values of parameters, without a node."""

import unittest
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

from cenote.parameters import parameters
from cenote.values import converter

UTC = timezone.utc


class Converters(unittest.TestCase):
    def convert(self, sql_type: str, given: object) -> object:
        convert = converter(sql_type)
        return given if convert is None else convert(given)

    def test_every_type_has_its_value(self) -> None:
        moment = datetime(2024, 2, 29, 1, 2, 3, 456789, UTC)
        for sql_type, given, wanted in [
            ("BIGINT", 1, 1),
            ("DOUBLE", Decimal("1.5"), 1.5),
            ("VARCHAR", "x", "x"),
            ("DECIMAL(10,2)", "1.50", Decimal("1.50")),
            ("BYTEA", "AP8=", b"\x00\xff"),
            ("DATE", "2024-02-29", date(2024, 2, 29)),
            ("TIME", "01:02:03.500000000", time(1, 2, 3, 500_000)),
            ("TIMESTAMP(0)", "2024-02-29T01:02:03Z", moment.replace(microsecond=0)),
            ("TIMESTAMP(3)", "2024-02-29T01:02:03.456Z", moment.replace(microsecond=456_000)),
            ("TIMESTAMP(6)", "2024-02-29T01:02:03.456789Z", moment),
            ("TIMESTAMP(9) WITH TIME ZONE", "2024-02-29T01:02:03.456789999Z", moment),
            ("UUID", "550e8400-e29b-41d4-a716-446655440000", UUID("550e8400-e29b-41d4-a716-446655440000")),
            ("INTERVAL", "P1M2DT3.5S", "P1M2DT3.5S"),
            ("JSON", {"a": [1]}, {"a": [1]}),
        ]:
            self.assertEqual(self.convert(sql_type, given), wanted, sql_type)

    def test_nested_types_convert_inside(self) -> None:
        day, text = date(2024, 2, 29), "2024-02-29"
        self.assertEqual(self.convert("DATE[][]", [[text, None], None]), [[day, None], None])
        self.assertEqual(self.convert("MAP(BIGINT, DATE[])", {"1": [text]}), {1: [day]})
        struct = "STRUCT(a b TIMESTAMP(6) WITH TIME ZONE, c STRUCT(d DECIMAL(5,2), e VARCHAR))"
        given = {"a b": "2024-02-29T00:00:00.000000Z", "c": {"d": "1.50", "e": "x"}}
        wanted = {"a b": datetime(2024, 2, 29, tzinfo=UTC), "c": {"d": Decimal("1.50"), "e": "x"}}
        self.assertEqual(self.convert(struct, given), wanted)

    def test_what_python_cannot_hold_is_an_error(self) -> None:
        for sql_type in ("DATE", "TIMESTAMP(6)"):
            with self.assertRaisesRegex(ValueError, "to_arrow"):
                self.convert(sql_type, "+012000-01-01T00:00:00.000000Z")


class Parameters(unittest.TestCase):
    def test_values_are_json_that_the_node_casts(self) -> None:
        given = [None, True, 1, 1.5, float("nan"), Decimal("0.10"), datetime(2024, 1, 2), date(2024, 1, 2)]
        wanted = [None, True, 1, 1.5, "nan", "0.10", "2024-01-02T00:00:00+00:00", "2024-01-02"]
        self.assertEqual(parameters(given), wanted)
        self.assertEqual(parameters([timedelta(days=-1, seconds=2)]), ["-1 days 2 seconds 0 microseconds"])

    def test_what_has_no_json_is_refused(self) -> None:
        for bad in ([b"x"], [[1]], "text"):
            with self.assertRaises(TypeError):
                parameters(bad)

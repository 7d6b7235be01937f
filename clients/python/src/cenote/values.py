"""The texts of an answer become Python's values, by the SQL type of their column.

| SQL | Python |
|---|---|
| BOOLEAN, integers, REAL and DOUBLE, VARCHAR | bool, int, float, str |
| DECIMAL | decimal.Decimal, every digit |
| BYTEA | bytes |
| DATE, TIME | datetime.date, datetime.time |
| TIMESTAMP, TIMESTAMP WITH TIME ZONE | datetime.datetime in UTC; digits behind the microsecond are cut |
| UUID, JSON | uuid.UUID, what json.loads gives |
| T[], STRUCT, MAP | list, dict, dict |
| INTERVAL | its ISO 8601 text: months have no timedelta |

NULL is None. A NaN or an infinity is None too, for JSON has neither; Arrow has both.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

Convert = Callable[[Any], Any]
#: Digits of a fraction that Python's times hold, with what stands before it.
TIMESTAMP_DIGITS = len("2024-01-02T03:04:05.123456")
TIME_DIGITS = len("03:04:05.123456")


def converters(types: Sequence[str]) -> list[tuple[int, Convert]]:
    """The columns whose values are not yet what they should be, each with what makes them so."""
    found = ((index, converter(sql_type)) for index, sql_type in enumerate(types))
    return [(index, convert) for index, convert in found if convert is not None]


def convert_row(row: list[Any], to_convert: Sequence[tuple[int, Convert]]) -> tuple[Any, ...]:
    """The row with its values converted, NULL left alone."""
    for index, convert in to_convert:
        if row[index] is not None:
            row[index] = convert(row[index])
    return tuple(row)


@lru_cache(maxsize=1024)
def converter(sql_type: str) -> Convert | None:
    """What converts a value of this type that is not NULL; None if JSON's own value is it already."""
    if sql_type.endswith("[]"):
        return _of_list(converter(sql_type[:-2]))
    if sql_type.startswith("STRUCT(") and sql_type.endswith(")"):
        return _of_struct(sql_type[len("STRUCT(") : -1])
    if sql_type.startswith("MAP(") and sql_type.endswith(")"):
        return _of_map(sql_type[len("MAP(") : -1])
    if sql_type.startswith("TIMESTAMP"):
        return instant
    if sql_type.startswith("DECIMAL("):
        return _decimal
    return _BY_NAME.get(sql_type)


def instant(text: str) -> datetime:
    """The time of a text, in UTC."""
    try:
        return datetime.fromisoformat(text[:TIMESTAMP_DIGITS].rstrip("Z")).replace(tzinfo=timezone.utc)
    except ValueError:
        raise ValueError(f"{text} is outside of what datetime holds; ask with to_arrow()") from None


def instant_or_none(text: str | None) -> datetime | None:
    """The time of a text, if there is one."""
    return instant(text) if text else None


def moment(value: datetime) -> str:
    """The text of a time; one without zone is UTC."""
    return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).isoformat()


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} is outside of what date holds; ask with to_arrow()") from None


def _decimal(digits: str | int | float | Decimal) -> Decimal:
    return digits if isinstance(digits, Decimal) else Decimal(str(digits))


_BY_NAME: dict[str, Convert] = {
    "REAL": float,
    "DOUBLE": float,
    "BYTEA": base64.b64decode,
    "DATE": _date,
    "TIME": lambda text: time.fromisoformat(text[:TIME_DIGITS]),
    "UUID": UUID,
}
#: Keys of a map, which JSON writes as text.
_KEYS_BY_NAME: dict[str, Convert] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"), int),
    "BOOLEAN": lambda text: text == "true",
}


def _of_list(item: Convert | None) -> Convert | None:
    if item is None:
        return None
    return lambda values: [None if value is None else item(value) for value in values]


def _of_struct(inside: str) -> Convert | None:
    fields = {}
    for part in _parts(inside):
        name, convert = _field(part)
        if convert is not None:
            fields[name] = convert
    if not fields:
        return None

    def convert_fields(struct: dict[str, Any]) -> dict[str, Any]:
        return {
            name: fields[name](value) if value is not None and name in fields else value
            for name, value in struct.items()
        }

    return convert_fields


def _of_map(inside: str) -> Convert | None:
    parts = _parts(inside)
    if len(parts) != 2:
        return None
    key = _KEYS_BY_NAME.get(parts[0]) or converter(parts[0])
    item = converter(parts[1])

    def convert_entries(entries: dict[str, Any]) -> dict[Any, Any]:
        return {
            key(name) if key else name: item(value) if item and value is not None else value
            for name, value in entries.items()
        }

    return convert_entries


def _field(part: str) -> tuple[str, Convert | None]:
    """Name and type of `name TYPE`: names may hold spaces, so that the type is the longest known end."""
    words = part.split(" ")
    for split in range(1, len(words)):
        convert = converter(" ".join(words[split:]))
        if convert is not None:
            return " ".join(words[:split]), convert
    return part, None


def _parts(inside: str) -> list[str]:
    """What stands between the commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(inside):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(inside[start:index].strip())
            start = index + 1
    parts.append(inside[start:].strip())
    return parts

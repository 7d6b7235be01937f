"""Python's values become the JSON of `params`, from which the node casts to the type that the statement wants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID


def parameters(values: Sequence[Any]) -> list[Any]:
    """The values of $1, $2, …"""
    if isinstance(values, (str, bytes)):
        raise TypeError("params is a list of values, one for each of $1, $2, …")
    return [_json(number, value) for number, value in enumerate(values, start=1)]


def _json(number: int, value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal() | UUID():
            return str(value)
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
        case bytes() | bytearray():
            raise TypeError(f"parameter ${number} is bytes: write decode(${number}, 'hex') and give value.hex()")
        case _:
            raise TypeError(f"parameter ${number} has type {type(value).__name__}, which has no JSON")

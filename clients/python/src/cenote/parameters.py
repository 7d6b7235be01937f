"""Python's values become the JSON of `params`, from which the node casts to the type that the statement wants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from .values import moment


def parameters(values: Sequence[Any]) -> list[Any]:
    """The values of $1, $2, …"""
    if isinstance(values, (str, bytes)):
        raise TypeError("params is a list of values, one for each of $1, $2, …")
    return [_json(number, value) for number, value in enumerate(values, start=1)]


def _json(number: int, value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, datetime):  # before date, which it is too
        return moment(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(f"parameter ${number} is bytes: write decode(${number}, 'hex') and give value.hex()")
    raise TypeError(f"parameter ${number} has type {type(value).__name__}, which has no JSON")

"""MessagePack of columns, the node's quickest exact format.

Numbers of one kind are written 64 bits wide, each behind the same marker: the node reads such runs at once, and here
they are nine strided copies instead of a loop over values.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Union

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
#: Ticks of one second, by the node's name of the unit.
TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

NIL, FALSE, TRUE, FLOAT, INT = b"\xc0", b"\xc2", b"\xc3", 0xCB, 0xD3


@dataclass(frozen=True)
class Instants:
    """Times as ticks since 1970."""

    ticks: Sequence[int | None]
    unit: str


Values = Union[Sequence[Any], Instants]


def micros(value: datetime) -> int:
    """Microseconds since 1970; a time without zone is taken as UTC, as the node does."""
    aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    return (aware - EPOCH) // MICROSECOND


def columns(table: str, named: Mapping[str, Values], tags: Sequence[str], time_unit: str | None) -> bytes:
    """The body of one write: `{"m", "columns", "tags"?, "time_unit"?}`."""
    cells = []
    for name, values in named.items():
        if name == "time":
            values, time_unit = _times(values, time_unit)
        try:
            cells.append(_text(name) + column(values))
        except (TypeError, ValueError, OverflowError) as error:
            raise type(error)(f"column {name!r}: {error}") from None
    parts = [_text("m"), _text(table), _text("columns"), _head(0x80, 0xDE, len(cells)), *cells]
    if tags:
        parts += [_text("tags"), _head(0x90, 0xDC, len(tags)), *map(_text, tags)]
    if time_unit is not None:
        parts += [_text("time_unit"), _text(time_unit)]
    return bytes([0x80 | (2 + bool(tags) + (time_unit is not None))]) + b"".join(parts)


def column(values: Values) -> bytes:
    """The array of one column."""
    if isinstance(values, Instants):
        return _array(len(values.ticks), map(_ticks_encoder(TICKS[values.unit]), values.ticks))
    kinds: set[type] = (
        {float if values.typecode == "d" else int} if isinstance(values, array) else set(map(type, values))
    )
    if kinds == {float}:
        return _head(0x90, 0xDC, len(values)) + _wide(FLOAT, array("d", values))
    if kinds == {int}:
        return _head(0x90, 0xDC, len(values)) + _wide(INT, _integers(values))
    if kinds == {str}:
        return _array(len(values), map(_Texts().__getitem__, values))
    return _array(len(values), (_placed(value, row) for row, value in enumerate(values)))


def value(given: Any) -> bytes:
    """One value of any kind that a column can hold."""
    encoder = _ENCODERS.get(type(given))
    if encoder is not None:
        return encoder(given)
    for kind, encoder in _ENCODERS.items():
        if isinstance(given, kind):  # of a subclass, such as pandas' Timestamp
            return encoder(given)
    if callable(item := getattr(given, "item", None)) and type(plain := item()) is not type(given):
        return value(plain)  # a number of NumPy
    raise TypeError(f"a value of type {type(given).__name__} cannot be written: {_advice(given)}")


def _advice(given: Any) -> str:
    if isinstance(given, (dict, list, tuple, set)):
        return "a JSON column takes json.dumps(value); nested columns take INSERT"
    return "an INSERT with a parameter can, or str(value) if the column is text"


def _times(values: Values, unit: str | None) -> tuple[Values, str | None]:
    """The column `time`: instants as plain integers, whose unit the whole body then has."""
    if not isinstance(values, Instants) and values and all(isinstance(value, datetime) for value in values):
        values = Instants([micros(value) for value in values], "us")
    if isinstance(values, Instants) and None not in values.ticks:
        return array("q", values.ticks), values.unit
    return values, unit


def _array(length: int, cells: Iterable[bytes]) -> bytes:
    return _head(0x90, 0xDC, length) + b"".join(cells)


def _head(short: int, long: int, length: int) -> bytes:
    """Of an array or a map."""
    if length < 16:
        return bytes([short | length])
    return struct.pack(">BH", long, length) if length < 1 << 16 else struct.pack(">BI", long + 1, length)


def _wide(marker: int, numbers: array[Any]) -> bytes:
    raw = memoryview(numbers).cast("B")
    out = bytearray(9 * len(numbers))
    out[0::9] = bytes([marker]) * len(numbers)
    for byte in range(8):
        out[byte + 1 :: 9] = raw[7 - byte :: 8] if sys.byteorder == "little" else raw[byte::8]
    return bytes(out)


def _integers(values: Sequence[int]) -> array[int]:
    try:
        return array("q", values)
    except OverflowError:
        row, number = next((row, n) for row, n in enumerate(values) if not -(1 << 63) <= n < 1 << 63)
        raise OverflowError(f"row {row}: {number} does not fit 64 bits") from None


def _placed(given: Any, row: int) -> bytes:
    try:
        return value(given)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"row {row}: {error}") from None


def _text(text: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!r} is not Unicode text: {error.reason}") from None
    size = len(raw)
    if size < 32:
        return bytes([0xA0 | size]) + raw
    return _sized(0xD9, size) + raw


def _sized(byte_marker: int, size: int) -> bytes:
    """The marker with a length of 8, 16 or 32 bits."""
    if size < 1 << 8:
        return struct.pack(">BB", byte_marker, size)
    return struct.pack(">BH", byte_marker + 1, size) if size < 1 << 16 else struct.pack(">BI", byte_marker + 2, size)


class _Texts(dict[str, bytes]):
    """Each text of a column is encoded once: most columns of text repeat a few."""

    def __missing__(self, text: str) -> bytes:
        return self.setdefault(text, _text(text))


def _integer(number: int) -> bytes:
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError(f"{number} does not fit 64 bits")
    return struct.pack(">Bq", INT, number)


def _ticks_encoder(per_second: int) -> Callable[[int | None], bytes]:
    """The timestamp extension in its layout of 96 bits, which has every instant."""

    def encode(ticks: int | None) -> bytes:
        if ticks is None:
            return NIL
        seconds, rest = divmod(ticks, per_second)
        return struct.pack(">BBBIq", 0xC7, 12, 0xFF, rest * (1_000_000_000 // per_second), seconds)

    return encode


_micros_encoder = _ticks_encoder(TICKS["us"])
_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: NIL,
    bool: lambda flag: TRUE if flag else FALSE,
    int: _integer,
    float: lambda number: struct.pack(">Bd", FLOAT, number),
    str: _text,
    bytes: lambda raw: _sized(0xC4, len(raw)) + raw,
    bytearray: lambda raw: _sized(0xC4, len(raw)) + raw,
    datetime: lambda time: _micros_encoder(micros(time)),
    Decimal: lambda number: _text(str(number)),  # which a DECIMAL column takes digit by digit
}

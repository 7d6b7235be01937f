"""Compares partition values with those that PyIceberg makes of the same values; prints how many it compared.

Standard input: lines `transform<TAB>type<TAB>path`; each path is an Arrow file with the columns `value` and `part`.
"""

import decimal
import sys
import uuid

import pyarrow as pa
from pyiceberg import types
from pyiceberg.transforms import parse_transform

decimal.getcontext().prec = 60
TYPES = {
    "int": types.IntegerType(),
    "long": types.LongType(),
    "date": types.DateType(),
    "time": types.TimeType(),
    "timestamp": types.TimestampType(),
    "string": types.StringType(),
    "binary": types.BinaryType(),
    "uuid": types.UUIDType(),
    "decimal(38,6)": types.DecimalType(38, 6),
}
AS_INTEGER = {"date": pa.int32(), "time": pa.int64(), "timestamp": pa.int64()}


def plain(value):
    """A number as an integer of the column's last digit, all else as it is."""
    return int(value.scaleb(6)) if isinstance(value, decimal.Decimal) else value


compared = 0
for line in sys.stdin:
    transform, kind, path = line.rstrip("\n").split("\t")
    expected_of = parse_transform(transform).transform(TYPES[kind])
    with pa.OSFile(path) as source:
        table = pa.ipc.open_file(source).read_all()
    values = table["value"].cast(AS_INTEGER[kind]) if kind in AS_INTEGER else table["value"]
    for value, part in zip(values.to_pylist(), table["part"].to_pylist(), strict=True):
        if kind == "uuid" and value is not None:
            value = uuid.UUID(bytes=bytes(value))
        expected = expected_of(value)
        # truncated numbers come as decimals without fraction
        got = int(part) if isinstance(part, decimal.Decimal) else part
        if plain(expected) != got:
            sys.exit(f"{transform} of {kind} {value!r}: {got!r}, PyIceberg says {expected!r}")
        compared += 1
print(compared)

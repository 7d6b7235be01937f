"""What callers hold (rows, columns, DataFrames, Arrow tables) becomes columns, piece by piece."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from .message_pack import Instants, Values

if TYPE_CHECKING:
    import pandas
    import pyarrow

Columns = dict[str, Values]


def pieces(data: Any, rows_max: int) -> Iterator[Columns]:
    """Columns of at most `rows_max` rows, in order. Data of one kind only; another is a TypeError."""
    if isinstance(data, Mapping):
        yield from _slices({name: _sequence(name, values) for name, values in data.items()}, rows_max)
    elif _is_dataframe(data):
        for start in range(0, len(data), rows_max):
            yield _of_dataframe(data.iloc[start : start + rows_max])
    elif hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        yield from _of_arrow(data, rows_max)
    elif isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        yield from _of_rows(iter(data), rows_max)
    else:
        raise TypeError(f"data is rows, columns, a DataFrame or an Arrow table, not {type(data).__name__}")


def length(columns: Columns) -> int:
    """The rows of columns."""
    sequences = (values.ticks if isinstance(values, Instants) else values for values in columns.values())
    return max(map(len, sequences), default=0)


def cut(columns: Columns, start: int, end: int) -> Columns:
    """The rows from `start` to before `end`."""
    return {
        name: Instants(values.ticks[start:end], values.unit) if isinstance(values, Instants) else values[start:end]
        for name, values in columns.items()
    }


def _sequence(name: str, values: Any) -> Sequence[Any]:
    if isinstance(values, (list, tuple, array)):
        return array("d", values) if isinstance(values, array) and values.typecode == "f" else values
    if hasattr(values, "tolist"):  # a NumPy array or a pandas Series
        values = values.tolist()
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"column {name!r} must be a list of values, got {type(values).__name__}")
    return list(values)


def _slices(columns: Columns, rows_max: int) -> Iterator[Columns]:
    lengths = {name: length({name: values}) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns must be equally long, got {lengths}")
    for start in range(0, length(columns), rows_max):
        yield cut(columns, start, start + rows_max)


def _of_rows(rows: Iterator[Mapping[str, Any]], rows_max: int) -> Iterator[Columns]:
    while piece := list(islice(rows, rows_max)):
        for row in piece:
            if not isinstance(row, Mapping):
                raise TypeError(f"a row must be a dict of column names and values, got {type(row).__name__}")
        names = dict.fromkeys(name for row in piece for name in row)  # in order of arrival
        yield {name: [row.get(name) for row in piece] for name in names}


def _is_dataframe(data: Any) -> bool:
    return type(data).__module__.partition(".")[0] == "pandas" and type(data).__name__ == "DataFrame"


def _of_dataframe(frame: pandas.DataFrame) -> Columns:
    import pandas

    columns: Columns = {str(name): _of_series(series) for name, series in frame.items()}
    if "time" not in columns and isinstance(frame.index, pandas.DatetimeIndex):
        columns = {"time": _of_series(frame.index.to_series()), **columns}
    return columns


def _of_series(series: pandas.Series[Any]) -> Values:
    """Missing values, NaN among them, are None: pandas does not tell them apart."""
    import pandas

    missing = series.isna()
    if isinstance(series.dtype, pandas.DatetimeTZDtype):
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    if series.dtype.kind == "M" and hasattr(series.dtype, "str"):
        unit = series.dtype.str.partition("[")[2].rstrip("]")
        ticks = series.to_numpy().astype("int64").tolist()
        return Instants(_without(ticks, missing), unit)
    if not missing.any():
        plain: list[Any] = series.tolist()
        return plain
    return _without(series.astype(object).tolist(), missing)


def _without(values: list[Any], missing: pandas.Series[Any]) -> list[Any]:
    return [None if gone else value for value, gone in zip(values, missing.tolist())]


def _of_arrow(data: Any, rows_max: int) -> Iterator[Columns]:
    import pyarrow

    if hasattr(data, "__arrow_c_stream__"):
        batches: Iterable[pyarrow.RecordBatch] = pyarrow.RecordBatchReader.from_stream(data)
    else:
        batches = [pyarrow.record_batch(data)]
    for batch in batches:
        for start in range(0, batch.num_rows, rows_max):
            part = batch.slice(start, rows_max)
            yield {name: _of_array(part.column(name)) for name in part.schema.names}


def _of_array(values: pyarrow.Array[Any]) -> Values:
    import pyarrow

    kind = values.type
    if pyarrow.types.is_timestamp(kind):
        return Instants(_of_array(values.cast(pyarrow.int64())), kind.unit)  # type: ignore[arg-type]
    if values.null_count == 0 and (pyarrow.types.is_float64(kind) or pyarrow.types.is_int64(kind)):
        numbers = array("d" if pyarrow.types.is_float64(kind) else "q")
        data = values.buffers()[1]
        if data is not None:
            numbers.frombytes(memoryview(data)[8 * values.offset : 8 * (values.offset + len(values))])
        return numbers
    plain: list[Any] = values.to_pylist()
    return plain

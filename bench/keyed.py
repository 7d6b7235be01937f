"""Tables that keep of each key the newest row: what that costs writers and readers, and whether it holds.

In order of time, keyed and plain tables take the same points side by side. Then keys come by chance, a hundred of a kind in
the full size, with deletes in between, while the node flushes and merges by itself: each key must have its newest row, and one.
"""

import socket
import struct
import time

import numpy

import figures
from ingest import _answer, _tagged, _text
from node import Node

ROWS = 20_000
BASE = 1_767_225_600_000_000  # 2026-01-01 in µs
ORDERED_REQUESTS, ORDERED_REQUESTS_SMALL = 500, 20
UPSERTS, UPSERTS_SMALL = 100_000_000, 200_000
KEYS, KEYS_SMALL = 1_000_000, 20_000
DELETES = 10
ATTEMPTS_MAX = 600


def _body(measurement: str, times, values) -> bytes:
    rows = len(times)
    array = b"\xdd" + struct.pack(">I", rows)
    columns = b"\x83" + _text("host") + array + _text("h") * rows
    columns += _text("n") + array + _tagged(0xD3, values, ">i8")
    columns += _text("time") + array + _tagged(0xD3, times, ">i8")
    return b"\x82" + _text("m") + _text(measurement) + _text("columns") + columns


class Writer:
    def __init__(self, node: Node):
        self.socket = socket.create_connection(("127.0.0.1", node.http))
        self.head = (
            "POST /api/v1/write/msgpack?db=default&ack=durable HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Bearer {node.token}\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
        )

    def send(self, body: bytes) -> None:
        for _ in range(ATTEMPTS_MAX):
            self.socket.sendall((self.head % len(body)).encode() + body)
            answer = _answer(self.socket)
            if answer.startswith(b"HTTP/1.1 204"):
                return
            if not answer.startswith((b"HTTP/1.1 429", b"HTTP/1.1 503")):
                raise RuntimeError(answer[:500])
            time.sleep(0.1)
        raise TimeoutError("the node takes no more rows")


def _in_order(requests: int) -> list[dict]:
    """Rates with each row's time after the one before, and what a query of all rows takes."""
    seconds, scans = {}, {}
    for dedup in ("none", "last"):
        with Node(settings=(f"table.dedup={dedup}",)) as node:
            writer, steps, began = Writer(node), numpy.arange(ROWS, dtype=numpy.int64), time.perf_counter()
            for request in range(requests):
                at = request * ROWS + steps
                writer.send(_body("points", BASE + at * 1000, at))
            node.sql("FLUSH points")
            seconds[dedup] = time.perf_counter() - began
            node.wait_for_merges()
            files = len(node.sql("SELECT path FROM system.storage.files WHERE table_name = 'points' AND end_txn IS NULL"))
            began = time.perf_counter()
            [[count, total]] = node.sql("SELECT count(n), sum(n) FROM points")
            scans[dedup] = (time.perf_counter() - began) * 1000
            rows = requests * ROWS
            if (count, int(total)) != (rows, rows * (rows - 1) // 2):
                raise RuntimeError(f"dedup {dedup}: {count} rows, sum {total}")
            print(f"dedup {dedup}: {rows / seconds[dedup]:,.0f} rows/s with the flush, {files} files", flush=True)
    return [
        {
            "what": "in order of time, keyed to plain",
            "rows": requests * ROWS,
            "rows_per_s": requests * ROWS / seconds["last"],
            "rate_ratio": seconds["none"] / seconds["last"],
            "scan_ratio": scans["last"] / scans["none"],
        }
    ]


def _by_chance(upserts: int, keys: int) -> list[dict]:
    chance = numpy.random.default_rng(7)
    newest = numpy.full(keys, -1, dtype=numpy.int64)
    requests = upserts // ROWS
    with Node(settings=("table.dedup=last",)) as node:
        writer, began = Writer(node), time.perf_counter()
        for request in range(requests):
            key = chance.integers(0, keys, ROWS)
            values = request * ROWS + numpy.arange(ROWS, dtype=numpy.int64)
            writer.send(_body("points", BASE + key, values))
            newest[key] = values  # of equal keys the last one stays, here as there
            if request % (requests // DELETES) == requests // DELETES - 1:
                low = int(chance.integers(0, keys))
                high = low + keys // 20
                node.sql(f"DELETE FROM points WHERE time >= to_timestamp_micros({BASE + low}) AND time < to_timestamp_micros({BASE + high})")
                newest[low:high] = -1
        took = time.perf_counter() - began
        check = "SELECT count(*), count(DISTINCT time), sum(n), min(n), max(n) FROM points"
        left = newest[newest >= 0]
        wanted = [len(left), len(left), int(left.sum()), int(left.min()), int(left.max())]
        for state in ("as they came", "flushed", "merged"):
            if state == "flushed":
                node.sql("FLUSH points")
            if state == "merged":
                node.sql("OPTIMIZE TABLE points FULL")
            found = [int(value) for value in node.sql(check)[0]]
            if found != wanted:
                raise RuntimeError(f"{state}: {found}, not {wanted}")
            print(f"{state}: {found[0]:,} keys, each with its newest row", flush=True)
        return [{"what": "keys by chance", "rows": upserts, "keys": keys, "rows_per_s": upserts / took, "peak_mib": node.peak_mib()}]


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    results = _in_order(ORDERED_REQUESTS_SMALL if small else ORDERED_REQUESTS)
    print(figures.table(results), flush=True)
    results += _by_chance(*((UPSERTS_SMALL, KEYS_SMALL) if small else (UPSERTS, KEYS)))
    return results, {"rows_per_request": ROWS}

"""Rows per second into one node over loopback, acknowledged durable and from memory.

The server has core 0, the load core 1 (machines with more cores: the first and the last). Every request carries times
of its own, so no row is sent twice. Twelve keep-alive connections, as in the ingest page's method.
"""

import os
import socket
import struct
import threading
import time

import numpy

import figures
from node import Node

CONNECTIONS = 12
TSBS_HOSTS = 4000
TSBS_FIELDS = [
    "usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait",
    "usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice",
]
BASE_SECOND = 1_700_000_000
COLUMNS_ROWS = 1000
COLUMNS_HOSTS = 1000


class LineProtocol:
    """TSBS cpu-only lines: ten tags, ten integer fields, a nanosecond time."""

    name = "line protocol, TSBS cpu"
    path = "/api/v1/write/line-protocol"
    lines = 2000
    templates = 8

    def __init__(self):
        chance = numpy.random.default_rng(1)
        self.bodies = []
        for template in range(self.templates):
            lines = []
            for line in range(self.lines):
                host = (template * self.lines + line) % TSBS_HOSTS
                values = chance.integers(0, 101, len(TSBS_FIELDS))
                fields = ",".join(f"{name}={value}i" for name, value in zip(TSBS_FIELDS, values))
                lines.append(
                    f"cpu,hostname=host_{host},region=eu-west-1,datacenter=eu-west-1{'abc'[host % 3]},rack={host % 100},"
                    f"os=Ubuntu16.04LTS,arch=x64,team=SF,service={host % 20},service_version={host % 2},"
                    f"service_environment=production {fields} {BASE_SECOND}000000000\n"
                )
            self.bodies.append("".join(lines).encode())
        self.rows = self.lines

    def body(self, number: int) -> bytes:
        second = BASE_SECOND + number * 10
        return self.bodies[number % self.templates].replace(b" %d000000000\n" % BASE_SECOND, b" %d000000000\n" % second)


class Columns:
    """Columnar MessagePack: time in µs, host of 1,000 values, three doubles of two decimals; 1,000 rows."""

    name = "MessagePack columns, 5 columns"
    path = "/api/v1/write/msgpack"
    rows = COLUMNS_ROWS

    def __init__(self):
        chance = numpy.random.default_rng(2)
        self.prefixes = []
        for measurement in ("cpu", "mem", "disk", "net"):
            hosts = b"".join(_text(f"host_{n}") for n in chance.integers(0, COLUMNS_HOSTS, COLUMNS_ROWS))
            doubles = [
                _text(name) + _array(COLUMNS_ROWS) + _tagged(0xCB, numpy.round(chance.random(COLUMNS_ROWS) * 100, 2), ">f8")
                for name in ("value", "cpu_idle", "cpu_user")
            ]
            columns = _text("host") + _array(COLUMNS_ROWS) + hosts + b"".join(doubles)
            head = b"\x82" + _text("m") + _text(measurement) + _text("columns") + b"\x85"
            self.prefixes.append(head + columns + _text("time") + _array(COLUMNS_ROWS))
        self.steps = numpy.arange(COLUMNS_ROWS, dtype=numpy.int64) * 1000

    def body(self, number: int) -> bytes:
        times = (BASE_SECOND + number) * 1_000_000 + self.steps
        return self.prefixes[number % len(self.prefixes)] + _tagged(0xD3, times, ">i8")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return bytes([0xA0 | len(encoded)]) + encoded


def _array(length: int) -> bytes:
    return b"\xdc" + struct.pack(">H", length)


def _tagged(tag: int, values, dtype: str) -> bytes:
    rows = numpy.empty(len(values), dtype=[("tag", "u1"), ("value", dtype)])
    rows["tag"], rows["value"] = tag, values
    return rows.tobytes()


def _send(node: Node, payload, ack: str, first: int, step: int, until: float, sent: list) -> None:
    with socket.create_connection(("127.0.0.1", node.http)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"POST {payload.path}?db=bench&ack={ack} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {node.token}\r\n"
            "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
        )
        number, requests, refused, slowest = first, 0, 0, []
        while time.perf_counter() < until:
            body = payload.body(number)
            began = time.perf_counter()
            connection.sendall((head % len(body)).encode() + body)
            answer = _answer(connection)
            if answer.startswith(b"HTTP/1.1 204"):
                slowest.append(time.perf_counter() - began)
                requests += 1
                number += step
            elif answer.startswith((b"HTTP/1.1 429", b"HTTP/1.1 503")):
                refused += 1
                time.sleep(0.05)
            else:
                raise RuntimeError(answer[:500])
        sent.append((requests, refused, len(body), slowest))


def _answer(connection: socket.socket) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the server closed the connection")
        answer += part
    head, _, rest = answer.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            missing = int(line.split(b":")[1]) - len(rest)
            while missing > 0:
                missing -= len(connection.recv(missing))
    return answer


def _round(payload, ack: str, seconds: float) -> dict:
    cores = sorted(os.sched_getaffinity(0))
    with Node(cores=[cores[0]]) as node:
        os.sched_setaffinity(0, {cores[-1]})
        try:
            sent, began, cpu = [], time.perf_counter(), node.cpu_seconds()
            until = began + seconds
            workers = [
                threading.Thread(target=_send, args=(node, payload, ack, n, CONNECTIONS, until, sent))
                for n in range(CONNECTIONS)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            elapsed = time.perf_counter() - began
            if len(sent) != CONNECTIONS:
                raise RuntimeError("a connection failed")
            requests = sum(one[0] for one in sent)
            rows = requests * payload.rows
            used = node.cpu_seconds() - cpu
            latencies = sorted(latency for one in sent for latency in one[3])
            _check(node, rows)
            return {
                "rows_per_second": rows / elapsed,
                "rows_per_cpu_second": rows / used,
                "mib_per_second": requests * sent[0][2] / elapsed / (1 << 20),
                "ack_p50_ms": latencies[len(latencies) // 2] * 1000,
                "ack_p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
                "refused": sum(one[1] for one in sent),
                "server_mib": node.resident_mib(),
            }
        finally:
            os.sched_setaffinity(0, set(cores))


def _check(node: Node, rows: int) -> None:
    """What was acknowledged is there, each row once."""
    tables = [row[0] for row in node.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'bench'")]
    found = sum(int(node.sql(f'SELECT count(*) FROM bench."{name}"')[0][0]) for name in tables)
    if found != rows:
        raise RuntimeError(f"{rows} rows were acknowledged, {found} are there")


def sync_ms(directory: str, times: int = 200) -> float:
    """The disk's own: one 4 KiB append with fdatasync, p50."""
    path = os.path.join(directory, "sync-probe")
    taken = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    os.unlink(path)
    return figures.median(taken) * 1000


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    import tempfile

    seconds = 3 if small else 10
    print(f"fdatasync of 4 KiB, p50: {sync_ms(tempfile.gettempdir()):.3f} ms", flush=True)
    results = []
    for payload in (LineProtocol(), Columns()):
        measured = {"durable": [], "memory": []}
        for _ in range(rounds):
            for ack, taken in measured.items():
                taken.append(_round(payload, ack, seconds))
        for ack, taken in measured.items():
            row = {"payload": payload.name, "ack": ack}
            row |= {name: figures.median([one[name] for one in taken]) for name in taken[0]}
            results.append(row)
    return results, {"fdatasync_p50_ms": sync_ms(tempfile.gettempdir())}

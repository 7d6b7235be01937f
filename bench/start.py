"""What an operator feels: time to ready, idle memory, and the restart with a full log."""

import figures
import ingest
from node import Node

LOG_MIB = 100


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    log_mib = 10 if small else LOG_MIB
    ready, idle, replay, replay_rate = [], [], [], []
    for _ in range(rounds):
        with Node() as node:
            ready.append(node.ready_seconds * 1000)
            idle.append(node.resident_mib())
        again = _restart(log_mib)
        replay.append(again * 1000)
        replay_rate.append(log_mib / again)
    rows = [
        {"what": "ready on an empty directory, ms", "value": figures.median(ready)},
        {"what": "resident when ready, MiB", "value": figures.median(idle)},
        {"what": f"ready after kill -9 with {log_mib} MiB of log, ms", "value": figures.median(replay)},
        {"what": "log replayed, MiB/s", "value": figures.median(replay_rate)},
    ]
    return rows, {}


def _restart(log_mib: int) -> float:
    """Seconds from start to ready of a node whose log holds `log_mib` that were not flushed."""
    payload = ingest.LineProtocol()
    node = Node(settings=("ingest.flush_interval=1h", "ingest.flush_size=1GiB"))
    number = 0
    while node.metric("cenote_wal_appended_bytes_total") < log_mib << 20:
        node.write(f"{payload.path}?db=bench", payload.body(number))
        number += 1
    node.kill()
    again = Node(directory=node.directory)
    rows = int(again.sql("SELECT count(*) FROM bench.cpu")[0][0])
    if rows != number * payload.rows:
        raise RuntimeError(f"{number * payload.rows} rows were acknowledged, {rows} are there")
    seconds = again.ready_seconds
    again.close()
    return seconds

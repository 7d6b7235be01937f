"""What windows cost that overlap: the same rows, by windows that begin each second and are longer each time. Results go nowhere.

Each run is a process of `cenote run` from its start to its end over rows of the generator `impulse`: 200 s of event time, in each of
which every key has rows. When the rows end all windows close, so longer ones have more results: as many as they say. That the answers are
right is for tests (crates/stream/tests/it/windows.rs).
"""

import figures
from node import run_script

EVENTS, EVENTS_SMALL = 2_000_000, 20_000
SECONDS = 200
KEYS = 1_000
#: Seconds that windows are long: as many as each row is in.
WIDTHS = (1, 6, 10, 60, 3_600)
#: Ratios are to these.
NEXT_TO = (1, 6)


def _script(width: int, events: int) -> str:
    keys = min(KEYS, events // SECONDS)
    return (
        f"CREATE TABLE i WITH (connector = 'impulse', event_rate = 0, event_time_interval = '{SECONDS * 1_000_000 // events} microseconds', "
        f"message_count = {events}, start_time = 1767225600000000);\n"
        "CREATE TABLE nowhere WITH (connector = 'blackhole');\n"
        f"INSERT INTO nowhere SELECT k, n, total, w.start FROM (SELECT hop(INTERVAL '1 second', INTERVAL '{width} seconds') AS w, "
        f"counter % {keys} AS k, count(*) AS n, sum(counter) AS total FROM i GROUP BY 1, 2);"
    )


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    events, cores = EVENTS_SMALL if small else EVENTS, figures.machine()["cores"]
    seconds: dict[int, list[float]] = {width: [] for width in WIDTHS}
    for _ in range(rounds):
        for width in WIDTHS:
            seconds[width].append(run_script(_script(width, events)))
    rates = {width: events / figures.median(taken) for width, taken in seconds.items()}
    keys = min(KEYS, events // SECONDS)
    rows = []
    for width, rate in rates.items():
        results = (SECONDS + width - 1) * keys
        row = {"width/slide": width, "rows/s": rate, "rows/s per core": rate / cores, "results/s": results * rate / events}
        rows.append(row | {f"to width/slide {other}": rate / rates[other] for other in NEXT_TO})
    return rows, {"events": events, "keys": keys, "cores": cores}

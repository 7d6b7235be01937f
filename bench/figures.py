"""Rounds, ratios with their interval, and the document that a run leaves."""

import datetime
import json
import math
import pathlib
import random
import statistics
import subprocess

RESAMPLES = 2000


def median(values: list[float]) -> float:
    return statistics.median(values)


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


def ratio(ours: list[float], theirs: list[float]) -> dict:
    """ours / theirs of medians, with a 95 % bootstrap interval (seeded: the same samples give the same interval); nothing where
    a round of theirs is 0."""
    if 0 in theirs:
        return {"ratio": None, "low": None, "high": None}
    chance = random.Random(1)
    drawn = sorted(
        median(chance.choices(ours, k=len(ours))) / median(chance.choices(theirs, k=len(theirs)))
        for _ in range(RESAMPLES)
    )
    return {
        "ratio": median(ours) / median(theirs),
        "low": drawn[int(RESAMPLES * 0.025)],
        "high": drawn[int(RESAMPLES * 0.975) - 1],
    }


def machine() -> dict:
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = pathlib.Path("/proc/meminfo").read_text().splitlines()[0].split()[1]
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    return {
        "cpu": model,
        "cores": len([line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")]),
        "memory_gib": round(int(memory) / 1024 / 1024, 1),
        "load_at_start": float(load),
    }


def commit() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()


def store(suite: str, started: dict, versions: dict, results) -> pathlib.Path:
    """Writes `bench/results/<date>-<suite>.json`."""
    directory = pathlib.Path(__file__).parent / "results"
    directory.mkdir(exist_ok=True)
    path = directory / f"{datetime.date.today()}-{suite}.json"
    document = {"suite": suite, "commit": commit(), "machine": started, "versions": versions, "results": results}
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def table(rows: list[dict]) -> str:
    """Rows as a text table."""
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    shown = [[_shown(row.get(name)) for name in names] for row in rows]
    widths = [max(len(name), *(len(row[place]) for row in shown)) for place, name in enumerate(names)]
    lines = ["  ".join(name.rjust(width) for name, width in zip(names, widths))]
    lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in shown]
    return "\n".join(lines)


def _shown(value) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)

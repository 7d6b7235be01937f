"""Nexmark's queries beside Apache Flink: the same events, made once and read by both from JSON files; results go nowhere.

Per query the two take turns. Ours is a process of `cenote run` from its start to its end; Flink runs all its jobs in one local
cluster that is warm by then, and only the job is timed. Then ours again with its own generator, without files. `equal` is for
tests (crates/stream/tests/it/nexmark.rs compares each query with the batch answer); here only speed counts.

    python bench/stream.py q9 [EVENTS]    the script of one query over our own generator, for `cenote run` below a profiler
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import figures
from node import Node, run_script

HERE = pathlib.Path(__file__).parent
EVENTS, EVENTS_SMALL = 2_000_000, 50_000
#: Of event time, in a second.
RATE = 10_000
QUERIES = [number for number in range(23) if number != 6]
#: q10 writes files of a format that Flink's package does not hold, q13 looks rows up in a table, which its files cannot be.
WITHOUT_PEER = (10, 13)
#: Looks rows up in a table of the lake, so it runs in a node, over our own generator.
IN_A_LAKE = (13,)
PATIENCE = 600
PEER_VERSION = "2.3.0"
KINDS = ("person", "auction", "bid")


def _parts(name: str) -> dict[str, str]:
    texts = (part.split("\n", 1) for part in (HERE / "nexmark" / f"{name}.sql").read_text().split("--- ")[1:])
    return {name.strip(): body.strip() for name, body in texts}


def _header(name: str, **values) -> str:
    text = (HERE / "nexmark" / f"{name}.sql").read_text().strip()
    for key, value in values.items():
        text = text.replace("{%s}" % key, str(value))
    return text


def _script(header: str, query: int, directory: pathlib.Path) -> str:
    parts = _parts(f"q{query}")
    views = parts["views"] + ";\n" if "views" in parts else ""
    if query == 10:
        sink, views = "files", views.replace("{directory}", str(directory / "written"))
        shutil.rmtree(directory / "written", ignore_errors=True)
    else:
        sink, views = "nowhere", views + "CREATE TABLE nowhere WITH (connector = 'blackhole');\n"
    return f"{header};\n{views}INSERT INTO {sink} {parts['query']};"


def _make_events(directory: pathlib.Path, events: int) -> None:
    files = _header("files", directory=directory)
    sinks = []
    for statement in files.split(";\n"):
        if statement.startswith("CREATE TABLE bid_now"):
            continue
        statement = statement.replace("type = 'source'", "type = 'sink'").replace("CREATE TABLE ", "CREATE TABLE to_")
        columns, options = statement.rsplit("\nWITH", 1)
        sinks.append(columns.rsplit(",", 1)[0] + ")\nWITH" + options)
    copies = [f"INSERT INTO to_{kind} SELECT * FROM {kind}" for kind in KINDS]
    header = _header("events", rate=RATE, count=events)
    run_script(";\n".join([header, *sinks, *copies]) + ";")


class Flink:
    """The peer in an environment of its own: it asks for older versions of much."""

    def __init__(self, directory: pathlib.Path, cores: int):
        environment = HERE / ".venv-flink"
        python = environment / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", f"apache-flink=={PEER_VERSION}"], check=True)
        command = [python, HERE / "peers" / "flink.py", directory, str(cores)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def run(self, query: int) -> float:
        parts = _parts(f"q{query}")
        self.process.stdin.write(json.dumps({"query": parts.get("flink", parts["query"])}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"flink, q{query}: {answer['error']}")
        return answer["seconds"]

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def _own(events: int) -> str:
    """Events of our own generator, made as fast as they are read."""
    return _header("events", rate=0, count=events)


def _in_a_lake(query: int, events: int) -> float:
    """Seconds of a pipeline in a node, from its start until all events are through."""
    parts = _parts(f"q{query}")
    with Node() as node:
        for statement in parts["setup"].split(";\n"):
            node.sql(statement)
        script = f"{_own(events)};\n{parts['views']};\nCREATE TABLE nowhere WITH (connector = 'blackhole');\nINSERT INTO nowhere {parts['query']}"
        began = time.perf_counter()
        node.sql(f"CREATE PIPELINE p AS $$ {script} $$")
        while time.perf_counter() - began < PATIENCE:
            state, error = node.sql("SELECT state, error FROM system.stream.pipelines WHERE name = 'p'")[0]
            if state == "finished":
                return time.perf_counter() - began
            if state == "failed":
                raise RuntimeError(f"q{query}: {error}")
            time.sleep(0.01)
        raise TimeoutError(f"q{query} does not end")


def run(rounds: int, small: bool) -> tuple[list[dict], dict]:
    events = EVENTS_SMALL if small else EVENTS
    cores = figures.machine()["cores"]
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cenote-nexmark-"))
    rows = []
    try:
        _make_events(directory, events)
        flink = Flink(directory, cores)
        flink.run(0)  # the first job warms it up
        for query in QUERIES:
            if query in IN_A_LAKE:
                seconds = figures.median([_in_a_lake(query, events) for _ in range(rounds)])
                row = {"query": f"q{query}", "own generator, events/s per core": events / seconds / cores}
                print(row, flush=True)
                rows.append(row)
                continue
            files = _header("files", directory=directory)
            own = _own(events)
            ours, theirs, generated = [], [], []
            for _ in range(rounds):
                ours.append(run_script(_script(files, query, directory)))
                if query not in WITHOUT_PEER:
                    theirs.append(flink.run(query))
                generated.append(run_script(_script(own, query, directory)))
            row = {"query": f"q{query}", "events/s": events / figures.median(ours)}
            if theirs:
                row |= {"flink events/s": events / figures.median(theirs), **figures.ratio(theirs, ours)}
            row["own generator, events/s per core"] = events / figures.median(generated) / cores
            print(row, flush=True)
            rows.append(row)
        flink.end()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    ratios = [row["ratio"] for row in rows if row.get("ratio")]
    return rows, {"events": events, "cores": cores, "flink": PEER_VERSION, "ratio, geometric mean": figures.geometric_mean(ratios)}


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in {f"q{query}" for query in QUERIES if query not in IN_A_LAKE}:
        sys.exit(__doc__)
    events = int(sys.argv[2]) if len(sys.argv) > 2 else EVENTS
    print(_script(_own(events), int(sys.argv[1][1:]), pathlib.Path(tempfile.mkdtemp(prefix="cenote-nexmark-"))))

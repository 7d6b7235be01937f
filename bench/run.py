"""`make bench`: runs suites and writes their figures down.

    python bench/run.py ingest|query|commit|plan|catalog|flow|small|compact|keyed|stream|hop|freshness|start [--size small|full] [--rounds 5] [--binary PATH]
    python bench/run.py answers                   the 22 answers of TPC-H equal DuckDB's; times nothing, leaves nothing

Each suite starts fresh nodes of the release build in default configuration, checks that what it measured is right, and
leaves `bench/results/<date>-<suite>.json`.
"""

import argparse
import importlib
import importlib.metadata
import pathlib
import sys

import figures
from node import Node

SUITES = ("ingest", "query", "commit", "plan", "catalog", "flow", "small", "compact", "keyed", "stream", "hop", "freshness", "start")
PEERS = {"query": ("duckdb", "datafusion", "tpchgen-cli"), "commit": ("pyiceberg",), "plan": ("pyiceberg",), "compact": ("datafusion",)}


def main() -> None:
    parser = argparse.ArgumentParser(description="benchmarks of cenote beside its peers")
    parser.add_argument("suites", nargs="*", default=SUITES, metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--size", choices=("small", "full"), default="full")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--binary", type=pathlib.Path, default=Node.binary, help="the program to measure")
    arguments = parser.parse_args()
    Node.binary = arguments.binary
    if not Node.binary.exists():
        sys.exit(f"{Node.binary} is not built: cargo build --release --package cenote")
    if arguments.suites == ["answers"]:
        import query

        return query.check_answers(arguments.size == "small")
    unknown = set(arguments.suites) - set(SUITES)
    if unknown:
        parser.error(f"unknown suite {sorted(unknown)[0]!r}: expected one of {', '.join(SUITES)}")
    for suite in arguments.suites:
        machine = figures.machine()
        print(f"== {suite} ({arguments.size}, {arguments.rounds} rounds)", flush=True)
        rows, facts = importlib.import_module(suite).run(arguments.rounds, arguments.size == "small")
        print(figures.table(rows), flush=True)
        versions = {peer: importlib.metadata.version(peer) for peer in PEERS.get(suite, ())}
        path = figures.store(suite, machine, versions, {"size": arguments.size, "rounds": arguments.rounds, **facts, "rows": rows})
        print(f"written to {path}", flush=True)


if __name__ == "__main__":
    main()

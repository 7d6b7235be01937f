"""Apache Flink as a peer: runs queries over JSON files in one local cluster, and says how long each took.

    python flink.py EVENTS-DIRECTORY PARALLELISM < requests

A request is a line `{"query": SQL}`; the answer is a line `{"seconds": …}` or `{"error": …}`. Rows go to `blackhole`.
"""

import json
import pathlib
import re
import sys
import time

from pyflink.table import EnvironmentSettings, Schema, TableDescriptor, TableEnvironment

COLUMNS = {
    "person": "id BIGINT, name STRING, email_address STRING, credit_card STRING, city STRING, state STRING, datetime TIMESTAMP(3), extra STRING",
    "auction": "id BIGINT, item_name STRING, description STRING, initial_bid BIGINT, reserve BIGINT, datetime TIMESTAMP(3), "
    "expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING",
    "bid": "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, datetime TIMESTAMP(3), extra STRING, now AS PROCTIME()",
}
# Names that its grammar keeps for itself.
RESERVED = re.compile(r"\b(datetime|now|until|d|m|start)\b")


def quoted(sql: str) -> str:
    return RESERVED.sub(r"`\1`", sql)


def environment(directory: pathlib.Path, parallelism: int) -> TableEnvironment:
    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    settings = {
        "parallelism.default": str(parallelism),
        # Results of whole batches of rows instead of each row's, as it is told to do where throughput counts.
        "table.exec.mini-batch.enabled": "true",
        "table.exec.mini-batch.allow-latency": "1 s",
        "table.exec.mini-batch.size": "50000",
        "table.optimizer.agg-phase-strategy": "TWO_PHASE",
        "table.optimizer.distinct-agg.split.enabled": "true",
        "jobmanager.memory.process.size": "1024m",
        "taskmanager.memory.process.size": "4096m",
        "taskmanager.numberOfTaskSlots": str(parallelism),
    }
    for name, value in settings.items():
        tables.get_config().set(name, value)
    for name, columns in COLUMNS.items():
        tables.execute_sql(
            f"CREATE TABLE {name} ({quoted(columns)}, WATERMARK FOR `datetime` AS `datetime` - INTERVAL '4' SECOND) "
            f"WITH ('connector' = 'filesystem', 'path' = '{directory / name}', 'format' = 'json', "
            "'json.timestamp-format.standard' = 'ISO-8601')"
        )
    return tables


def main() -> None:
    tables = environment(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
    for line in sys.stdin:
        try:
            result = tables.sql_query(quoted(json.loads(line)["query"]))
            columns = result.get_schema()
            schema = Schema.new_builder()
            for name, kind in zip(columns.get_field_names(), columns.get_field_data_types()):
                schema.column(name, kind)
            sink = TableDescriptor.for_connector("blackhole").schema(schema.build()).build()
            began = time.perf_counter()
            result.execute_insert(sink).wait()
            answer = {"seconds": time.perf_counter() - began}
        except Exception as error:  # noqa: BLE001 - the peer's reason is part of the figures
            answer = {"error": str(error).strip().splitlines()[-1][:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

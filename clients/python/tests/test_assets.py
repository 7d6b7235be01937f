"""Assets and their runs."""

from __future__ import annotations

import dataclasses
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import cenote

from .node import NodeTest, unique

UTC = timezone.utc
#: A recipe that does not come to its end.
ENDLESS = (
    "SELECT sum(a.value % 7 + b.value % 5) AS n "
    "FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b"
)
DAYS = [f"day=d:2024-01-0{day}" for day in range(1, 6)]


class Assets(NodeTest):
    """`raw` and `daily`, which is cut by day, and `total`, which reads `daily`, in a schema of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.schema = unique("flow")
        self.client.execute(f"CREATE SCHEMA {self.schema}")
        self.client.execute(f"CREATE TABLE {self.schema}.raw (ts TIMESTAMP, amount BIGINT)")
        self.daily, self.total = f"{self.schema}.daily", f"{self.schema}.total"
        self.insert("('2024-01-01', 1), ('2024-01-02', 2), ('2024-01-02 12:00:00', 4), ('2024-01-03', 8)")
        self.client.execute(
            f"""CREATE ASSET {self.daily} PARTITION BY (day(ts)) START '2024-01-01' END '2024-01-06'
                DEPENDS ON ({self.schema}.raw MAPPING identity) SCHEDULE '0 6 * * *' TIMEZONE 'Europe/Rome'
                WITH (description = 'by day')
                AS SELECT date_trunc('day', ts) AS ts, sum(amount) AS amount FROM {self.schema}.raw GROUP BY 1"""
        )
        self.make("total", f"SELECT sum(amount) AS amount FROM {self.daily}")

    def insert(self, rows: str) -> None:
        self.client.execute(f"INSERT INTO {self.schema}.raw VALUES {rows}")

    def make(self, name: str, recipe: str) -> str:
        self.client.execute(f"CREATE OR REPLACE ASSET {self.schema}.{name} AS {recipe}")
        return f"{self.schema}.{name}"

    def statuses(self) -> list[str]:
        return [partition.status for partition in self.client.assets.partitions(self.daily)]

    def running(self, asset: str, **options: bool) -> cenote.StartedRun:
        """A run that has begun a task, and is cancelled behind the test."""
        run = self.client.runs.start(asset, **options)
        self.addCleanup(self.end, run)
        while not [*self.client.runs.tasks(run, state="RUNNING")]:
            self.assertFalse(self.client.runs.get(run).ended)
        return run

    def end(self, run: cenote.StartedRun) -> None:
        if not self.client.runs.get(run).ended:
            self.client.runs.cancel(run)
        self.client.runs.wait(run)

    def test_an_asset_is_listed_and_shown(self) -> None:
        before = datetime.now(UTC) - timedelta(minutes=10)
        daily, total = self.client.assets.list(schema=self.schema)
        self.assertEqual((daily.key, total.key), (self.daily, self.total))
        self.assertEqual(daily, self.client.assets.get(self.daily))
        self.assertEqual(daily, self.client.assets.get(daily))
        self.assertEqual((daily.status, daily.mode, daily.description), ("missing", "replace", "by day"))
        self.assertEqual((daily.eager, daily.paused, daily.kind), (False, False, "sql"))
        self.assertIn("date_trunc", daily.query)
        self.assertEqual((daily.partition["column"], daily.partition["period"]), ("ts", "day"))
        self.assertEqual(daily.schedule, {"cron": "0 6 * * *", "timezone": "Europe/Rome", "ifStale": False})
        self.assertEqual(daily.depends_on, [cenote.Dependency(f"{self.schema}.raw", "identity")])
        self.assertLess(before, daily.created_at)
        self.assertEqual((total.partition, total.schedule), (None, None))
        self.client.assets.materialize(self.daily, partition_status="missing")
        [fresh] = self.client.assets.list(schema=self.schema, status="fresh")
        self.assertEqual(fresh.key, self.daily)
        self.assertEqual(self.client.assets.list(schema=self.schema, owner="nobody"), [])
        with self.assertRaises(cenote.NotFound):
            self.client.assets.get(f"{self.schema}.nothing")
        with self.assertRaisesRegex(cenote.Invalid, "status is one of"):
            self.client.assets.list(status="sick")

    def test_assets_are_made_and_their_partitions_told(self) -> None:
        self.assertEqual(self.statuses(), ["missing"] * 5)
        run = self.client.assets.materialize(
            self.daily, partition_range=("day=2024-01-01", "day=2024-01-03"), chunk=2, downstream=True
        )
        self.assertEqual((run.state, run.trigger, run.task_count, run.tasks_succeeded), ("SUCCEEDED", "person", 3, 3))
        self.assertEqual(
            [(task.asset, task.partitions, task.rows, task.state) for task in run.tasks],
            [
                (self.daily, "day=d:2024-01-01..2024-01-02", 2, "SUCCEEDED"),
                (self.daily, "day=d:2024-01-03", 1, "SUCCEEDED"),
                (self.total, None, 1, "SUCCEEDED"),
            ],
        )
        self.assertEqual(self.client.query(f"SELECT amount FROM {self.total}").value(), 15)
        self.assertEqual(self.statuses(), ["fresh"] * 3 + ["missing"] * 2)
        [first, second] = self.client.assets.partitions(self.daily, from_=DAYS[0], to=DAYS[1])
        self.assertEqual((first.key, second.key, first.asset), (DAYS[0], DAYS[1], self.daily))
        self.assertEqual((first.run_id, first.output_txn), (run.id, run.tasks[0].output_txn))
        self.assertEqual((first.last_attempt_outcome, first.last_attempt_run_id), ("SUCCEEDED", run.id))
        self.assertEqual(first.materialized_at, run.tasks[0].completed_at)
        missing = [partition.key for partition in self.client.assets.partitions(self.daily, status="missing")]
        self.assertEqual(missing, DAYS[3:])
        self.insert("('2024-01-05', 16)")
        stale = cenote.PartitionRange(DAYS[0], DAYS[2], 3, "stale", "UPSTREAM_CHANGED")
        left = cenote.PartitionRange(DAYS[3], DAYS[4], 2, "missing", None)
        self.assertEqual([*self.client.assets.partition_ranges(self.daily)], [stale, left])
        counts = self.client.assets.partition_counts(self.daily)
        self.assertEqual(
            (counts.total, counts.materialized, counts.stale, counts.missing, counts.failed), (5, 3, 3, 2, 0)
        )
        self.client.assets.materialize([self.client.assets.get(self.daily)], partitions=DAYS[4])
        self.assertEqual(self.statuses()[3:], ["missing", "fresh"])
        with self.assertRaisesRegex(cenote.Invalid, "has partitions: say which"):
            self.client.assets.materialize(self.daily)
        with self.assertRaisesRegex(cenote.Invalid, "has no partitions"):
            self.client.assets.materialize(self.total, partitions=DAYS)

    def test_more_partitions_than_a_page_come_in_order(self) -> None:
        self.client.execute(
            f"""CREATE ASSET {self.schema}.hours PARTITION BY (hour(ts)) START '2024-01-01T00:00:00Z'
                END '2024-01-20T00:00:00Z' AS SELECT ts, amount FROM {self.schema}.raw"""
        )
        keys = [partition.key for partition in self.client.assets.partitions(f"{self.schema}.hours")]
        start = datetime(2024, 1, 1, tzinfo=UTC)
        hours = (start + timedelta(hours=hour) for hour in range(19 * 24))
        self.assertEqual(keys, [f"hour=t:{hour:%Y-%m-%dT%H:%M:%S.%fZ}" for hour in hours])

    def test_an_explanation_says_why(self) -> None:
        self.assertEqual(self.client.assets.explain(self.total).state, "missing")
        self.client.assets.materialize([self.daily, self.total], partition_status="missing")
        fresh = self.client.assets.explain(self.total)
        self.assertEqual((fresh.state, fresh.reasons), ("fresh", []))
        self.insert("('2024-01-02', 32)")
        stale = self.client.assets.explain(self.daily, DAYS[1])
        [reason] = stale.reasons
        self.assertEqual((stale.state, reason.code), ("stale", "UPSTREAM_CHANGED"))
        self.assertEqual((reason.upstream, stale.answer["state"]), (f"{self.schema}.raw", "stale"))
        self.assertLess(reason.recorded_txn, reason.current_txn)
        until = time.monotonic() + 60  # when the node has looked at the schedule
        while (due := self.client.assets.explain(self.daily).next_tick) is None:
            self.assertLess(time.monotonic(), until)
        self.assertLessEqual(due, datetime.now(UTC) + timedelta(hours=25))
        self.assertIn((due.hour, due.minute), [(4, 0), (5, 0)])  # 6:00 in Rome
        self.assertIsNone(self.client.assets.explain(self.total).next_tick)
        self.assertIn(("partition", "stale"), [(step.step, step.verdict) for step in stale.steps])
        run = self.client.assets.materialize(self.daily, partitions=DAYS[1])
        why = self.client.runs.explain(run)
        self.assertEqual((why.state, [cause.kind for cause in why.because]), ("SUCCEEDED", ["person"]))
        self.assertEqual((why.because[0].id, why.because[0].at), (run.actor, run.created_at))
        [read] = why.answer["tasks"][0]["inputs"]
        self.assertEqual(read["table"], f"{self.schema}.raw")
        self.assertIn("input", [step.step for step in why.steps])

    def test_names_are_those_of_the_clients_database(self) -> None:
        inside = self.connect(database=self.schema)
        self.assertEqual(inside.assets.get("daily").key, self.daily)
        run = inside.assets.materialize("daily", partitions="day=2024-01-03")
        self.assertEqual([task.asset for task in run.tasks], [self.daily])

    def test_an_asset_is_held_let_go_and_forgotten(self) -> None:
        self.assertTrue(self.client.assets.pause(self.daily).paused)
        self.assertTrue(self.client.assets.get(self.daily).paused)
        self.assertFalse(self.client.assets.resume(self.daily).paused)
        self.client.assets.materialize(self.daily, partitions=DAYS)
        with self.assertRaises(cenote.Conflict):
            self.client.assets.delete(self.daily, cascade=True)
        self.client.assets.delete(self.total, cascade=True)
        with self.assertRaises(cenote.NotFound):
            self.client.query(f"SELECT 1 FROM {self.total}").rows()
        self.client.assets.delete(self.daily)
        self.assertEqual(self.client.assets.list(schema=self.schema), [])
        self.assertEqual(self.client.query(f"SELECT sum(amount) FROM {self.daily}").value(), 15)

    def test_a_plan_begins_nothing_and_is_what_a_run_does(self) -> None:
        plan = self.client.runs.plan(self.total, upstream=True, partition_status="missing", chunk=3)
        self.assertEqual(
            [(task.key, task.reason) for task in plan.tasks],
            [
                (f"{self.schema}/daily/day=d:2024-01-01..2024-01-03", f"upstream_of:{self.total}"),
                (f"{self.schema}/daily/day=d:2024-01-04..2024-01-05", f"upstream_of:{self.total}"),
                (f"{self.schema}/total/_", "selected"),
            ],
        )
        self.assertEqual([*self.client.runs.list(asset=self.total)], [])
        run = self.client.runs.start(self.total, upstream=True, partition_status="missing", chunk=3)
        self.assertEqual((run.plan_id, run.created), (plan.id, True))
        found = self.client.runs.wait(run)
        self.assertEqual([task.key for task in found.tasks], [task.key for task in plan.tasks])
        self.assertTrue(plan.fingerprint.startswith(plan.id[len("plan_") :]))

    def test_a_key_begins_one_run(self) -> None:
        key, when = unique("run"), datetime(2024, 2, 1, 1, tzinfo=timezone(timedelta(hours=1)))
        options = {"partitions": DAYS[:1], "run_key": key, "labels": {"Team": "mart"}, "priority": 3}
        options |= {"logical_time": when, "concurrency": 1, "timeout_seconds": 600}
        with ThreadPoolExecutor(4) as threads:
            runs = [*threads.map(lambda _: self.client.runs.start([self.daily], **options), range(4))]
        self.assertEqual(({run.id for run in runs}, [run.created for run in runs].count(True)), ({runs[0].id}, 1))
        run = self.client.runs.wait(runs[0])
        self.assertEqual((run.labels, run.priority, run.logical_time), ({"Team": "mart"}, 3, when))
        with self.assertRaises(cenote.Conflict) as raised:
            self.client.runs.start(self.total, run_key=key)
        self.assertEqual(raised.exception.reason, "run_key_conflict")

    def test_runs_are_listed_newest_first(self) -> None:
        started = [self.client.assets.materialize(self.total).id for _ in range(3)]
        listed = [*self.client.runs.list(asset=self.total, state="SUCCEEDED", trigger="person")]
        self.assertEqual([run.id for run in listed], started[::-1])
        self.assertEqual([(run.task_count, run.tasks_succeeded, run.tasks) for run in listed], [(1, 1, [])] * 3)
        whole = self.client.runs.get(listed[0])
        self.assertEqual(dataclasses.replace(whole, tasks=[]), listed[0])
        middle = self.client.runs.get(started[1]).created_at
        later = self.client.runs.list(asset=self.total, since=middle)
        earlier = self.client.runs.list(asset=self.total, until=middle)
        self.assertEqual(([run.id for run in later], [run.id for run in earlier]), (started[:0:-1], started[:1]))
        with self.assertRaises(cenote.NotFound):
            self.client.runs.get("01900000-0000-7000-8000-000000000000")

    def test_a_run_is_held_cancelled_and_done_again(self) -> None:
        endless = self.make("endless", ENDLESS)
        after = self.make("after_it", f"SELECT n FROM {endless}")
        run = self.running(after, upstream=True)
        self.assertEqual(self.client.runs.pause(run).state, "PAUSED")
        resumed = self.client.runs.resume(run)
        self.assertEqual((resumed.state, resumed.ended), ("RUNNING", False))
        [waits] = self.client.runs.tasks(run, state="PENDING")
        self.assertEqual((waits.asset, waits.waiting), (after, "upstream"))
        with self.assertRaisesRegex(TimeoutError, run.id):
            self.client.runs.wait(run, timeout=0.2)
        with self.assertRaises(cenote.Conflict):
            self.client.runs.rerun(run)
        self.client.runs.cancel(run, reason="enough")
        ended = self.client.runs.wait(run)
        self.assertEqual((ended.state, ended.error, ended.succeeded), ("CANCELLED", "enough", False))
        for act in (self.client.runs.cancel, self.client.runs.pause, self.client.runs.resume):
            with self.assertRaises(cenote.Conflict):
                act(run)
        self.make("endless", "SELECT 1 AS n")
        again = self.client.runs.rerun(run, idempotency_key=unique("again"))
        found = self.client.runs.wait(again)
        self.assertEqual((found.state, found.parent_id, found.rerun_kind), ("SUCCEEDED", run.id, "FROM_FAILURE"))
        with self.assertRaises(cenote.Conflict):
            self.client.runs.rerun(again)

    def test_tasks_that_are_named_are_run_again(self) -> None:
        run = self.client.assets.materialize(self.daily, partitions=DAYS[:2], chunk=1, downstream=True)
        first, second, total = (task.key for task in run.tasks)
        key = unique("again")
        again = [self.client.runs.rerun(run, tasks=first, downstream=True, idempotency_key=key) for _ in range(2)]
        self.assertEqual((again[0].id, [begun.created for begun in again]), (again[1].id, [True, False]))
        found = self.client.runs.wait(again[0])
        self.assertEqual((found.state, found.parent_id, found.rerun_kind), ("SUCCEEDED", run.id, "SUBSET"))
        self.assertEqual([task.key for task in found.tasks], [first, total])
        only = self.client.runs.wait(self.client.runs.rerun(run, tasks=[second]))
        self.assertEqual([task.key for task in only.tasks], [second])
        with self.assertRaises(cenote.Invalid):
            self.client.runs.rerun(run, tasks=["no/such/task"])

    def test_runs_of_other_kinds_are_seen(self) -> None:
        table = f"{self.schema}.copied"
        self.client.execute(f"CREATE TABLE {table} AS SELECT * FROM {self.schema}.raw")
        newest = next(self.client.runs.list(kind="query"))
        self.assertEqual((newest.kind, newest.state, newest.task_count), ("query", "SUCCEEDED", 0))
        self.assertEqual(self.client.runs.get(newest), newest)
        self.assertEqual(self.client.runs.explain(newest).state, "SUCCEEDED")
        self.assertEqual([run.kind for run in self.client.runs.list(asset=self.total)], [])
        with self.assertRaisesRegex(cenote.Invalid, "kind is one of"):
            next(self.client.runs.list(kind="walk"))

    def test_a_failed_run_says_which_task_and_why(self) -> None:
        broken = self.make("broken", f"SELECT 1 / (amount - amount) AS n FROM {self.schema}.raw")
        after = self.make("after_it", f"SELECT n FROM {broken}")
        with self.assertRaises(cenote.RunFailed) as raised:
            self.client.assets.materialize(broken, downstream=True)
        run = raised.exception.run
        failed, skipped = (next(task for task in run.tasks if task.asset == asset) for asset in (broken, after))
        self.assertEqual((run.state, run.tasks_failed, failed.error_category), ("FAILED", 1, "CONFIGURATION"))
        self.assertEqual((skipped.state, skipped.skipped_by), ("SKIPPED", failed.key))
        self.assertRegex(str(raised.exception), f"{run.id} is FAILED: task {re.escape(failed.key)}: .*zero")
        self.assertEqual(self.client.assets.get(broken).status, "failed")
        self.make("broken", "SELECT 7 AS n")
        self.assertEqual(self.client.runs.wait(self.client.runs.rerun(run)).tasks_succeeded, 2)
        self.assertEqual(self.client.query(f"SELECT n FROM {after}").value(), 7)

    def test_a_run_is_replayed_and_its_rows_put_back(self) -> None:
        run = self.client.assets.materialize(self.daily, partitions=DAYS)
        same = self.client.runs.replay(run)
        self.assertEqual((same.identical, same.rows, same.differing_rows, same.deterministic), (True, 3, 0, True))
        self.assertEqual([task.key for task in same.tasks], [task.key for task in run.tasks])
        self.insert("('2024-01-01', 100)")
        self.client.assets.materialize(self.daily, partitions=DAYS)
        self.assertEqual(self.client.query(f"SELECT sum(amount) FROM {self.daily}").value(), 115)
        self.assertTrue(self.client.runs.replay(run).identical)
        key = unique("replay")
        begun = [self.client.runs.replay_and_commit(run, idempotency_key=key) for _ in range(2)]
        self.assertEqual((begun[0].id, begun[0].created), (begun[1].id, True))
        self.assertFalse(begun[1].created)
        found = self.client.runs.wait(begun[0])
        self.assertEqual((found.state, found.rerun_kind), ("SUCCEEDED", "REPLAY"))
        self.assertEqual(self.client.query(f"SELECT sum(amount) FROM {self.daily}").value(), 15)

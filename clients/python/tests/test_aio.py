"""The client in asyncio."""

from __future__ import annotations

import asyncio
import threading
import unittest

import cenote

from .node import NodeTest, unique

ENDLESS = (
    "SELECT sum(a.value % 7 + b.value % 5) AS n "
    "FROM generate_series(1, 1000000) AS a CROSS JOIN generate_series(1, 1000000) AS b"
)


class Aio(NodeTest, unittest.IsolatedAsyncioTestCase):
    def close(self) -> None:
        """Closes the client, whose threads then end: none of them waits for anything."""
        self.client.close()
        for thread in threading.enumerate():
            if thread.name.startswith("cenote"):
                thread.join(timeout=60)
                self.assertFalse(thread.is_alive())

    async def ended(self, query_id: str) -> str:
        """The state of a query that has ended."""
        while True:
            found = await self.client.aio.query("SELECT state FROM system.queries WHERE id = $1", [query_id]).rows()
            if found and found[0][0] != "RUNNING":
                return found[0][0]
            await asyncio.sleep(0.05)

    async def test_every_part_is_awaited(self) -> None:
        async with self.connect().aio as client:
            written = await client.write(self.table, {"n": [1, 2, 3]}, ack="committed")
            self.assertEqual(written.rows, 3)
            self.assertEqual(
                (await client.execute(f"INSERT INTO {self.table} VALUES (now(), $1)", [4])).rows_affected, 1
            )
            query = client.query(f"SELECT n FROM {self.table} ORDER BY n")
            self.assertEqual(await query.rows(), [(1,), (2,), (3,), (4,)])
            self.assertEqual([row async for row in query], [(1,), (2,), (3,), (4,)])
            self.assertIn(self.table, [table.name for table in await client.tables.list()])
            self.assertIn("compact", [job.name for job in await client.jobs.list()])
            token = await client.tokens.create(unique("reader"), permissions=["read"])
            await client.tokens.delete(token)
            changes = [change.row["n"] async for change in client.changes(self.table, wait=False)]
            self.assertEqual(sorted(changes), [1, 2, 3, 4])
            with self.assertRaises(cenote.NotFound):
                await client.query("SELECT 1 FROM missing").rows()
            with self.assertRaises(AttributeError):
                await client.fly()
            with self.assertRaisesRegex(TypeError, "nothing to iterate"):
                [_ async for _ in client]
        with self.assertRaisesRegex(cenote.Error, "closed"):
            await client.tables.list()

    async def test_assets_are_made_while_others_wait(self) -> None:
        client, schema = self.client.aio, unique("aio")
        await client.execute(f"CREATE SCHEMA {schema}")
        for name, recipe in (("endless", ENDLESS), ("a", "SELECT 1 AS n"), ("b", "SELECT 2 AS n")):
            await client.execute(f"CREATE ASSET {schema}.{name} AS {recipe}")
        endless = await client.runs.start(f"{schema}.endless")
        waiting = asyncio.create_task(client.runs.wait(endless))
        runs = await asyncio.gather(*(client.assets.materialize(f"{schema}.{name}") for name in "ab"))
        self.assertEqual([run.state for run in runs], ["SUCCEEDED"] * 2)
        self.assertEqual([run.id async for run in client.runs.list(asset=f"{schema}.b")], [runs[1].id])
        waiting.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await waiting
        await client.runs.cancel(endless)
        self.assertEqual((await client.runs.wait(endless)).state, "CANCELLED")
        self.close()

    async def test_a_cancelled_query_ends_on_the_node(self) -> None:
        query_id = unique("q")
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(self.client.aio.query(ENDLESS, query_id=query_id).rows(), 1)
        self.assertEqual(await self.ended(query_id), "CANCELLED")
        left = unique("q")
        async for row in self.client.aio.query("SELECT value FROM generate_series(1, 100000000)", query_id=left):
            self.assertEqual(row, (1,))
            break
        self.assertEqual(await self.ended(left), "CANCELLED")
        self.close()

    async def test_a_feed_that_is_cancelled_ends(self) -> None:
        await self.client.aio.write(self.table, {"n": [1]}, ack="committed")
        seen: asyncio.Queue[int] = asyncio.Queue()

        async def follow() -> None:
            async for change in self.client.aio.changes(self.table):
                seen.put_nowait(change.row["n"])

        following = asyncio.create_task(follow())
        self.assertEqual(await seen.get(), 1)
        await self.client.aio.write(self.table, {"n": [2]}, ack="committed")
        self.assertEqual(await seen.get(), 2)
        following.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await following
        self.close()

"""Tokens, tables, jobs."""

from datetime import datetime, timedelta, timezone

import cenote

from .node import NodeTest, unique


class Node(NodeTest):
    def test_a_token_may_what_it_was_given_until_it_is_revoked(self) -> None:
        self.client.write(self.table, {"n": [1]})
        grants = [cenote.Grant("default", self.table, ["read"])]
        token = self.client.tokens.create(unique("reader"), grants=grants, expires_in=timedelta(hours=1))
        self.assertAlmostEqual(
            token.expires_at, datetime.now(timezone.utc) + timedelta(hours=1), delta=timedelta(minutes=10)
        )
        self.assertNotIn(token.secret, repr(token))
        reader = self.connect(token=token.secret)
        self.assertEqual(reader.query(f"SELECT n FROM {self.table}").value(), 1)
        with self.assertRaises(cenote.Denied):
            reader.write(self.table, {"n": [2]})
        with self.assertRaises(cenote.Denied):
            reader.tokens.list()
        [listed] = [other for other in self.client.tokens.list() if other.id == token.id]
        self.assertEqual((listed.name, listed.grants, listed.secret), (token.name, grants, None))
        rotated = self.connect(token=self.client.tokens.rotate(token))
        with self.assertRaises(cenote.Unauthenticated):
            reader.query("SELECT 1").rows()
        self.assertEqual(rotated.query("SELECT 1").value(), 1)
        self.client.tokens.revoke(token)
        with self.assertRaises(cenote.Unauthenticated):
            rotated.query("SELECT 1").rows()
        self.client.tokens.delete(token)
        with self.assertRaises(cenote.NotFound):
            self.client.tokens.delete(token)
        with self.assertRaisesRegex(cenote.Invalid, "Invalid permission"):
            self.client.tokens.create("x", permissions=["fly"])

    def test_tables_are_listed_and_described(self) -> None:
        self.client.write(self.table, {"host": ["a", "b"], "v": [1.5, 2.5]}, tags=["host"])
        [listed] = [table for table in self.client.tables.list() if table.name == self.table]
        self.assertEqual((listed.database, listed.rows), ("default", 2))
        wanted = [
            cenote.Column("time", "TIMESTAMP(6)", tag=False, nullable=False),
            cenote.Column("host", "VARCHAR", tag=True, nullable=True),
            cenote.Column("v", "DOUBLE", tag=False, nullable=True),
        ]
        self.assertEqual(self.client.tables.describe(self.table), wanted)

    def test_jobs_are_listed_and_run(self) -> None:
        names = [job.name for job in self.client.jobs.list()]
        self.assertIn("compact", names)
        for act in self.client.jobs.run("compact", dry_run=True):
            self.assertIsNone(act.txn)
        with self.assertRaises(cenote.NotFound):
            self.client.jobs.run("missing")

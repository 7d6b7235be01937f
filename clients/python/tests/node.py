"""The node that tests talk to."""

from __future__ import annotations

import importlib.util
import itertools
import os
import time
import unittest
from collections.abc import Callable

import cenote

_numbers = itertools.count()


def unique(prefix: str) -> str:
    """A name that no other test or run has."""
    return f"{prefix}_{os.getpid()}_{time.time_ns()}_{next(_numbers)}"


def needs(*modules: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Skips a test of something that the client can do only with these modules."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return unittest.skipIf(bool(missing), f"needs {', '.join(missing)}")


class NodeTest(unittest.TestCase):
    """A test with a client, and a table name of its own."""

    def setUp(self) -> None:
        if "CENOTE_URL" not in os.environ:
            self.skipTest("needs CENOTE_URL and CENOTE_TOKEN")
        self.client = self.connect()
        self.table = unique("t")

    def connect(self, token: str | None = None, **options: object) -> cenote.Client:
        token = token or os.environ["CENOTE_TOKEN"]
        client = cenote.connect(os.environ["CENOTE_URL"], token=token, **options)
        self.addCleanup(client.close)
        return client

    def count(self) -> int:
        return self.client.query(f"SELECT count(*) FROM {self.table}").value()

"""The client in asyncio: the same calls, each in a thread while it waits.

    async with cenote.connect("http://127.0.0.1:8000", token="cnt_…").aio as client:
        run = await client.assets.materialize("mart.daily")
        async for row in client.query("SELECT * FROM mart.daily"):
            ...

A call that is cancelled ends: its connection is closed, so that the node ends its statement, and its thread is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import Any

from .assets import Assets
from .errors import Error
from .http import CALL, Call
from .jobs import Jobs
from .results import Query
from .runs import Runs
from .tables import Tables
from .tokens import Tokens

#: What an iterator has behind its last item.
END = object()


class Aio:
    """The methods of a client, or a part of it, to be awaited; those that give iterators go with `async for`.

    Each step of an iteration goes to a thread and back: of many rows ask for `rows()`, `to_arrow()` or `batches()`.
    """

    def __init__(self, of: Any, threads: Executor):
        self._of, self._threads = of, threads

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if isinstance(found, (Assets, Jobs, Runs, Tables, Tokens)):
            return Aio(found, self._threads)
        if name == "query":  # it sends nothing yet
            return lambda *arguments, **options: Aio(found(*arguments, **options), self._threads)
        is_iterated = found.__annotations__["return"].startswith("Iterator[")
        return partial(_iterated if is_iterated else _awaited, self._threads, found)

    def __aiter__(self) -> AsyncIterator[Any]:
        if not isinstance(self._of, Query):
            raise TypeError(f"{type(self._of).__name__} has nothing to iterate over")
        return _iterated(self._threads, iter, self._of)

    async def __aenter__(self) -> Aio:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._of.close()


async def _awaited(threads: Executor, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return await InThread(threads).run(partial(method, *arguments, **options))


async def _iterated(
    threads: Executor, method: Callable[..., Any], *arguments: Any, **options: Any
) -> AsyncIterator[Any]:
    of_call = InThread(threads)
    items = await of_call.run(partial(method, *arguments, **options))
    try:
        while (item := await of_call.run(next, items, END)) is not END:
            yield item
    finally:
        if isinstance(items, Generator) and not of_call.call.ended:  # one that was cancelled ends by itself
            await of_call.run(items.close)


class InThread:
    """The steps of one call, each in a thread, one at a time."""

    def __init__(self, threads: Executor):
        self._threads = threads
        self.call = Call()
        self._context = copy_context()
        self._context.run(CALL.set, self.call)

    async def run(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """What the method gives in a thread; the call ends when this is cancelled."""
        in_context = partial(self._context.run, method, *arguments)
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, in_context)
        except RuntimeError as error:  # no more threads
            raise Error("the client is closed") from error
        try:
            return await running
        except asyncio.CancelledError:
            self.call.end()
            raise

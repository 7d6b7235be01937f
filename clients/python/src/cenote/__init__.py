"""Client of a Cenote node: rows in, SQL out, changes as they come. The standard library is all it needs.

    with cenote.connect("http://127.0.0.1:8000", token="cnt_…") as client:
        client.write("cpu", [{"time": now, "host": "a", "usage": 1.5}], tags=["host"])
        for host, usage in client.query("SELECT host, avg(usage) FROM cpu GROUP BY host"):
            ...

What is promised:
  - A write that returns is stored as its `ack` says. A request that failed is sent again only where nothing can be
    stored twice: it only reads, it has an idempotency key, or the node says that nothing of it was stored.
  - An answer that broke off is an error, never a short result.
  - A client may be used by several threads at once; each request has a connection of its own while it runs.
"""

from .changes import Change
from .client import Client, connect
from .errors import (
    Cancelled,
    Conflict,
    ConnectionFailed,
    Denied,
    Error,
    Exhausted,
    Invalid,
    NodeFailed,
    NotFound,
    PartialWrite,
    Place,
    RejectedLine,
    ServerError,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from .jobs import Job, JobAct
from .results import Outcome, Query
from .tables import Column, Table
from .tokens import Grant, Token
from .writes import Written

__all__ = [
    "Cancelled",
    "Change",
    "Client",
    "Column",
    "Conflict",
    "ConnectionFailed",
    "Denied",
    "Error",
    "Exhausted",
    "Grant",
    "Invalid",
    "Job",
    "JobAct",
    "NodeFailed",
    "NotFound",
    "Outcome",
    "PartialWrite",
    "Place",
    "Query",
    "RejectedLine",
    "ServerError",
    "Table",
    "TimedOut",
    "Token",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "Written",
    "connect",
]

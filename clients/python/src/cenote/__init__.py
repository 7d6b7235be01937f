"""Client of a Cenote node: rows in, SQL out, changes as they come, assets made. The standard library is all it needs.

    with cenote.connect("http://127.0.0.1:8000", token="cnt_…") as client:
        client.write("cpu", [{"time": now, "host": "a", "usage": 1.5}], tags=["host"])
        for host, usage in client.query("SELECT host, avg(usage) FROM cpu GROUP BY host"):
            ...

What is promised:
  - A write that returns is stored as its `ack` says. A request that failed is sent again only where nothing can be
    stored twice: it only reads, it has an idempotency key, or the node says that nothing of it was stored.
  - An answer that broke off is an error, never a short result.
  - A client may be used by several threads at once; each request has a connection of its own while it runs.
  - `Client.aio` has the same methods for asyncio.
"""

from .assets import (
    Asset,
    AssetExplanation,
    Dependency,
    Partition,
    PartitionCounts,
    PartitionRange,
    Reason,
)
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
from .runs import (
    Cause,
    Plan,
    PlannedTask,
    Replay,
    ReplayedTask,
    Run,
    RunExplanation,
    RunFailed,
    StartedRun,
    Step,
    Task,
)
from .tables import Column, Table
from .tokens import Grant, Token
from .writes import Written

__all__ = [
    "Asset",
    "AssetExplanation",
    "Cancelled",
    "Cause",
    "Change",
    "Client",
    "Column",
    "Conflict",
    "ConnectionFailed",
    "Denied",
    "Dependency",
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
    "Partition",
    "PartitionCounts",
    "PartitionRange",
    "Place",
    "Plan",
    "PlannedTask",
    "Query",
    "Reason",
    "RejectedLine",
    "Replay",
    "ReplayedTask",
    "Run",
    "RunExplanation",
    "RunFailed",
    "ServerError",
    "StartedRun",
    "Step",
    "Table",
    "Task",
    "TimedOut",
    "Token",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "Written",
    "connect",
]

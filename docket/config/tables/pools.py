"""[workers.POOL]."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from ..kinds import (
    Duration,
    HostPattern,
    PositiveDuration,
    Queues,
    Size,
    Url,
    Variable,
    VariableValue,
)
from .base import Table


class Recycle(Table):
    """The limits after which a worker process is replaced by a fresh one; the first one reached counts."""

    after_tasks: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Replace it after this many runs; left out, never."
    )
    after: PositiveDuration | None = Field(
        default=None, description="Replace it after this time; left out, never."
    )
    max_rss: Size | None = Field(
        default=None,
        description="Replace it when it uses more memory than this, in bytes; left out, never.",
    )
    jitter: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.1,
        description="The share by which after_tasks and after differ from process to process.",
    )


class PoolTable(Table):
    """[workers.POOL]: equal worker processes."""

    processes: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="The number of worker processes."
    )
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=10, description="The number of tasks that one process runs at a time."
    )
    queues: Queues = Field(
        default=("default",), description="The queues that are served, the first one first."
    )
    drain: Duration = Field(
        default=timedelta(seconds=30),
        description="The time that running tasks have to finish when a worker stops.",
    )
    max_surge: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="The number of new processes that start at a time before old ones stop.",
    )
    recycle: Recycle = Field(
        default=Recycle(), description="When a process is replaced by a fresh one."
    )
    url: Url | None = Field(
        default=None,
        description="The same server under another user, with fewer rights; left out, the supervisor's.",
        repr=False,
    )
    env: dict[Variable, VariableValue] = Field(
        default={}, description="Environment variables of the worker processes.", repr=False
    )
    secrets: dict[Variable, Annotated[str, Field(min_length=1)]] = Field(
        default={},
        description="Environment variables whose values are secrets, each as file:PATH or env:NAME.",
        repr=False,
    )
    hosts: Annotated[tuple[HostPattern, ...], Field(strict=False)] = Field(
        default=("*",), description="The hosts on which it runs, as patterns such as batch-*."
    )

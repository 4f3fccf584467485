"""The orders of a worker process: one plain value, small enough to travel over a pipe.

The supervisor makes it from the configuration; the child makes a worker of it, without the configuration
tower and without pydantic.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from typing_extensions import Self


@dataclass(frozen=True)
class RetrySpec:
    """The times at which a task is tried again; durations in seconds."""

    attempts: int | None = 1
    delay: float = 0.0
    max_delay: float = 300.0
    backoff: str = "fixed"
    jitter: float = 0.0
    never_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskSpec:
    """One task: what it does, and how it is run."""

    function: str | None = None
    timeout: float | None = None
    retry: RetrySpec | None = None
    """None leaves it to what the task says in code."""
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """The variables of the worker that the command gets beside the usual ones."""
    http: dict[str, Any] = field(default_factory=dict[str, Any])
    """The HTTP call that it is, its secrets in it."""
    behaviours: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Limits and rhythm by name, as the configuration has them; durations in seconds."""
    result_ttl: float | None = None
    in_process: bool = False
    log_level: str | None = None
    args_schema: int = 1
    """Version of the shape of its arguments."""
    upcast: str | None = None
    """Function that converts arguments of an older shape to this one."""


@dataclass(frozen=True)
class WorkerSpec:
    """Everything that a worker process needs to know. It holds secrets: never in arguments, never in logs."""

    pool: str
    name: str
    url: str
    concurrency: int
    queues: tuple[str, ...]
    drain: float
    """Seconds for which running executions may go on when the process is asked to stop."""
    execution_ttl: float
    lease: float
    codecs: tuple[str, ...]
    max_payload: int
    signing_keys: dict[str, str]
    tasks: dict[str, TaskSpec]
    log_level: str
    log_format: str
    history_keep: float = 0.0
    """Seconds that is remembered what has ended; 0 remembers nothing."""
    history_memory: int = 0
    """Bytes that it takes in Redis."""
    result_memory: int = 0
    """Bytes that results may take in Redis; 0 is no limit."""
    audit_keep: float = 90 * 86400.0
    """Seconds that is kept what operators have done."""
    audit_memory: int = 8 << 20
    """Bytes that it takes in Redis, about."""
    modules: tuple[str, ...] = ()
    """Modules that are imported beside the functions of the tasks."""
    suspects_wait: int | None = 15_000
    """Time in ms for which suspects are left to the process that runs nothing else; None if it is that."""

    @cached_property
    def text(self) -> str:
        """The orders as JSON; all processes of a pool get the same."""
        return json.dumps(vars(self), default=vars)

    @classmethod
    def load(cls, fields: dict[str, Any]) -> Self:
        """Return the orders that JSON tells of."""
        tasks = {name: _load_task(task) for name, task in fields["tasks"].items()}
        settings: dict[str, Any] = {
            **fields,
            "queues": tuple(fields["queues"]),
            "codecs": tuple(fields["codecs"]),
            "modules": tuple(fields["modules"]),
            "suspects_wait": fields["suspects_wait"],
            "history_keep": fields["history_keep"],
            "history_memory": fields["history_memory"],
            "result_memory": fields["result_memory"],
            "audit_keep": fields["audit_keep"],
            "audit_memory": fields["audit_memory"],
            "tasks": tasks,
        }
        return cls(**settings)


def _load_task(fields: dict[str, Any]) -> TaskSpec:
    retry: dict[str, Any] | None = fields["retry"]
    if retry is not None:
        retry = {**retry, "never_on": tuple(retry["never_on"])}
    known: dict[str, Any] = {
        **fields,
        "retry": None if retry is None else RetrySpec(**retry),
        "command": tuple(fields["command"]),
        "env": tuple(fields["env"]),
    }
    return TaskSpec(**known)

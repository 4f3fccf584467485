"""A task with gates in any order, a crew that works on it, and what is judged of its starts."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis

from docket import (
    ConcurrencyLimit,
    Cooldown,
    CurrentExecution,
    Debounce,
    Docket,
    Execution,
    ExecutionState,
    RateLimit,
)
from docket.storage.executions import Record
from tests.properties.crew import Crew, Start

SLOTS, STARTS = 2, 3
RUN, PER, SETTLE = 0.05, 0.4, 0.15

GATES: dict[str, Any] = {
    "cooldown": Cooldown(timedelta(hours=1)),
    "debounce": Debounce(timedelta(seconds=SETTLE)),
    "slot": ConcurrencyLimit(max_concurrent=SLOTS),
    "slot_drops": ConcurrencyLimit(max_concurrent=SLOTS, on_conflict="drop"),
    "rate": RateLimit(STARTS, per=timedelta(seconds=PER)),
    # A name of its own: two rates of one task would otherwise be one log of starts.
    "rate_drops": RateLimit(STARTS, per=timedelta(seconds=PER), drop=True, scope="drops"),
}

PAIRS = [pair for pair in itertools.permutations(GATES, 2) if set(pair) != {"slot", "slot_drops"}]
"""In both orders of declaration; a task has one limit of slots."""

LOGS = {"rate": "task", "rate_drops": "drops:task"}
"""What the logs of starts are called."""


@dataclass
class Interval:
    """One body: which run, and from when until when."""

    run: Start
    begin: float
    end: float = float("inf")


class Bodies:
    """All bodies of one docket, and what the server said when each of them began.

    Arguments:
        docket: which.
        client: a line to the server that nobody breaks.
        keys: the executions that compete.
    """

    def __init__(self, docket: Docket, client: redis.Redis, keys: Sequence[str]) -> None:
        self._docket = docket
        self._client = client
        self._keys = keys
        self.intervals: list[Interval] = []
        self.admitted: dict[str, dict[bytes, float]] = {gate: {} for gate in LOGS}
        """By gate and start, when it was let in, on the server's clock in ms."""
        self.asked_before: dict[str, set[str]] = {}
        """By execution: the others that had asked when its first body began, and were to run for nobody."""
        self.were_in_time = False
        """True if a body began so soon after its claim that the logs of starts still had it."""

    @contextmanager
    def body(self, run: Start) -> Generator[None]:
        """One body, from its begin to its end."""
        interval = Interval(run, time.monotonic())
        self.intervals.append(interval)
        self._look(run.key)
        try:
            yield
        finally:
            interval.end = time.monotonic()

    def _look(self, key: str) -> None:
        prefix = self._docket.prefix
        with self._client.pipeline(transaction=True) as asked:
            for gate in LOGS.values():
                asked.zrange(f"{prefix}:rate:{gate}", 0, -1, withscores=True)
            asked.hget(f"{prefix}:debounce:task", "winner")
            for other in self._keys:
                asked.hexists(f"{prefix}:runs:{other}", "gates")
            asked.hget(f"{prefix}:runs:{key}", "started")
            asked.time()
            *replies, started, (seconds, microseconds) = asked.execute()
        now = seconds + microseconds / 1_000_000
        self.were_in_time |= started is not None and now - int(started) / 1000 < PER / 2
        for gate, log in zip(LOGS, replies, strict=False):
            self.admitted[gate].update(log)
        winner, *have_asked = replies[len(LOGS) :]
        others = {one for one, has_asked in zip(self._keys, have_asked, strict=True) if has_asked}
        heir = winner.decode().partition("\n")[2] if winner else key
        self.asked_before.setdefault(key, others - {key, heir})

    def most_at_a_time(self) -> int:
        """How many bodies there were at a time; those of a process that is dead do not count."""
        steps: list[tuple[float, int]] = []
        for interval in self.intervals:
            end = min(interval.end, interval.run.died)
            if end > interval.begin:
                steps += [(interval.begin, 1), (end, -1)]
        return max(itertools.accumulate(step for _, step in sorted(steps)), default=0)

    def last_begin(self) -> float:
        """When the last body began."""
        return max(interval.begin for interval in self.intervals)


def gated(names: Sequence[str], crew: Crew, bodies: Bodies) -> Any:
    """A task with these gates, in this order."""

    async def task(execution: Execution = CurrentExecution(), **gates: Any) -> None:
        with crew.ledger.run(execution) as run, bodies.body(run):
            await asyncio.sleep(RUN)

    own = inspect.signature(task).parameters["execution"]
    declared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=GATES[name])
        for name in names
    ]
    signature: Any = inspect.Signature([*declared, own.replace(kind=own.KEYWORD_ONLY)])
    task.__signature__ = signature  # type: ignore[attr-defined]
    return task


def judge(names: Sequence[str], records: Sequence[Record], bodies: Bodies) -> None:
    """Hold what has happened against what these gates promise."""
    ended = {record.key: record.state for record in records}
    won = [key for key, state in ended.items() if state is ExecutionState.COMPLETED]
    assert set(ended.values()) <= {ExecutionState.COMPLETED, ExecutionState.CANCELLED}
    assert won
    if not {"cooldown", "debounce", "slot_drops", "rate_drops"} & set(names):
        assert len(won) == len(ended), ended
    if "cooldown" in names:
        assert len(won) == 1, won
    if "debounce" in names:
        # Another one may win only if it had not asked yet when the one before began: then it is no part of
        # what that one has run for.
        for one, other in itertools.permutations(won, 2):
            assert other not in bodies.asked_before[one], f"{one} was to run for {other}, too"
    if {"slot", "slot_drops"} & set(names):
        assert bodies.most_at_a_time() <= SLOTS
    for gate in set(LOGS) & set(names):
        assert bodies.admitted[gate] or not bodies.were_in_time
        moments = sorted(bodies.admitted[gate].values())
        spans = [later - at for at, later in zip(moments, moments[STARTS:], strict=False)]
        assert all(span >= PER * 1000 for span in spans), spans

"""What happened, written down outside of Redis, and the checker that holds it against Redis.

Producers and workers append one JSON line per event to one file. Afterwards an audit joins the lines with
the final state of Redis and asserts the invariants:

- I1 no acknowledged key is absent.
- I2 one accepted outcome per key and generation, and it is the one that is stored.
- I3, I4 a run is repeated only if its worker was killed before it heard that its outcome was recorded.
- I5 no limit had more bodies at a time, or more admissions within its window, than it allows.
- I6 nothing is pending, queued or kept without a time to live at the end.
- I8 states move along ``docket.lifecycle.TRANSITIONS``.
- I11 no two runs share a fence, and whoever was told that its outcome stands is the one of whom it is.
- I12 what people are told is true (``told``).
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from docket import Docket
from docket.foundation.lifecycle import TRANSITIONS, ExecutionState
from docket.storage.executions import Record
from docket.storage.keys import WORKER_GROUP


@dataclass(frozen=True)
class Event:
    """One line of the ledger.

    Arguments:
        event: ``acked`` · ``up``, ``drained`` (of a worker) · ``start``, ``end``, ``interrupted``, ``lost``
            (of a run) · ``verdict`` (of the server, on what a run ended with) · ``trouble``, ``recovered``.
        detail: the verdict, or what an error says.
    """

    wall: float
    monotonic: float
    pid: int
    event: str
    key: str = ""
    attempt: int = 0
    fence: int = 0
    generation: int = 0
    detail: str = ""

    @property
    def run(self) -> tuple[str, int]:
        """Which delivery it is about: key and generation."""
        return self.key, self.generation


class Ledger:
    """Appends events to a file that many processes share.

    Arguments:
        path: the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # One write per line, at the end of the file: lines of several processes do not mix.
        self._descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o644)

    def note(
        self,
        event: str,
        key: str = "",
        attempt: int = 0,
        fence: int = 0,
        generation: int = 0,
        detail: str = "",
    ) -> None:
        """Write one event down, with both clocks and this process."""
        line = Event(
            time.time(),
            time.monotonic(),
            os.getpid(),
            event,
            key,
            attempt,
            fence,
            generation,
            detail,
        )
        # After a line that was torn, because whoever wrote it was killed, it begins one of its own.
        os.write(self._descriptor, b"\n" + json.dumps(asdict(line)).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def read(self) -> list[Event]:
        """All events so far, in the order in which they were written."""
        lines = self.path.read_bytes().splitlines()
        return [Event(**json.loads(line)) for line in lines if line.endswith(b"}")]


class States:
    """Hears every state that a docket announces, from the moment it is made."""

    def __init__(self, url: str, docket: str) -> None:
        self._prefix = f"{docket}:state:"
        self._client = redis.Redis.from_url(url)
        self._subscription: Any = self._client.pubsub(ignore_subscribe_messages=True)
        self._subscription.psubscribe(self._prefix + "*")
        self._subscription.get_message(timeout=60)

    def close(self) -> None:
        """Hang up."""
        self._subscription.close()
        self._client.close()

    def heard(self) -> dict[str, list[ExecutionState]]:
        """The states of each key, in order."""
        states: defaultdict[str, list[ExecutionState]] = defaultdict(list)
        while (message := self._subscription.get_message(timeout=0.3)) is not None:
            key = message["channel"].decode().removeprefix(self._prefix)
            states[key].append(ExecutionState(message["data"].split(b"\n")[0].decode()))
        return states


@dataclass(frozen=True)
class Audit:
    """The ledger and Redis, side by side.

    Arguments:
        events: the ledger.
        records: what Redis holds of each acknowledged key.
        results: the result of each acknowledged key, where there is one.
    """

    events: list[Event]
    records: dict[str, Record | None]
    results: dict[str, object]

    @classmethod
    async def of(cls, docket: Docket, ledger: Ledger) -> Audit:
        """Join the ledger with what Redis holds now."""
        events = ledger.read()
        keys = sorted({event.key for event in events if event.event == "acked"})
        records = dict(zip(keys, await docket.storage.executions.read(*keys), strict=True))
        results: dict[str, object] = {}
        for key, record in records.items():
            if record is None or record.state is not ExecutionState.COMPLETED:
                continue
            stored, _ = await docket.storage.executions.result(key)
            if stored is not None:
                results[key] = docket.serializer.load_result(stored, None)
        return cls(events, records, results)

    def of_kind(self, kind: str) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.events if event.event == kind]

    def refused(self) -> list[Event]:
        """What the server said to settlements that it did not take."""
        kinds = ("verdict", "back", "put-off")
        accepted = ("RECORDED", "ALREADY")
        return [e for kind in kinds for e in self.of_kind(kind) if e.detail not in accepted]

    def nothing_is_lost(self) -> None:
        """I1: every acknowledged key is known."""
        assert self.records, "the test has acknowledged nothing"
        absent = [key for key, record in self.records.items() if record is None]
        assert not absent, f"absent: {absent}"

    def everything_ended(self, state: ExecutionState = ExecutionState.COMPLETED) -> None:
        """Every acknowledged key came to this end."""
        self.nothing_is_lost()
        ends = {key: record and record.state for key, record in self.records.items()}
        assert {key: end for key, end in ends.items() if end is not state} == {}

    def outcomes_are_single(self) -> None:
        """I2: no outcome was recorded twice, and the one that was is the one that is stored."""
        recorded = Counter(
            event.run for event in self.of_kind("verdict") if event.detail == "RECORDED"
        )
        twice = [run for run, count in recorded.items() if count > 1]
        assert not twice, self.story_of(twice[0])
        for key, record in self.records.items():
            if record is not None and key in self.results:
                assert self.results[key] == record.fence, f"{key}: the result of a refused run"
        for event in self.of_kind("verdict"):
            record = self.records.get(event.key)
            if event.detail != "RECORDED" or record is None:
                continue
            if record.generation == event.generation:
                assert record.fence == event.fence, f"{event.key}: recorded under a stale fence"

    def repeated(self) -> set[tuple[str, int]]:
        """Keys and generations that were started more than once."""
        starts = self._starts()
        return {run for run, count in starts.items() if count > 1}

    def extra_starts(self) -> int:
        """How many starts there were beyond one per key and generation."""
        starts = self._starts()
        return sum(starts.values()) - len(starts)

    def _starts(self) -> Counter[tuple[str, int]]:
        """How often each delivery was started; a start that was handed back in good order is none."""
        starts = Counter(event.run for event in self.of_kind("start"))
        starts.subtract(event.run for event in self.of_kind("back"))
        return +starts

    def in_flight_at_the_end_of(self, pids: Iterable[int]) -> set[tuple[str, int]]:
        """What these processes had started and not been told to be recorded."""
        died = set(pids)
        mine = [event for event in self.events if event.pid in died]
        answered = {(event.pid, event.run) for event in mine if event.event in ("verdict", "back")}
        started = {(event.pid, event.run) for event in mine if event.event == "start"}
        return {run for _, run in started - answered}

    def repeats_are_due_to(self, killed: Collection[int]) -> None:
        """I3, I4: only what killed processes had in flight was started again."""
        for run in self.repeated() - self.in_flight_at_the_end_of(killed):
            raise AssertionError(f"repeated without need: {self.story_of(run)}")

    def fences_are_single(self) -> None:
        """I11: every run was handed a fence of its own; the outcome of one alone was said to stand."""
        owners: defaultdict[int, set[tuple[int, tuple[str, int]]]] = defaultdict(set)
        for event in self.of_kind("start"):
            owners[event.fence].add((event.pid, event.run))
        shared = {fence: runs for fence, runs in owners.items() if len(runs) > 1}
        assert not shared, f"shared fences: {shared}"
        believers: defaultdict[tuple[str, int], set[tuple[int, int]]] = defaultdict(set)
        for event in self.of_kind("verdict"):
            if event.detail in ("RECORDED", "ALREADY"):
                believers[event.run].add((event.pid, event.fence))
        for run, who in believers.items():
            assert len(who) == 1, f"several were told that theirs stands: {self.story_of(run)}"

    def at_most_at_a_time(self, task: str, size: int, died: Mapping[int, float]) -> None:
        """I5: so many runs of a task had a body at a time.

        A run is under way from its first start until its body ends, is handed back, dies with its process,
        or until an outcome of it is recorded, whoever brings that: then its slot is somebody else's, and a
        process that stood still meanwhile is told so when it goes on. A run that is started again takes its
        own slot.

        Arguments:
            task: the name of the task.
            size: how many slots there are.
            died: when processes were killed, by the monotonic clock.
        """
        bodies: dict[tuple[int, int], Event] = {}
        steps: list[tuple[float, int, tuple[str, int]]] = []
        recorded = {
            event.run: event.monotonic
            for event in self.of_kind("verdict")
            if event.detail == "RECORDED"
        }
        over: dict[tuple[int, int], float] = {}
        for event in self.events:
            if event.event == "start" and event.detail == task:
                bodies[event.pid, event.fence] = event
            elif event.event in ("end", "interrupted", "lost"):
                over[event.pid, event.fence] = event.monotonic
        for which, start in bodies.items():
            ends = (over.get(which), died.get(start.pid), recorded.get(start.run))
            end = min((moment for moment in ends if moment is not None), default=float("inf"))
            if end > start.monotonic:
                steps += [(start.monotonic, 1, start.run), (end, -1, start.run)]
        running: Counter[tuple[str, int]] = Counter()
        for moment, step, run in sorted(steps):
            running[run] += step
            now = sorted(one for one, count in running.items() if count > 0)
            assert len(now) <= size, f"{len(now)} of {size} {task} at {moment:.3f}: {now}"

    def at_most_within(self, limit: int, window: float) -> None:
        """I5: so many starts were let in within each window, by the server's own times.

        Arguments:
            limit: how many.
            window: in seconds.
        """
        moments = sorted(
            int(detail.partition(" ")[0])
            for detail in {event.detail for event in self.of_kind("admitted")}
        )
        for first, last in zip(moments, moments[limit:], strict=False):
            assert last - first >= window * 1000, f"{limit + 1} starts within {last - first} ms"

    def story_of(self, run: tuple[str, int]) -> str:
        """Everything that was written down about one delivery, a line per event."""
        return "\n".join(
            f"{event.monotonic:.3f} {event.pid} {event.event} fence {event.fence} {event.detail}"
            for event in self.events
            if event.run == run
        )

    def states_are_legal(self, states: dict[str, list[ExecutionState]]) -> None:
        """I8: every step is in the table, and the last one is where the record stands."""
        for key, record in self.records.items():
            previous: ExecutionState | None = None
            for state in states.get(key, ()):
                assert state in TRANSITIONS[previous], f"{key}: {previous} to {state}"
                previous = state
            if record is not None:
                assert previous is record.state, f"{key}: announced {previous}, is {record.state}"


def nothing_is_left_behind(url: str, docket: str) -> None:
    """I6: no entry is pending or queued, and everything that is kept per execution will expire."""
    with redis.Redis.from_url(url) as client:
        call: Any = client.execute_command
        assert _pending(client, docket) == 0, "entries are pending"
        assert call("XLEN", f"{docket}:stream") == 0, "messages are left on the stream"
        assert call("ZCARD", f"{docket}:queue") == 0, "executions are left in the future"
        assert call("ZCARD", f"{docket}:parked") == 0, "executions are parked"
        for kind in ("runs", "results", "progress"):
            kept: list[bytes] = list(client.scan_iter(f"{docket}:{kind}:*", count=1000))
            with client.pipeline(transaction=False) as asked:
                for key in kept:
                    asked.pttl(key)
                left: list[int] = asked.execute()
            for key, milliseconds in zip(kept, left, strict=True):
                # -2: it has expired since it was listed.
                assert milliseconds > 0 or milliseconds == -2, f"{key!r} is kept for ever"


def pending(url: str, docket: str) -> int:
    """How many entries are handed out and not acknowledged."""
    with redis.Redis.from_url(url) as client:
        return _pending(client, docket)


def dead_letters(url: str, docket: str) -> set[str]:
    """The keys of all dead letters."""
    with redis.Redis.from_url(url) as client:
        members: Any = client.zrange(f"{docket}:dead", 0, -1)
        return {member.decode() for member in members}


def _pending(client: redis.Redis, docket: str) -> int:
    summary: Any = client.xpending(f"{docket}:stream", WORKER_GROUP)
    return int(summary["pending"])

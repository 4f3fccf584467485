"""A process with free slots that claims nothing although work is due is found, and replaced."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from docket import Docket
from docket.foundation.worker_spec import TaskSpec
from docket.supervisor.conditions import Conditions
from docket.supervisor.processes import deaf_detector, deaf_pauses
from docket.supervisor.processes.deaf_detector import DeafDetector
from docket.supervisor.processes.pool import Brake, Desired, Pool
from docket.supervisor.processes.process import ProcessState, WorkerProcess

from .pooled import Buried, Pools, buried, desired, pools, until, url

__all__ = ["buried", "desired", "pools", "url"]

DEAFENING = """
from pathlib import Path

from docket.worker.services.round_trips import RoundTrips

HERE = Path(__file__).parent


async def deafen() -> None:
    if not (HERE / "deafened").exists():
        (HERE / "deafened").touch()
        RoundTrips._next_trip = lambda self: None
"""


async def nothing() -> None: ...


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        """Return its time."""
        return self.now


class StillPool(Pool):
    """A pool whose processes are not replaced, only named."""

    def __init__(self, desired: Desired, bury: Buried, process: WorkerProcess) -> None:
        super().__init__("default", desired, Brake(), bury)
        self.processes = [process]
        self.replaced: list[str] = []

    def replace_deaf(self, process: WorkerProcess, reason: str) -> float:
        self.replaced.append(reason)
        return self.left

    left = 0.0


async def test_deaf_is_who_has_free_slots_an_open_queue_with_late_work_and_no_claim(
    desired: Desired, buried: Buried, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, conditions = Clock(), Conditions()
    monkeypatch.setattr(deaf_detector, "time", clock)
    process = WorkerProcess("default", ".", {})
    process.state = ProcessState.READY
    pool = StillPool(desired, buried, process)

    async def is_deaf(*, is_silent: bool = False, **status: Any) -> bool:
        clock.now += 31
        process.heard_at = clock.now - 6 * is_silent
        process.status.update(status)
        await detector.look()
        return conditions["Deaf"].status

    async with Docket(uuid.uuid4().hex, "memory://deaf") as docket:
        docket.register(nothing, ["greet"])
        detector = DeafDetector(docket.storage.queues, {"default": pool}, conditions)
        assert not await is_deaf()  # it has said nothing yet
        assert not await is_deaf(free=2, claims=7, outage="")
        assert not await is_deaf()  # there is no work
        await docket.add("greet", datetime.now(timezone.utc) - timedelta(seconds=90))()
        assert not await is_deaf()  # it has not waited long enough on its stream

        async with docket.redis() as client:
            due = datetime.now(timezone.utc) + timedelta(hours=1)
            await docket.add("greet", due, key="late")()
            await client.zadd(docket.queue_key, {"late": 1})
        assert await is_deaf()
        assert pool.replaced[0].startswith(
            "it has 2 free slots and has claimed nothing for 93 s, while work of queue default has"
        )
        assert conditions["Deaf"].message.endswith("; it is replaced")
        pool.left = 1.5
        assert await is_deaf()
        assert conditions["Deaf"].message.endswith("; it is replaced in 2 s, as others were before")

        assert not await is_deaf(claims=8)
        assert await is_deaf()
        assert not await is_deaf(is_silent=True)  # a task keeps its event loop
        assert not await is_deaf()
        assert await is_deaf()
        assert not await is_deaf(outage="Redis is away")
        assert not await is_deaf(outage="")
        assert not await is_deaf(free=0)
        assert not await is_deaf(free=1)
        await docket.operations.pause_queues("default", author="ann")
        assert not await is_deaf()
        await docket.operations.resume_queues("default")
        assert await is_deaf()
        process.state = ProcessState.DRAINING
        assert not await is_deaf()


async def test_a_pool_that_goes_deaf_again_and_again_is_restarted_like_one_that_crashes(
    desired: Desired, buried: Buried, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, begun = Clock(), list[int]()
    monkeypatch.setattr(deaf_pauses, "time", clock)
    pool = Pool("default", desired, Brake(initial=2, longest=6, jitter=0, window=100), buried)

    async def replace(process: WorkerProcess, reason: str, fate: str = "") -> None:
        begun.append(id(process))

    monkeypatch.setattr(pool, "_replace", replace)
    kept: list[WorkerProcess] = []

    def fresh() -> WorkerProcess:
        kept.append(process := WorkerProcess("default", ".", {}))
        return process

    def pauses(*after: float) -> list[float]:
        found: list[float] = []
        for seconds in after:
            clock.now += seconds
            found.append(pool.replace_deaf(fresh(), "it claims nothing"))
        return found

    # The window begins when a pause is over.
    assert pauses(0, 40, 0, 40, 105) == [0, 2, 4, 6, 6]
    assert pauses(107) == [0]
    assert pauses(1) == [2]
    waiting = kept[-1]
    clock.now += 1.5
    assert pool.replace_deaf(waiting, "still") == 0.5
    clock.now += 0.5
    assert [pool.replace_deaf(waiting, "still") for _ in range(2)] == [0, 0]
    await until(lambda: begun == [id(kept[0]), id(kept[5]), id(waiting)])

    pool._forgive()  # another configuration is another chance
    assert pauses(0) == [0]
    await until(lambda: len(begun) == 4)


@pytest.mark.fleet
async def test_a_deaf_process_is_replaced_and_what_it_left_undone_is_done(
    pools: Pools, desired: Desired, url: str, buried: Buried
) -> None:
    (Path(desired.directory) / "deafening.py").write_text(DEAFENING)
    tasks = {"fine": TaskSpec("work:fine"), "deafen": TaskSpec("deafening:deafen")}
    orders = replace(desired.orders, tasks=tasks, drain=0.1)
    pool, conditions = pools(replace(desired, orders=orders)), Conditions()
    await pool.start()
    (first,) = pool.processes
    async with Docket("pool", url) as docket:
        detector = DeafDetector(docket.storage.queues, {"default": pool}, conditions, 1.0, 0.05)
        docket.register(nothing, ["deafen", "fine"])
        await docket.add("deafen")()
        await until((Path(desired.directory) / "deafened").exists)
        waiting = await docket.add("fine")()
        await detector.start()
        await until(lambda: conditions["Deaf"].status)
        # The one that replaces it may take its time.
        await detector.stop()
        await waiting.get_result()
        await until(lambda: buried == [first.pid])
        await detector.look()
        assert not conditions["Deaf"].status

    assert pool.exits == {"deaf": 1}
    assert pool.processes[0].pid != first.pid
    pool.replace_deaf(first, "it is gone")
    pool.replace_deaf(first, "and is asked for once more")

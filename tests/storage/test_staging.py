"""A commit is in force when its record is; what it has staged follows, whoever goes on with it."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator

import pytest

from docket import Docket, ExecutionState
from docket.storage.configurations import Commit, RevisionChange, RevisionEntry
from docket.storage.schedules import DueTime, Schedules, Tick, Turn
from docket.storage.staging import DeclaredSchedule, StruckRule
from tests.storage.slices import longest

ENTRY = RevisionEntry("digest", "text", None, "here", "applied")
FIRST = 1_000
MANY = 230


async def job() -> None: ...


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://staging") as docket:
        docket.register(job)
        yield docket


def row(
    name: str, former: str = "", *, task: str = "job", timing: str = "T", first: int = FIRST
) -> DeclaredSchedule:
    definition = {"timing": {"every": 1, "phase": 0}, "task": task, "overlap": "queue_all"}
    return DeclaredSchedule(name, timing, json.dumps(definition), first, former)


def rows(count: int) -> list[DeclaredSchedule]:
    return [row(f"s{number}") for number in range(count)]


async def commit(docket: Docket, base: int, *schedules: DeclaredSchedule, **more: object) -> Commit:
    change = RevisionChange(schedules, **more)  # type: ignore[arg-type]
    return await docket.storage.configurations.commit("ours", base, ENTRY, 10, change)


async def tick(
    docket: Docket, name: str, number: int, key: str = "", digest: str = "", overlap: str = ""
) -> tuple[str, int]:
    """Claim a due time: the so-manieth after the first."""
    due_time = DueTime(
        f"ours/{name}",
        Turn(overlap or "queue_all"),
        expected=FIRST + number,
        following=FIRST + number + 1,
        due=FIRST + number,
        key=key or f"{name}@{number}",
        task="job",
        call=docket.dump_call("job", "key", (), {}),
        ttl=docket.execution_ttl,
        digest=digest,
    )
    (told,) = await docket.storage.schedules.tick(due_time)
    assert isinstance(told, Tick)
    return told.word, told.next_time


async def names(schedules: Schedules) -> set[str]:
    return {one.name for one in await schedules.known()}


async def states(docket: Docket, *keys: str) -> list[ExecutionState | None]:
    found = [await docket.get_execution(key) for key in keys]
    return [one and one.state for one in found]


async def test_a_commit_of_more_than_a_script_can_unpack_is_in_force_and_followed(
    docket: Docket,
) -> None:
    done = await commit(docket, 0, *rows(9_000))

    assert done[:2] == (True, 1)
    staging = docket.storage.configurations.staging
    assert await staging.follow("ours")
    assert await staging.next_times("ours", ["s0", "s8999", "gone"]) == [FIRST, FIRST, 0]
    assert len(await names(docket.storage.schedules)) == 9_000


async def test_each_slice_may_be_somebody_elses(docket: Docket) -> None:
    schedules = docket.storage.schedules
    await schedules.reconcile("ours", [row("old"), *rows(MANY)])
    await commit(docket, 0, *rows(MANY // 2))
    staging, slices = docket.storage.configurations.staging, 0
    while not await staging.follow("ours", most=1):
        slices += 1
    assert slices > 4  # each could have been another supervisor's
    assert await names(schedules) == {f"s{number}" for number in range(MANY // 2)}
    assert await docket.storage.configurations.staging.follow("ours", most=1)
    async with docket.redis() as client:
        kept = [key async for key in client.scan_iter(f"{docket.prefix}:stag*")]
        assert kept == []
        assert not await client.exists(docket.key("removing"))


async def test_a_commit_that_comes_before_the_last_has_followed_takes_its_place(
    docket: Docket,
) -> None:
    await commit(docket, 0, *rows(MANY))
    staging = docket.storage.configurations.staging
    assert not await staging.follow("ours", most=1)

    assert (await commit(docket, 1, row("s1"), row("new")))[:2] == (True, 2)
    assert await staging.follow("ours")

    assert await names(docket.storage.schedules) == {"s1", "new"}
    async with docket.redis() as client:
        assert [key async for key in client.scan_iter(f"{docket.prefix}:staged*")] == []


async def test_a_commit_that_comes_too_late_changes_nothing(docket: Docket) -> None:
    await commit(docket, 0, row("a"))
    assert (await commit(docket, 0, row("b"), routes={"job": "bulk"}))[:2] == (False, 1)
    assert await docket.storage.configurations.staging.follow("ours")
    assert await names(docket.storage.schedules) == {"a"}
    assert await docket.storage.executions.queues() == ["default"]


async def test_what_was_staged_and_is_gone_is_staged_again(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = docket.storage.configurations.staging
    stage, times = staging.stage, []

    async def forgotten_once(*args: object) -> object:
        staged = await stage(*args)  # type: ignore[arg-type]
        times.append(staged)
        if len(times) == 1:
            async with docket.redis() as client:
                await client.delete(docket.storage.keys.staged("ours", staged.token))
        return staged

    monkeypatch.setattr(staging, "stage", forgotten_once)
    assert (await commit(docket, 0, row("a")))[:2] == (True, 1)
    assert len(times) == 2
    await staging.follow("ours")
    assert await names(docket.storage.schedules) == {"a"}


async def test_routes_shapes_and_strikes_of_tasks_are_in_force_with_the_record(
    docket: Docket,
) -> None:
    rule = StruckRule("task:job", "drop", 0, b"rule")
    argument = StruckRule("argument:x", "park", 0, b"rule")
    await commit(docket, 0, routes={"job": "bulk"}, schemas={"job": 3}, struck=[rule, argument])
    async with docket.redis() as client:
        assert await client.hgetall(docket.storage.keys.routes) == {b"job": b"bulk"}
        assert await client.hgetall(docket.storage.keys.schemas) == {b"job": b"3"}
    assert {*(await docket.storage.strikes.read()).rules} == {"task:job"}

    await docket.storage.configurations.staging.follow("ours")
    stored = (await docket.storage.strikes.read()).rules
    assert (stored["argument:x"].action, stored["argument:x"].rule) == ("park", b"rule")

    await commit(docket, 1, lifted=["task:job", "argument:x", "argument:gone"])
    assert {*(await docket.storage.strikes.read()).rules} == {"argument:x"}
    await docket.storage.configurations.staging.follow("ours")
    assert (await docket.storage.strikes.read()).rules == {}
    assert await docket.storage.executions.queues() == ["default"]


async def test_a_tick_brings_over_its_schedule_first(docket: Docket) -> None:
    schedules = docket.storage.schedules
    await schedules.reconcile("ours", [row("s"), row("leaves")])
    await commit(docket, 0, row("s", timing="other", first=FIRST + 5))

    assert await tick(docket, "s", 0) == ("MOVED", FIRST + 5)
    assert await tick(docket, "leaves", 0) == ("MOVED", 0)
    assert await tick(docket, "s", 5) == ("FIRED", FIRST + 6)
    await docket.storage.configurations.staging.follow("ours")
    assert await schedules.staging.next_times("ours", ["s"]) == [FIRST + 6]


async def test_a_tick_of_another_definition_than_that_in_force_fires_nothing(
    docket: Docket,
) -> None:
    await docket.storage.schedules.reconcile("ours", [row("s")])
    assert await tick(docket, "s", 0, digest="0" * 40) == ("CHANGED", FIRST)
    assert await docket.get_execution("s@0") is None


async def test_removing_a_schedule_cancels_its_pending_runs_in_slices(docket: Docket) -> None:
    schedules = docket.storage.schedules
    await schedules.reconcile("ours", [row("s"), row("stays")])
    for number in range(MANY):
        await tick(docket, "s", number)
    await tick(docket, "stays", 0)
    begun = await docket.storage.executions.begin("s@0", 0, "w")
    assert begun is not None

    async with longest(docket) as took:
        await schedules.reconcile("ours", [row("stays")])

    assert took.records <= 200
    every = await states(docket, *(f"s@{number}" for number in range(MANY)), "stays@0")
    assert every == [
        ExecutionState.RUNNING,
        *[ExecutionState.CANCELLED] * (MANY - 1),
        ExecutionState.QUEUED,
    ]


async def test_very_many_schedules_are_removed_and_nothing_is_left_of_that(docket: Docket) -> None:
    await commit(docket, 0, *rows(2_000))
    staging = docket.storage.configurations.staging
    assert await staging.follow("ours")
    for number in range(20):
        await tick(docket, f"s{number}", 0)

    await commit(docket, 1)
    assert await staging.follow("ours", most=200)
    assert await names(docket.storage.schedules) == set()
    assert set(await states(docket, *(f"s{number}@0" for number in range(20)))) == {
        ExecutionState.CANCELLED
    }
    async with docket.redis() as client:
        assert not await client.exists(docket.key("removing"))


async def test_nobody_has_a_turn_while_the_pending_runs_of_a_removed_schedule_are_cancelled(
    docket: Docket,
) -> None:
    schedules = docket.storage.schedules
    await schedules.reconcile("ours", [row("s")])
    for number in range(MANY):
        await tick(docket, "s", number)
    await commit(docket, 0)
    staging = docket.storage.configurations.staging
    while await schedules.known():
        await staging.follow("ours", most=1)

    await docket.cancel("s@0")
    assert (await states(docket, "s@1"))[0] is ExecutionState.SCHEDULED
    # It comes back meanwhile: what was accepted before it went is cancelled nevertheless.
    await commit(docket, 1, row("s"))
    await staging.follow("ours")
    assert set(await states(docket, *(f"s@{number}" for number in range(MANY)))) == {
        ExecutionState.CANCELLED
    }
    (known,) = await schedules.known()
    assert known.runs == MANY


async def test_a_renamed_schedule_keeps_its_turns_and_its_past(docket: Docket) -> None:
    schedules = docket.storage.schedules
    await schedules.reconcile("ours", [row("a")])
    for number in range(3):
        await tick(docket, "a", number)

    await schedules.reconcile("ours", [row("b", "a"), row("a")])
    assert await tick(docket, "b", 3) == ("WAITS", FIRST + 4)
    assert await tick(docket, "a", 0, key="new@0") == ("FIRED", FIRST + 1)
    await docket.cancel("a@0")
    assert await states(docket, "a@1", "a@2", "new@0") == [
        ExecutionState.QUEUED,
        ExecutionState.SCHEDULED,
        ExecutionState.QUEUED,
    ]
    assert {one.name: one.runs for one in await schedules.known()} == {"a": 1, "b": 4}
    assert [one.key for one in await schedules.outcomes("ours/a")] == ["new@0"]
    assert await schedules.has_run("ours/b", [FIRST, FIRST + 9]) == [True, False]

    # And back, to where another one stands by now.
    await schedules.reconcile("ours", [row("c", "b")])
    assert [(one.name, one.runs) for one in await schedules.known()] == [("c", 4)]
    assert await states(docket, "new@0", "a@2") == [
        ExecutionState.CANCELLED,
        ExecutionState.SCHEDULED,
    ]
    await schedules.reconcile("ours", [row("a", "c")])
    assert [(one.name, one.runs) for one in await schedules.known()] == [("a", 1)]


async def test_a_chain_of_renamings_hands_on_in_any_order(docket: Docket) -> None:
    schedules = docket.storage.schedules
    await schedules.reconcile("ours", [row("a"), row("b"), row("x"), row("y")])
    await tick(docket, "a", 0)
    for number in range(2):
        await tick(docket, "b", number)
    await commit(docket, 0, row("b", "a"), row("c", "b"), row("x", "y"), row("y", "x"))
    # The one in the middle comes first: those before it in the chain must not lose theirs by that.
    await tick(docket, "b", 1)
    await docket.storage.configurations.staging.follow("ours")
    assert {one.name: one.runs for one in await schedules.known()} == {
        "b": 2,
        "c": 2,
        "x": 0,
        "y": 0,
    }

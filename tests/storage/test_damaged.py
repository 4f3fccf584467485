"""What somebody has damaged in Redis is left out or shown as what it is, and takes nothing else with it."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import ConcurrencyLimit, Docket, ExecutionState, Worker
from docket.errors import Undecodable
from docket.schedules.timetable import Timetable
from docket.storage.configurations import RevisionChange, RevisionEntry
from docket.storage.limits import Announcement
from docket.supervisor.conditions import Conditions
from docket.supervisor.reporting.pauses import Pauses
from tests.conformance.conftest import working
from tests.schedules.conftest import MINUTE, NOON, Host, host

__all__ = ["host"]

EVERY_MINUTE = '[schedules.s]\nevery = "1m"\n'
NOT_UTF_8 = b"\xff\xfe"
FAR = 10**18


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://damaged") as docket:
        yield docket


async def damage(docket: Docket, suffix: str, **fields: str | bytes) -> None:
    """Write something else into fields of a hash."""
    async with docket.redis() as client:
        redis: Any = client
        await redis.hset(docket.key(suffix), mapping=fields)


async def test_a_supervisor_that_cannot_be_read_is_left_out(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    configurations = docket.storage.configurations
    await configurations.beat("o", "good", 0, {})
    lines = [
        "",
        "x\n{}",
        f"{FAR}",
        f"{FAR}\n[]",
    ]
    await damage(docket, "supervisors", **{f"bad{at}": line for at, line in enumerate(lines)})

    assert [one.who for one in await configurations.supervisors(60_000)] == ["good"]
    for at in range(len(lines)):
        assert f"Supervisor bad{at} is left out" in caplog.text


async def test_a_configuration_without_its_version_is_read(docket: Docket) -> None:
    configurations = docket.storage.configurations
    await configurations.commit(
        "o", 0, RevisionEntry("d", "", None, "h", "applied"), 5, RevisionChange()
    )
    async with docket.redis() as client:
        await client.hdel(docket.key("configuration:o"), "token")

    found = await configurations.current("o")
    assert found is not None
    assert (found.number, found.version) == (1, "")


async def test_workers_with_damaged_names_and_times_are_shown(docket: Docket) -> None:
    async with docket.redis() as client:
        redis: Any = client
        await docket.storage.workers.register("good", ["charge"], docket.silence)
        await redis.zadd(docket.key("workers"), {NOT_UTF_8: FAR, "ever": "inf"})
        await redis.sadd(docket.key("worker-tasks:ever"), NOT_UTF_8)
        await damage(docket, "codecs", ever=NOT_UTF_8)
        await damage(docket, "worker-shapes:ever", t=NOT_UTF_8)

        found = {one.name: one for one in await docket.workers()}

        assert len(found) == 3
        assert found["good"].tasks == {"charge"}
        assert found["ever"].tasks == {"\ufffd\ufffd"}
        assert found["ever"].last_seen == datetime.max.replace(tzinfo=timezone.utc)
        workers = docket.storage.workers
        assert {"\ufffd\ufffd"} in await workers.codecs(docket.silence)
        assert await workers.shapes("t", docket.silence) == ["\ufffd\ufffd"]


async def test_damaged_strikes_do_not_apply_and_the_others_do(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    await docket.strike("charge")
    async with docket.redis() as client:
        redis: Any = client
        await redis.hset(docket.key("strikes"), NOT_UTF_8, b"drop 0 0\n")
        await redis.hset(docket.key("strikes"), "version", NOT_UTF_8)

    assert [rule.task for rule in await docket.strikes()] == ["charge"]
    assert "cannot be read and does not apply" in caplog.text
    await docket.strike_list.catch_up()


async def test_what_was_announced_of_limits_is_announced_anew_where_it_is_damaged(
    docket: Docket,
) -> None:
    damaged = ("nonsense", "1", '{"t": 1}', '{"t": {"w": 1, "v": [1], "u": {"x": 1}}}')
    limits = docket.storage.limits
    for text in damaged:
        await damage(docket, "limits", **{"by l": text, "size l": "x"})

        (found,) = await limits.announce("w", [Announcement("l", "t", 3)])
        assert (found.size, found.sizes) == (3, {"t": 3})


@pytest.mark.parametrize("pause", ["nonsense", "[]", "{}", '"x"', '{"by": "x", "until": [1]}'])
async def test_a_damaged_pause_is_shown_and_in_force_until_somebody_resumes(
    host: Host, pause: str
) -> None:
    await host.declare(EVERY_MINUTE)
    await host.timetable.pause(await host.timetable.find("s"), by="ann")
    await damage(host.docket, "schedule:owner/s", pause=pause)

    entry = await host.timetable.find("s")
    assert entry.pause_at(NOON) == "?: what is stored is no pause"
    conditions = Conditions()
    await Pauses(host.schedules, host.docket.storage.queues, host.owner, conditions).look()
    assert conditions["Paused"].message.startswith("s: paused by ? (what is stored is no pause)")
    await host.wait(MINUTE)
    assert (await host.timetable.find("s")).known.skipped == {"paused": 1}
    assert await host.timetable.resume(entry)
    await host.wait(MINUTE)
    assert (await host.timetable.find("s")).known.runs == 1


async def test_damaged_schedules_and_outcomes_are_left_out(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(docket)
    await host.declare(EVERY_MINUTE)
    async with docket.redis() as client:
        redis: Any = client
        await redis.hset(docket.key("schedules"), b"definition:o/" + NOT_UTF_8, "{}")
        await redis.hset(docket.key("schedules"), "definition:o/aliased", "{}")
        await redis.hset(docket.key("schedules"), "alias:o/aliased", NOT_UTF_8)
        lines = ["1\nfired\nkey", "x\nfired\nkey", "nonsense", NOT_UTF_8, f"{FAR}\nfired\nkey\n"]
        await redis.rpush(docket.key("outcomes:owner/s"), *lines)
        await redis.rpush(docket.key("outcomes:" + NOT_UTF_8.decode(errors="replace")), *lines)

    timetable = Timetable(docket)
    assert [entry.id for entry in await timetable.entries()] == ["owner/s"]
    outcomes = await timetable.outcomes(await timetable.find("s"))
    assert [one.due for one in outcomes] == [1, FAR]
    assert len(await host.schedules.outcomes("o/aliased")) == 2
    assert caplog.text.count("An outcome of the schedule owner/s is left out") == 3


async def charge() -> None: ...


async def test_a_damaged_record_is_told_from_one_that_is_not_there(docket: Docket) -> None:
    docket.register(charge)
    execution = await docket.add(charge, key="charge")()
    for fields in ({"state": "none"}, {"due": "x", "state": "queued"}):
        await damage(docket, "runs:charge", **fields)
        with pytest.raises(Undecodable, match="expected the record of an execution"):
            await docket.get_execution("charge")
        with pytest.raises(Undecodable, match="cancel or replace it"):
            await execution.get_result()
    await docket.storage.workers.register("w", ["charge"], docket.silence)
    assert await Timetable(docket).kept_up() == []


async def test_damaged_progress_says_nothing(docket: Docket) -> None:
    docket.register(charge)
    execution = await docket.add(charge)()
    await damage(docket, f"progress:{execution.key}", current="x", message="hello")

    await execution.sync()

    assert (execution.progress.current, execution.progress.message) == (None, None)


async def test_who_follows_an_execution_hears_nothing_wrong_from_foreign_events(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    docket.register(charge)
    execution = await docket.add(charge, key="k")()
    ready = asyncio.Event()
    events: list[Any] = []

    async def follow() -> None:
        events.extend([event async for event in execution.subscribe(ready=ready)])

    following = asyncio.create_task(follow())
    waiting = asyncio.create_task((await docket.get_execution("k") or execution).get_result())
    await ready.wait()
    async with docket.redis() as client:
        for channel in ("state:k", "progress:k"):
            for event in (b"nonsense", NOT_UTF_8, b"completed\nx\n\n\n\n", b"x\n" * 5):
                await client.publish(docket.key(channel), event)
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    await following
    assert await waiting is None

    states = [event["state"] for event in events if event["type"] == "state"]
    assert states[0] is ExecutionState.QUEUED
    assert states[-1] is ExecutionState.COMPLETED


NUMBERS = ("generation", "attempt", "due", "schema", "crashes")
TEXTS = (
    *[
        "state",
        "task",
        "call",
        "trace",
        "cancel",
        "message",
        "consumer",
        "nonce",
        "gates",
        "when",
        "slot",
    ],
    *["suspect", "alone", "silent", "admitted", "fence", "ring", "schedule", "waits", "strike"],
)


@pytest.mark.parametrize("value", ["nonsense", NOT_UTF_8, "[1]", "1e400"], ids=repr)
@pytest.mark.parametrize("is_future", [False, True], ids=["queued", "scheduled"])
async def test_records_with_damaged_fields_keep_no_others_from_running(
    docket: Docket, value: str | bytes, is_future: bool
) -> None:
    async def work(
        number: int, limit: ConcurrencyLimit = ConcurrencyLimit("number", max_concurrent=1)
    ) -> int:
        return number

    docket.register(work)
    when = datetime.now(timezone.utc) + timedelta(milliseconds=50) if is_future else None
    for field in (*NUMBERS, *TEXTS):
        await docket.add(work, key=field, when=when)(0)
        await damage(docket, f"runs:{field}", **{field: value})
    good = [await docket.add(work, key=f"good-{number}", when=when)(number) for number in range(3)]
    async with Worker(docket) as worker, working(worker):
        results = [await one.get_result(timeout=timedelta(seconds=60)) for one in good]

    assert results == [0, 1, 2]


async def test_a_record_whose_numbers_are_damaged_is_a_dead_letter_that_says_so(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None: ...

    docket.register(work)
    for field in ("attempt", "due"):
        await docket.add(work, key=field)()
        await damage(docket, f"runs:{field}", **{field: "nonsense"})
    async with Worker(docket) as worker:
        await worker.run_until_finished()
        async with docket.redis() as client:
            redis: Any = client
            errors = [
                await redis.hget(docket.key(f"runs:{field}"), "error")
                for field in ("attempt", "due")
            ]

    assert errors == [
        b"Undecodable: its record is damaged; attempt is no number",
        b"Undecodable: its record is damaged; due is no number",
    ]
    assert {record.key async for record in docket.storage.executions.dead()} == {"attempt", "due"}
    assert "its record is damaged" in caplog.text

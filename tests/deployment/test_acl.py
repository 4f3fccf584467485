"""The users of ``config/acl``: each may do what its role is for, and nothing of what it is not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from docket import Docket, Worker
from docket.config.load import parse
from docket.errors import ServerRefused
from docket.schedules.desired import desired_schedules
from docket.schedules.ticker import Ticker
from docket.schedules.timetable import Timetable
from docket.storage.configurations import RevisionChange, RevisionEntry
from tests.conformance.conftest import until, working
from tests.fleet.binaries import redis_6, redis_8, valkey_8, valkey_9
from tests.fleet.process import ServerProcess

from .roles import DIRECTORY, NAME, OLD, ROLES, RULES, user_of

pytestmark = pytest.mark.fleet

As = Callable[[str], Docket]


async def greet(name: str) -> str:
    return f"Hello {name}"


@pytest.fixture(scope="module", params=[redis_6, valkey_9], ids=["redis-6.2", "valkey-9.1"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server with all the users, as their files say."""
    with ServerProcess(
        request.param(), tmp_path_factory.mktemp("roles"), password="of the tests"
    ) as server:
        for role in ROLES:
            _, user, *rules = (_files(request.param) / f"{role}.acl").read_text().split()
            server.call("ACL", "SETUSER", user, *rules)
        yield server


def _files(binary: Callable[[], Path]) -> Path:
    """The files for a server."""
    return OLD if binary is redis_6 else DIRECTORY


@pytest.fixture
async def root(server: ServerProcess) -> AsyncIterator[Docket]:
    """The docket of a user who may do everything."""
    server.call("FLUSHALL")
    async with Docket(NAME, server.url) as docket:
        docket.register(greet)
        yield docket


@pytest.fixture
def as_(server: ServerProcess) -> As:
    """The docket as a role sees it."""

    def as_(role: str) -> Docket:
        docket = Docket(NAME, f"redis://{NAME}-{role}:change-me@127.0.0.1:{server.port}/0")
        docket.register(greet)
        return docket

    return as_


@pytest.mark.parametrize("role", ROLES)
def test_a_file_allows_what_the_scripts_of_its_role_need_and_no_more(role: str) -> None:
    user, anew = user_of(role), "write them anew: python -m tests.deployment.roles"

    assert (DIRECTORY / f"{role}.acl").read_text() == ROLES[role].line(user), anew
    assert (OLD / f"{role}.acl").read_text() == ROLES[role].line(user, is_old=True), anew


@pytest.mark.parametrize("role", ["producer", "worker"])
async def test_who_works_can_not_write_what_says_what_work_may_do(
    request: pytest.FixtureRequest, root: Docket, as_: As, role: str
) -> None:
    is_old = "redis-6.2" in request.node.name
    await root.strike("other")
    await _declare(root)
    async with as_(role) as docket, docket.redis() as client:
        anything: Any = client
        for rule in RULES:
            await anything.execute_command("HGETALL", f"{NAME}:{rule}")
            write = ("HSET", f"{NAME}:{rule}", "mine", "1")
            if is_old:
                # Redis 6.2 cannot tell the two apart, and config/acl says so.
                await anything.execute_command(*write)
            else:
                with pytest.raises(ResponseError, match=r"(?i)no permission"):
                    await anything.execute_command(*write)
    assert [rule.task for rule in await root.strikes()] == ["other"]


def _installed() -> Path:
    """The server of this system, such as the 7.0 of Debian; else one of the fleet."""
    found = shutil.which("redis-server")
    return redis_8() if found is None else Path(found)


@pytest.mark.parametrize("binary", [redis_6, _installed, redis_8, valkey_8, valkey_9])
def test_a_server_of_every_version_starts_with_the_files(
    binary: Callable[[], Path], tmp_path: Path
) -> None:
    users = tmp_path / "users.acl"
    lines = [(_files(binary) / f"{role}.acl").read_text() for role in ROLES]
    users.write_text("user default on nopass ~* &* +@all\n" + "".join(lines))

    with ServerProcess(binary(), tmp_path / "server", "--aclfile", str(users)) as server:
        known = {str(user, "utf-8") for user in server.call("ACL", "USERS")}

    assert known >= {*map(user_of, ROLES)}


async def test_a_reader_sees_everything_and_changes_nothing(root: Docket, as_: As) -> None:
    await root.add(greet, key="one")("Jane")
    await root.strike("other")
    await _declare(root)
    async with as_("reader") as reader:
        assert (await reader.snapshot()).total_tasks == 1
        assert await reader.get_execution("one") is not None
        assert await reader.insights.explain("one") is not None
        assert len(await reader.strikes()) == 1
        assert list(await reader.workers()) == []
        assert [one.id for one in await Timetable(reader).entries()] == ["ours/often"]
        assert await reader.insights.explain_schedule("often") is not None
        assert [one.record.verb for one in (await reader.insights.audit()).entries] == ["strike"]
        assert len((await reader.insights.events()).events) == 1
        with pytest.raises(ServerRefused):
            await reader.add(greet)("John")
        with pytest.raises(ServerRefused):
            await reader.cancel("one")
        with pytest.raises(ServerRefused):
            await reader.strike("greet")


async def test_an_inspector_asks_workers_and_changes_nothing(
    request: pytest.FixtureRequest, root: Docket, as_: As
) -> None:
    is_old = "redis-6.2" in request.node.name
    begun = asyncio.Event()

    async def hold() -> None:
        begun.set()
        await asyncio.Event().wait()

    root.register(hold)
    async with as_("worker") as docket, Worker(docket) as worker, as_("inspector") as inspector:
        docket.register(hold)
        async with working(worker):
            await root.add(hold, key="one")()
            await asyncio.wait_for(begun.wait(), 60)
            stack = await inspector.insights.stack("one")
            await root.cancel("one")
        assert stack is not None
        assert "hold" in str(stack)
        with pytest.raises(ServerRefused):
            await inspector.cancel("one")
        if not is_old:
            async with inspector.redis() as client:
                anything: Any = client
                for write in (("SET", f"{NAME}:runs:one", ""), ("PUBLISH", f"{NAME}:strikes", "")):
                    with pytest.raises(ResponseError, match=r"(?i)no permission"):
                        await anything.execute_command(*write)


async def test_a_reader_does_not_mind_strikes_that_are_over(server: ServerProcess, as_: As) -> None:
    server.call("FLUSHALL")
    async with Docket(NAME, server.url) as author:
        await author.strike("other", expires=timedelta(milliseconds=200))
    # Nobody is left who could remove it.
    async with as_("reader") as reader:
        await until(lambda: no_strikes(reader))
        await reader.strike_list.refresh()
        assert len((await reader.storage.strikes.read()).rules) == 1


async def no_strikes(docket: Docket) -> bool:
    return await docket.strikes() == []


async def test_a_producer_adds_and_cancels_and_runs_nothing(root: Docket, as_: As) -> None:
    async with as_("producer") as producer, Worker(root) as worker, working(worker):
        execution = await producer.add(greet)("Jane")
        assert await execution.get_result(timeout=timedelta(seconds=60)) == "Hello Jane"
        later = (await root.snapshot()).taken + timedelta(hours=1)
        await producer.add(greet, later, key="later")("John")
        await producer.replace(greet, later, "later")("Jim")
        await producer.cancel("later")
        with pytest.raises(ServerRefused):
            await Worker(producer).run_until_finished()
        with pytest.raises(ServerRefused):
            await _commit(producer)


async def test_a_worker_runs_and_does_not_configure(root: Docket, as_: As) -> None:
    execution = await root.add(greet)("Jane")
    async with as_("worker") as docket:
        async with Worker(docket) as worker:
            await worker.run_until_finished()
        with pytest.raises(ServerRefused):
            await _commit(docket)
        with pytest.raises(ServerRefused):
            await _flush(docket)

    assert await execution.get_result() == "Hello Jane"


@pytest.mark.parametrize("role", ["producer", "worker"])
async def test_who_works_touches_nothing_of_the_audit(
    root: Docket, as_: As, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    await root.strike("other", author="ann")
    await root.add(greet, key="one")("Jane")
    audit = f"{NAME}:audit"
    async with as_(role) as docket, docket.redis() as client:
        anything: Any = client
        for write in (
            *(("XADD", audit, "MAXLEN", "0", "*", "verb", "x"), ("XTRIM", audit, "MAXLEN", "0")),
            *(("DEL", audit), ("PEXPIRE", audit, "1"), ("SET", audit, ""), ("XDEL", audit, "1-0")),
        ):
            with pytest.raises(ResponseError, match=r"(?i)no permission|can't run|no perm"):
                await anything.execute_command(*write)
        # What clears all the same is done, and it is said that it is not written down.
        assert await docket.clear() == 1
    assert "The audit lacks a deed, clear: " in caplog.text
    assert [one.record.author for one in (await root.insights.audit()).entries] == ["ann"]


async def test_an_operator_steers_and_runs_nothing(root: Docket, as_: As) -> None:
    await root.add(greet, key="one")("Jane")
    await _declare(root)
    async with as_("operator") as operator:
        await operator.strike("greet", reason="INC-7", action="park")
        await operator.restore("greet")
        await operator.cancel("one")
        timetable = Timetable(operator)
        often = await timetable.find("often")
        await timetable.pause(often, by="ann")
        assert await timetable.resume(often)
        assert await timetable.skip_next(often) is not None
        assert await timetable.trigger(often) is not None
        assert await operator.clear() == 1
        await root.storage.connection.send(("ZADD", root.storage.keys.parked, 1, "nobody"))
        assert (await operator.operations.check(repair=True)).repaired == 1
        assert len((await operator.insights.audit()).entries) == 8
        with pytest.raises(ServerRefused):
            await Worker(operator).run_until_finished()
        with pytest.raises(ServerRefused):
            await _flush(operator)


async def test_a_supervisor_configures_and_ticks_and_runs_nothing_itself(
    root: Docket, as_: As
) -> None:
    async with as_("supervisor") as docket:
        await _commit(docket)
        ticker = await _declare(docket)
        await ticker.fire_due()
        beat = await docket.storage.configurations.beat("ours", "me", 1000, {"host": "here"})
        assert beat.leads
        await docket.storage.configurations.resign("ours", "me")
        with pytest.raises(ServerRefused):
            await Worker(docket).run_until_finished()
        with pytest.raises(ServerRefused):
            await _flush(docket)


async def _flush(docket: Docket) -> None:
    async with docket.redis() as client:
        try:
            await client.flushall()
        except Exception as error:
            raise ServerRefused(str(error)) from error


async def _declare(docket: Docket) -> Ticker:
    text = '[tasks.greet]\nfunction = "m:greet"\n[schedules.often]\ntask = "greet"\nevery = "1h"\n'
    ticker = Ticker(docket.storage.schedules, docket.serializer, "ours")
    await ticker.declare(desired_schedules(parse(text + 'args = ["Jane"]\n').configuration))
    return ticker


async def _commit(docket: Docket) -> Any:
    entry = RevisionEntry("digest", "text", None, "here", "applied")
    return await docket.storage.configurations.commit(
        *("ours", 0, entry, 20),
        RevisionChange(routes={"greet": "slow"}, schemas={"greet": 2}, paused=["bulk"]),
    )

"""What callers see while a server is away, and when it is back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from redis.asyncio.client import PubSub

from docket import Disposition, Docket, ExecutionCancelled, ExecutionState, Worker
from docket.connection.url import connect
from docket.errors import LoginRefused, ServerRefused, ServerUnavailable
from docket.storage import bell, subscriptions
from docket.storage.bell import Bell
from docket.storage.claims import Consumer
from docket.storage.executions import NewExecution
from docket.storage.scripting import retrying
from docket.storage.scripting.nonces import FRESH
from docket.storage.scripting.retrying import Backoff, read_patiently
from docket.storage.subscriptions import RESYNC, Listener
from tests.conformance.conftest import until, working
from tests.fleet.process import ServerProcess

pytestmark = pytest.mark.fleet


async def nothing(number: int = 0) -> int:
    return number


@pytest.fixture
async def docket(own_server: ServerProcess) -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, own_server.url) as docket:
        docket.register(nothing)
        yield docket


async def test_an_add_waits_for_a_server_that_comes_back(
    docket: Docket, own_server: ServerProcess
) -> None:
    own_server.kill()
    adding = asyncio.create_task(docket.add(nothing, key="key")(1))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await asyncio.to_thread(own_server.start)
    await adding

    assert await docket.get_execution("key") is not None


async def test_a_call_ends_when_its_patience_does(
    docket: Docket, own_server: ServerProcess
) -> None:
    own_server.kill()
    new = NewExecution("key", FRESH, 0, "nothing", b"")

    with pytest.raises(ServerUnavailable, match="nothing answers at"):
        await docket.storage.executions.schedule([new], patience=timedelta(milliseconds=100))
    await asyncio.to_thread(own_server.start)


async def test_a_server_that_can_not_write_is_waited_for(docket: Docket) -> None:
    async with docket.redis() as client:
        await client.config_set("maxmemory", 1)
        adding = asyncio.create_task(docket.add(nothing, key="key")(1))  # type: ignore[arg-type]
        done, _ = await asyncio.wait({adding}, timeout=0.3)
        assert not done
        await client.config_set("maxmemory", 0)
    await adding

    assert await docket.get_execution("key") is not None


async def test_a_worker_outlives_its_server_and_settles_what_ended_meanwhile(
    docket: Docket, own_server: ServerProcess
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    runs: list[int] = []

    async def work() -> str:
        runs.append(1)
        begun.set()
        await go_on.wait()
        return "done"

    docket.register(work)
    execution = await docket.add(work)()
    async with Worker(docket, redelivery_timeout=timedelta(seconds=2)) as worker, working(worker):
        await begun.wait()
        own_server.kill()
        go_on.set()
        await until(lambda: _disrupted(worker))
        await asyncio.to_thread(own_server.start)
        assert await execution.get_result(timeout=timedelta(seconds=60)) == "done"
        again = await docket.add(nothing)(5)
        assert await again.get_result(timeout=timedelta(seconds=60)) == 5
        assert worker.last_contact is not None

    assert runs == [1]


async def _disrupted(worker: Worker) -> bool:
    return worker.tally.counts["docket_redis_disruptions", ""] > 0


async def test_a_worker_is_heard_of_again_after_an_outage(
    own_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = asyncio.Event()
    interval = timedelta(milliseconds=50)
    async with Docket("heard", own_server.url, heartbeat_interval=interval) as docket:
        beat = docket.storage.workers.beat

        async def told_when_missed(worker: str, now: int) -> bool:
            try:
                return await beat(worker, now)
            except ServerUnavailable:
                missed.set()
                raise

        monkeypatch.setattr(docket.storage.workers, "beat", told_when_missed)
        monkeypatch.setattr(retrying, "PATIENCE", timedelta(milliseconds=100))
        async with Worker(docket) as worker, working(worker):
            own_server.kill()
            await asyncio.wait_for(missed.wait(), 60)
            await asyncio.to_thread(own_server.start)
            (before,) = await docket.storage.workers.living(timedelta(hours=1))
            await until(lambda: _is_heard_of_after(docket, before.last_seen))


async def _is_heard_of_after(docket: Docket, moment: datetime) -> bool:
    (worker,) = await docket.storage.workers.living(timedelta(hours=1))
    return worker.last_seen > moment


async def test_who_waits_for_a_result_hears_of_it_after_an_outage(
    docket: Docket, own_server: ServerProcess
) -> None:
    execution = await docket.add(nothing, when=datetime.now(timezone.utc) + timedelta(hours=1))(3)
    waiting = asyncio.create_task(execution.get_result())
    await until(lambda: _listened_to(docket))
    own_server.kill()
    await asyncio.to_thread(own_server.start)
    async with Docket(docket.name, own_server.url) as other, Worker(other) as worker:
        other.register(nothing)
        await other.replace(nothing, when=datetime.now(timezone.utc), key=execution.key)(4)
        await worker.run_until_finished()

    assert await asyncio.wait_for(waiting, 60) == 4


async def _listened_to(docket: Docket) -> bool:
    async with docket.redis() as client:
        channels = await client.pubsub_channels(f"{docket.prefix}:state:*")
    return bool(channels)


async def test_a_user_who_may_not_subscribe_is_told(
    docket: Docket, own_server: ServerProcess
) -> None:
    async with docket.redis() as client:
        await client.execute_command(
            "ACL", "SETUSER", "deaf", "on", ">pw", "~*", "+@all", "-subscribe", "resetchannels"
        )
    url = own_server.url.replace("redis://", "redis://deaf:pw@")
    async with Docket(docket.name, url) as deaf:
        execution = await docket.add(
            nothing, when=datetime.now(timezone.utc) + timedelta(hours=1)
        )()
        found = await deaf.get_execution(execution.key)
        assert found is not None
        with pytest.raises(Exception, match=r"NOPERM|permission"):
            await found.get_result(timeout=timedelta(seconds=60))


async def test_what_is_confirmed_after_its_last_listener_left_counts_for_nothing(
    docket: Docket,
) -> None:
    subscriptions = docket.storage.subscriptions
    channel = docket.key("state:gone")
    async with subscriptions.listen(channel) as listener:
        await asyncio.wait_for(listener.until_in_step(channel), 60)

    subscriptions._deliver("subscribe", channel, b"")

    assert channel not in subscriptions._confirmed


def test_pauses_grow_to_their_limit_and_begin_again() -> None:
    backoff = Backoff(1, 4, factor=2, jitter=0)

    assert [backoff.next_pause() for _ in range(4)] == [1, 2, 4, 4]
    backoff.reset()
    assert backoff.next_pause() == 1


async def test_what_a_server_refuses_for_good_is_told_in_our_words(docket: Docket) -> None:
    async with docket.redis() as client:
        await client.set(docket.runs_key("key"), "not ours")

    with pytest.raises(ServerRefused):
        await docket.cancel("key")
    (failed,) = await docket.add_many([docket.call(nothing, key="key")(1)])
    assert failed.disposition is Disposition.FAILED


async def test_more_parked_work_than_one_look_finds_is_freed_whole(docket: Docket) -> None:
    docket.register(nothing, ["unknown"])
    await docket.add_many([docket.call("unknown")(number) for number in range(1000)])
    workers = docket.storage.workers
    async with Docket(docket.name, docket.url) as another:
        async with Worker(another, concurrency=200) as worker:
            await worker.run_until_finished()

    assert await workers.parked() == 1000
    freed = await workers.unpark("unknown_task", ["unknown"])
    assert len({key for key, _ in freed.released}) == 1000
    assert await workers.parked() == 0


async def test_a_bell_that_is_silent_for_a_while_is_waited_for_again(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "PATIENCE", 0.05)
    async with Bell(docket.storage.connection, docket.storage.keys, ("default",)).line() as line:
        assert not await line.rung()
        await docket.add(nothing)(1)
        assert await line.rung()


async def test_a_listener_in_step_has_dropped_what_came_before() -> None:
    listener = Listener()
    for event in (("a", b"early"), ("a", RESYNC), ("b", b"early"), ("b", RESYNC), ("b", b"news")):
        listener.tell(event)

    await listener.until_in_step("a", "b")

    assert await listener.next() == ("b", b"news")


async def test_a_login_that_is_refused_after_it_worked_is_waited_for(
    own_server: ServerProcess,
) -> None:
    own_server.call("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all")
    async with Docket("login", own_server.url.replace("redis://", "redis://app:pw@")) as docket:
        docket.register(nothing)
        await docket.add(nothing, key="before")()
        own_server.call("ACL", "SETUSER", "app", "resetpass", ">other")
        own_server.call("CLIENT", "KILL", "USER", "app")

        adding = asyncio.ensure_future(docket.add(nothing, key="meanwhile")())
        async with docket.storage.subscriptions.listen("login:new") as listener:
            hearing = asyncio.create_task(listener.next())
            await asyncio.sleep(0.5)
            assert not adding.done()
            assert not hearing.done()
            own_server.call("ACL", "SETUSER", "app", "resetpass", ">pw")

            assert (await adding).key == "meanwhile"
            assert await asyncio.wait_for(hearing, 60) == ("login:new", RESYNC)


async def test_who_may_not_listen_is_told_and_nobody_else_is_harmed(
    own_server: ServerProcess,
) -> None:
    own_server.call("ACL", "SETUSER", "app", "on", ">pw", "~*", "&events:*", "+@all")
    async with Docket("events", own_server.url.replace("redis://", "redis://app:pw@")) as docket:
        subscriptions = docket.storage.subscriptions
        async with subscriptions.listen("events:mine") as mine:
            assert await asyncio.wait_for(mine.next(), 60) == ("events:mine", RESYNC)
            async with subscriptions.listen("other") as other:
                with pytest.raises(ServerRefused):
                    await asyncio.wait_for(other.next(), 60)

            # The line was lost over it, and found again.
            assert await asyncio.wait_for(mine.next(), 60) == ("events:mine", RESYNC)
            own_server.call("PUBLISH", "events:mine", "word")
            assert await asyncio.wait_for(mine.next(), 60) == ("events:mine", b"word")


async def test_who_was_never_let_in_is_told_at_once(own_server: ServerProcess) -> None:
    own_server.call("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all")
    stranger = connect(own_server.url.replace("redis://", "redis://app:wrong@"))
    with pytest.raises(LoginRefused):
        await read_patiently(stranger, ("GET", "anything"))
    await stranger.close()


async def test_calls_that_a_server_cannot_read_now_are_read_later(
    docket: Docket, own_server: ServerProcess
) -> None:
    await docket.add(nothing, key="key")(1)
    claimant = Consumer("w", "w:1", ("default",), 60_000, 60_000, 60_000)
    exchange = docket.storage.exchange(claimant)
    _, catch = await exchange.trade([], 1)
    assert catch is not None
    # It has lost its primary, and is not to answer from what is old.
    own_server.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    own_server.call("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(ServerUnavailable):
        await exchange.read_calls(catch.claimed)

    own_server.call("REPLICAOF", "NO", "ONE")
    assert await exchange.read_calls(catch.claimed) == [catch.claimed[0].call]


async def test_who_listens_to_a_server_that_is_silent_hears_what_comes_later(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    connection = docket.storage.connection
    has_left = connection.has_left

    async def asking(line: PubSub) -> bool:
        asked.set()
        return await has_left(line)

    # In a task of its own: before 3.12 nothing traces who waits further up when a wait is over.
    get_message: Any = PubSub.get_message  # pyright: ignore[reportUnknownMemberType]

    async def get_apart(line: PubSub, *args: Any, **options: Any) -> Any:
        return await asyncio.create_task(get_message(line, *args, **options))

    monkeypatch.setattr(PubSub, "get_message", get_apart)
    monkeypatch.setattr(subscriptions, "SILENCE", 0.02)
    monkeypatch.setattr(connection, "can_move", True)
    monkeypatch.setattr(connection, "has_left", asking)
    async with docket.storage.subscriptions.listen(docket.key("news")) as listener:
        await asyncio.wait_for(listener.until_in_step(docket.key("news")), 60)
        await asyncio.wait_for(asked.wait(), 60)
        async with docket.redis() as client:
            await client.publish(docket.key("news"), "word")
        assert await asyncio.wait_for(listener.next(), 60) == (docket.key("news"), b"word")


async def test_a_line_of_events_that_is_found_again_cancels_nobody(
    docket: Docket, own_server: ServerProcess
) -> None:
    begun: set[str] = set()
    both_have_begun = asyncio.Event()

    async def wait(name: str) -> None:
        begun.add(name)
        if len(begun) == 2:
            both_have_begun.set()
        await asyncio.Event().wait()

    nameless = await docket.add(wait, key="")("nameless")
    cancelled = await docket.add(wait, key="cancelled")("cancelled")
    async with Worker(docket) as worker, working(worker):
        await asyncio.wait_for(both_have_begun.wait(), 60)
        own_server.call("CLIENT", "KILL", "TYPE", "pubsub")
        # Heard on the line that is found again, or read because of it.
        await docket.cancel("cancelled")
        with pytest.raises(ExecutionCancelled):
            await cancelled.get_result(timeout=timedelta(seconds=60))
        await nameless.sync()
        assert nameless.state is ExecutionState.RUNNING
        await docket.cancel("")

"""F48: somebody writes to Redis without a signing key: it is refused and told, and nobody else is harmed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from key_value.aio.stores.memory import MemoryStore

from docket import Docket, Perpetual, Retry, Worker
from docket.errors import Undecodable
from docket.execution import ExecutionState
from docket.foundation.lifecycle import DeadReason
from docket.serialization import Serializer

from .attacker import Attacker, forged

pytestmark = pytest.mark.fault

KEYS = {"2026": b"0123456789abcdef0123456789abcdef"}


@pytest.fixture
def url() -> str:
    return "memory://f48"


@pytest.fixture
def name() -> str:
    return f"f48-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def docket(url: str, name: str) -> AsyncIterator[Docket]:
    async with Docket(name, url, config=False, signing_keys=KEYS) as docket:
        yield docket


@pytest.fixture
def attacker(docket: Docket) -> Attacker:
    return Attacker(docket)


paid: list[tuple[str, int]] = []


async def pay(whom: str, amount: int) -> str:
    paid.append((whom, amount))
    return f"paid {whom}"


async def refund(whom: str, amount: int) -> str:
    return await pay(whom, -amount)


async def innocent() -> str:
    return "done"


@pytest.fixture(autouse=True)
def registered(docket: Docket) -> None:
    paid.clear()
    for task in (pay, refund, innocent):
        docket.register(task)


async def work(docket: Docket) -> None:
    async with Worker(docket) as worker:
        await asyncio.wait_for(worker.run_until_finished(), 60)


async def refused(docket: Docket, key: str) -> None:
    """See that an execution is a dead letter because of its bytes."""
    found = await docket.get_execution(key)
    assert found is not None
    assert (found.state, found.reason) == (ExecutionState.FAILED, DeadReason.UNDECODABLE.value)


async def test_arguments_that_nobody_has_signed_are_refused_and_the_others_run(
    docket: Docket, attacker: Attacker
) -> None:
    await docket.add(pay, key="one")("Jane", 1)
    beside = await docket.add(innocent)()
    await attacker.alter("one", call=forged("Mallory", 1_000_000))

    await work(docket)

    assert paid == []
    await refused(docket, "one")
    assert await beside.get_result() == "done"


async def test_signed_arguments_that_are_copied_under_another_key_are_refused(
    docket: Docket, attacker: Attacker
) -> None:
    await docket.add(pay, key="one")("Jane", 1)
    await docket.add(pay, key="two")("John", 2)
    await attacker.copy_call("one", to="two")

    await work(docket)

    assert paid == [("Jane", 1)]
    await refused(docket, "two")


async def test_signed_arguments_are_refused_for_another_task(
    docket: Docket, attacker: Attacker
) -> None:
    await docket.add(pay, key="one")("Jane", 1)
    await attacker.alter("one", task="refund")

    await work(docket)

    assert paid == []
    await refused(docket, "one")


async def test_signed_arguments_are_refused_in_another_docket(
    docket: Docket, url: str, attacker: Attacker
) -> None:
    await docket.add(pay, key="one")("Jane", 1)
    call = await attacker.field("one", "call")
    async with Docket(f"{docket.name}-2", url, config=False, signing_keys=KEYS) as other:
        other.register(pay)
        await other.add(pay, key="one")("Jane", 2)
        await Attacker(other).alter("one", call=call)

        await work(other)

        await refused(other, "one")
    assert paid == []


async def test_a_result_stands_for_no_other_key_and_arguments_for_no_result(
    docket: Docket, attacker: Attacker
) -> None:
    one = await docket.add(pay, key="one")("Jane", 1)
    two = await docket.add(pay, key="two")("John", 2)
    await work(docket)
    await attacker.copy_result("one", to="two")

    assert await one.get_result() == "paid Jane"
    with pytest.raises(Undecodable, match="moved from elsewhere"):
        await two.get_result()

    await attacker.send(("SET", attacker.keys.result("two"), await attacker.field("two", "call")))
    with pytest.raises(Undecodable):
        await two.get_result()


async def test_a_result_stands_for_no_other_use_of_its_key(
    docket: Docket, attacker: Attacker
) -> None:
    await docket.add(pay, key="one")("Jane", 1)
    await work(docket)
    (old,) = await attacker.send(("GET", attacker.keys.result("one")))
    # The record has expired, so that the generations of the key are counted anew.
    await attacker.send(("DEL", attacker.keys.run("one"), attacker.keys.result("one")))
    again = await docket.add(pay, key="one")("John", 2)
    await work(docket)
    await attacker.send(("SET", attacker.keys.result("one"), old))

    with pytest.raises(Undecodable, match="moved from elsewhere"):
        await again.get_result()


async def test_the_error_of_one_run_stands_for_no_other(docket: Docket, attacker: Attacker) -> None:
    async def fail(why: str) -> None:
        raise ValueError(why)

    docket.register(fail)
    one = await docket.add(fail, key="one")("one")
    two = await docket.add(fail, key="two")("two")
    await work(docket)
    with pytest.raises(ValueError, match="one"):
        await one.get_result()
    await attacker.copy_result("one", to="two")

    with pytest.raises(Undecodable, match="moved from elsewhere"):
        await two.get_result()


async def give_nothing() -> None: ...


async def give_something() -> str:
    return "something"


async def test_a_result_that_was_taken_away_is_told_from_none(
    docket: Docket, attacker: Attacker
) -> None:
    docket.register(give_nothing)
    nothing = await docket.add(give_nothing, key="nothing")()
    something = await docket.add(innocent, key="something")()
    await work(docket)
    assert await nothing.get_result() is None
    (kept,) = await attacker.send(("GET", attacker.keys.result("nothing")))

    for key in ("nothing", "something"):
        await attacker.send(("DEL", attacker.keys.result(key)))
    for execution in (nothing, something):
        with pytest.raises(Undecodable, match="found none: it has been taken away"):
            await execution.get_result()
    await attacker.send(("SET", attacker.keys.result("something"), kept))
    with pytest.raises(Undecodable, match="moved from elsewhere"):
        await something.get_result()


async def test_a_run_that_has_not_ended_has_not_returned_none(
    docket: Docket, attacker: Attacker
) -> None:
    execution = await docket.add(innocent, key="one")()
    await attacker.alter("one", state="completed")

    with pytest.raises(Undecodable, match="found none"):
        await execution.get_result()


async def test_a_pointer_to_nowhere_is_no_result(docket: Docket, attacker: Attacker) -> None:
    async with Docket(
        docket.name, docket.url, config=False, signing_keys=KEYS, result_storage=MemoryStore()
    ) as other:
        for task in (innocent, give_nothing):
            other.register(task)
        something, nothing = await other.add(innocent)(), await other.add(give_nothing)()
        await work(other)
        assert await something.get_result() == "done"
        assert await nothing.get_result() is None
        (kept,) = await attacker.send(("GET", attacker.keys.result(nothing.key)))
        assert not kept.startswith(b"\x7f@"), "what is nothing is not taken elsewhere"

        pointer = b"\x7f@nowhere"
        await attacker.send(("SET", attacker.keys.result(something.key), pointer))
        with pytest.raises(Undecodable, match="found none"):
            await something.get_result()


async def test_results_that_are_not_kept_are_none_whoever_says_so(
    docket: Docket, url: str, attacker: Attacker
) -> None:
    async with Docket(
        docket.name, url, config=False, signing_keys=KEYS, execution_ttl=timedelta()
    ) as brief:
        brief.register(give_something)
        execution = await brief.add(give_something)()
        by_hand = await brief.add(give_nothing)()
        await by_hand.mark_as_completed()
        await work(brief)

        assert await execution.get_result() is None
        assert await by_hand.get_result() is None
        await attacker.send(("DEL", attacker.keys.result(execution.key)))
        with pytest.raises(Undecodable, match="found none"):
            await execution.get_result()


async def test_a_line_of_an_error_is_raised_as_what_it_is(
    docket: Docket, attacker: Attacker
) -> None:
    async def fail() -> None:
        raise ValueError("no good")

    docket.register(fail)
    failed = await docket.add(fail, key="failed")()
    done = await docket.add(innocent, key="done")()
    await work(docket)
    with pytest.raises(ValueError, match=r"^no good$"):
        await failed.get_result()

    for key in ("failed", "done"):
        await attacker.alter(key, state="failed", error="pay Mallory")
        await attacker.send(("DEL", attacker.keys.result(key)))
    for execution in (failed, done):
        with pytest.raises(
            Exception, match=r"^it has failed, and the reason is not signed: pay Mallory$"
        ):
            await execution.get_result()


async def test_nothing_is_believed_of_a_result_whose_record_is_gone(
    docket: Docket, attacker: Attacker
) -> None:
    one = await docket.add(pay, key="one")("Jane", 1)
    await work(docket)
    await one.sync()
    await attacker.send(("DEL", attacker.keys.run("one")))

    assert await one.get_result() is None


async def test_a_retry_keeps_the_call_as_it_was_signed(docket: Docket, attacker: Attacker) -> None:
    calls: list[bytes] = []

    async def flaky(retry: Retry = Retry(attempts=2)) -> str:
        calls.append(await attacker.field("one", "call"))
        if len(calls) == 1:
            raise ValueError("once")
        return "at last"

    docket.register(flaky)
    one = await docket.add(flaky, key="one")()
    await work(docket)

    assert calls[0] == calls[1]
    assert await one.get_result() == "at last"


@pytest.mark.parametrize("changes", [False, True], ids=["the same arguments", "others"])
async def test_a_perpetual_run_is_signed_anew_only_for_other_arguments(
    docket: Docket, attacker: Attacker, changes: bool
) -> None:
    calls: list[bytes] = []

    async def count(to: int, perpetual: Perpetual = Perpetual()) -> int:
        calls.append(await attacker.field("count", "call"))
        if changes:
            perpetual.perpetuate(to + 1)
        if len(calls) == 2:
            perpetual.cancel()
        return to

    docket.register(count)
    last = await docket.add(count, key="count")(1)
    await work(docket)

    assert (calls[0] != calls[1]) is changes
    assert await last.get_result() == (2 if changes else 1)


async def test_a_perpetual_run_is_signed_anew_with_a_new_key(
    docket: Docket, url: str, attacker: Attacker
) -> None:
    calls: list[bytes] = []
    both = {"2027": b"fedcba9876543210fedcba9876543210", **KEYS}

    async def count(perpetual: Perpetual = Perpetual()) -> None:
        calls.append(await attacker.field("count", "call"))
        if len(calls) == 2:
            perpetual.cancel()

    await docket.storage.connection.send(("PING",))
    docket.register(count)
    await docket.add(count, key="count")()
    async with Docket(docket.name, url, config=False, signing_keys=both) as newer:
        newer.register(count)
        await work(newer)

    assert [b"2027" in call for call in calls] == [False, True]


async def test_a_strike_on_arguments_that_nobody_has_signed_does_not_apply_and_is_told(
    docket: Docket, attacker: Attacker, caplog: pytest.LogCaptureFixture
) -> None:
    words = Serializer().dump_result(("pay", [("whom", "==", "Jane")], "", "call", "", None))
    await attacker.send(
        ("HSET", attacker.keys.strikes, "rule:x", b"drop 0 500\n" + words, "version", "another")
    )
    await docket.strike_list.catch_up()

    await docket.add(pay)("Jane", 1)
    await work(docket)

    assert paid == [("Jane", 1)]
    assert "The strike rule:x cannot be read and does not apply" in caplog.text


async def test_a_signed_strike_is_refused_with_another_action_or_as_another_rule(
    docket: Docket, attacker: Attacker
) -> None:
    await docket.strike("pay", "whom", "==", "Jane", action="delay", delay=timedelta(hours=1))
    (rule,) = await docket.strikes()
    (stored,) = await attacker.send(("HGET", attacker.keys.strikes, rule.identity))
    dropping = stored.replace(b"delay", b"drop", 1)
    await attacker.send(("HSET", attacker.keys.strikes, rule.identity, dropping, "rule:x", stored))

    assert await docket.strikes() == []


async def test_a_strike_of_a_whole_task_is_the_scripts_to_apply_and_is_shown_whoever_wrote_it(
    docket: Docket, url: str
) -> None:
    async with Docket(docket.name, url, config=False) as stranger:
        await stranger.strike("pay", author="mallory")

    await docket.add(pay, key="one")("Jane", 1)
    await work(docket)

    assert paid == []
    assert [(rule.task, rule.author) for rule in await docket.strikes()] == [("pay", "mallory")]


@pytest.mark.parametrize("kind", ["string", "list", "set", "nothing but a state"])
async def test_what_is_of_a_wrong_type_harms_nobody_else(
    docket: Docket, attacker: Attacker, kind: str
) -> None:
    await docket.add(pay, key="one")("Jane", 1)
    beside = await docket.add(innocent)()
    run = attacker.keys.run("one")
    write = {
        "string": ("SET", run, "x"),
        "list": ("RPUSH", run, "x"),
        "set": ("SADD", run, "x"),
        "nothing but a state": ("HSET", run, "state", "queued"),
    }[kind]
    await attacker.send(("DEL", run), write)

    await work(docket)

    assert paid == []
    assert await beside.get_result() == "done"

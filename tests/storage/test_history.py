"""Each end, and each failed attempt, is remembered by the script that records it, within bounds."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

import pytest

from docket import Docket, ExponentialRetry, Logged, Perpetual, Worker
from docket.storage.claims import Claims, Consumer, Settlement, Verdict
from docket.storage.history import COMPLETED, FAILURES, NO_HISTORY, Ended, HistoryLimits
from tests.compat.conftest import docket, least_privileged, name, pytest_generate_tests, soon, url

__all__ = ["docket", "least_privileged", "name", "pytest_generate_tests", "url"]

attempts: list[str] = []


async def charge_a_customer_(
    customer: Annotated[str, Logged()],
    amount: Annotated[int, Logged()],
    secret: str = "",
    retry: ExponentialRetry = ExponentialRetry(attempts=2, minimum_delay=timedelta()),
) -> None:
    attempts.append(customer)
    if customer == "robert" or (customer == "late" and attempts.count("late") == 1):
        raise KeyError(f"no account {amount} of {secret}")


async def rhythm(perpetual: Perpetual = Perpetual()) -> None:
    attempts.append("rhythm")
    if attempts.count("rhythm") == 3:
        perpetual.cancel()
    if attempts.count("rhythm") == 2:
        raise ValueError("out of step")


async def ended(docket: Docket, stream: str) -> list[Ended]:
    """What a stream holds, the earliest first."""
    looked = await docket.storage.history.look({stream: "+"}, None, 1000)
    return looked.slices[stream].entries[::-1]


async def work(docket: Docket, revision: int = 0) -> None:
    async with Worker(docket, name="worker-1") as worker:
        worker.revision = revision
        await worker.run_until_finished()


async def test_each_end_and_each_failed_attempt_is_remembered(docket: Docket) -> None:
    attempts.clear()
    docket.register(charge_a_customer_)
    await docket.add(charge_a_customer_, soon(), "cleared")("acme", 9)
    assert await docket.clear() == 1
    await docket.add(charge_a_customer_, key="good", tags=["invoice"])("acme", 5)
    await docket.add(charge_a_customer_, key="bad")("robert", 7, secret="1234")
    await docket.add(charge_a_customer_, key="tried")("late", 1)
    await docket.add(charge_a_customer_, soon(), "away")("acme", 9)
    await docket.cancel("away")

    await work(docket, revision=12)

    completed, others = await ended(docket, COMPLETED), await ended(docket, FAILURES)
    assert {(one.key, one.attempt, one.ending) for one in completed} == {
        ("good", 1, "completed"),
        ("tried", 2, "completed"),
    }
    (good,) = (one for one in completed if one.key == "good")
    assert (good.task, good.queue, good.worker) == ("charge_a_customer_", "default", "worker-1")
    assert (good.args, good.error) == ({"customer": "acme", "amount": 5}, "")
    assert (good.tags, good.revision) == (("invoice",), 12)
    assert 0 < (good.seconds or 0) < 60
    moments = [good.due, good.started_at, good.ended_at]
    assert moments == sorted(one for one in moments if one is not None)
    assert sorted((one.key, one.attempt, one.ending) for one in others) == [
        ("away", 1, "cancelled"),
        ("bad", 1, "retried"),
        ("bad", 2, "failed"),
        ("cleared", 1, "cancelled"),
        ("tried", 1, "retried"),
    ]
    assert {one.key: one.revision for one in others} == {
        "away": None,
        "cleared": None,
        "bad": 12,
        "tried": 12,
    }
    first, last = (one for one in others if one.key == "bad")
    assert (first.error, first.message) == ("KeyError", "'no account # of #'")
    assert first.place == "storage/test_history.py:charge_a_customer_"
    assert first.fingerprint == last.fingerprint != ""


@pytest.fixture
async def here() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://history") as docket:
        docket.register(charge_a_customer_)
        docket.register(rhythm)
        yield docket


async def test_the_runs_of_a_perpetual_task_are_ends_of_their_own(here: Docket) -> None:
    attempts.clear()
    await here.add(rhythm, key="r")()

    await work(here)

    assert [one.key for one in await ended(here, COMPLETED)] == ["r", "r"]
    ((failed),) = await ended(here, FAILURES)
    assert (failed.ending, failed.error) == ("failed", "ValueError")


async def test_what_no_run_has_ended_is_remembered_by_its_record(here: Docket) -> None:
    await here.add(charge_a_customer_, key="struck", tags=["a ]", "b"])("acme", 5)
    await here.strike(charge_a_customer_)
    await work(here)
    await here.restore(charge_a_customer_)
    await here.add(charge_a_customer_, key="damaged")("acme", 5)
    async with here.redis() as client:
        any_client: Any = client
        await any_client.hset(here.runs_key("damaged"), "due", "never")
    await work(here)

    assert [(one.key, one.ending, one.tags, one.error) for one in await ended(here, FAILURES)] == [
        ("struck", "struck", ("a ]", "b"), ""),
        ("damaged", "failed", (), "Undecodable"),
    ]


async def test_a_settlement_that_is_sent_again_is_remembered_once(here: Docket) -> None:
    await here.add(charge_a_customer_, key="once")("acme", 5)
    claimant = Consumer("w", "w:1", ("default",), 60_000, 60_000, 60_000)
    exchange: Claims = here.storage.exchange(claimant)
    _, catch = await exchange.trade([], 1)
    assert catch is not None
    (run,) = catch.claimed
    settlement = Settlement(
        *(run.message, run.queue, run.key, run.generation, run.fence, "completed"),
        ttl=60_000,
        identity=run.identity,
    )

    first, _ = await exchange.trade([settlement], 0)
    second, _ = await exchange.trade([settlement], 0)

    assert (first, second) == ([Verdict.RECORDED], [Verdict.ALREADY])
    ((one),) = await ended(here, COMPLETED)
    assert (one.key, one.seconds, one.worker) == ("once", None, "w")


async def test_an_entry_takes_at_most_220_bytes(here: Docket) -> None:
    """A key of 36 bytes, a task of 20, two logged arguments, a tag."""
    count = 500
    await here.add_many(
        here.call(charge_a_customer_, key=str(uuid.uuid4()), tags=["invoice"])("acme", number)
        for number in range(count)
    )

    await work(here, revision=128)

    async with here.redis() as client:
        taken: Any = await client.execute_command(  # pyright: ignore[reportUnknownMemberType]
            "MEMORY", "USAGE", here.storage.keys.history_of_completed, "SAMPLES", 0
        )
    assert taken / count <= 220


async def test_an_end_costs_one_command_more_and_a_round_trip_two() -> None:
    async with Docket(uuid.uuid4().hex, "memory://history-counted") as docket:
        docket.register(charge_a_customer_)
        await docket.add_many(docket.call(charge_a_customer_)("acme", at) for at in range(100))
        before = await _calls(docket)

        await work(docket)

        after = await _calls(docket)
    count = {
        name: after.get(name, 0) - before.get(name, 0) for name in ("xadd", "pexpire", "xtrim")
    }
    assert count["xadd"] == 100
    # Each record gets its time to live, and each script gives the stream one; it asks for the length as well.
    assert count["pexpire"] - 100 <= 20
    assert count["xtrim"] == 0


async def _calls(docket: Docket) -> dict[str, int]:
    async with docket.redis() as client:
        any_client: Any = client
        stats: dict[str, Any] = await any_client.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in stats.items()}


@pytest.mark.thorough
async def test_memory_and_age_bound_it_and_successes_push_no_failure_out() -> None:
    limits = HistoryLimits(timedelta(hours=1), 128 << 10)
    async with Docket(uuid.uuid4().hex, "memory://history", history=limits) as docket:
        docket.register(charge_a_customer_)
        await docket.add(charge_a_customer_, soon(), "early")("acme", 1)
        await docket.cancel("early")
        await docket.add_many(
            docket.call(charge_a_customer_)("acme", number) for number in range(1200)
        )
        await work(docket)

        keys = docket.storage.keys
        async with docket.redis() as client:
            any_client: Any = client
            taken = await any_client.memory_usage(keys.history_of_completed, samples=0)
            assert taken <= (64 << 10) + 256 * 220
            assert await any_client.pttl(keys.history_of_completed) > 3_500_000
        looked = await docket.storage.history.look({FAILURES: "+"}, None, 10)
        assert looked.reaches[COMPLETED].why == "memory"
        assert looked.reaches[FAILURES].why == ""
        assert [one.key for one in looked.slices[FAILURES].entries] == ["early"]

        async with docket.redis() as client:
            any_client = client
            await any_client.delete(keys.history_of_completed)
            for at in range(1, 256):
                await any_client.xadd(keys.history_of_completed, {"key": "old"}, f"{at}-1")
        await docket.add(charge_a_customer_)("acme", 1)
        await work(docket)

        looked = await docket.storage.history.look({COMPLETED: "+"}, None, 1000)
        assert looked.reaches[COMPLETED].why == "age"
        assert len(looked.slices[COMPLETED].entries) < 256


async def test_nothing_is_remembered_where_that_is_switched_off() -> None:
    async with Docket(uuid.uuid4().hex, "memory://history", history=NO_HISTORY) as docket:
        docket.register(charge_a_customer_)
        await docket.add(charge_a_customer_)("acme", 1)
        await docket.add(charge_a_customer_, soon(), "away")("acme", 1)
        await docket.cancel("away")
        await work(docket)

        assert [*await ended(docket, COMPLETED), *await ended(docket, FAILURES)] == []


async def test_a_key_that_holds_something_else_hinders_no_end(here: Docket) -> None:
    async with here.redis() as client:
        any_client: Any = client
        await any_client.set(here.storage.keys.history_of_completed, "mine")
    execution = await here.add(charge_a_customer_)("acme", 1)

    await work(here)

    await execution.sync()
    assert execution.state.value == "completed"


async def test_damaged_entries_are_read_as_far_as_they_can_be(here: Docket) -> None:
    async with here.redis() as client:
        any_client: Any = client
        for about in ("no json", "[1]"):
            fields = {"key": "k", "due": "soon", "attempt": "", "about": about}
            await any_client.xadd(here.storage.keys.history_of_failures, fields)

    assert [(one.key, one.due, one.attempt, one.args) for one in await ended(here, FAILURES)] == [
        ("k", None, 1, {})
    ] * 2


@pytest.mark.parametrize(
    ("state", "reason", "ending"),
    [
        ("failed", "crashed", "failed"),
        ("cancelled", "cancelled", "cancelled"),
        ("cancelled", "struck", "struck"),
        ("cancelled", "expired", "expired"),
        ("cancelled", "cooldown (1s)", "dropped"),
    ],
)
async def test_what_was_cancelled_has_a_name_for_why(
    here: Docket, state: str, reason: str, ending: str
) -> None:
    async with here.redis() as client:
        any_client: Any = client
        await any_client.xadd(
            here.storage.keys.history_of_failures, {"state": state, "reason": reason}
        )

    ((one),) = await ended(here, FAILURES)

    assert one.ending == ending

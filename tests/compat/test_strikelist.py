"""Strikes: those of pydocket, alone and in a docket, and what operators need beyond them."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Disposition, Docket, Execution, ExecutionState, StrikeList, Worker
from docket.docket import Restore, Strike, StrikePreview
from docket.errors import ServerRefused, Undecodable
from docket.serialization import Serializer
from docket.storage.executions import NewExecution
from docket.storage.scripting.nonces import FRESH
from docket.storage.strikes import StoredRules
from docket.strikelist import CONDITION, Operator
from tests.compat.conftest import soon, until, working
from tests.fleet.process import ServerProcess

AN_HOUR = timedelta(hours=1)


async def pay(customer: str, amount: int = 10) -> str:
    return f"{customer} paid {amount}"


async def other(customer: str) -> None: ...


async def state_of(docket: Docket, key: str) -> ExecutionState:
    found = await docket.get_execution(key)
    assert found is not None
    return found.state


async def reason_of(docket: Docket, key: str) -> str | None:
    found = await docket.get_execution(key)
    assert found is not None
    return found.reason


# --- alone -------------------------------------------------------------------------------------


async def test_a_list_without_a_url_keeps_rules_in_this_process() -> None:
    strikes = StrikeList()
    strikes.update(Strike(None, "customer", Operator.EQUAL, "acme"))

    assert strikes.is_stricken({"customer": "acme"})
    assert not strikes.is_stricken({"customer": "Jane"})
    assert not strikes.is_stricken({"amount": "acme"})
    strikes.update(Restore(None, "customer", Operator.EQUAL, "acme"))
    assert not strikes.is_stricken({"customer": "acme"})
    assert (strikes.name, strikes.prefix, strikes.strike_key) == (
        "strikelist",
        "strikelist",
        "strikelist:strikes",
    )


async def test_an_instruction_can_not_be_sent_without_a_connection(url: str, name: str) -> None:
    instruction = Strike("pay", None, Operator.EQUAL, None)
    for strikes in (StrikeList(), StrikeList(url, name)):
        with pytest.raises(RuntimeError, match="not connected"):
            await strikes.send_instruction(instruction)
        with pytest.raises(RuntimeError, match="not connected"):
            await strikes.strike("pay")


async def test_a_list_that_stands_alone_follows_a_docket(
    url: str, name: str, docket: Docket
) -> None:
    await docket.strike(None, "customer", "==", "before")
    async with StrikeList(url, name) as strikes:
        await strikes.wait_for_strikes_loaded()
        assert strikes.strike_key == docket.strike_list.strike_key
        assert strikes.is_stricken({"customer": "before"})

        await docket.strike(None, "customer", "==", "after")

        async def is_followed() -> bool:
            return strikes.is_stricken({"customer": "after"})

        await until(is_followed)
        await docket.restore(None, "customer", "==", "after")

        async def is_restored() -> bool:
            return not strikes.is_stricken({"customer": "after"})

        await until(is_restored)
    assert strikes.is_stricken({"customer": "before"}), "the rules stay as they are"


async def test_a_docket_follows_a_list_that_stands_alone(
    url: str, name: str, docket: Docket
) -> None:
    async with StrikeList(url, name, True) as strikes:
        await strikes.send_instruction(Strike("pay", None, Operator.EQUAL, None))
        assert (await docket.add(pay)("Jane")).disposition is Disposition.STRUCK
        await strikes.send_instruction(Restore("pay", None, Operator.EQUAL, None))
        await strikes.strike(None, "customer", "==", "acme")

        async def is_followed() -> bool:
            return (await docket.add(other)("acme")).disposition is Disposition.STRUCK

        await until(is_followed)
        await strikes.restore(None, "customer", "==", "acme")


async def test_a_list_can_be_connected_and_closed_by_hand_more_than_once(
    url: str, name: str
) -> None:
    strikes = StrikeList(url, name)
    for _ in range(2):
        await strikes.connect()
        with pytest.raises(AssertionError, match="StrikeList is not reentrant"):
            await strikes.connect()
        await strikes.strike("pay")
        await strikes.close()
        await strikes.close()
    with pytest.raises(RuntimeError):
        await strikes.wait_for_strikes_loaded()


async def test_the_rules_are_shown_by_task_and_by_parameter(docket: Docket) -> None:
    await docket.strike(pay, "customer", "==", "acme")
    await docket.strike(pay, "amount", ">", 100)
    await docket.strike(None, "customer", "!=", "Jane")
    await docket.strike(other, "customer", "==", "acme")
    await docket.strike(other)
    strikes = docket.strike_list

    assert strikes.task_strikes == {
        "pay": {
            "customer": {(Operator.EQUAL, "acme")},
            "amount": {(Operator.GREATER_THAN, 100)},
        },
        "other": {},
    }
    assert strikes.parameter_strikes == {"customer": {(Operator.NOT_EQUAL, "Jane")}}


async def test_a_mapping_is_judged_by_the_rules_for_any_task_only(docket: Docket) -> None:
    await docket.strike(pay, "customer", "==", "acme")
    await docket.strike(None, "customer", "==", "evil")

    assert not docket.strike_list.is_stricken({"customer": "acme"})
    assert docket.strike_list.is_stricken({"customer": "evil"})


async def test_values_that_can_not_be_compared_are_logged_and_not_stricken(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    await docket.strike(None, "amount", ">", 5)

    with caplog.at_level(logging.WARNING):
        assert not docket.strike_list.is_stricken({"amount": "many"})
    assert "cannot compare" in caplog.text


async def test_a_condition_strikes_here_until_it_is_removed(docket: Docket) -> None:
    def is_acme(execution: Execution) -> bool:
        return execution.get_argument("customer") == "acme"

    docket.strike_list.add_condition(is_acme)
    execution = await docket.add(pay)("acme")
    assert execution.disposition is Disposition.STRUCK
    assert docket.strike_list.find(execution) is CONDITION
    docket.strike_list.remove_condition(is_acme)
    assert (await docket.add(pay)("acme")).disposition is Disposition.SCHEDULED


# --- beyond pydocket ---------------------------------------------------------------------------


async def test_a_strike_tells_why_who_since_when_and_until_when(
    url: str, name: str, docket: Docket
) -> None:
    before, ends = datetime.now(timezone.utc), soon(3600).replace(microsecond=0)
    await docket.strike(pay, reason="bank is down", author="ops@example.com", expires=ends)
    await docket.strike(None, "customer", "==", "acme", action="park", expires=AN_HOUR)

    async with Docket(name, url) as elsewhere:
        found = {rule.describe(): rule for rule in await elsewhere.strikes()}
        whole, partial = found["pay()"], found["*(customer == 'acme')"]

    assert (whole.describe(), whole.reason, whole.author) == (
        "pay()",
        "bank is down",
        "ops@example.com",
    )
    assert (whole.action, whole.expires) == ("drop", ends)
    assert whole.since is not None
    assert abs(whole.since - before) < timedelta(minutes=1)
    assert (partial.describe(), partial.action) == ("*(customer == 'acme')", "park")
    assert partial.since is not None
    assert partial.expires == partial.since + AN_HOUR


async def test_a_strike_that_strikes_the_same_takes_the_place_of_the_one_before(
    docket: Docket,
) -> None:
    await docket.strike(pay, reason="first")
    await docket.strike(pay, reason="second", action="park")

    (rule,) = await docket.strikes()

    assert (rule.reason, rule.action) == ("second", "park")


async def test_an_unknown_action_and_a_naive_end_are_refused(docket: Docket) -> None:
    with pytest.raises(ValueError, match='expected the action "drop", "park" or "delay"'):
        await docket.strike(pay, action="hide")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected an aware datetime"):
        await docket.strike(pay, expires=datetime(2030, 1, 1))
    with pytest.raises(ValueError, match="'=' is not a valid Operator; expected one of ==, !=, >"):
        await docket.strike(pay, "customer", "=", "Jane")  # type: ignore[arg-type]


@pytest.mark.parametrize("by", ["task", "argument"])
async def test_a_strike_is_over_by_itself_and_then_removed(docket: Docket, by: str) -> None:
    about: tuple[Any, ...] = ("pay",) if by == "task" else ("pay", "customer", "==", "Jane")
    await docket.strike(*about, expires=AN_HOUR)
    assert (await docket.add(pay)("Jane")).disposition is Disposition.STRUCK
    await docket.strike(*about, expires=timedelta(milliseconds=150))

    async def is_over() -> bool:
        return (await docket.add(pay)("Jane")).disposition is Disposition.SCHEDULED

    await until(is_over)

    async def is_removed() -> bool:
        return not (await docket.storage.strikes.read()).rules

    await until(is_removed)
    assert await docket.strikes() == []


async def test_one_of_all_who_follow_removes_what_is_over(docket: Docket) -> None:
    await docket.strike(pay, expires=timedelta(milliseconds=1))

    async def is_removed() -> bool:
        return not (await docket.storage.strikes.read()).rules

    await until(is_removed)
    version = await docket.storage.strikes.version()
    await docket.strike_list._expire()

    assert await docket.storage.strikes.version() == version


async def test_what_was_read_before_a_change_of_ones_own_does_not_undo_it(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = docket.storage.strikes.read

    async def overtaken() -> StoredRules:
        stored = await read()
        monkeypatch.setattr(docket.storage.strikes, "read", read)
        await docket.strike(pay)
        return stored

    await docket.strike("other")
    monkeypatch.setattr(docket.storage.strikes, "read", overtaken)
    await docket.strike_list.refresh()

    assert (await docket.add(pay)("Jane")).disposition is Disposition.STRUCK


async def test_who_changes_the_rules_hears_of_what_others_have_changed_whose_news_was_lost(
    docket: Docket,
) -> None:
    data = docket.serializer.dump_result(("other", [], "", "call", "", None))
    async with docket.redis() as raw:
        client: Any = raw
        await client.hset(docket.key("strikes"), "task:other", b"drop 0 500\n" + data)
        await client.hset(docket.key("strikes"), "version", "another")

    await docket.strike(pay)

    assert {rule.task for rule in docket.strike_list.rules.values()} == {"pay", "other"}


async def test_rules_that_have_fallen_back_are_read_again(docket: Docket) -> None:
    await docket.strike("other")
    async with docket.redis() as raw:
        client: Any = raw
        before = await client.hgetall(docket.key("strikes"))
        await docket.strike(pay)
        # A failover has lost the strike, of which this client knows.
        await client.delete(docket.key("strikes"))
        await client.hset(docket.key("strikes"), mapping=before)

    await docket.strike_list.catch_up()

    assert (await docket.add(pay)("Jane")).disposition is Disposition.SCHEDULED
    assert [rule.task for rule in await docket.strikes()] == ["other"]


async def test_a_strike_whose_end_is_past_has_no_effect_though_it_is_still_stored(
    url: str, name: str, docket: Docket
) -> None:
    data = docket.serializer.dump_result(("pay", [], "", "call", "", None))
    async with docket.redis() as raw:
        client: Any = raw
        await client.hset(docket.key("strikes"), "task:pay", b"drop 1000 500\n" + data)
        await client.hset(docket.key("strikes"), "version", "another")

    assert (await docket.add(pay)("Jane")).disposition is Disposition.SCHEDULED
    async with Docket(name, url) as fresh:
        assert await fresh.strikes() == []
        assert (await fresh.storage.strikes.read()).rules == {}


@pytest.mark.parametrize("by", ["task", "argument"])
@pytest.mark.parametrize("when", [None, 0.3], ids=["queued", "scheduled"])
async def test_what_is_added_under_a_strike_that_parks_is_kept_and_runs_after_it(
    docket: Docket, worker: Worker, by: str, when: float | None
) -> None:
    about: tuple[Any, ...] = ("pay",) if by == "task" else (None, "customer", "==", "Jane")
    await docket.strike(*about, action="park")
    due = None if when is None else soon(when)

    execution = await docket.add(pay, due, "key")("Jane")

    assert execution.disposition is Disposition.STRUCK
    assert execution.state is ExecutionState.PARKED
    assert await reason_of(docket, "key") == "struck"
    assert (await docket.add(pay, key="key")("Jane")).disposition is Disposition.ALREADY_SCHEDULED
    waiting = asyncio.create_task(execution.get_result())
    await docket.restore(*about)
    assert await state_of(docket, "key") in (ExecutionState.QUEUED, ExecutionState.SCHEDULED)
    assert await reason_of(docket, "key") is None
    await worker.run_until_finished()
    assert await asyncio.wait_for(waiting, 60) == "Jane paid 10"


@pytest.mark.parametrize("by", ["task", "argument"])
async def test_what_a_strike_delays_is_put_off_until_it_is_over_its_attempt_unspent(
    docket: Docket, worker: Worker, by: str
) -> None:
    about: tuple[Any, ...] = ("pay",) if by == "task" else (None, "customer", "==", "Jane")
    await docket.strike(*about, action="delay", delay=timedelta(milliseconds=200))
    execution = await docket.add(pay, key="key")("Jane")
    running = asyncio.create_task(worker.run_until_finished())

    assert execution.disposition is Disposition.SCHEDULED
    async for event in execution.subscribe():
        if event["type"] == "state" and event["state"] is ExecutionState.SCHEDULED:
            break
    await docket.restore(*about)
    await running

    assert await execution.get_result() == "Jane paid 10"
    await execution.sync()
    assert execution.attempt == 1


async def test_a_delay_belongs_to_a_strike_that_delays(docket: Docket) -> None:
    with pytest.raises(ValueError, match='expected a delay with the action "delay"'):
        await docket.strike(pay, action="delay")
    with pytest.raises(ValueError, match='expected a delay with the action "delay"'):
        await docket.strike(pay, delay=AN_HOUR)
    await docket.strike(pay, action="delay", delay=AN_HOUR)

    (rule,) = await docket.strikes()
    assert (rule.action, rule.delay) == ("delay", AN_HOUR)


async def test_an_add_that_is_parked_answers_the_same_when_it_is_sent_twice(
    docket: Docket,
) -> None:
    await docket.strike(pay, action="park")
    call = docket.serializer.dump_call(("Jane",), {})
    new = NewExecution("key", FRESH, 0, "pay", call)

    answers = [(await docket.storage.executions.schedule([new]))[0] for _ in range(2)]

    assert {one.disposition for one in answers} == {Disposition.STRUCK}
    assert {one.generation for one in answers} == {1}


@pytest.mark.parametrize("by", ["task", "argument"])
async def test_what_waits_when_a_strike_that_parks_comes_is_kept_and_runs_after_it(
    docket: Docket, worker: Worker, by: str
) -> None:
    about: tuple[Any, ...] = ("pay",) if by == "task" else (None, "customer", "==", "Jane")
    execution = await docket.add(pay, key="key")("Jane")
    free = await docket.add(other)("Jack")
    await docket.strike(*about, action="park")
    await worker.run_until_finished()

    assert await state_of(docket, free.key) is ExecutionState.COMPLETED
    assert await state_of(docket, "key") is ExecutionState.PARKED
    assert await reason_of(docket, "key") == "struck"
    assert (await docket.snapshot()).total_tasks == 0
    await docket.restore(*about)
    await worker.run_until_finished()

    assert await execution.get_result() == "Jane paid 10"
    assert execution.attempt == 1


async def test_what_a_strike_has_parked_comes_back_when_it_is_over_by_itself(
    docket: Docket, worker: Worker
) -> None:
    await docket.strike(pay, action="park", expires=AN_HOUR)
    execution = await docket.add(pay)("Jane")
    assert execution.state is ExecutionState.PARKED
    await docket.strike(pay, action="park", expires=timedelta(milliseconds=200))

    async with working(worker):
        assert await execution.get_result(timeout=timedelta(seconds=60)) == "Jane paid 10"


async def test_restoring_one_strike_leaves_what_another_has_parked(
    docket: Docket, worker: Worker
) -> None:
    await docket.strike(pay, action="park")
    await docket.strike(other, action="park")
    mine, yours = await docket.add(pay)("Jane"), await docket.add(other)("Jane")

    await docket.restore(pay)
    await worker.run_until_finished()

    assert await state_of(docket, mine.key) is ExecutionState.COMPLETED
    assert await state_of(docket, yours.key) is ExecutionState.PARKED


async def test_a_strike_that_drops_goes_before_one_that_parks(docket: Docket) -> None:
    await docket.strike(pay, action="park")
    await docket.strike(None, "customer", "==", "acme")

    assert (await docket.add(pay)("acme")).state is not ExecutionState.PARKED
    assert (await docket.add(pay)("Jane")).state is ExecutionState.PARKED


async def test_many_are_parked_and_released(docket: Docket, worker: Worker) -> None:
    await docket.strike(pay, "amount", ">=", 250, action="park")
    executions = await docket.add_many(docket.call(pay)("Jane", number) for number in range(750))
    assert sum(one.disposition is Disposition.STRUCK for one in executions) == 500

    await docket.restore(pay, "amount", ">=", 250)
    worker.concurrency = 100
    await worker.run_until_finished()

    assert worker.tally.counts["docket_tasks_completed", "pay"] == 750


async def test_what_is_parked_can_be_cancelled_and_replaced(docket: Docket, worker: Worker) -> None:
    await docket.strike(pay, action="park")
    await docket.add(pay, key="cancelled")("Jane")
    await docket.add(pay, key="replaced")("Jane")
    await docket.cancel("cancelled")
    again = await docket.replace(other, soon(-1), "replaced")("Jane")
    await docket.restore(pay)
    await worker.run_until_finished()

    assert await state_of(docket, "cancelled") is ExecutionState.CANCELLED
    assert again.disposition is Disposition.SCHEDULED
    assert worker.tally.counts["docket_tasks_started", "pay"] == 0


async def test_what_is_parked_after_its_strike_was_restored_is_queued_again_at_once(
    docket: Docket, worker: Worker
) -> None:
    await docket.strike(pay, "customer", "==", "Jane", action="park")
    (rule,) = await docket.strikes()
    await docket.restore(pay, "customer", "==", "Jane")
    execution = await docket.add(pay)("Jane")
    # A worker, and a client, that have not heard of it yet.
    docket.strike_list._local[rule.identity] = rule
    late = await docket.add(pay)("Jane")
    assert late.disposition is Disposition.SCHEDULED
    async with working(worker):
        await until(lambda: _has_moved_on(docket, execution.key))
        del docket.strike_list._local[rule.identity]
        assert await execution.get_result(timeout=timedelta(seconds=60)) == "Jane paid 10"


async def _has_moved_on(docket: Docket, key: str) -> bool:
    found = await docket.get_execution(key)
    return found is not None and found.generation > 1


async def test_a_worker_frees_what_somebody_who_died_has_left_parked(
    docket: Docket, worker: Worker
) -> None:
    await docket.strike(pay, action="park")
    execution = await docket.add(pay)("Jane")
    # The one who restores it dies before what was parked is put back.
    await docket.storage.strikes.change("restore", "task:pay")

    async with working(worker):
        assert await execution.get_result(timeout=timedelta(seconds=60)) == "Jane paid 10"


async def test_a_preview_counts_what_a_strike_would_hit_now(docket: Docket, worker: Worker) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def work(customer: str) -> None:
        running.set()
        await go_on.wait()

    worker.concurrency = 1
    await docket.add(work)("acme")
    async with working(worker):
        await running.wait()
        await docket.add_many(docket.call(pay)("acme") for _ in range(3))
        await docket.add_many(docket.call(pay, soon())("acme", 500) for _ in range(2))
        await docket.add(pay)("Jane")

        previews = [
            await docket.strike_preview(None, "customer", "==", "acme"),
            await docket.strike_preview(pay, "customer", "==", "acme"),
            await docket.strike_preview("pay"),
            await docket.strike_preview("pay", "amount", ">", 100),
            await docket.strike_preview("nobody"),
        ]
        await docket.clear()
        go_on.set()

    assert previews == [
        StrikePreview(scheduled=2, queued=3, running=1, unreadable=0),
        StrikePreview(scheduled=2, queued=3, running=0, unreadable=0),
        StrikePreview(scheduled=2, queued=4, running=0, unreadable=0),
        StrikePreview(scheduled=2, queued=0, running=0, unreadable=0),
        StrikePreview(scheduled=0, queued=0, running=0, unreadable=0),
    ]


async def test_a_preview_says_how_many_it_can_not_read(url: str, name: str, docket: Docket) -> None:
    await docket.add(pay)("acme")
    async with Docket(name, url, signing_keys={"key": b"secret"}) as elsewhere:
        unknown = await elsewhere.strike_preview("pay", "customer", "==", "acme")
        elsewhere.register(pay)
        unreadable = await elsewhere.strike_preview("pay", "customer", "==", "acme")
        whole = await elsewhere.strike_preview("pay")

    assert unknown == unreadable == StrikePreview(0, 0, 0, 1)
    assert whole == StrikePreview(0, 1, 0, 0)


async def test_a_rule_of_another_shape_does_not_apply_and_says_so(
    url: str, name: str, docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    data = docket.serializer.dump_result(("pay", "of the future"))
    async with docket.redis() as raw:
        client: Any = raw
        await client.hset(docket.key("strikes"), "task:x", b"drop 0 500\n" + data)
        await client.hset(docket.key("strikes"), "version", "another")
    async with Docket(name, url) as fresh:
        assert await fresh.strikes() == []
    assert "The strike task:x cannot be read and does not apply" in caplog.text


async def test_a_rule_of_another_key_does_not_apply_and_says_so(
    url: str, name: str, docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    await docket.strike(None, "customer", "==", "acme")
    async with StrikeList(url, name) as strikes:
        assert strikes.is_stricken({"customer": "acme"})
    async with Docket(name, url, signing_keys={"key": b"secret"}) as signed:
        assert not signed.strike_list.is_stricken({"customer": "acme"})
    assert "cannot be read and does not apply" in caplog.text
    assert issubclass(Undecodable, Exception)


@pytest.mark.parametrize(
    ("task", "conditions"),
    [
        (None, [("customer", "==", "acme")]),
        ("pay", [("customer", "==", "acme")]),
        (None, []),
        ("refund", []),
    ],
    ids=["an argument", "an argument of the task", "everything", "another task"],
)
async def test_what_is_filed_as_the_strike_of_a_task_strikes_no_more_than_that(
    url: str, name: str, caplog: pytest.LogCaptureFixture, task: str | None, conditions: list[Any]
) -> None:
    unsigned = Serializer(codecs=("safe",)).dump_result((task, conditions, "", "call", "", None))
    async with Docket(name, url, signing_keys={"key": b"secret"}) as docket:
        async with docket.redis() as raw:
            client: Any = raw
            await client.hset(docket.key("strikes"), "task:pay", b"drop 0 500\n" + unsigned)
            await client.hset(docket.key("strikes"), "version", "another")
        await docket.strike_list.refresh()
        assert await docket.strikes() == []
    assert "The strike task:pay cannot be read and does not apply" in caplog.text


async def test_a_list_that_can_not_reach_its_server_strikes_nothing_and_waits(name: str) -> None:
    strikes = StrikeList("redis://127.0.0.1:1/0", name)
    async with strikes:
        assert not strikes.is_stricken({"customer": "acme"})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(strikes.wait_for_strikes_loaded(), 0.05)


async def test_a_list_that_its_server_does_not_let_in_leaves_nothing_open(
    own_server: ServerProcess, name: str
) -> None:
    strikes = StrikeList(own_server.url.replace("://", "://nobody:wrong@"), name)
    with pytest.raises(ServerRefused):
        await strikes.connect()
    await strikes.close()

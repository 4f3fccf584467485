"""A run that is ended from outside has an outcome, whenever that happens."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timezone

import pytest
from typing_extensions import Self

from docket import ConcurrencyLimit, Docket, Execution, ExecutionState, Worker
from docket.dependencies import FailureHandler, TaskOutcome
from docket.instrumentation.events import Observer
from docket.storage.claims import SLICE_BYTES, Claimed, Consumer
from docket.worker.runs.recording import RecordingTask
from docket.worker.runs.slots import End, Run, Running

ran: list[int] = []


async def note() -> None:
    ran.append(1)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    ran.clear()
    async with Docket(uuid.uuid4().hex, "memory://ending") as docket:
        docket.register(note)
        yield docket


async def claimed_of(docket: Docket, consumer: str = "one") -> Claimed:
    claimant = Consumer("one", consumer, ("default",), 60_000, 60_000, 60_000)
    exchange = docket.storage.exchange(claimant)
    _, catch = await exchange.trade([], 1)
    assert catch is not None
    (claimed,) = catch.claimed
    return claimed


@pytest.mark.parametrize("end", [End.CANCELLED, End.INTERRUPTED])
async def test_a_run_that_is_ended_before_its_first_step_is_settled(
    docket: Docket, end: End
) -> None:
    execution = await docket.add(note)()

    async with Worker(docket) as worker:
        worker._begin(await claimed_of(docket, worker.consumer))
        (run,) = worker._running.find(execution.key)
        run.stop(end)
        await worker._running.until_empty()
        await worker.run_until_finished()

    await execution.sync()
    if end is End.CANCELLED:
        assert (execution.state, ran) == (ExecutionState.CANCELLED, [])
    else:
        assert (execution.state, ran) == (ExecutionState.COMPLETED, [1])


async def test_a_run_that_is_ended_while_it_is_made_ready_is_settled(docket: Docket) -> None:
    async def instead() -> None:
        ran.append(2)

    execution = await docket.add(note, key="note")()
    del docket.tasks["note"]
    # Whether it is an automatic task of a newer worker has to be asked for.
    async with Worker(docket, fallback_task=instead) as worker:
        claimed = await claimed_of(docket, worker.consumer)
        asked = docket.task_workers

        async def stop_and_ask(task: str) -> object:
            (run,) = worker._running.find("note")
            run.stop(End.CANCELLED)
            return await asked(task)

        docket.task_workers = stop_and_ask  # type: ignore[method-assign,assignment]
        worker._begin(claimed)
        await worker._running.until_empty()
        await worker.run_until_finished()

    await execution.sync()
    assert (execution.state, ran) == (ExecutionState.CANCELLED, [])


async def test_a_run_that_is_thrown_away_with_its_event_loop_does_not_linger(
    docket: Docket,
) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    docket.register(wait)
    await docket.add(wait)()
    claimed = await claimed_of(docket)

    async with Worker(docket) as worker:
        running = worker._executor.outcome(Run(claimed), 0)
        running.send(None)
        running.close()

    assert inspect.getcoroutinestate(running) == inspect.CORO_CLOSED


async def test_a_run_whose_message_was_claimed_again_leaves_the_later_one_alone(
    docket: Docket,
) -> None:
    await docket.add(note)()
    claimed = await claimed_of(docket)
    running = Running(2)
    earlier = running.add(claimed)
    later = running.add(claimed._replace(fence=claimed.fence + 1))

    running.remove(earlier)
    assert running.held() == [later]

    running.remove(later)
    assert running.held() == []


async def test_a_run_that_is_ending_already_does_not_lose_its_lease_as_well(docket: Docket) -> None:
    lost: list[str] = []

    class Losses(Observer):
        def lost(self, task: str, key: str) -> None:
            lost.append(key)

    await docket.add(note)()
    claimed = await claimed_of(docket)
    async with Worker(docket, observers=[Losses()]) as worker:
        run = Run(claimed)
        run.begin(RecordingTask(asyncio.sleep(0), name="ending"))
        run.stop(End.CANCELLED)
        run.stop(End.INTERRUPTED)
        worker._leases._lose(run)

    assert (run.end, lost) == (End.CANCELLED, [])


async def test_a_run_whose_call_another_acceptance_has_replaced_before_it_was_read_does_not_run(
    docket: Docket,
) -> None:
    await docket.add(note, key="note")()
    async with Worker(docket) as worker:
        claimed = await claimed_of(docket, worker.consumer)
        execution = await docket.replace(note, datetime.now(timezone.utc), "note")()
        # Its call was too large to come along.
        worker._begin(claimed._replace(call=b"", size=SLICE_BYTES))
        await worker._running.until_empty()
        assert ran == []
        await worker.run_until_finished()

    await execution.sync()
    assert (execution.state, ran) == (ExecutionState.COMPLETED, [1])


async def test_a_handler_that_raises_what_it_was_to_handle_has_handled_nothing(
    docket: Docket,
) -> None:
    class Passes(FailureHandler["Passes"]):
        async def __aenter__(self) -> Self:
            return self

        async def handle_failure(self, execution: Execution, outcome: TaskOutcome) -> bool:
            assert outcome.exception is not None
            raise outcome.exception

    async def fails(handler: Passes = Passes()) -> None:
        raise ValueError("no")

    docket.register(fails)
    execution = await docket.add(fails)()
    async with Worker(docket) as worker:
        await worker.run_until_finished()

    with pytest.raises(ValueError, match="no") as caught:
        await execution.get_result()
    assert caught.value.__context__ is not caught.value


class Leaves:
    """What ends a program when it is compared."""

    def __eq__(self, other: object) -> bool:
        raise SystemExit("no")

    __hash__ = object.__hash__


async def test_a_run_whose_arguments_raise_what_ends_programs_has_failed(docket: Docket) -> None:
    async def take(what: object) -> None: ...

    docket.register(take)
    execution = await docket.add(take)(Leaves())
    await docket.strike("take", "what", "==", 7)
    async with Worker(docket) as worker:
        await worker.run_until_finished()

    await execution.sync()
    assert execution.state is ExecutionState.FAILED


async def test_a_run_that_was_replaced_before_it_asked_at_its_gates_does_not_run(
    docket: Docket,
) -> None:
    async def one_by_one(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        ran.append(3)

    docket.register(one_by_one)
    await docket.add(one_by_one, key="key")()
    async with Worker(docket) as worker:
        claimed = await claimed_of(docket, worker.consumer)
        await docket.replace(one_by_one, datetime.now(timezone.utc), "key")()
        worker._begin(claimed)
        await worker._running.until_empty()
        assert ran == []
        await worker.run_until_finished()

    assert ran == [3]

"""Background loops."""

from __future__ import annotations

import asyncio

import pytest

from docket.service import Service, Services, end


class Steady(Service):
    def __init__(self, said: list[str], name: str) -> None:
        self.said = said
        self.name = name

    async def run(self) -> None:
        self.said.append(f"{self.name} runs")
        try:
            await asyncio.Event().wait()
        finally:
            self.said.append(f"{self.name} ends")


class Failing(Service):
    async def run(self) -> None:
        raise RuntimeError("it can not go on")


async def test_services_start_in_order_and_stop_in_reverse() -> None:
    said: list[str] = []
    async with Services(Steady(said, "first"), Steady(said, "second")).running() as failure:
        await asyncio.sleep(0)
        assert not failure.done()

    assert said == ["first runs", "second runs", "second ends", "first ends"]


async def test_a_service_that_fails_is_told_of() -> None:
    said: list[str] = []
    async with Services(Steady(said, "first"), Failing()).running() as failure:
        await asyncio.wait({failure})
        with pytest.raises(RuntimeError, match="it can not go on"):
            failure.result()

    assert said == ["first runs", "first ends"]


class Brief(Service):
    async def run(self) -> None:
        return


async def test_services_that_come_to_their_end_are_no_failure() -> None:
    async with Services(Brief(), Brief()).running() as failure:
        await asyncio.wait({failure})
        assert failure.exception() is None


async def test_stopping_twice_or_before_the_start_is_no_error() -> None:
    service = Steady([], "any")
    await service.stop()
    await service.start()
    await service.stop()
    await service.stop()


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)

    assert swallowed == 2
    assert task.cancelled()

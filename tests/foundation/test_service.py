"""Background loops."""

from __future__ import annotations

import asyncio
import re
import sys
import time

import pytest

from docket.errors import ServerRefused
from docket.foundation import service
from docket.foundation.service import Service, Services, end


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
    """Fails so many times, then runs."""

    silence = 0.05

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.runs = asyncio.Event()

    async def run(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.runs.set()
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses and calm that a test can wait for."""
    monkeypatch.setattr(service, "PAUSES", (0.0, 0.01))
    monkeypatch.setattr(service, "CALM", 0.5)


async def test_services_start_in_order_and_stop_in_reverse() -> None:
    said: list[str] = []
    async with Services(Steady(said, "first"), Steady(said, "second")).running() as failure:
        await asyncio.sleep(0)
        assert not failure.done()

    assert said == ["first runs", "second runs", "second ends", "first ends"]


async def test_a_service_that_fails_is_told_of_once_and_begins_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "docket.service")
    failing = Failing(*(RuntimeError(f"port {number} is odd") for number in range(3)))
    services = Services(Steady([], "first"), failing)
    async with services.running() as failure:
        await failing.runs.wait()
        assert services.failures() == {"steady": 0, "failing": 3}
        assert services.troubles() == {"failing": "RuntimeError: port 2 is odd"}
        assert not failure.done()
        while failing.trouble:
            await asyncio.sleep(0.01)
        assert services.troubles() == {}

    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "failing failed with an unexpected error; it begins again",
        "failing works again",
    ]
    assert caplog.records[0].exc_info is not None


async def test_an_event_loop_that_stands_still_in_a_pause_does_not_end_a_trouble(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "PAUSES", (0.05,))
    monkeypatch.setattr(service, "CALM", 0.05)
    caplog.set_level("INFO", "docket.service")
    failing = Failing(RuntimeError("odd"), RuntimeError("odd"))
    async with Services(failing).running():
        while failing.failures < 1:
            await asyncio.sleep(0)
        time.sleep(0.2)
        while failing.failures < 2:
            await asyncio.sleep(0)
        assert "works again" not in caplog.text


async def test_an_error_of_ours_that_all_services_meet_is_told_once_and_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = (Failing(ServerRefused("the server refuses: NOAUTH")) for _ in range(2))
    async with Services(first, second).running():
        await first.runs.wait()
        await second.runs.wait()

    (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert record.getMessage() == (
        "failing: the server refuses: NOAUTH; it is tried again until it works"
    )
    assert not record.exc_info


async def test_what_is_no_error_ends_a_service_for_good() -> None:
    said: list[str] = []
    failing = Failing(Ended())
    services = Services(Steady(said, "first"), failing)
    async with services.running() as failure:
        await asyncio.wait({failure})
        with pytest.raises(Ended):
            failure.result()
        assert services.stuck() == ["failing has ended"]

    assert said == ["first runs", "first ends"]


class Ended(BaseException):
    """Is no error."""


async def test_a_cancellation_that_nobody_has_asked_for_is_a_failure() -> None:
    failing = Failing(asyncio.CancelledError())
    async with Services(failing).running() as failure:
        done, _ = await asyncio.wait(
            {asyncio.create_task(failing.runs.wait()), failure}, return_when="FIRST_COMPLETED"
        )
        # Before 3.11 nobody can tell who has cancelled.
        assert (failure in done) is (sys.version_info < (3, 11))


async def test_a_service_that_does_not_turn_is_stuck() -> None:
    failing = Failing()
    services = Services(failing)
    assert services.stuck() == []
    async with services.running():
        await failing.runs.wait()
        while not (stuck := services.stuck()):
            await asyncio.sleep(0.01)
        (told,) = stuck
        assert re.fullmatch(r"failing has not turned for \d+ s", told)
        failing.turn()
        assert services.stuck() == []


class Brief(Service):
    async def run(self) -> None:
        return


async def test_services_that_come_to_their_end_are_no_failure() -> None:
    async with Services(Brief(), Brief()).running() as failure:
        await asyncio.wait({failure})
        assert failure.exception() is None


async def test_stopping_twice_or_before_the_start_is_no_error() -> None:
    steady = Steady([], "any")
    await steady.stop()
    await steady.start()
    await steady.stop()
    await steady.stop()


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

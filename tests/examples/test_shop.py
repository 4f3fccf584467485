"""The shop, and the configuration at the top that runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from docket import Docket, Worker
from docket.calls.registry import load as find
from docket.config.load import load
from examples.shop import CarrierUnavailable, UnknownParcel, build_report, send_email, track_parcel

ROOT = Path(__file__).parent.parent.parent


def test_the_configuration_at_the_top_is_valid_without_a_warning() -> None:
    loaded = load(ROOT / "docket.toml", {})

    assert loaded.warnings == ()
    assert set(loaded.configuration.tasks) == {"send_email", "track_parcel", "build_report"}


def test_every_function_that_it_names_is_there() -> None:
    configuration = load(ROOT / "docket.toml", {}).configuration

    for task in configuration.tasks.values():
        assert task.function is not None
        assert callable(find(task.function))
        for error in task.retry.never_on:
            assert issubclass(find(error), Exception)


async def test_the_tasks_of_the_shop_do_what_they_say() -> None:
    async with Docket("shop-tasks", "memory://shop") as docket, Worker(docket) as worker:
        mail = await docket.add(send_email)("Jane", template="welcome")
        report = await docket.add(build_report)("nightly")
        await worker.run_until_finished()

        assert await mail.get_result() == "welcome for Jane"
        assert await report.get_result() == {"kind": 7, "total": 4999950000}


async def test_a_carrier_is_away_now_and_then_and_a_parcel_may_not_exist() -> None:
    seen: set[str] = set()
    while len(seen) < 2:
        try:
            seen.add(await track_parcel("DK-1"))
        except CarrierUnavailable as error:
            seen.add(str(error))
    with pytest.raises(UnknownParcel):
        await track_parcel("")

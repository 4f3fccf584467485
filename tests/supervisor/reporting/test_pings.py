"""Pings tell how long each pool takes from an add to an outcome, and are never a reason to be unhealthy."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from docket import Docket, Worker
from docket.assembly import client_for
from docket.config.load import load
from docket.supervisor.conditions import Conditions
from docket.supervisor.processes.pool import Pool
from docket.supervisor.reporting import pings as module
from docket.supervisor.reporting.pings import Pings
from tests.conformance.conftest import working

from ..inside import until
from .test_health import pool

__all__ = ["pool"]

TEXT = """
name = "NAME"

[supervisor.ping]
every = "1h"
timeout = "1m"

[workers.default]

[workers.bulk]
queues = ["bulk", "default"]
"""


async def test_the_leader_pings_each_pool_and_says_which_are_late(
    tmp_path: Path, pool: Pool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    caplog.set_level("INFO", "docket.supervisor")
    file, url, leads = tmp_path / "docket.toml", "memory://pings", [True]
    file.write_text(TEXT.replace("NAME", uuid.uuid4().hex))
    configuration = load(file, {}).configuration
    conditions = Conditions()
    pings = Pings(
        lambda: configuration,
        lambda: client_for(configuration, file, url),
        lambda: leads[0],
        {"default": pool, "bulk": pool, "gone": pool},
        conditions,
    )
    async with Docket(configuration.name, url, config=False) as docket, Worker(docket) as worker:
        await docket.operations.pause_queues("bulk", author="ann")
        async with working(worker):
            await pings.start()
            await until(lambda: bool(pings.last), "a ping")
        assert [*pings.last] == ["default"]  # a paused queue is left out
        assert 0 < pings.last["default"].seconds < 60
        assert not conditions["PingLate"].status

        await docket.operations.resume_queues("bulk")
        await pings.ping(timedelta(milliseconds=50))
        assert [one.seconds for one in pings.last.values()] == [0.05, 0.05]
        assert conditions["PingLate"].message.startswith(
            "pool default: a ping of queue default has not completed within 50ms. No worker "
        )
        assert "What to do: start one" in conditions["PingLate"].message
        assert (await docket.snapshot()).total_tasks == 0
        await docket.operations.pause_queues("*", author="ann")
        await pings.ping(timedelta(milliseconds=50))
        assert (pings.last, conditions["PingLate"].status) == ({}, False)

        leads[0] = False
        await until(lambda: pings._next == 0.0, "a look")
        await pings.stop()
    told = [record.getMessage() for record in caplog.records]
    assert sum("does not come through" in line for line in told) == 1
    assert "Pings are in time again, or no longer sent" in told

"""The process of a pool that runs suspects comes when there are some, and goes when nothing is to be done."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from docket.supervisor.processes.pool import Desired
from docket.supervisor.processes.process import WorkerProcess
from docket.supervisor.processes.quarantine import Quarantine
from tests.pids import is_alive
from tests.supervisor.processes.pooled import Buried, running, until

pytestmark = pytest.mark.fleet


class Kept:
    """A quarantine, and what its pool shall be."""

    def __init__(self, desired: Desired, bury: Buried) -> None:
        self.desired = desired
        self.quarantine = Quarantine("default", lambda: self.desired, bury)

    async def process(self) -> WorkerProcess:
        """The process, as soon as there is one."""
        self.quarantine.ask_for()
        await until(lambda: self.quarantine.process is not None, 60)
        process = self.quarantine.process
        assert process is not None
        return process

    async def until_idle(self) -> None:
        """Wait until nobody keeps a process."""
        keeping = self.quarantine._keeping
        assert keeping is not None
        await asyncio.wait_for(asyncio.wait({keeping}), 60)


@pytest.fixture
async def kept(desired: Desired, buried: Buried) -> AsyncIterator[Kept]:
    kept = Kept(desired, buried)
    yield kept
    await kept.quarantine.stop(0)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Says after how many idle seconds the process goes."""
    return lambda seconds: monkeypatch.setattr(
        "docket.supervisor.processes.quarantine.IDLE", seconds
    )


async def test_a_process_that_has_nothing_to_do_goes_and_comes_again(
    kept: Kept, buried: Buried, idle: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    idle(0.3)
    first = await kept.process()
    kept.quarantine.ask_for()  # it is there already

    await kept.until_idle()

    assert buried == [first.pid]
    assert first.exit_code == 0
    assert "ended with" not in caplog.text
    second = await kept.process()
    assert second.pid != first.pid


async def test_a_process_that_was_killed_by_a_suspect_is_replaced(
    kept: Kept, buried: Buried, caplog: pytest.LogCaptureFixture
) -> None:
    first = await kept.process()

    os.kill(first.pid, signal.SIGKILL)

    await until(lambda: kept.quarantine.process not in (None, first), 60)
    assert buried == [first.pid]
    assert f"process {first.pid}, which ran suspects, ended with SIGKILL" in caplog.text


async def test_the_death_of_a_process_is_told_with_its_last_words_which_are_passed_on(
    kept: Kept, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.supervisor.processes.process._LAST_WORDS", 60)
    process = await kept.process()

    os.kill(process.pid, signal.SIGSEGV)

    await asyncio.wait_for(process.until_exited(), 60)
    ended, _, words = process.death.partition(", and these words:\n")
    assert ended == "SIGSEGV"
    assert "Fatal Python error: Segmentation fault" in words
    assert words in capfd.readouterr().err


async def test_a_process_that_works_is_not_idle(kept: Kept, idle: Callable[[float], None]) -> None:
    process = WorkerProcess("default", kept.desired.directory, {})
    process.status = {"in_flight": 1}
    idle(0.2)

    done = asyncio.create_task(kept.quarantine._is_done(process, kept.desired))
    await asyncio.sleep(1)  # longer than it may be idle
    busy = not done.done()
    process.status = {}

    assert await asyncio.wait_for(done, 60)
    assert busy


async def test_a_process_is_what_the_pool_shall_be_now(kept: Kept, buried: Buried) -> None:
    first = await kept.process()

    kept.desired = replace(kept.desired, revision=2)

    await until(lambda: kept.quarantine.process not in (None, first), 60)
    assert buried == [first.pid]
    assert kept.quarantine.process is not None
    assert kept.quarantine.process.revision == 2


@pytest.mark.parametrize("trouble", ["no directory", "no code"])
async def test_it_is_tried_again_until_there_is_a_process(
    kept: Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    good = kept.desired
    kept.desired = (
        replace(good, directory=str(tmp_path / "away"))
        if trouble == "no directory"
        else running("work:nothing", good)
    )
    kept.quarantine.ask_for()
    await until(lambda: "no process for suspects" in caplog.text, 60)

    kept.desired = good

    assert (await kept.process()).revision == 1


async def test_who_stops_while_a_process_starts_leaves_none_behind(
    kept: Kept, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[WorkerProcess] = []
    configure = WorkerProcess.configure

    async def noted(process: WorkerProcess, *what: object) -> None:
        made.append(process)
        await configure(process, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerProcess, "configure", noted)
    kept.quarantine.ask_for()
    await until(lambda: bool(made), 60)

    await kept.quarantine.stop(60)

    assert not is_alive(made[0].pid)
    kept.quarantine.ask_for()
    await asyncio.sleep(0)
    assert kept.quarantine.process is None


@pytest.mark.parametrize("revision", [1, 2], ids=["as it is", "as it becomes another"])
async def test_a_stop_waits_until_the_process_is_gone_and_buried(
    kept: Kept, buried: Buried, caplog: pytest.LogCaptureFixture, revision: int
) -> None:
    process = await kept.process()
    kept.desired = replace(kept.desired, revision=revision)

    await kept.quarantine.stop(60)

    assert (process.exit_code, buried) == (0, [process.pid])
    assert "ended with" not in caplog.text


async def test_who_is_in_a_hurry_does_not_wait_for_suspects(kept: Kept, buried: Buried) -> None:
    kept.quarantine.hurry()  # nobody is there
    process = await kept.process()
    os.kill(process.pid, signal.SIGSTOP)
    stopping = asyncio.create_task(kept.quarantine.stop(600))
    await until(lambda: process.was_told_to_go)

    kept.quarantine.hurry()
    await asyncio.wait_for(stopping, 60)

    assert process.exit_code == -signal.SIGKILL
    assert buried == [process.pid]

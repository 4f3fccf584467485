"""F08: what a supervisor is told by signals, and what becomes of its processes when it is killed. About 15 s.

TERM and INT drain; a second one ends at once, and what runs is handed back. HUP reads the file again and ends
nothing. Killed, it leaves no process behind: no worker, and nothing that a worker has started.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from docket import Docket, ExecutionState
from docket.assembly import LEASE
from tests.pids import is_alive
from tests.supervisor.conftest import Supervised, until

pytestmark = pytest.mark.fault

OTHERS = """
[tasks.shell]
command = ["sh", "-c", "echo begin 7 $$ >> ledger; sleep 600"]

[tasks.apart]
function = "work:block_long"
runner = "process"
"""


async def add(supervised: Supervised, task: str, *args: object) -> str:
    async def named(*_: object) -> None: ...

    async with Docket("supervised", supervised.url) as docket:
        docket.register(named, [task])
        return (await docket.add(task)(*args)).key


async def state(supervised: Supervised, key: str) -> ExecutionState | None:
    async with Docket("supervised", supervised.url) as docket:
        found = await docket.get_execution(key)
        return None if found is None else found.state


def no_process_is_left(supervised: Supervised, seconds: float = 30) -> None:
    pids = {*supervised.workers(), *supervised.pids("begin")}
    assert pids
    until(lambda: not any(map(is_alive, pids)), "the end of all processes", seconds)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
async def test_one_signal_drains(supervised: Supervised, number: signal.Signals) -> None:
    supervised.edit(('drain = "2s"', 'drain = "1m"'), ('"5s"', '"1m"'))
    supervised.start()
    key = await add(supervised, "hold", 1, 1.0)
    until(lambda: supervised.ledger("begin") == [1], "the run")

    supervised.signal(number)

    assert supervised.wait() == 0
    assert supervised.ledger("end") == [1]
    assert await state(supervised, key) is ExecutionState.COMPLETED
    no_process_is_left(supervised)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
async def test_a_second_one_ends_at_once_and_hands_back(
    supervised: Supervised, number: signal.Signals
) -> None:
    supervised.edit(('drain = "2s"', 'drain = "10m"'), ('"5s"', '"10m"'))
    supervised.start()
    key = await add(supervised, "hold", 1, 600.0)
    until(lambda: supervised.ledger("begin") == [1], "the run")

    supervised.signal(number)
    supervised.until_logged("Stopping: 1 worker processes drain")
    supervised.signal(number)

    assert supervised.wait() == 0
    assert supervised.ledger("end") == []
    no_process_is_left(supervised)

    # Its lease is not waited for: whoever comes next takes it over.
    assert await state(supervised, key) is ExecutionState.RUNNING
    supervised.start()
    begun = time.monotonic()
    until(lambda: supervised.ledger("begin") == [1, 1], "the second run")
    assert time.monotonic() - begun < LEASE.total_seconds() / 2


async def test_hup_reads_the_file_again_and_ends_nothing(supervised: Supervised) -> None:
    supervised.start()
    await add(supervised, "hold", 1, 1.5)
    until(lambda: supervised.ledger("begin") == [1], "the run")
    (worker,) = supervised.workers()

    supervised.signal(signal.SIGHUP)
    supervised.until_logged("Reload: unchanged")
    until(lambda: supervised.ledger("end") == [1], "the end of the run")

    assert supervised.workers() == [worker]
    assert is_alive(worker)


async def test_killed_it_leaves_no_process_behind(supervised: Supervised) -> None:
    supervised.append(OTHERS)
    supervised.start()
    await add(supervised, "hold", 1, 600.0)
    await add(supervised, "apart", 3)
    await add(supervised, "shell")
    until(lambda: set(supervised.ledger("begin")) == {1, 3, 7}, "three runs")

    assert supervised.process is not None
    os.kill(supervised.process.pid, signal.SIGKILL)

    no_process_is_left(supervised)

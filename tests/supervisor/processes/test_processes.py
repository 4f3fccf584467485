"""What becomes of processes that die, hang, or are told to go."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from docket import Docket, ExecutionState
from docket.assembly import LEASE
from docket.supervisor.processes.process import why_not_spawned
from tests.pids import is_alive
from tests.promises import promised
from tests.supervisor.conftest import Supervised, until

pytestmark = pytest.mark.fleet


async def add(supervised: Supervised, task: str, *args: int, **kwargs: float) -> str:
    async def named(*_: int, **__: float) -> None: ...

    async with Docket("supervised", supervised.url) as docket:
        docket.register(named, [task])
        return (await docket.add(task)(*args, **kwargs)).key


async def state(supervised: Supervised, key: str) -> ExecutionState | None:
    async with Docket("supervised", supervised.url) as docket:
        found = await docket.get_execution(key)
        return None if found is None else found.state


async def test_the_work_of_a_killed_worker_is_to_be_had_at_once_and_runs_where_it_can_kill_no_other(
    supervised: Supervised,
) -> None:
    supervised.edit(("processes = 1", "processes = 2"))
    supervised.start()
    await add(supervised, "hold", 1, seconds=1.5)
    until(lambda: supervised.ledger("begin") == [1], "the first run")

    os.kill(supervised.pids("begin")[0], signal.SIGKILL)
    killed = time.monotonic()
    supervised.until_logged("1 executions of process")

    # At once: the lease of what it ran would have gone on for much longer.
    assert time.monotonic() - killed < LEASE.total_seconds() / 2
    supervised.until_logged("ended with SIGKILL")
    until(lambda: supervised.ledger("end") == [1], "the end", 60)
    assert not {*supervised.workers()} & {supervised.pids("end")[0]}
    until(lambda: len(supervised.workers()) == 3, "the process that replaces it", 60)


@pytest.mark.alone
async def test_no_worker_outlives_its_supervisor(supervised: Supervised) -> None:
    supervised.edit(("processes = 1", "processes = 2"))
    supervised.start()
    await add(supervised, "block_loop", 1)
    await add(supervised, "hold", 2)
    until(lambda: len(supervised.ledger("begin")) == 2, "both runs")

    supervised.signal(signal.SIGKILL)

    until(
        lambda: not any(map(is_alive, supervised.workers())), "the end of the workers", promised(6)
    )


async def test_a_stop_lets_tasks_finish_within_the_drain_time(supervised: Supervised) -> None:
    supervised.edit(('drain = "2s"', 'drain = "1m"'), ('"5s"', '"1m"'))
    supervised.start()
    await add(supervised, "hold", 1, seconds=1)
    until(lambda: supervised.ledger("begin") == [1], "the run")

    supervised.signal(signal.SIGTERM)

    assert supervised.wait() == 0
    assert supervised.ledger("end") == [1]


async def test_a_stop_hands_back_what_does_not_finish(supervised: Supervised) -> None:
    supervised.edit(('shutdown_timeout = "5s"', 'shutdown_timeout = "1s"'))
    supervised.start()
    key = await add(supervised, "hold", 1)
    until(lambda: supervised.ledger("begin") == [1], "the run")

    supervised.signal(signal.SIGTERM)

    assert supervised.wait() == 0
    assert supervised.ledger("end") == []
    assert await state(supervised, key) is ExecutionState.QUEUED


async def test_a_second_stop_stops_at_once(supervised: Supervised) -> None:
    supervised.edit(('drain = "2s"', 'drain = "10m"'), ('"5s"', '"10m"'))
    supervised.start()
    await add(supervised, "hold", 1, seconds=600)
    until(lambda: supervised.ledger("begin") == [1], "the run")

    supervised.signal(signal.SIGTERM)
    supervised.until_logged("Stopping: 1 worker processes drain")
    supervised.signal(signal.SIGTERM)

    assert supervised.wait() == 0
    assert supervised.ledger("end") == []


async def test_a_pool_that_crashes_again_and_again_is_left_alone_and_others_go_on(
    supervised: Supervised,
) -> None:
    supervised.append(
        '[supervisor.restart]\nmax_crashes = 2\nbackoff = { initial = "10ms", max = "20ms" }\n'
        '[workers.other]\nqueues = ["other"]\n[tasks.elsewhere]\nfunction = "work:note"\nqueue = "other"\n'
    )
    supervised.start()
    # By hand: what a task kills is the process for suspects, which does not count.
    for count in range(1, 4):
        until(lambda: len(supervised.workers("default")) == count, "a process", 60)  # noqa: B023
        os.kill(supervised.workers("default")[-1], signal.SIGKILL)

    supervised.until_logged("Pool default is degraded")
    assert supervised.page("/readyz") == (503, "pool default is degraded: its processes crash\n")
    await add(supervised, "elsewhere", 7)
    until(lambda: 7 in supervised.ledger("note"), "the work of the other pool")

    supervised.edit(("concurrency = 5", "concurrency = 6"))
    supervised.until_logged("Reload: applied")
    until(lambda: supervised.page("/readyz")[0] == 200, "the pool working again")


async def test_a_task_that_kills_its_process_three_times_is_a_dead_letter(
    supervised: Supervised,
) -> None:
    supervised.append('[supervisor.restart]\nbackoff = { initial = "10ms", max = "20ms" }\n')
    supervised.start()
    key = await add(supervised, "die", 1)

    until(lambda: "Dead letter die" in supervised.log, "the dead letter")

    assert supervised.ledger("die") == [1, 1, 1]
    assert await state(supervised, key) is ExecutionState.FAILED


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.EMFILE, "Too many open files"),
            "Too many open files; raise the limit of open",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory; there is no memory left"),
        (BlockingIOError(errno.EAGAIN, "unavailable"), "unavailable; raise the limit of processes"),
        (MemoryError(), "cannot start a worker process: MemoryError"),
        (RuntimeError("can't start new thread"), "process: can't start new thread"),
    ],
)
def test_why_a_process_can_not_be_started_is_said_with_a_remedy(
    error: BaseException, words: str, tmp_path: Path
) -> None:
    assert words in why_not_spawned(error, str(tmp_path))


def test_what_is_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory")

    assert why_not_spawned(error, "/nowhere").endswith("the directory /nowhere is not there")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert why_not_spawned(error, str(tmp_path)).endswith(
        "the interpreter /nowhere/python is not there"
    )

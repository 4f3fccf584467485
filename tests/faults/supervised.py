"""Processes under a supervisor's pool, and their tasks, which find their ledger in the environment."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from docket import Docket
from docket.orders import TaskOrder, WorkerOrders
from docket.schedules.ticker import Ticker
from docket.supervisor.fleet import Fleet
from docket.supervisor.pool import Brake, Desired, Pool

from .ledger import Ledger
from .workers import ROOT, tasks

LEDGER = "FAULTS_LEDGER"

if LEDGER in os.environ:
    work, block, hog, *_ = tasks(Ledger(Path(os.environ[LEDGER])))


def orders(url: str, docket: str, *, concurrency: int = 10, lease: float = 2.0) -> WorkerOrders:
    """What a process is told to be."""
    return WorkerOrders(
        pool="faults",
        name=docket,
        url=url,
        concurrency=concurrency,
        queues=("default",),
        drain=2.0,
        execution_ttl=900.0,
        lease=lease,
        codecs=("safe", "pickle"),
        max_payload=1 << 20,
        signing_keys={},
        tasks={
            name: TaskOrder(f"tests.faults.supervised:{name}") for name in ("work", "block", "hog")
        },
        log_level="WARNING",
        log_format="plain",
    )


@asynccontextmanager
async def pool(
    docket: Docket, ledger: Ledger, processes: int, orders: WorkerOrders
) -> AsyncGenerator[Pool, None]:
    """A pool of processes that work on a docket, with the burial that supervisors give."""
    ticker = Ticker(docket.storage.schedules, docket.serializer, "faults")
    fleet = Fleet(ROOT, docket.storage, ticker, queues={"default"})
    desired = Desired(1, processes, orders, str(ROOT), {LEDGER: str(ledger.path)})
    pool = Pool("faults", desired, Brake(initial=0.01, longest=0.05, max_crashes=100), fleet.bury)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop(0)


def exit_hard() -> None:
    """Leave without a word."""
    os._exit(3)


def crash() -> None:
    """Read where nothing is."""
    ctypes.string_at(0)


def be_killed() -> None:
    """End as a process ends that the kernel kills for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


async def swell() -> int:
    """Ask for more memory than this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), hard))
    try:
        return len(bytearray(1 << 30))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))

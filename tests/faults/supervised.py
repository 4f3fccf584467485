"""Processes under a supervisor's pool, and their tasks, which find their ledger in the environment."""

from __future__ import annotations

import os
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
            **{
                name: TaskOrder(f"tests.faults.supervised:{name}")
                for name in ("work", "block", "hog")
            },
            "kill": TaskOrder("tests.faults.deadly:kill"),
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

"""Processes under a supervisor's pool, and their tasks, which find their ledger in the environment."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from docket import Docket
from docket.foundation.worker_spec import TaskSpec, WorkerSpec
from docket.schedules.ticker import Ticker
from docket.storage.claims import ClaimReply, Claims, Settlement, Verdict
from docket.supervisor.fleet import Fleet
from docket.supervisor.processes.pool import Brake, Desired, Pool

from .ledger import Ledger
from .workers import ROOT, note_verdicts, tasks

LEDGER = "FAULTS_LEDGER"


def write_verdicts_down(ledger: Ledger) -> None:
    """Have every worker of this process write down who it is, and what the server says to its outcomes."""
    trade = Claims.trade
    known: set[str] = set()

    async def noting(
        self: Claims, settlements: Sequence[Settlement], slots: int, **how: Any
    ) -> tuple[list[Verdict], ClaimReply | None]:
        if self.claimant.worker not in known:
            known.add(self.claimant.worker)
            ledger.note("up", detail=self.claimant.worker)
        verdicts, catch = await trade(self, settlements, slots, **how)
        note_verdicts(ledger, settlements, verdicts)
        return verdicts, catch

    Claims.trade = noting  # type: ignore[method-assign]


if LEDGER in os.environ:
    _ledger = Ledger(Path(os.environ[LEDGER]))
    work, block, hog, narrow, flaky, rated = tasks(_ledger)
    write_verdicts_down(_ledger)


def orders(url: str, docket: str, *, concurrency: int = 10, lease: float = 30.0) -> WorkerSpec:
    """What a process is told to be."""
    return WorkerSpec(
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
                name: TaskSpec(f"tests.faults.supervised:{name}")
                for name in ("work", "block", "hog")
            },
            "kill": TaskSpec("tests.faults.deadly:kill"),
        },
        log_level="WARNING",
        log_format="plain",
    )


@asynccontextmanager
async def pool(
    docket: Docket, ledger: Ledger, processes: int, orders: WorkerSpec
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

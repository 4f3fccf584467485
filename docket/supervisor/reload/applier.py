"""Application of a configuration to pools: canaries come up before the commit, then pools roll."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...assembly import audit_limits, orders_for
from ...config.model import Configuration
from ...config.planning.plan import (
    Action,
    Apply,
    ChangeAudit,
    ChangeLogging,
    ReconfigurePool,
    ReconfigureSupervisor,
    ReplaceQueues,
    ReplaceSchedules,
    ReplaceStrikes,
    ReplaceTaskPolicies,
    RollPool,
    StartPool,
    StopPool,
    plan,
)
from ...discovery.address import read_secret
from ...foundation.worker_spec import WorkerSpec
from ...instrumentation.console import set_up_logging
from ..fleet import Fleet
from ..processes.pool import Brake, Desired, Pool
from ..processes.process import WorkerProcess
from ..processes.recycling import Recycling
from .removed_tasks import RemovedTasks
from .standing import here

logger = logging.getLogger("docket.supervisor")


@dataclass
class StagedPools:
    """The processes that are up before a configuration is committed.

    Arguments:
        canaries: one process of each pool that rolls, by pool.
        started: the pools that are new.
    """

    canaries: dict[str, WorkerProcess] = field(default_factory=dict[str, WorkerProcess])
    started: list[str] = field(default_factory=list[str])


class Applier:
    """Applier of configurations to the fleet.

    Arguments:
        fleet: what is kept.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.removed_tasks = RemovedTasks(fleet.storage)

    async def start(self, configuration: Configuration, revision: int) -> None:
        """Bring the pools of this host up for the first time.

        Raises:
            Rejected: a pool cannot work.
        """
        for name in here(configuration, self._fleet.host).workers:
            await self._start(name, configuration, revision, waits=True)

    async def stage(self, new: Configuration, apply: Apply, revision: int) -> StagedPools:
        """Bring up one process of every pool that changes, ready with the new configuration.

        Raises:
            Rejected: one of them cannot work; nothing has changed.
        """
        staged = StagedPools()
        try:
            for action in apply.actions:
                if isinstance(action, RollPool):
                    pool = self._fleet.pools[action.name]
                    desired = await self._desired(action.name, new, revision)
                    staged.canaries[action.name] = await pool.stage(desired)
                elif isinstance(action, StartPool):
                    await self._start(action.name, new, revision)
                    staged.started.append(action.name)
        except Exception:
            await self.unstage(staged)
            raise
        return staged

    async def unstage(self, staged: StagedPools) -> None:
        """Take down what was staged."""
        for name, canary in staged.canaries.items():
            await self._fleet.pools[name].unstage(canary)
        for name in staged.started:
            self._fleet.let_go(name)

    async def roll(
        self, new: Configuration, apply: Apply, revision: int, staged: StagedPools | None = None
    ) -> None:
        """Make every pool what a configuration says; one that cannot change stays as it was.

        Arguments:
            new: the configuration.
            apply: the differences to what runs.
            revision: its number.
            staged: the processes that are up already.

        Raises:
            Rejected: a pool cannot; those before it have changed.
        """
        staged = staged or StagedPools()
        for action in apply.actions:
            await self._do(action, new, revision, staged)

    async def undo(self, old: Configuration, new: Configuration, revision: int) -> None:
        """Make every pool again what it was under the old configuration, as far as possible."""
        host = self._fleet.host
        back = await asyncio.to_thread(plan, here(new, host), here(old, host))
        if not isinstance(back, Apply):
            return
        for action in back.actions:
            try:
                await self._do(action, old, revision, StagedPools())
            except Exception as error:
                logger.error("Could not undo %s: %s", type(action).__name__, error)

    async def read_secrets(self, configuration: Configuration) -> None:
        """Check that every secret of this host's pools can be read.

        Raises:
            ConfigurationError: one of them cannot.
        """
        for name in here(configuration, self._fleet.host).workers:
            await self._desired(name, configuration, 0)

    def revive(self) -> list[str]:
        """Let pools try again that were given up or have too few processes; return their names."""
        return [name for name, pool in self._fleet.pools.items() if pool.revive()]

    async def refresh(self, configuration: Configuration, revision: int) -> list[str]:
        """Roll the pools whose secrets have changed, and return their names.

        Raises:
            Rejected: a pool cannot work with them; it stays as it was.
        """
        refreshed: list[str] = []
        for name, pool in self._fleet.pools.items():
            desired = await self._desired(name, configuration, revision)
            told, known = desired.orders, pool.desired.orders
            if desired.environment != pool.desired.environment or told != known:
                await pool.roll(desired)
                refreshed.append(name)
        return refreshed

    async def scale(self, by: int) -> dict[str, int]:
        """Start or stop processes in every pool, until the next configuration; return the new numbers."""
        for pool in self._fleet.pools.values():
            wanted = max(1, pool.desired.processes + by)
            await pool.reconfigure(replace(pool.desired, processes=wanted))
        return {name: pool.desired.processes for name, pool in self._fleet.pools.items()}

    async def settle_scales(self, configuration: Configuration) -> None:
        """Run as many processes in every pool as the configuration says."""
        for name, pool in self._fleet.pools.items():
            processes = configuration.workers[name].processes
            if pool.desired.processes != processes:
                await pool.reconfigure(replace(pool.desired, processes=processes))

    def scaled(self, configuration: Configuration) -> list[str]:
        """Return the pools that have more or fewer processes than the configuration says."""
        return [
            name
            for name, pool in self._fleet.pools.items()
            if name in configuration.workers
            and pool.desired.processes != configuration.workers[name].processes
        ]

    async def _do(
        self, action: Action, configuration: Configuration, revision: int, staged: StagedPools
    ) -> None:
        pools = self._fleet.pools
        match action:
            case ChangeLogging(logging=settings):
                set_up_logging(settings.level, settings.format)
                await self._reconfigure_all(configuration, revision)
            case ReconfigureSupervisor():
                for pool in pools.values():
                    pool.brake = brake_of(configuration)
            case ChangeAudit():
                self._fleet.storage.audit.limits = audit_limits(configuration)
                await self._reconfigure_all(configuration, revision)
            case ReplaceTaskPolicies():
                await self._reconfigure_all(configuration, revision)
            case StartPool(name=name):
                await self._start(name, configuration, revision)
            case StopPool(name=name):
                self._fleet.let_go(name)
            case RollPool(name=name):
                desired = await self._desired(name, configuration, revision)
                await pools[name].roll(desired, staged.canaries.get(name))
            case ReconfigurePool(name=name):
                await pools[name].reconfigure(await self._desired(name, configuration, revision))
            case committed:
                # Nothing is left to do. A kind of action that is forgotten above does not have this type.
                _: ReplaceQueues | ReplaceSchedules | ReplaceStrikes = committed

    async def _desired(self, name: str, configuration: Configuration, revision: int) -> Desired:
        pool, path = configuration.workers[name], self._fleet.path
        known = self.removed_tasks.known_with(configuration)
        # In a thread, as all that takes long for thousands of tasks.
        orders = await asyncio.to_thread(_orders, known, name, path)
        self._fleet.queues.update(pool.queues)
        directory = path.resolve().parent
        secrets = {
            variable: read_secret(reference, os.environ, directory)
            for variable, reference in pool.secrets.items()
        }
        recycle = pool.recycle
        return Desired(
            revision,
            pool.processes,
            orders,
            str(directory),
            {**pool.env, **secrets},
            pool.max_surge,
            Recycling(
                recycle.after_tasks,
                None if recycle.after is None else recycle.after.total_seconds(),
                recycle.max_rss,
                recycle.jitter,
            ),
            path,
        )

    async def _start(
        self, name: str, configuration: Configuration, revision: int, *, waits: bool = False
    ) -> None:
        fleet = self._fleet
        if name in fleet.pools:
            return
        desired = await self._desired(name, configuration, revision)
        pool = Pool(name, desired, brake_of(configuration), fleet.bury, fleet.on_exhausted)
        await pool.start(waits=waits)
        fleet.pools[name] = pool

    async def _reconfigure_all(self, configuration: Configuration, revision: int) -> None:
        for name, pool in self._fleet.pools.items():
            if name not in configuration.workers:
                continue
            desired = await self._desired(name, configuration, revision)
            if dict(pool.desired.environment) == desired.environment:  # else it rolls
                await pool.reconfigure(desired)


def _orders(configuration: Configuration, pool: str, path: Path) -> WorkerSpec:
    """Return the orders of a pool, with the text that all its processes get."""
    orders = orders_for(configuration, pool, path)
    assert orders.text
    return orders


def brake_of(configuration: Configuration) -> Brake:
    """Return the restart policy of pools."""
    restart = configuration.supervisor.restart
    return Brake(
        initial=restart.backoff.initial.total_seconds(),
        longest=restart.backoff.max.total_seconds(),
        factor=restart.backoff.factor,
        jitter=restart.backoff.jitter,
        stable_after=restart.stable_after.total_seconds(),
        max_crashes=restart.max_crashes,
        window=restart.window.total_seconds(),
    )

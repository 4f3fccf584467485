"""New code without downtime: pools are rolled as a reload rolls them, with the code as it is now."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

from ...config.checking.problems import ConfigurationInvalid
from ...config.planning.plan import Apply, RollPool
from ...errors import DocketError, OperatorError
from ..conditions import Conditions
from ..fleet import Fleet
from ..processes.process import Rejected
from .applier import StagedPools
from .code_state import CodeState
from .reloader import ChangeRefused, Reloader, ReloadOutcome, Result

logger = logging.getLogger("docket.supervisor")


class Restarter:
    """The way of new code: probe, canaries, roll; what runs goes on if one of them fails.

    Arguments:
        reloader: holds the configuration; restarts and reloads wait for each other.
        fleet: the pools.
        conditions: how the supervisor stands.
        code: hears why new code cannot be run.
    """

    def __init__(
        self, reloader: Reloader, fleet: Fleet, conditions: Conditions, code: CodeState
    ) -> None:
        self._reloader = reloader
        self._fleet = fleet
        self._conditions = conditions
        self._code = code
        self._accepted: tuple[str, ...] = ()

    @property
    def is_busy(self) -> bool:
        """True if a restart is under way, or has been accepted."""
        return bool(self._accepted)

    def accept(self, pools: Collection[str]) -> tuple[str, ...]:
        """Return the pools that a restart is to roll, and take no other one until it has ended.

        Arguments:
            pools: their names; all pools of this host, if there are none.

        Raises:
            Refused: another restart is under way, or there is nothing to restart.
        """
        if self._accepted:
            running = ", ".join(self._accepted)
            raise ChangeRefused(
                f"a restart of {running} is under way: docket status says how it goes"
            )
        known = self._fleet.pools
        if not known:
            raise ChangeRefused("no pool runs on this host: there is nothing to restart")
        self._accepted = tuple(name for name in known if name in pools or not pools)
        return self._accepted

    def why_not(self, pools: Collection[str]) -> str:
        """Return which of these pools do not run here, and which do; empty if all do."""
        unknown = ", ".join(name for name in pools if name not in self._fleet.pools)
        known = ", ".join(self._fleet.pools) or "none"
        return f"no pool {unknown} runs on this host; there is {known}" if unknown else ""

    async def restart(self, pools: Collection[str] = ()) -> ReloadOutcome:
        """Accept a restart, and carry it out.

        Raises:
            Refused: another one is under way.
        """
        return await self.carry_out(self.accept(pools))

    async def carry_out(self, pools: Collection[str]) -> ReloadOutcome:
        """Roll pools that were accepted, once no reload is under way; what fails changes nothing."""
        try:
            async with self._reloader.under_way:
                self._conditions.tell("Progressing", True, "Restarting", ", ".join(pools))
                try:
                    return await self._roll_safely(pools)
                finally:
                    self._conditions.tell("Progressing", False, "")
        finally:
            self._accepted = ()

    async def _roll_safely(self, pools: Collection[str]) -> ReloadOutcome:
        try:
            outcome = await self._roll(tuple(self._steps(pools)))
        except OperatorError as error:
            # Redis, or what processes need, is not what it should be: not the fault of the code.
            logger.error("Restart failed, what runs goes on: %s", error)
            return self._outcome("failed", str(error))
        except (Rejected, DocketError) as error:
            logger.error("The code cannot be run, what runs goes on: %s", error)
            return self._reject(str(error))
        except Exception as error:
            logger.exception("The restart failed; what runs goes on")
            return self._outcome("failed", str(error))
        if outcome.result == "restarted":
            self._code.trouble = ""
            self._conditions.tell("Degraded", False, "")
            logger.info("The code as it is now runs: %s", "; ".join(outcome.changes))
        return outcome

    def _steps(self, pools: Collection[str]) -> Iterator[RollPool]:
        """Yield what is to be done; a pool may have left while a reload was waited for."""
        workers = self._reloader.configuration.workers
        for name in pools:
            if name in self._fleet.pools and name in workers:
                yield RollPool(name, workers[name], ("restart",))

    async def _roll(self, steps: tuple[RollPool, ...]) -> ReloadOutcome:
        reloader, applier = self._reloader, self._reloader.applier
        configuration, plan = reloader.configuration, Apply(steps, ())
        if problems := await reloader.probe_anew():
            found = ConfigurationInvalid(problems)
            logger.error("The code does not fit, what runs goes on:\n%s", found)
            return self._reject(str(found))
        staged = await applier.stage(configuration, plan, reloader.revision)
        try:
            await applier.roll(configuration, plan, reloader.revision, staged)
        except BaseException:
            await applier.unstage(StagedPools(staged.canaries))
            raise
        pools = [self._fleet.pools[step.name] for step in steps]
        changes = (f"pool {pool.name}: {pool.ready} new processes" for pool in pools)
        return self._outcome("restarted", changes=tuple(changes))

    def _reject(self, reason: str) -> ReloadOutcome:
        self._code.trouble = reason
        return self._outcome("rolled_back", reason)

    def _outcome(
        self, result: Result, message: str = "", changes: tuple[str, ...] = ()
    ) -> ReloadOutcome:
        return ReloadOutcome(result, self._reloader.revision, message, changes)

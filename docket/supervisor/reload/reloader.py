"""The one path of a change: read, merge, validate, probe, diff, guard, stage, commit, roll, confirm.

Watcher, SIGHUP, the control socket and a rollback all take it. Anything that goes wrong on it is a failed
reload, never the end of the supervisor, and until the commit nothing has changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ...config.checking.problems import ConfigurationInvalid, Problem
from ...config.load import Chosen, Loaded, load, shadowed_edits
from ...config.model import Configuration
from ...config.planning.plan import Apply, RestartRequired, Unchanged, plan, refuse_removals
from ...config.planning.revision_text import rebuilt
from ...config.reading.own import with_own_of
from ...errors import ConfigurationError, DocketError, OperatorError
from ...foundation.service import Reports
from ...storage.configurations import Beat
from ...storage.scripting.retrying import Backoff
from ..conditions import Conditions
from ..fleet import Fleet
from ..processes.pool import SPAWN_PAUSES
from ..processes.process import Rejected, SpawnFailed
from ..reporting.health import ReloadRecord
from .applier import Applier, StagedPools
from .probe import probe, subject_of
from .revisions import Revisions
from .standing import here

logger = logging.getLogger("docket.supervisor")

Result: TypeAlias = Literal[
    "applied", "unchanged", "restarted", "invalid", "refused", "rolled_back", "failed"
]

APPLIED = "applied"
"""Reason of a revision that came from the files."""

FILE = "File"
"""Reason of a drift: the content of the file differs from what runs."""

AGAIN_AFTER = 5.0
"""Seconds after which a change is tried again that found no Redis, or no process, at the earliest."""

GOES_ON = "the last good configuration goes on"


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """The outcome of a reload, or of a restart.

    Arguments:
        result: in one word.
        revision: the revision that runs now.
        message: why it was not applied, or nothing.
        changes: the changes, one sentence each.
    """

    result: Result
    revision: int
    message: str = ""
    changes: tuple[str, ...] = ()


class ChangeRefused(DocketError):
    """A change that is not made, for a reason of the configurations, not of a fault."""


class Reloader:
    """The holder of the configuration that runs here, which also replaces it.

    Arguments:
        path: the file.
        environ: the environment, which overrides the file.
        chosen: overlays, profile and settings of the command line.
        loaded: what is to run first.
        fleet: what is kept.
        reloads: how reloads went.
        conditions: how the supervisor stands.
    """

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        chosen: Chosen,
        loaded: Loaded,
        fleet: Fleet,
        reloads: ReloadRecord,
        conditions: Conditions,
    ) -> None:
        self._path = path
        self._environ = environ
        self._chosen = chosen
        self.loaded = loaded
        self.applier = Applier(fleet)
        self.revisions = Revisions(fleet, reloads, conditions)
        self._fleet = fleet
        self._reloads = reloads
        self._conditions = conditions
        self._probed: Mapping[str, Any] | None = None
        self._files: Loaded | None = loaded
        """Content of the files; None if they cannot be used."""
        self._held = ""
        """Meaning of the content that is only applied again on request."""
        self._previous: tuple[Loaded, float] | None = None
        """The previous configuration, and the time at which it ended."""
        self._again_at = float("inf")
        """Time of the next attempt at a change that found no Redis."""
        self.under_way = asyncio.Lock()
        """Held by what changes the fleet: one reload, or one restart, at a time."""

    @property
    def configuration(self) -> Configuration:
        """The configuration that runs here."""
        return self.loaded.configuration

    @property
    def revision(self) -> int:
        """Number of the revision that runs."""
        return self._reloads.revision

    @property
    def record(self) -> ReloadRecord:
        """Record of past reloads."""
        return self._reloads

    async def establish(self) -> ReloadOutcome:
        """Bring everything up for the first time; return whether a revision came of it.

        Raises:
            ConfigurationInvalid: the code does not fit the configuration.
            Rejected: a pool cannot work with it.
            ServerUnavailable: Redis did not answer in time.
        """
        if problems := await self._probe_patiently():
            raise ConfigurationInvalid(problems)
        # Rules come first, so that nothing is run that they strike; schedules are ticked when all is up.
        is_new = await self.revisions.put(self.loaded, "started")
        await self.applier.start(self.configuration, self.revision)
        self._conditions.tell("Valid", True, "Loaded")
        self._conditions.tell("Applied", True, "Started")
        self._tell_watching()
        return self._outcome("applied" if is_new else "unchanged")

    async def reload(
        self, *, is_asked: bool = False, allow_removals: bool = False
    ) -> ReloadOutcome:
        """Read the files again, and run their content, if possible.

        Arguments:
            is_asked: whether it is requested, so that what has failed before is tried again.
            allow_removals: whether more may be removed than ``max_removals``.
        """
        async with self.under_way:
            return await self._reload_noted(is_asked, allow_removals)

    async def reload_planned(
        self, base: tuple[int, str], target: str, *, allow_removals: bool = False
    ) -> ReloadOutcome:
        """Run the content of the files, if it is what was planned, on top of what it was planned for.

        Arguments:
            base: revision and meaning of the configuration that was to be changed.
            target: what the files meant when it was planned.
            allow_removals: whether more may be removed than ``max_removals``.

        Raises:
            Refused: something else runs by now, or the files say something else.
        """
        async with self.under_way:
            runs = self.revision, self.loaded.meaning
            if runs != base:
                raise ChangeRefused(
                    f"the plan is for revision {base[0]} ({base[1][:12]}), and revision {runs[0]} "
                    f"({runs[1][:12]}) runs now; plan again"
                )
            return await self._reload_noted(True, allow_removals, target)

    async def probe_anew(self) -> tuple[Problem, ...]:
        """Return what of the code, as it is now, does not fit the configuration that runs.

        Raises:
            SpawnFailed: no process could be started for it.
        """
        self._probed = None
        return await self._probe(self.loaded)

    async def scale(self, by: int) -> dict[str, int]:
        """Start or stop processes in every pool, until the next configuration; return the new numbers.

        Arguments:
            by: how many more; fewer, if it is negative.
        """
        async with self.under_way:
            processes = await self.applier.scale(by)
            scaled = self.applier.scaled(self.configuration)
            if scaled:
                told = f"the number of processes was changed by hand: {', '.join(scaled)}"
                self._conditions.tell("Drift", True, "Scaled", told)
            else:
                self._conditions.tell("Drift", False, "InForce")
                self._tell_drift(self._is_what_the_files_say)
            return processes

    async def rollback(self, number: int) -> ReloadOutcome:
        """Run an earlier revision again, as a new one; the file is not touched, and waits for an edit.

        Arguments:
            number: the revision.
        """
        async with self.under_way:
            self._conditions.tell("Progressing", True, "RollingBack")
            try:
                found = await self.revisions.revision(number)
                loaded = await asyncio.to_thread(
                    rebuilt, found.entry.text, self.configuration, self._path
                )
                outcome = await self._change(loaded, f"rolled back to {number}", True)
                # What the file says was taken back: it waits for an edit.
                self._held = await asyncio.to_thread(
                    _meaning_on_disk, self._path, self._environ, self._chosen
                )
            except (DocketError, Rejected) as error:
                outcome = self._outcome("refused", str(error))
                logger.error("Rollback refused, %s: %s", GOES_ON, error)
            except Exception as error:
                logger.exception("The rollback failed; revision %d goes on", self.revision)
                outcome = self._outcome("failed", str(error))
            return self._note(outcome)

    async def give_up_on(self, pool: str) -> ReloadOutcome:
        """React to a pool that crashes too often: if the running configuration caused that, take it back."""
        window = self.configuration.supervisor.restart.window.total_seconds()
        previous = self._previous
        self._conditions.tell("Degraded", True, "PoolGivenUp", f"pool {pool} crashes")
        if previous is None or time.monotonic() - previous[1] > window:
            return self._outcome("unchanged")
        if self.configuration.supervisor.reload.on_failure == "hold":
            return self._outcome("unchanged")
        async with self.under_way:
            logger.error("Pool %s crashes since revision %d: it is taken back", pool, self.revision)
            failed = self.loaded.meaning
            try:
                before = self._with_own_of_the_present(previous[0])
                outcome = await self._change(before, f"rolled back from {self.revision}", True)
                self._held, self._previous = failed, None
            except (DocketError, Rejected) as error:
                outcome = self._outcome("failed", str(error))
            return self._note(
                self._outcome("rolled_back", f"pool {pool} crashed")
                if outcome.result == "applied"
                else outcome
            )

    @property
    def is_to_be_tried_again(self) -> bool:
        """True if a change that found no Redis is due for another attempt."""
        return time.monotonic() >= self._again_at

    def _try_again_later(self) -> None:
        # Redis may answer here and not where the workers are: not every second.
        self._again_at = time.monotonic() + AGAIN_AFTER

    async def follow(self, beat: Beat) -> None:
        """Follow the beat of Redis: who ticks, which schedules, and whether this host is behind."""
        if self.under_way.locked():
            self._fleet.ticker.is_leading = beat.leads
            return
        if await self.applier.removed_tasks.look(self.configuration):
            await self._forget_what_has_left()
        await self.revisions.follow(beat, self.loaded)

    async def _forget_what_has_left(self) -> None:
        """Roll the pools without the tasks of which nothing is left."""
        async with self.under_way:
            try:
                await self.applier.refresh(
                    here(self.configuration, self._fleet.host), self.revision
                )
            except (Rejected, DocketError) as error:
                logger.error("Pools know tasks still that have left: they cannot roll: %s", error)

    async def _reload_noted(
        self, is_asked: bool, allow_removals: bool, target: str | None = None
    ) -> ReloadOutcome:
        self._conditions.tell("Progressing", True, "Reloading")
        self._again_at = float("inf")
        try:
            outcome = await self._reload(is_asked, allow_removals, target)
        except OperatorError as error:
            # Redis, or what processes need, is not what it should be: not the configuration's fault.
            self._try_again_later()
            logger.error("Reload failed, %s, and it is tried again soon: %s", GOES_ON, error)
            outcome = self._outcome("failed", str(error))
        except Exception as error:
            logger.exception("The reload failed; revision %d goes on", self.revision)
            outcome = self._outcome("failed", str(error))
        return self._note(outcome)

    async def _reload(
        self, is_asked: bool, allow_removals: bool, target: str | None
    ) -> ReloadOutcome:
        try:
            # In a thread, as all that takes long for a file of thousands of tasks: schedules go on meanwhile.
            loaded = await asyncio.to_thread(load, self._path, self._environ, self._chosen)
        except ConfigurationError as error:
            self._files = self._reloads.desired = None
            return self._decline(error)
        self._files, self._reloads.desired = loaded, loaded.meaning
        if target not in (None, loaded.meaning):
            return self._refuse("the files no longer say what was planned", ["plan again"])
        if loaded.meaning == self._held and not is_asked:
            # What is this host's own has not failed, and is not what waits.
            own = with_own_of(loaded.configuration, self.configuration)
            if own != self.configuration:
                return await self._change(replace(self.loaded, configuration=own), APPLIED, False)
            logger.info("Reload: this content has failed before and waits for an edit or a reload")
            return self._outcome("unchanged", "held")
        for edit in await asyncio.to_thread(shadowed_edits, self.loaded, loaded):
            logger.warning("%s", edit)
        return await self._change(loaded, APPLIED, allow_removals)

    async def _change(self, loaded: Loaded, why: str, allow_removals: bool) -> ReloadOutcome:
        old, new = self.configuration, loaded.configuration
        found = await asyncio.to_thread(plan, old, new)
        if isinstance(found, Unchanged):
            return await self._unchanged(loaded)
        if isinstance(found, RestartRequired):
            told = f"{', '.join(found.paths)}: restart the supervisor process; docket restart is not enough"
            self._conditions.tell("RestartRequired", True, "Keys", told)
            return self._refuse("these changes need a restart", found.describe())
        if not allow_removals:
            limit = old.supervisor.reload.max_removals
            if problem := refuse_removals(old, new, limit):
                return self._refuse("it removes too much", [problem.render()])
        if loaded.meaning == self.loaded.meaning:
            return await self._carry_out_here(loaded, found)
        if problems := await self._probe(loaded):
            return self._decline(ConfigurationInvalid(problems))
        return await self._carry_out(loaded, found, why)

    async def _carry_out_here(self, loaded: Loaded, changes: Apply) -> ReloadOutcome:
        """Change what is this host's own: no revision comes of it, and no other host hears of it."""
        await self.applier.roll(loaded.configuration, changes, self.revision)
        self.loaded = loaded
        self._conditions.tell("RestartRequired", False, "")
        told = changes.describe()
        logger.info("Reload: applied on this host\n  %s", "\n  ".join(told))
        return self._outcome("applied", changes=told)

    def _with_own_of_the_present(self, before: Loaded) -> Loaded:
        """Return the previous configuration; the keys of this host stay as they are now."""
        return replace(before, configuration=with_own_of(self.configuration, before.configuration))

    async def _unchanged(self, loaded: Loaded) -> ReloadOutcome:
        self.loaded = loaded
        self._conditions.tell("RestartRequired", False, "")
        try:
            refreshed = await self.applier.refresh(self.configuration, self.revision)
        except (Rejected, DocketError) as error:
            logger.error("Pools cannot work with the secrets as they are now: %s", error)
            return self._outcome("refused", str(error))
        if revived := self.applier.revive():
            logger.info(
                "Reload: unchanged; %s had too few processes, and gets new ones", ", ".join(revived)
            )
            self._conditions.tell("Degraded", False, "")
        if refreshed:
            logger.info("Reload: unchanged, but for secrets of %s", ", ".join(refreshed))
            return self._outcome("applied", changes=tuple(f"pool {n} rolls" for n in refreshed))
        logger.info("Reload: unchanged")
        return self._outcome("unchanged")

    async def _carry_out(self, loaded: Loaded, changes: Apply, why: str) -> ReloadOutcome:
        old, new = self.loaded, loaded
        steps = await self._steps_here(old.configuration, new.configuration, changes)
        number = self.revision + 1
        try:
            await self.applier.read_secrets(new.configuration)
        except ConfigurationError as error:
            return self._refuse("a secret cannot be read", [str(error)])
        # Without Redis no canary can work, and that would not be the configuration's fault.
        await self._fleet.storage.configurations.current(self._fleet.owner)
        self.applier.removed_tasks.follow(old.configuration, new.configuration)
        try:
            staged = await self.applier.stage(new.configuration, steps, number)
        except OperatorError:
            raise
        except (Rejected, DocketError) as error:
            self._held = new.meaning
            return self._roll_back(error)
        try:
            await self.revisions.put(new, why, is_wanted=why != APPLIED)
        except Exception:
            await self.applier.unstage(staged)
            raise
        return await self._confirm(old, new, changes, steps, staged)

    async def _steps_here(self, old: Configuration, new: Configuration, changes: Apply) -> Apply:
        """Return the changes that concern this host: all of them if it runs all pools."""
        ours = [here(one, self._fleet.host) for one in (old, new)]
        if all(one.workers == whole.workers for one, whole in zip(ours, (old, new), strict=True)):
            return changes
        found = await asyncio.to_thread(plan, *ours)
        return found if isinstance(found, Apply) else Apply((), ())

    async def _confirm(
        self, old: Loaded, new: Loaded, changes: Apply, steps: Apply, staged: StagedPools
    ) -> ReloadOutcome:
        try:
            await self.applier.roll(new.configuration, steps, self.revision, staged)
            await self.applier.settle_scales(here(new.configuration, self._fleet.host))
        except Exception as error:
            is_passing = isinstance(error, OperatorError)
            self._held = "" if is_passing else new.meaning
            await self.applier.unstage(StagedPools(staged.canaries))
            if new.configuration.supervisor.reload.on_failure == "hold":
                self.loaded = new
                self._conditions.tell("Degraded", True, "RollFailed", str(error))
                logger.error("Reload failed half way, and stays as it is: %s", error)
                return self._outcome("failed", str(error))
            why = f"rolled back from {self.revision}"
            await self.revisions.put(old, why, is_wanted=True)
            await self.applier.undo(old.configuration, new.configuration, self.revision)
            if is_passing:
                self._try_again_later()
            return self._roll_back(error)
        self._held = ""
        self._previous = old, time.monotonic()
        self.loaded = new
        self._conditions.tell("RestartRequired", False, "")
        self._conditions.tell("Degraded", False, "")
        told = changes.describe()
        logger.info("Reload: applied as revision %d\n  %s", self.revision, "\n  ".join(told))
        for warning in new.warnings:
            logger.warning("%s", warning.render())
        return self._outcome("applied", changes=told)

    async def _probe_patiently(self) -> tuple[Problem, ...]:
        """Probe the code that is to run first, as soon as a process can be started for it."""
        backoff, reports = Backoff(*SPAWN_PAUSES), Reports()
        while True:
            try:
                return await self._probe(self.loaded)
            except SpawnFailed as error:
                if reports.is_news(error):
                    logger.error("%s; it is tried again until it works", error)
                await asyncio.sleep(backoff.next_pause())

    async def _probe(self, loaded: Loaded) -> tuple[Problem, ...]:
        """Return what does not fit the code, unless nothing has changed since the last probe."""
        problems = await probe(loaded, known=self._probed)
        if not problems:
            self._probed = subject_of(loaded.configuration)
        return problems

    def _decline(self, error: ConfigurationError) -> ReloadOutcome:
        logger.error("Reload refused, %s:\n%s", GOES_ON, error)
        return self._outcome("invalid", str(error))

    def _refuse(self, why: str, details: Sequence[str]) -> ReloadOutcome:
        listed = "\n  ".join(details)
        logger.error("Reload refused, %s: %s\n  %s", GOES_ON, why, listed)
        return self._outcome("refused", f"{why}\n  {listed}")

    def _roll_back(self, error: Exception) -> ReloadOutcome:
        logger.error("Reload rolled back, %s: %s", GOES_ON, error)
        return self._outcome("rolled_back", str(error))

    def _outcome(
        self, result: Result, message: str = "", changes: tuple[str, ...] = ()
    ) -> ReloadOutcome:
        return ReloadOutcome(result, self.revision, message, changes)

    def _note(self, outcome: ReloadOutcome) -> ReloadOutcome:
        is_what_it_says = self._is_what_the_files_say
        # What is held is unchanged, and is still not what runs.
        is_good = outcome.result == "applied" or (outcome.result == "unchanged" and is_what_it_says)
        self._reloads.note(outcome.result, succeeded=is_good)
        self._conditions.tell("Progressing", False, "")
        self._conditions.tell("Valid", outcome.result != "invalid", outcome.result, outcome.message)
        reason = "Other" if is_good and not is_what_it_says else outcome.result
        self._conditions.tell("Applied", is_what_it_says, reason, outcome.message)
        self._tell_drift(is_what_it_says)
        self._tell_watching()
        return outcome

    @property
    def _is_what_the_files_say(self) -> bool:
        files, runs = self._files, self.loaded
        if files is None or files.meaning != runs.meaning:
            return False
        return with_own_of(files.configuration, self.configuration) == self.configuration

    def _tell_drift(self, is_what_it_says: bool) -> None:
        drift = self._conditions["Drift"]
        if is_what_it_says and drift.reason == FILE:
            self._conditions.tell("Drift", False, "InForce")
        elif not is_what_it_says and not drift.status:
            told = "the file says something else than what runs, or cannot be used"
            self._conditions.tell("Drift", True, FILE, told)

    def _tell_watching(self) -> None:
        watch = self.configuration.supervisor.reload.watch
        self._conditions.tell("Watching", watch != "off", watch.title())


def _meaning_on_disk(path: Path, environ: Mapping[str, str], chosen: Chosen) -> str:
    """Return the meaning of the files now; empty if they cannot be used."""
    try:
        return load(path, environ, chosen).meaning
    except ConfigurationError:
        return ""

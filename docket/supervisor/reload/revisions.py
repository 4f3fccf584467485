"""The active configuration of a docket: ours is committed, others' are followed, drift is reported.

Redis holds one configuration for all the supervisors that follow it, regardless of their files: its record,
its schedules and its strikes. Pools belong to each host, and are not looked at here.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from ...assembly import lane_of, paused_queues, rule_for, serializer_for, source_of
from ...config.load import Loaded
from ...config.model import Configuration
from ...config.planning.revision_text import text_of
from ...config.tables.tasks import Task
from ...errors import DocketError, NotTrusted, ServerUnavailable
from ...foundation.units import from_milliseconds, to_milliseconds
from ...schedules.desired import DesiredSchedule, desired_schedules
from ...schedules.reconciler import active_schedules, declarations, due_next
from ...serialization import Serializer, Trust
from ...storage.configurations import Beat, Commit, Revision, RevisionChange, RevisionEntry
from ...storage.keys import DEFAULT_QUEUE
from ...storage.staging import DeclaredSchedule, StruckRule
from ...strikelist import StrikeList
from ..conditions import Conditions
from ..fleet import Fleet
from ..reporting.health import ReloadRecord
from .standing import Standing, standing

logger = logging.getLogger("docket.supervisor")

SLICES = 50
"""Slices of a commit that follow between two beats: well below a lease."""


class UnknownRevision(DocketError, LookupError):
    """A revision is not among those that are kept."""


class Revisions:
    """The active configuration of a docket, as one of its supervisors deals with it.

    Arguments:
        fleet: the fleet here: it knows the docket, and ticks its schedules.
        reloads: records what runs here.
        conditions: record how that differs from the active revision.
    """

    def __init__(self, fleet: Fleet, reloads: ReloadRecord, conditions: Conditions) -> None:
        self._fleet = fleet
        self._configurations = fleet.storage.configurations
        self._reloads = reloads
        self._conditions = conditions
        self._may_lead = True
        self._stood_back: tuple[int, str, str] | None = None
        """The active revision that this host has left alone, and the configuration that it has itself."""
        self._adopted = ""
        """The version of the revision whose schedules are ticked here."""
        self._running = ""
        """Meaning of the revision with the same content as what runs here; empty if it is unknown."""

    async def put(self, ours: Loaded, why: str, *, is_wanted: bool = False) -> bool:
        """Commit a configuration, unless another host has one that takes precedence.

        Returns True if a revision came of it.

        Arguments:
            ours: the configuration.
            why: the reason.
            is_wanted: whether it takes precedence over any other, because it is rolled back to.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        self._fleet.ticker.serializer = serializer_for(ours.configuration, self._fleet.path)
        moved: int | None = None
        while True:
            history = await self._configurations.history(self._fleet.owner)
            base = history[0].number if history else 0
            # The history may hold none of ours: the script knows which revision is active.
            base = base if moved is None else moved
            stands = standing(self._unwritten(ours, why), history)
            if stands is Standing.SAME and self._trust(history[0]) in (Trust.GOOD, Trust.FOREIGN):
                current = await self._adopt(ours)
                if self.may_lead:
                    is_ours = current is not None and current.number == base
                    self._runs(ours, base, self._adopted if is_ours else "")
                return False
            if stands not in (Standing.NEWER, Standing.SAME) and not is_wanted:
                self._stand_back(stands, history[0], ours)
                return False
            commit = await self.commit(ours, base, why)
            if commit.is_done:
                self._adopted, self._may_lead = commit.version, True
                self._runs(ours, commit.revision, commit.version)
                return True
            moved = commit.revision

    async def commit(self, ours: Loaded, base: int, why: str) -> Commit:
        """Write a configuration, its schedules and its strikes at once, if none has come between.

        Arguments:
            ours: the configuration.
            base: the revision that it follows; 0 is none.
            why: what made it so.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        fleet, configuration = self._fleet, ours.configuration
        fleet.ticker.serializer = serializer_for(configuration, fleet.path)
        # What the commit before has staged comes first: what is struck is compared with it.
        await self._configurations.staging.follow(fleet.owner)
        now = from_milliseconds(await fleet.storage.schedules.now())
        # In a thread: thousands of schedules may be parsed here, while others are due.
        desired, declared, entry = await asyncio.to_thread(self._written, ours, why, base + 1, now)
        strikes = StrikeList(serializer=fleet.ticker.serializer, storage=fleet.storage)
        await strikes.refresh()
        lifted, struck = self._strikes(configuration, strikes)
        commit = await self._configurations.commit(
            fleet.owner,
            base,
            entry,
            configuration.supervisor.reload.history,
            RevisionChange(
                declared,
                lifted,
                struck,
                *_routes(configuration.tasks),
                paused_queues(configuration),
            ),
        )
        if commit.is_done:
            await self._take_effect(desired, declared)
            if lifted:
                await strikes.acquit()
        return commit

    def _written(
        self, ours: Loaded, why: str, number: int, now: datetime
    ) -> tuple[list[DesiredSchedule], list[DeclaredSchedule], RevisionEntry]:
        desired = [*desired_schedules(ours.configuration)]
        declared = declarations(desired, now, self._fleet.owner, self._serializer)
        return desired, declared, self._entry(ours, why, number)

    async def _take_effect(
        self, desired: Sequence[DesiredSchedule], declared: Sequence[DeclaredSchedule]
    ) -> None:
        """Let schedules and strikes follow the commit, which is active even if this fails."""
        ticker, owner = self._fleet.ticker, self._fleet.owner
        try:
            await self._configurations.staging.follow(owner)
            names = [schedule.name for schedule in desired]
            moments = await self._configurations.staging.next_times(owner, names)
        except ServerUnavailable as error:
            logger.warning("The schedules of the commit follow when Redis is back: %s", error)
            # Each tick compares with what Redis knows, and brings over what it is about.
            moments = [one.next_time for one in declared]
        ticker.follow(desired, due_next(desired, moments))

    async def follow(self, beat: Beat, ours: Loaded) -> None:
        """Follow the beat of Redis: who ticks, which schedules, and whether this host is behind.

        Arguments:
            beat: what it says.
            ours: what runs here.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        if beat.revision == 0 and self._adopted:
            logger.warning("Redis has lost the configuration: it is committed again")
            await self.put(ours, "restored")
        elif (beat.leads or not self.may_lead) and await self._is_news(beat):
            await self._adopt(ours)
        self._fleet.ticker.is_leading = beat.leads and self.may_lead
        if beat.revision > 0 and beat.version != self._running:
            await self._look_at_the_others(ours)

    async def _is_news(self, beat: Beat) -> bool:
        """Return True if other schedules are active than are ticked here; a leader makes them follow."""
        if not beat.is_unfinished:
            return beat.revision > 0 and beat.version != self._adopted
        is_whole = await self._configurations.staging.follow(self._fleet.owner, SLICES)
        if is_whole:
            await StrikeList(storage=self._fleet.storage).acquit()
        return is_whole and beat.revision > 0

    async def revision(self, number: int) -> Revision:
        """Return an active or earlier revision.

        Raises:
            UnknownRevision: it is not kept.
            NotTrusted: it is not signed by a key that is known here.
            ServerUnavailable: Redis did not answer in time.
        """
        history = await self._configurations.history(self._fleet.owner)
        for one in history:
            if one.number == number:
                self._check(one)
                return one
        kept = ", ".join(str(one.number) for one in history)
        raise UnknownRevision(f"there is no revision {number}; those that are kept are {kept}")

    async def _adopt(self, ours: Loaded) -> Revision | None:
        """Tick the active schedules of any owner's commit: as Redis holds them, not the file.

        Where keys are set, the commit must be signed with one of them. What is not signed, and equals what
        runs here, is committed again, signed.

        Returns their revision; None if no active one can be trusted.
        """
        storage, owner = self._fleet.storage, self._fleet.owner
        current = await self._configurations.current(owner)
        if current is None:
            return None
        found = self._trust(current)
        self._may_lead = found is not Trust.FOREIGN
        if found is Trust.GOOD:
            known = await storage.schedules.known()
            told = await asyncio.to_thread(active_schedules, known, owner, self._serializer)
            self._fleet.ticker.follow(*told)
            self._adopted = current.version
            return current
        if found is not Trust.FOREIGN and current.entry.digest == ours.meaning:
            logger.warning("Revision %d is committed again: %s", current.number, found.value)
            await self.put(ours, "signed again")
        else:
            self._leave_alone(current, found)
        return None

    def _leave_alone(self, current: Revision, found: Trust) -> None:
        what = "this supervisor leads no longer" if found is Trust.FOREIGN else "it is not followed"
        message = (
            f"revision {current.number} of {current.entry.host} cannot be trusted: {found.value}; {what}, "
            "and what is not known to be the owner's is not ticked here"
        )
        if self._conditions["Drift"].message != message:
            logger.error("Drift: %s", message)
        self._conditions.tell("Drift", True, "NotTrusted", message)

    @property
    def may_lead(self) -> bool:
        """True if the keys that sign the active revision are known here."""
        return self._may_lead

    @property
    def _serializer(self) -> Serializer:
        return self._fleet.ticker.serializer

    def _trust(self, revision: Revision) -> Trust:
        entry, owner = revision.entry, self._fleet.owner
        return self._serializer.trust(
            _signed_text(entry), entry.seal, ("revision", owner, revision.number)
        )

    def _check(self, revision: Revision) -> None:
        found = self._trust(revision)
        if found is not Trust.GOOD:
            raise NotTrusted(
                f"revision {revision.number} cannot be trusted: {found.value}; change the file instead, and "
                "have it applied"
            )

    async def _look_at_the_others(self, ours: Loaded) -> None:
        current = await self._configurations.current(self._fleet.owner)
        if current is not None and (found := self._trust(current)) is not Trust.GOOD:
            self._leave_alone(current, found)
            return
        if current is None or current.entry.digest == ours.meaning:
            if current is not None:
                self._reloads.revision, self._running = current.number, current.version
            self._conditions.tell("Drift", False, "InForce")
            return
        if self._stood_back == (current.number, current.entry.digest, ours.meaning):
            return  # the condition says why already
        message = (
            f"revision {current.number} of {current.entry.host} is active, and {self._fleet.host} has "
            "another configuration; its pools run, schedules and strikes are the active ones"
        )
        if not self._conditions["Drift"].status:
            logger.warning("Drift: %s", message)
        self._conditions.tell("Drift", True, "OtherHost", message)

    def _runs(self, ours: Loaded, revision: int, version: str) -> None:
        self._reloads.revision, self._running = revision, version
        self._reloads.digest = ours.meaning
        self._conditions.tell("Drift", False, "InForce")

    def _stand_back(self, stands: Standing, current: Revision, ours: Loaded) -> None:
        message = {
            Standing.OLDER: "has a newer file",
            Standing.CONFLICT: f"has another file of the same revision {current.entry.declared}",
            Standing.FLAPPING: "and this host have committed their own in turns",
        }[stands]
        told = (
            f"{current.entry.host} {message}; revision {current.number} stays active, "
            f"{self._fleet.host} runs its own pools and leaves schedules and strikes alone"
        )
        logger.warning("Drift: %s", told)
        self._stood_back = current.number, current.entry.digest, ours.meaning
        self._reloads.digest = ours.meaning
        self._conditions.tell("Drift", True, stands.name.title(), told)

    def _unwritten(self, ours: Loaded, why: str) -> RevisionEntry:
        """Return a configuration as it is kept, without its text, which is slow for thousands of tasks."""
        return RevisionEntry(ours.meaning, "", ours.configuration.revision, self._fleet.host, why)

    def _entry(self, ours: Loaded, why: str, number: int) -> RevisionEntry:
        """Return a configuration as it is kept."""
        entry = self._unwritten(ours, why)._replace(text=text_of(ours.configuration))
        place = ("revision", self._fleet.owner, number)
        return entry._replace(seal=self._serializer.sign(_signed_text(entry), place))

    def _strikes(
        self, configuration: Configuration, strikes: StrikeList
    ) -> tuple[list[str], list[StruckRule]]:
        """Return the strikes of this owner to remove, and those to add; others are not touched."""
        owner = self._fleet.owner
        rules = [rule_for(strike, owner) for strike in configuration.strikes]
        wanted = {rule.identity: rule for rule in rules}
        lifted = [
            identity
            for identity, rule in strikes.rules.items()
            if identity not in wanted and rule.source.startswith(source_of(owner))
        ]
        struck = [
            StruckRule(
                identity,
                rule.action,
                0 if rule.expires is None else to_milliseconds(rule.expires),
                strikes.written(rule),
            )
            for identity, rule in wanted.items()
            if strikes.rules.get(identity) != rule
        ]
        return lifted, struck


def _signed_text(entry: RevisionEntry) -> str:
    return json.dumps(entry._replace(seal=""))


def _routes(tasks: Mapping[str, Task]) -> tuple[dict[str, str], dict[str, int]]:
    """Return the queues, and the shapes of the arguments, of tasks that have one of their own."""
    lanes = {name: lane_of(task) for name, task in tasks.items()}
    routes = {name: lane for name, lane in lanes.items() if lane != DEFAULT_QUEUE}
    return routes, {name: task.args_schema for name, task in tasks.items() if task.args_schema > 1}

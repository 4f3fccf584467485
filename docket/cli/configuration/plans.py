"""The effects of a change of a configuration, shown before it is made."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ...config.describing.sentences import sentence
from ...config.load import Loaded, shadowed_edits
from ...config.model import Configuration
from ...config.planning.diff import Change
from ...config.planning.plan import RestartRequired, Unchanged, effect_of, plan, refuse_removals
from ...config.planning.revision_text import kept, text_of
from ...config.reading.keypath import dotted
from ...foundation.cron import exact_zone
from ...schedules.desired import DesiredSchedule, desired_schedules

if TYPE_CHECKING:
    from ...storage.configurations import RevisionEntry

TIMES: Final = 5
"""Number of times of a schedule that are shown."""


class PlanVerdict(enum.Enum):
    """The fate of a change."""

    UNCHANGED = "unchanged"
    REFUSED = "refused"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class NextFirings:
    """The times of a schedule, before and after.

    Arguments:
        name: the schedule.
        before, after: the next times, each in the zone of its schedule; none where it does not exist or
            is paused.
    """

    name: str
    before: tuple[datetime, ...]
    after: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """The effects of a change.

    Arguments:
        verdict: its fate.
        changes: everything that differs.
        firings: the schedules that it touches.
        why: why it would be refused.
        shadowed: edits that would have no effect.
        queued: how many executions of tasks that it touches are there already, by task.
    """

    verdict: PlanVerdict
    changes: tuple[Change, ...]
    firings: tuple[NextFirings, ...]
    why: str
    shadowed: tuple[str, ...]
    queued: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def fields(self) -> dict[str, Any]:
        """The preview as JSON."""
        return {
            "verdict": self.verdict.value,
            "why": self.why or None,
            "changes": [
                {
                    "path": dotted(change.path),
                    "sentence": sentence(change, effect_of(change)),
                    "effect": effect_of(change),
                }
                for change in self.changes
            ],
            "schedules": [
                {
                    "name": one.name,
                    "before": [time.isoformat() for time in one.before],
                    "after": [time.isoformat() for time in one.after],
                }
                for one in self.firings
            ],
            "shadowed": list(self.shadowed),
            "queued": dict(self.queued),
        }

    def lines(self) -> Iterator[str]:
        """Yield the preview in words."""
        for change in self.changes:
            yield sentence(change, effect_of(change))
        for firing in self.firings:
            yield f"schedules.{firing.name} fires next"
            yield f"  before: {_listed(firing.before)}"
            yield f"  after:  {_listed(firing.after)}"
        for task, count in sorted(self.queued.items()):
            yield f"tasks.{task}: {count} queued, scheduled or parked"
        yield from self.shadowed
        match self.verdict:
            case PlanVerdict.UNCHANGED:
                yield "unchanged: both mean the same"
            case PlanVerdict.CHANGES if not self.changes:
                yield "secrets differ; what they are is not kept"
            case PlanVerdict.REFUSED:
                yield f"would be refused: {self.why}"
            case _:
                count = len(self.changes)
                yield f"{count} change{'s' if count > 1 else ''}"


def previewed(old: Loaded | None, new: Loaded, now: datetime) -> Preview:
    """Preview the effects of a change.

    Arguments:
        old: the configuration that runs; None if none does.
        new: the configuration that would run.
        now: the moment after which the times of schedules are listed.
    """
    before = _nothing_of(new.configuration) if old is None else old.configuration
    after = new.configuration
    shadowed = () if old is None else shadowed_edits(old, new)
    found = plan(before, after)
    if isinstance(found, Unchanged):
        return Preview(PlanVerdict.UNCHANGED, (), (), "", shadowed)
    why = ""
    if isinstance(found, RestartRequired):
        why = (
            f"{', '.join(found.paths)} cannot change while everything runs; restart the supervisor"
        )
    elif problem := refuse_removals(before, after, before.supervisor.reload.max_removals):
        why = problem.render()
    verdict = PlanVerdict.REFUSED if why else PlanVerdict.CHANGES
    return Preview(
        verdict, found.changes, _firings(before, after, found.changes, now), why, shadowed
    )


def against(running: RevisionEntry, new: Loaded, now: datetime) -> Preview:
    """Preview a change of the active revision; its secrets are not kept, so they are compared as a whole.

    Arguments:
        running: the active revision.
        new: the configuration that would run.
        now: the moment after which the times of schedules are listed.

    Raises:
        ConfigurationError: another release of Docket has written the active revision.
    """
    shown = kept(text_of(new.configuration), new.path)
    preview = previewed(kept(running.text, new.path), shown, now)
    if preview.verdict is PlanVerdict.UNCHANGED and running.digest != new.meaning:
        return replace(preview, verdict=PlanVerdict.CHANGES)
    return preview


def _nothing_of(configuration: Configuration) -> Configuration:
    """Return the same configuration with nothing in it."""
    nothing: dict[str, Any] = {
        "tasks": {},
        "schedules": {},
        "workers": {},
        "queues": {},
        "strikes": (),
    }
    return configuration.model_copy(update=nothing)


def _firings(
    before: Configuration, after: Configuration, changes: tuple[Change, ...], now: datetime
) -> tuple[NextFirings, ...]:
    old, new = _schedules(before), _schedules(after)
    touched = {change.path[1] for change in changes if change.path[0] == "schedules"}
    if any(change.path[0] in ("timezone", "name") for change in changes):
        touched |= {*old, *new}
    return tuple(
        NextFirings(name, _times(before, old.get(name), now), _times(after, new.get(name), now))
        for name in {**new, **old}
        if name in touched
    )


def _schedules(configuration: Configuration) -> dict[str, DesiredSchedule]:
    return {schedule.name: schedule for schedule in desired_schedules(configuration)}


def _times(
    configuration: Configuration, schedule: DesiredSchedule | None, now: datetime
) -> tuple[datetime, ...]:
    if schedule is None or schedule.paused:
        return ()
    zone = exact_zone(configuration.schedules[schedule.name].timezone or configuration.timezone)
    times: list[datetime] = []
    moment = schedule.next_after(now)
    while moment is not None and len(times) < TIMES:
        times.append(moment.astimezone(zone))
        moment = schedule.next_after(moment)
    return tuple(times)


def _listed(times: tuple[datetime, ...]) -> str:
    return ", ".join(time.isoformat(timespec="seconds") for time in times) or "never"

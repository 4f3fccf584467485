"""What a change of a configuration would do, told before it is done."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ..config.diff import Change
from ..config.keypath import dotted
from ..config.load import Loaded, shadowed_edits
from ..config.model import Configuration
from ..config.plan import RestartRequired, Unchanged, effect_of, plan, refuse_removals
from ..config.sentences import sentence
from ..cron import exact_zone
from ..schedules.desired import DesiredSchedule, desired_schedules

TIMES: Final = 5
"""How many times of a schedule are shown."""


class Verdict(enum.Enum):
    """What would become of a change."""

    UNCHANGED = "unchanged"
    REFUSED = "refused"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Firing:
    """When a schedule fires, before and after.

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
    """What a change would do.

    Arguments:
        verdict: what would become of it.
        changes: all that differs.
        firings: the schedules that it touches.
        why: why it would be refused.
        shadowed: edits that would have no effect.
    """

    verdict: Verdict
    changes: tuple[Change, ...]
    firings: tuple[Firing, ...]
    why: str
    shadowed: tuple[str, ...]

    @property
    def fields(self) -> dict[str, Any]:
        """It as JSON has it."""
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
        }

    def lines(self) -> Iterator[str]:
        """It in words."""
        for change in self.changes:
            yield sentence(change, effect_of(change))
        for firing in self.firings:
            yield f"schedules.{firing.name} fires next"
            yield f"  before: {_listed(firing.before)}"
            yield f"  after:  {_listed(firing.after)}"
        yield from self.shadowed
        match self.verdict:
            case Verdict.UNCHANGED:
                yield "unchanged: both mean the same"
            case Verdict.REFUSED:
                yield f"would be refused: {self.why}"
            case _:
                count = len(self.changes)
                yield f"{count} change{'s' if count > 1 else ''}"


def previewed(old: Loaded | None, new: Loaded, now: datetime) -> Preview:
    """What a change would do.

    Arguments:
        old: what runs; without it nothing does.
        new: what would run.
        now: from when on the times of schedules are told.
    """
    before = _nothing_of(new.configuration) if old is None else old.configuration
    after = new.configuration
    shadowed = () if old is None else shadowed_edits(old, new)
    found = plan(before, after)
    if isinstance(found, Unchanged):
        return Preview(Verdict.UNCHANGED, (), (), "", shadowed)
    why = ""
    if isinstance(found, RestartRequired):
        why = (
            f"{', '.join(found.paths)} can not change while everything runs; restart the supervisor"
        )
    elif problem := refuse_removals(before, after, before.supervisor.reload.max_removals):
        why = problem.render()
    verdict = Verdict.REFUSED if why else Verdict.CHANGES
    return Preview(
        verdict, found.changes, _firings(before, after, found.changes, now), why, shadowed
    )


def _nothing_of(configuration: Configuration) -> Configuration:
    """The same place with nothing in it."""
    nothing: dict[str, Any] = {"tasks": {}, "schedules": {}, "workers": {}, "strikes": ()}
    return configuration.model_copy(update=nothing)


def _firings(
    before: Configuration, after: Configuration, changes: tuple[Change, ...], now: datetime
) -> tuple[Firing, ...]:
    old, new = _schedules(before), _schedules(after)
    touched = {change.path[1] for change in changes if change.path[0] == "schedules"}
    if any(change.path[0] in ("timezone", "name") for change in changes):
        touched |= {*old, *new}
    return tuple(
        Firing(name, _times(before, old.get(name), now), _times(after, new.get(name), now))
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

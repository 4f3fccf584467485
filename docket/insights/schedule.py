"""Explanations of schedules: from the records in Redis to sentences. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from ..errors import Undecodable
from ..foundation.plain import plain
from ..foundation.units import from_milliseconds, to_milliseconds
from ..storage.schedules import DueOutcome, Known
from ..storage.situations.schedule import ScheduleSituation
from ..strikelist import Rule
from .explanation import Explanation, Fact, at, counted, named, span, word
from .rules import is_active, named_rule, restoring
from .schedule_causes import OUTCOMES, SCHEDULE_TOLD, ScheduleCause

GRACE: Final = timedelta(seconds=5)
"""Lateness of a run before it is reported: a supervisor that has died is succeeded within that."""

_STRUCK: Final = {"drop": "not made", "park": "parked", "delay": "put off"}


@dataclass(frozen=True, slots=True)
class Declared:
    """The content of a definition, as far as explanations need it."""

    task: str
    timing: Mapping[str, Any]
    is_paused: bool
    overlap: str
    limit: int | None

    @classmethod
    def read(cls, known: Known) -> Declared:
        """Read the definition of a schedule.

        Raises:
            Undecodable: it is not a definition.
        """
        try:
            told = json.loads(known.definition)
            timing = dict(told["timing"])
            limit = None if told.get("limit") is None else int(told["limit"])
            return cls(str(told["task"]), timing, bool(told["paused"]), str(told["overlap"]), limit)
        except (ValueError, TypeError, LookupError) as error:
            name = plain(f"{known.owner}/{known.name}")
            raise Undecodable(
                f"expected the definition of the schedule {name}, found {known.definition!r:.80}; "
                "let its supervisor commit its configuration again"
            ) from error

    @property
    def zone(self) -> str:
        """The time zone that it goes by."""
        return str(self.timing.get("timezone", "UTC"))


def explained_schedule(situation: ScheduleSituation, rules: Mapping[str, Rule]) -> Explanation:
    """Explain why a schedule has a run or none.

    Arguments:
        situation: its state, and its surroundings.
        rules: the strike of its whole task, by its identity, if there is one that can be read.

    Raises:
        Undecodable: its definition cannot be read.
    """
    s = situation
    declared = None if s.known is None else Declared.read(s.known)
    rule = next((one for one in rules.values() if is_active(one, s.now)), None)
    cause = schedule_cause_of(s, declared, rule)
    told, words = SCHEDULE_TOLD[cause], _words(s, declared, rule)
    return Explanation(
        subject=s.id,
        state=_state(cause),
        cause=cause.value,
        sentence=told.sentence.format_map(words),
        advice=told.advice.format_map(words),
        facts=tuple(_facts(s, declared, rule, cause)),
    )


def schedule_cause_of(
    s: ScheduleSituation, declared: Declared | None, rule: Rule | None
) -> ScheduleCause:
    """Return the reason for which a schedule has a run or none.

    Arguments:
        s: its state, and its surroundings.
        declared: the content of its definition; None if it is not declared.
        rule: the active strike of its whole task.
    """
    if s.known is None or declared is None:
        return ScheduleCause.REMOVED
    if found := _paused(s, s.known, declared):
        return found
    if not s.known.next_time:
        return _without_due_time(s.known, declared)
    due = from_milliseconds(s.known.next_time)
    if not s.leader:
        is_late = due <= s.now
        return ScheduleCause.NO_SUPERVISOR_AND_LATE if is_late else ScheduleCause.NO_SUPERVISOR
    if due <= s.now - GRACE:
        return ScheduleCause.LATE
    if rule:
        return ScheduleCause.STRUCK
    if s.run_is_live and s.waiting:
        return ScheduleCause.OVERLAP_WAITS
    if s.run_is_live and s.outcomes and s.outcomes[0].word == "overlap":
        return ScheduleCause.OVERLAP_SKIPS
    return ScheduleCause.SKIPPED_NEXT if s.known.skip == s.known.next_time else ScheduleCause.DUE


def _paused(s: ScheduleSituation, known: Known, declared: Declared) -> ScheduleCause | None:
    if declared.is_paused:
        return ScheduleCause.PAUSED_BY_FILE
    if _pause_in_force(s, known):
        return ScheduleCause.PAUSED_BY_OPERATOR
    return ScheduleCause.PAUSED_BY_FAILURES if known.stopped else None


def _pause_in_force(s: ScheduleSituation, known: Known) -> Mapping[str, Any] | None:
    """Return the pause of an operator, unless it is over."""
    pause = known.pause
    is_over = pause and pause.get("until") and pause["until"] <= to_milliseconds(s.now)
    return None if is_over else pause


def _without_due_time(known: Known, declared: Declared) -> ScheduleCause:
    if declared.limit is not None and known.runs >= declared.limit:
        return ScheduleCause.HAD_ALL_RUNS
    if declared.timing.get("anchor") == "finish" and known.last_key:
        return ScheduleCause.COUNTED_FROM_END
    return ScheduleCause.OVER


def _state(cause: ScheduleCause) -> str:
    """Return the state in one word, for programs."""
    if cause.value.startswith("paused"):
        return "paused"
    if cause in (ScheduleCause.OVER, ScheduleCause.HAD_ALL_RUNS):
        return "over"
    return "removed" if cause is ScheduleCause.REMOVED else "active"


def _words(s: ScheduleSituation, declared: Declared | None, rule: Rule | None) -> dict[str, str]:
    """Return the values for the names in braces; those from outside are plain."""
    known = s.known
    due = from_milliseconds(known.next_time) if known and known.next_time else s.now
    period = declared.timing.get("every", 0) if declared else 0
    last = from_milliseconds(known.last) if known and known.last else None
    return {
        "name": word(s.id),
        "owner": plain(s.id.partition("/")[0]),
        "due": _in_zone(due, declared.zone if declared else "UTC"),
        "until": span(due - s.now),
        "late": span(s.now - due),
        "leader": plain(s.leader),
        "run": plain(s.run),
        "run_word": word(s.run),
        "overlap": plain(declared.overlap) if declared else "",
        "limit": str(declared.limit) if declared else "",
        "period": span(timedelta(seconds=float(period))),
        "waiting": f"{s.waiting:,} {'other waits' if s.waiting == 1 else 'others wait'}",
        "last": at(last) if last else "now",
        "forgotten": span(s.forgotten_in) if s.forgotten_in else "while",
        "pause": _pause(s),
        "struck": _STRUCK[rule.action] if rule else "",
        "strike": named_rule(rule),
        "restore": restoring(rule),
    }


def _in_zone(moment: datetime, zone: str) -> str:
    """Return a moment, and the time of the clocks then in the zone of the schedule."""
    if zone == "UTC":
        return at(moment)
    try:
        there = moment.astimezone(ZoneInfo(zone))
    except (LookupError, OSError, ValueError):
        return at(moment)
    return f"{at(moment)} ({there:%H:%M:%S} in {plain(zone)})"


def _pause(s: ScheduleSituation) -> str:
    """Describe who has paused it, since and until when, and why."""
    known = s.known
    pause = known and (_pause_in_force(s, known) or known.stopped)
    if not pause:
        return "it is not paused"
    by = (
        "a row of failures has"
        if pause is (known and known.stopped)
        else f"{plain(pause['by'])} has"
    )
    since = f" at {_told(pause['since'])}" if pause.get("since") else ""
    until = f", until {_told(pause['until'])}" if pause.get("until") else ""
    why = f" ({plain(pause['reason'])})" if pause.get("reason") else ""
    return f"{by} paused it{since}{until}{why}"


def _told(milliseconds: Any) -> str:
    """Return a moment from a record."""
    try:
        return at(from_milliseconds(milliseconds))
    except (TypeError, ValueError, OverflowError):
        return "?"


def _facts(
    s: ScheduleSituation, declared: Declared | None, rule: Rule | None, cause: ScheduleCause
) -> Iterator[Fact]:
    if s.outcomes:
        yield _of_outcome(s, declared, s.outcomes[0])
    if s.run_is_live and "{run_word}" not in SCHEDULE_TOLD[cause].advice:
        yield Fact(
            f"Its run {plain(s.run)} is not over.", f"`docket task explain {word(s.run)}` says why"
        )
    if s.known and s.known.failures:
        yield Fact(f"{counted(s.known.failures, 'run has', 'runs in a row have')} failed.")
    if rule and cause is not ScheduleCause.STRUCK:
        restore = f"{restoring(rule)} takes it back"
        yield Fact(
            f"Its runs would be {_STRUCK[rule.action]}: {named_rule(rule)} is active.", restore
        )
    if s.known and (skipped := +s.known.skipped):
        told = ", ".join(f"{count:,} {plain(why)}" for why, count in sorted(skipped.items()))
        yield Fact(
            f"Due times without a run so far: {told}.", f"`docket schedule show {word(s.id)}`"
        )
    yield from _of_supervisors(s)
    if declared:
        yield Fact(
            f"It runs the task {plain(declared.task)}, and goes by the clocks of {plain(declared.zone)}."
        )


def _of_outcome(s: ScheduleSituation, declared: Declared | None, one: DueOutcome) -> Fact:
    template, due = OUTCOMES.get(one.word, "became {word}"), from_milliseconds(one.due)
    became = template.format(key=plain(one.key), word=plain(one.word))
    others = f"; so did {one.times - 1:,} before it" if one.times > 1 else ""
    took = "" if one.took is None else f" after {span(timedelta(milliseconds=one.took))}"
    end = f", which ended as {plain(one.end)}{took}" if one.end else ""
    advice = ""
    if "{key}" in template and one.end != "completed":
        advice = f"`docket task explain {word(one.key)}`"
    elif template.startswith("passed") and declared and declared.timing.get("anchor") != "finish":
        since = f"{due:%Y-%m-%dT%H:%M:%SZ}"
        command = f"docket schedule backfill {word(s.id)} --from {since} --dry-run"
        advice = f"`{command}` shows what can be made up for"
    return Fact(f"Its last due time, {at(due)}, {became}{end}{others}.", advice)


def _of_supervisors(s: ScheduleSituation) -> Iterator[Fact]:
    if s.leader:
        yield Fact(f"The supervisor {plain(s.leader)} runs what is due.")
    elif s.supervisors:
        names = named([one.who for one in s.supervisors])
        yield Fact(f"{names} live, and none of them leads.", "`docket status --all`")
    if s.is_following:
        yield Fact("A change of the configuration is still being carried out.")

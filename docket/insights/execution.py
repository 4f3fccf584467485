"""Explanations of executions: from the records in Redis to sentences. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast

from ..foundation.lifecycle import ExecutionState
from ..foundation.names import EVERY_QUEUE
from ..foundation.plain import plain
from ..foundation.units import to_milliseconds
from ..storage.queues import QueuePause
from ..storage.situations.execution import Situation
from ..strikelist import Rule
from .causes import DEAD, PARKED, STRUCK, TOLD, Cause
from .explanation import Explanation, Fact, at, counted, named, span, word
from .rules import is_active, named_rule, restoring

ALONE, IN_ALL = 3, 10
"""So many deaths make a dead letter: while it ran alone, and altogether."""


_DOES: Final = {"drop": "cancels", "park": "parks", "delay": "puts off"}
"""The effect of a strike on what it meets."""

_WAITING: Final = (ExecutionState.SCHEDULED, ExecutionState.QUEUED, ExecutionState.PARKED)

SHOWN: Final = 5
"""Maximum number of strikes on arguments that are named."""


def explained(
    situation: Situation, rules: Mapping[str, Rule], looking: Sequence[Rule] = ()
) -> Explanation:
    """Explain the state of an execution.

    Arguments:
        situation: its place, and its surroundings.
        rules: the strike that has parked it and that of its whole task, by identity.
        looking: the active strikes that look at arguments of its task.
    """
    rule = _rule(situation, rules)
    cause = cause_of(situation, rule)
    told, words = TOLD[cause], _words(situation, rule)
    return Explanation(
        subject=situation.key,
        state=situation.state.value,
        cause=cause.value,
        sentence=told.sentence.format_map(words),
        advice=told.advice.format_map(words),
        facts=(*_facts(situation, rule, cause), *_of_arguments(situation, rule, looking)),
    )


def cause_of(situation: Situation, rule: Rule | None = None) -> Cause:
    """Return the reason for the state of an execution.

    Arguments:
        situation: its place, and its surroundings.
        rule: the active strike that concerns it.
    """
    match situation.state:
        case ExecutionState.SCHEDULED:
            return _of_scheduled(situation, rule)
        case ExecutionState.QUEUED:
            return _of_queued(situation, rule)
        case ExecutionState.RUNNING:
            return _of_running(situation)
        case ExecutionState.PARKED:
            return _of_parked(situation)
        case ExecutionState.COMPLETED:
            return Cause.COMPLETED
        case ExecutionState.FAILED:
            return DEAD.get(situation.reason, Cause.FAILED)
        case _:
            return _of_cancelled(situation)


def _of_scheduled(situation: Situation, rule: Rule | None) -> Cause:
    if not situation.is_listed:
        return Cause.LOST
    if situation.slot:
        return Cause.SLOT
    if situation.turn:
        return Cause.TURN
    if situation.due <= situation.now:
        return _in_the_way(situation, rule) or Cause.OVERDUE
    if situation.moments:
        return Cause.RATE if situation.moments[0].kind == "rate" else Cause.DEBOUNCE
    if rule and rule.action == "delay":
        return Cause.STRUCK_DELAY
    return Cause.RETRIED if situation.attempt > 1 else Cause.DUE_LATER


def _of_queued(situation: Situation, rule: Rule | None) -> Cause:
    if not situation.is_listed:
        return Cause.LOST
    if found := _in_the_way(situation, rule):
        return found
    if situation.is_suspect:
        return Cause.SUSPECT
    return Cause.BEHIND if situation.ahead else Cause.NEXT


def _in_the_way(situation: Situation, rule: Rule | None) -> Cause | None:
    """Return what keeps a due execution from being run, however long it waits."""
    if rule and rule.action != "delay":
        return STRUCK[rule.action]
    if pause := _pause(situation):
        return Cause.QUEUE_PAUSED_BY_FILE if pause.file else Cause.QUEUE_PAUSED
    if not situation.living:
        return Cause.NO_WORKER
    if not _serving(situation):
        return Cause.NO_WORKER_FOR_QUEUE
    if not _knowing(situation) and not situation.taking:
        return Cause.NO_WORKER_FOR_TASK
    return None


def _pause(situation: Situation) -> QueuePause | None:
    """Return the pause that keeps its queue from being worked on."""
    active = (one for one in situation.pauses if one.until is None or one.until > situation.now)
    return next(active, None)


def _of_running(situation: Situation) -> Cause:
    if _is_silent(situation):
        return Cause.SILENT
    return Cause.CANCELLING if situation.is_cancelled else Cause.RUNNING


def _of_parked(situation: Situation) -> Cause:
    found = PARKED.get(situation.reason.partition(" ")[0], Cause.PARKED)
    stored = situation.rules.get(situation.strike)
    is_over = stored is None or 0 < stored.ends <= to_milliseconds(situation.now)
    return Cause.PARKED_FREED if found is Cause.PARKED_STRUCK and is_over else found


def _of_cancelled(situation: Situation) -> Cause:
    if situation.reason == "struck":
        return Cause.CANCELLED_STRUCK
    if situation.reason == "expired":
        return Cause.EXPIRED
    return Cause.CANCELLED if situation.reason in ("", "cancelled") else Cause.DROPPED


def _is_silent(situation: Situation) -> bool:
    if situation.lease_left is not None:
        return situation.lease_left <= timedelta()
    return situation.heard is None or not situation.is_living(situation.heard)


def _serving(situation: Situation) -> list[str]:
    """Return the living workers that serve its queue; one that does not say so may do so."""
    return [
        name
        for name, queues in situation.serving.items()
        if queues is None or situation.queue in queues
    ]


def _knowing(situation: Situation) -> list[str]:
    return [one.name for one in situation.knowing if situation.is_living(one.at)]


def _rule(situation: Situation, rules: Mapping[str, Rule]) -> Rule | None:
    """Return the active rule that concerns it: the one that has parked it, or that for its whole task."""
    for identity in (situation.strike, f"task:{situation.task}"):
        rule = rules.get(identity)
        if rule and is_active(rule, situation.now):
            return rule
    return None


def _words(situation: Situation, rule: Rule | None) -> dict[str, str]:
    """Return the values for the names in braces; those from outside are plain."""
    s, now = situation, situation.now
    ended = s.completed_at or now
    began = s.started_at if s.state is ExecutionState.RUNNING else s.due
    slot, turn = s.slot, s.turn
    holder = slot.holders[0].name if slot and slot.holders else turn.holder if turn else None
    waits = slot.before if slot else turn.before if turn else s.suspects_before
    return {
        "key": word(s.key),
        "task": word(s.task),
        "queue": word(s.queue),
        "state": s.state.value,
        "due": at(s.due),
        "until": span(s.due - now),
        "since": span(now - (began or now)),
        "attempt": str(s.attempt),
        "failed": str(s.attempt - 1),
        "worker": plain(s.worker or "?"),
        "ended": at(ended),
        "expires": at(s.expires or ended),
        "by": _said_by(s.ended_by),
        "ago": span(now - ended),
        "error": plain(s.error or "no error was recorded").rstrip("."),
        "reason": plain(s.reason or "none was recorded"),
        "detail": plain(s.reason.partition(" ")[2]) or "?",
        "limit": plain(slot.limit) if slot else "",
        "held": str(slot.held) if slot else "",
        "slots": "?" if slot is None or slot.slots is None else str(slot.slots),
        "schedule": plain(turn.schedule) if turn else "",
        "holder": word(holder) if holder else "KEY",
        "before": f"{waits:,} {'waits' if waits == 1 else 'wait'}" if waits else "none waits",
        "gate": plain(s.moments[0].gate) if s.moments else "",
        "ahead": ("more than " if s.is_least else "") + counted(s.ahead, "other", "others"),
        "crashes": counted(s.crashes, "death", "deaths"),
        "queue_pause": _described(_pause(s)),
        "file_pause": _described(_pause(s)),
        "paused": _resumed(_pause(s)),
        "strike": named_rule(rule),
        "restore": restoring(rule),
    }


def _said_by(note: str) -> str:
    """Return who has cancelled or released an execution, and why, as a clause."""
    try:
        said = cast("dict[str, Any]", json.loads(note or "{}"))
        by, why = said.get("by"), said.get("reason")
    except (ValueError, AttributeError):
        return ""
    return (f", by {plain(str(by))}" if by else "") + (f" ({plain(str(why))})" if why else "")


def _described(pause: QueuePause | None) -> str:
    """Describe who has paused a queue, since and until when, and why."""
    if pause is None:
        return ""
    since = f" since {at(pause.since)}" if pause.since else ""
    until = f", until {at(pause.until)}" if pause.until else ""
    why = f" ({plain(pause.reason)})" if pause.reason else ""
    if pause.file:
        revision = f" (revision {pause.revision})" if pause.revision else ""
        return f"by the file of {plain(pause.file)}{revision}{since}"
    return f"by {plain(pause.by) or 'an unknown author'}{since}{until}{why}"


def _resumed(pause: QueuePause | None) -> str:
    """Return the name of what is paused, for whoever takes that back."""
    if pause is None:
        return ""
    if pause.file:
        return plain(pause.queue)
    return "--all" if pause.queue == EVERY_QUEUE else word(pause.queue)


def _facts(situation: Situation, rule: Rule | None, cause: Cause) -> Iterator[Fact]:
    s = situation
    if s.slot:
        for holder in s.slot.holders:
            yield Fact(
                f"{plain(holder.name)} has held a slot for {span(s.now - holder.at)}.",
                f"`docket task explain {word(holder.name)}` says why it does",
            )
        if rest := s.slot.held - len(s.slot.holders):
            yield Fact(f"{counted(rest, 'other slot is', 'other slots are')} held as well.")
    waits = s.slot or s.turn
    if waits and waits.since:
        yield Fact(f"It has been waiting for {span(s.now - waits.since)}.")
    if s.expires and s.attempt == 1 and s.state in _WAITING:
        yield Fact(f"It must have begun by {at(s.expires)}, in {span(s.expires - s.now)}.")
    if s.released_by:
        yield Fact(f"It was parked, and was released by hand{_said_by(s.released_by)}.")
    if rule:
        yield _of_rule(rule, cause)
    if s.state is ExecutionState.RUNNING:
        yield from _of_worker(s)
    elif s.state.is_live:
        yield from _of_workers(s, cause)
    else:
        yield from _of_end(s)
    if s.crashes and s.state.is_live:
        yield _of_deaths(s)
    yield from _of_itself(s, cause)


def _of_rule(rule: Rule, cause: Cause) -> Fact:
    since = f" since {at(rule.since)}" if rule.since else ""
    ends = f" until {at(rule.expires)}" if rule.expires else ""
    is_told = "{restore}" in TOLD[cause].advice
    return Fact(
        f"T{named_rule(rule)[1:]} {_DOES[rule.action]} what it meets{since}{ends}.",
        "" if is_told else f"{restoring(rule)} takes it back",
    )


def _of_arguments(s: Situation, rule: Rule | None, looking: Sequence[Rule]) -> Iterator[Fact]:
    """The strikes that may meet it when it is about to run: its arguments are not looked at here."""
    others = [one for one in looking if rule is None or one.identity != rule.identity]
    if s.state is ExecutionState.RUNNING or s.state.is_terminal or not others:
        return
    for one in others[:SHOWN]:
        yield Fact(
            f"T{named_rule(one)[1:]} {_DOES[one.action]} it if its arguments are such.",
            f"{restoring(one)} takes it back",
        )
    if (rest := len(others) - SHOWN) > 0:
        yield Fact(
            f"{counted(rest, 'more strike looks', 'more strikes look')} at arguments.",
            "`docket strikes ls`",
        )


def _of_worker(s: Situation) -> Iterator[Fact]:
    if s.lease_left is None:
        yield Fact("No lease of its worker is known.")
    elif s.lease_left > timedelta():
        yield Fact(
            f"Its worker is believed for another {span(s.lease_left)}, unless it renews its lease."
        )
    else:
        yield Fact(f"The lease of its worker ended {span(s.lease_left)} ago.")
    if s.heard:
        yield Fact(
            f"Its worker was last heard of {span(s.now - s.heard)} ago.", "`docket workers ls`"
        )


def _of_workers(s: Situation, cause: Cause) -> Iterator[Fact]:
    knowing = _knowing(s)
    if knowing:
        yield Fact(f"Its task is known to {named(knowing)}.")
    elif s.taking:
        yield Fact(f"No living worker knows its task, but {named(s.taking)} take any.")
    elif s.knowing:
        last = max(s.knowing, key=lambda one: one.at)
        yield Fact(
            f"The last worker that knew its task, {plain(last.name)}, was last heard of at {at(last.at)}.",
            "see why it ended",
        )
    else:
        task = word(s.task)
        yield Fact(
            f"No worker that is remembered knows its task {task}.",
            "" if cause is Cause.NO_WORKER else f"`docket workers for-task {task}`",
        )
    if s.living:
        serving = _serving(s)
        yield Fact(
            f"Its queue {plain(s.queue)} is served by {named(serving) or 'no worker that lives'}."
        )


def _of_deaths(s: Situation) -> Fact:
    last = f"; the last one ended with {plain(s.death)}" if s.death else ""
    return Fact(
        f"{counted(s.crashes, 'process has', 'processes have')} died under it, {s.alone} of them while it "
        f"ran alone{last}. After {ALONE} alone, or {IN_ALL} in all, it is given up.",
        f"`docket strike {word(s.task)} --park` keeps its task back until it is mended",
    )


def _of_end(s: Situation) -> Iterator[Fact]:
    if s.started_at and s.completed_at:
        on = f" on worker {plain(s.worker)}" if s.worker else ""
        took = span(s.completed_at - s.started_at)
        yield Fact(f"Its last run began at {at(s.started_at)}{on} and took {took}.")
    if s.kept_for:
        what = "It is kept as a dead letter" if s.is_dead else "Its record is kept"
        yield Fact(f"{what} for another {span(s.kept_for)}.")


def _of_itself(s: Situation, cause: Cause) -> Iterator[Fact]:
    if s.parked_since:
        yield Fact(f"It was parked {span(s.now - s.parked_since)} ago.", "`docket parked ls`")
    if s.is_cancelled and cause is Cause.SILENT:
        yield Fact("There is a request to cancel it.")
    if s.schedule:
        schedule = word(s.schedule)
        yield Fact(f"It is a run of the schedule {schedule}.", f"`docket schedule show {schedule}`")
    yield Fact(
        f"It is attempt {s.attempt} of task {plain(s.task)} in queue {plain(s.queue)}, due at {at(s.due)}."
    )

"""Whatever the engine can do with an execution has a sentence, and something to do about it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from docket.foundation.lifecycle import DeadReason, ExecutionState, ParkedReason
from docket.foundation.units import to_milliseconds
from docket.insights.causes import DEAD, PARKED, STRUCK, TOLD, Cause
from docket.insights.execution import cause_of, explained
from docket.insights.explanation import Explanation, Fact, span, word
from docket.storage.situations.execution import Moment, Seen, Situation, SlotWait, TurnWait
from docket.storage.strikes import StoredRule
from docket.strikelist import ACTIONS, Condition, Operator, Rule
from tests.insights.commands import commands_in, expect_command

NOW = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
S = ExecutionState

PLAIN = Situation(
    key="order-7",
    task="charge",
    state=S.QUEUED,
    due=NOW - HOUR,
    now=NOW,
    silence=timedelta(seconds=10),
    living=1,
    knowing=(Seen("w1", NOW),),
    serving={"w1": ["default"]},
)
GATES = {
    "none": {},
    "slot": {"slot": SlotWait("limit", 2, 2, (Seen("order-6", NOW - HOUR),), 17, NOW - HOUR)},
    "slot of nobody": {"slot": SlotWait("limit", None, 0, (), 0)},
    "turn": {"turn": TurnWait("owner/nightly", "order-6", 0, NOW - HOUR)},
    "turn of nobody": {"turn": TurnWait("owner/nightly", None, 1)},
    "rate": {"moments": (Moment("rate", "limit", NOW + HOUR),)},
    "debounce": {"moments": (Moment("debounce", "limit", NOW + HOUR),)},
}
"""What an execution may wait for at gates; a cooldown, and all that drop, let nobody wait."""

REASONS = (
    *("", "cancelled", "struck", "cooldown (0:00:30) on charge", "of a later release"),
    *(one.value for one in DeadReason),
    *(f"{one.value} detail" for one in ParkedReason),
)
RULES = (None, *(Rule("charge", action=action, delay=HOUR) for action in ACTIONS.values()))


def situations() -> Iterator[tuple[Situation, Rule | None]]:
    """Each state with each reason, at each gate and under each strike, due and not due."""
    dues = (NOW - HOUR, NOW + HOUR)
    for state, reason, rule, due in itertools.product(S, REASONS, RULES, dues):
        for at_gates in GATES.values() if state is S.SCHEDULED else [{}]:
            yield replace(PLAIN, state=state, reason=reason, due=due, **at_gates), rule


def test_every_state_with_every_reason_has_its_sentence() -> None:
    for situation, rule in situations():
        rules = {} if rule is None else {rule.identity: rule}
        found = explained(situation, rules)
        said = [found.sentence, *(fact.says for fact in found.facts)]
        assert all(re.fullmatch(r"\w[^{}]+\.", one) for one in said), (situation, said)
        assert not re.search(r"[{}]|\?", found.advice), (situation, found.advice)


def test_every_reason_to_be_parked_or_dead_has_a_cause_of_its_own() -> None:
    assert PARKED.keys() == {one.value for one in ParkedReason}
    assert DEAD.keys() == {one.value for one in DeadReason}
    assert STRUCK.keys() == ACTIONS.keys()
    causes = [*PARKED.values(), *DEAD.values(), *STRUCK.values()]
    assert len(set(causes)) == len(causes)
    assert TOLD.keys() == set(Cause)


def commands() -> list[str]:
    """All commands that explanations name."""
    advices = {told.advice for told in TOLD.values()}
    for situation, rule in situations():
        rules = {} if rule is None else {rule.identity: rule}
        found = explained(replace(situation, crashes=1, schedule="owner/nightly"), rules)
        advices.update([found.advice, *(fact.advice for fact in found.facts)])
    return [one for one in commands_in("\n".join(advices)) if "{" not in one]


def test_every_command_that_is_advised_is_one_that_can_be_typed() -> None:
    assert len(commands()) > 10
    for line in commands():
        expect_command(line)


@pytest.mark.parametrize(
    ("rule", "command"),
    [
        (Rule("charge"), "`docket restore charge` takes"),
        (Rule("my task"), "`docket restore 'my task'` takes"),
        (
            Rule("charge", (Condition("customer", Operator.EQUAL, "acme"),)),
            "`docket restore charge customer == str:acme` takes",
        ),
        (
            Rule(None, (Condition("size", Operator.GREATER_THAN, 5),)),
            "`docket restore '*' size '>' int:5` takes",
        ),
        (
            Rule(None, (Condition("day", Operator.EQUAL, NOW),)),
            "`docket strikes ls` shows how it was struck; docket restore, typed so, takes",
        ),
        (None, "`docket strikes ls` lists the strikes; docket restore takes"),
    ],
)
def test_a_strike_is_taken_back_as_it_was_struck(rule: Rule | None, command: str) -> None:
    identity = rule.identity if rule else "rule:unreadable"
    parked = replace(
        PLAIN,
        state=S.PARKED,
        reason="struck",
        strike=identity,
        rules={identity: StoredRule("park", 0, 1, b"")},
    )

    found = explained(parked, {} if rule is None else {identity: rule})

    assert found.cause == "parked_struck"
    assert found.advice.startswith(command)


def test_a_strike_that_is_over_strikes_nobody() -> None:
    over = Rule("charge", action="park", expires=NOW - HOUR)
    stored = StoredRule("park", to_milliseconds(NOW - HOUR), 1, b"")
    struck = replace(PLAIN, strike="task:charge", rules={"task:charge": stored})

    assert explained(struck, {over.identity: over}).cause == "next"
    parked = replace(struck, state=S.PARKED, reason="struck")
    assert explained(parked, {over.identity: over}).cause == "parked_freed"


def test_a_strike_tells_who_has_made_it_and_until_when_it_holds() -> None:
    rule = Rule("charge", author="ann", reason="INC-7", expires=NOW + HOUR, since=NOW - HOUR)

    found = explained(replace(PLAIN, state=S.SCHEDULED, due=NOW + 2 * HOUR), {rule.identity: rule})

    assert found.facts[0] == Fact(
        "The strike charge() by ann (INC-7) cancels what it meets since 2026-11-28 11:00:00 UTC "
        "until 2026-11-28 13:00:00 UTC.",
        "`docket restore charge` takes it back",
    )


def test_a_worker_that_does_not_say_what_it_serves_may_serve_it() -> None:
    elsewhere = replace(PLAIN, queue="bulk")

    assert cause_of(elsewhere) is Cause.NO_WORKER_FOR_QUEUE
    assert cause_of(replace(elsewhere, serving={"w1": None})) is Cause.NEXT


def test_a_worker_that_takes_any_task_takes_those_that_nobody_knows() -> None:
    unknown = replace(PLAIN, knowing=(Seen("gone", NOW - HOUR),))

    assert cause_of(unknown) is Cause.NO_WORKER_FOR_TASK
    assert "gone, was last heard of at 2026-11-28 11:00:00 UTC" in str(explained(unknown, {}))
    taken = replace(unknown, taking=("any",))
    assert cause_of(taken) is Cause.NEXT
    assert "No living worker knows its task, but any take any." in str(explained(taken, {}))


@pytest.mark.parametrize(
    ("left", "heard", "is_silent"),
    [
        (timedelta(seconds=20), None, False),
        (-timedelta(seconds=1), NOW, True),
        (None, NOW, False),
        (None, NOW - HOUR, True),
        (None, None, True),
    ],
)
def test_a_worker_is_believed_by_its_lease_and_without_one_by_its_heartbeat(
    left: timedelta | None, heard: datetime | None, is_silent: bool
) -> None:
    running = replace(PLAIN, state=S.RUNNING, worker="w1", lease_left=left, heard=heard)

    assert cause_of(running) is (Cause.SILENT if is_silent else Cause.RUNNING)
    assert ("to cancel" in str(explained(replace(running, is_cancelled=True), {}))) == is_silent


def test_an_explanation_is_a_sentence_and_what_belongs_to_it() -> None:
    found = Explanation(
        "k", "queued", "next", "It waits.", "wait", (Fact("So.", "go"), Fact("No."))
    )

    assert str(found) == "It waits.\n  To do: wait\n- So.\n  To do: go\n- No."


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (timedelta(milliseconds=999), "less than 1s"),
        (timedelta(seconds=59, milliseconds=400), "59s"),
        (timedelta(hours=3) - timedelta(milliseconds=5), "3h"),
        (timedelta(days=3, hours=1, minutes=20), "3d1h"),
        (-timedelta(minutes=1), "1m"),
    ],
)
def test_a_length_is_told_without_needless_detail(length: timedelta, told: str) -> None:
    assert span(length) == told


def test_a_key_that_looks_like_an_option_is_typed_as_a_key() -> None:
    assert word("-x y") == "-- '-x y'"

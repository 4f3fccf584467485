"""What rules strike out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from docket import Docket, StrikeList
from docket.errors import CodecRefused, NotSerializable
from docket.serialization import Serializer
from docket.strikelist import (
    Condition,
    LiteralOperator,
    Operator,
    Restore,
    Rule,
    Strike,
    StrikeInstruction,
    rule_for,
)


@dataclass
class Subject:
    function_name: str
    bound_arguments: Mapping[str, Any]


@pytest.mark.parametrize(
    ("operator", "value", "struck"),
    [
        ("==", 5, [5]), ("!=", 5, [4, 6]), (">", 5, [6]), (">=", 5, [5, 6]), ("<", 5, [4]), ("<=", 5, [4, 5]),
        ("between", (5, 6), [5, 6]),
    ],
)  # fmt: skip
def test_an_argument_is_compared(operator: LiteralOperator, value: Any, struck: list[int]) -> None:
    rule = rule_for("work", "amount", operator, value)

    assert [n for n in (4, 5, 6) if rule.strikes(Subject("work", {"amount": n}))] == struck
    assert not rule.strikes(Subject("other", {"amount": struck[0]}))
    assert not rule.strikes(Subject("work", {}))


def test_all_conditions_must_hold() -> None:
    rule = Rule(None, (Condition("a", Operator.EQUAL, 1), Condition("b", Operator.EQUAL, 2)))

    assert rule.strikes(Subject("any", {"a": 1, "b": 2}))
    assert not rule.strikes(Subject("any", {"a": 1, "b": 3}))


def test_a_comparison_that_can_not_be_made_does_not_hold(caplog: pytest.LogCaptureFixture) -> None:
    rule = rule_for(None, "amount", ">", 5)

    assert not rule.strikes(Subject("work", {"amount": "many"}))
    assert "amount > cannot compare with a str" in caplog.text


def test_rules_that_strike_the_same_are_the_same() -> None:
    assert rule_for("work", None, "==", None).identity == "task:work"
    first, again = rule_for("work", "a", "==", 1), rule_for("work", "a", "==", 1)
    assert first.identity == again.identity
    assert first.identity != rule_for("work", "a", "==", 2).identity
    assert first.describe() == "work(a == 1)"


def test_a_rule_that_says_nothing_or_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="Must provide either a function and/or a parameter"):
        rule_for(None, None, "==", None)
    with pytest.raises(ValueError, match="~"):
        rule_for("work", "a", "~", 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unhashable"):
        rule_for("work", "a", "==", [1])  # type: ignore[arg-type]


def test_a_condition_of_this_process_strikes_until_it_is_removed() -> None:
    strikes = StrikeList()

    def is_bad(target: Any) -> bool:
        return target.function_name == "bad"

    strikes.add_condition(is_bad)
    assert strikes.is_stricken(Subject("bad", {}))
    assert not strikes.is_stricken(Subject("good", {}))
    strikes.remove_condition(is_bad)
    assert not strikes.is_stricken(Subject("bad", {}))
    assert strikes.version is None


async def test_a_list_that_is_not_connected_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with Docket"):
        await StrikeList().strike("work")
    with pytest.raises(RuntimeError, match="not connected"):
        await StrikeList().send_instruction(Strike("work", None, Operator.EQUAL, None))


async def test_a_list_without_a_url_has_nothing_to_load() -> None:
    async with StrikeList() as strikes:
        await strikes.wait_for_strikes_loaded()
        assert strikes.strike_key == "strikelist:strikes"


def test_a_rule_that_drops_goes_before_one_that_parks_and_that_before_one_that_delays() -> None:
    strikes = StrikeList()
    delays = Rule("work", action="delay", delay=timedelta(seconds=1))
    strikes._local[delays.identity] = delays
    assert strikes.find(Subject("work", {"amount": 4})) is delays
    strikes.update(Strike(None, "amount", Operator.GREATER_THAN, 3))
    first = next(rule for rule in strikes.rules.values() if rule is not delays)
    parks = replace(first, action="park")
    strikes._local[first.identity] = parks
    assert strikes.find(Subject("work", {"amount": 4})) is parks
    strikes.update(Strike("work", "amount", Operator.EQUAL, 4))

    found = strikes.find(Subject("work", {"amount": 4}))

    assert found is not None
    assert found.action == "drop"
    assert strikes.find(Subject("other", {"amount": 1})) is None


def test_the_stronger_rule_counts_whichever_came_first() -> None:
    strikes = StrikeList()
    drops = Rule("work")
    one = (Condition("amount", Operator.EQUAL, 1),)
    delays = Rule(None, one, action="delay", delay=timedelta(seconds=1))
    strikes._local.update({drops.identity: drops, delays.identity: delays})

    assert strikes.find(Subject("work", {"amount": 1})) is drops
    assert strikes.find(Subject("other", {"amount": 1})) is delays


def test_a_rule_whose_time_is_over_has_no_effect() -> None:
    strikes = StrikeList()
    over = Rule("work", expires=datetime.now(timezone.utc) - timedelta(seconds=1))
    strikes._local[over.identity] = over

    assert not strikes.is_stricken(Subject("work", {}))
    assert strikes.rules == {}


@pytest.mark.parametrize("kind", [Strike, Restore])
@pytest.mark.parametrize(
    "about", [("work", None, None), ("work", "amount", 5), (None, "amount", 5)], ids=str
)
def test_an_instruction_survives_being_handed_on(
    kind: type[StrikeInstruction], about: tuple[str | None, str | None, Any]
) -> None:
    function, parameter, value = about
    instruction = kind(function, parameter, Operator.EQUAL, value)

    again = StrikeInstruction.from_message(instruction.as_message())

    assert type(again) is kind
    assert vars(again) == vars(instruction)
    assert again.labels() == instruction.rule.labels()


bitten: list[str] = []


class Bites:
    """A value whose unpickling does something."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bitten.append, ("x",)


def test_the_value_of_an_instruction_is_pickled_and_unpickled_only_by_who_asks_for_it() -> None:
    instruction = Strike("work", "amount", Operator.EQUAL, Bites())
    plain = Strike("work", "amount", Operator.EQUAL, 5).as_message()
    pickled = {**plain, b"value": Serializer().dump_result(Bites())}

    with pytest.raises(NotSerializable):
        instruction.as_message()
    with pytest.raises(CodecRefused):
        StrikeInstruction.from_message(pickled)
    assert bitten == []
    assert instruction.as_message(serializer=Serializer())[b"value"] == pickled[b"value"]


async def test_a_list_that_stands_alone_unpickles_nothing_that_its_docket_forbids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docket.toml").write_text('name = "orders"\n', "utf-8")
    url = "memory://alone"
    rule = ("pay", [("whom", "==", Bites())], "", "call", "", None)
    written = Serializer().dump_result(rule, context=("rule:x", "drop"))

    async with Docket("orders", url) as docket, docket.redis() as client:
        redis: Any = client
        await docket.strike("pay", "whom", "==", "Jane")
        await redis.hset(docket.key("strikes"), "rule:x", b"drop 0 500\n" + written)
        async with StrikeList(url, "orders") as strikes:
            assert [one.task for one in strikes.rules.values()] == ["pay"]
    assert bitten == []
    assert "The strike rule:x cannot be read and does not apply" in caplog.text


async def test_a_list_that_stands_alone_reads_what_the_docket_has_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docket.toml").write_text(
        'name = "orders"\n[security]\nsigning_keys = { a = "secret" }\n', "utf-8"
    )
    async with Docket("orders", "memory://signed") as docket:
        await docket.strike("pay", "whom", "==", "Jane")
        async with StrikeList("memory://signed", "orders") as strikes:
            assert strikes.is_stricken(Subject("pay", {"whom": "Jane"}))


def test_an_instruction_says_what_it_is_about() -> None:
    said = [
        Strike(function, parameter, Operator.EQUAL, value).call_repr()
        for function, parameter, value in (
            ("work", None, None),
            ("work", "amount", 5),
            (None, "amount", 5),
        )
    ]

    assert said == ["work(* == *)", "work(amount == 5)", "*(amount == 5)"]

from __future__ import annotations

import datetime as dt
from datetime import timedelta

import pytest
from pydantic import ValidationError

from docket.config.kinds import Ratio
from docket.config.model import Configuration
from docket.config.tables.strikes import StrikeTable
from docket.config.tables.supervisor import Reload
from docket.config.tables.tasks import RetryTable


def test_a_configuration_does_not_change_after_it_was_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Configuration().name = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_values_of_python_are_taken_as_they_are() -> None:
    assert RetryTable(delay=timedelta(seconds=5)).delay == timedelta(seconds=5)
    assert Reload(max_removals=Ratio(0.25)).max_removals == 0.25
    assert Reload(max_removals=Ratio(0.25)).model_dump(mode="json")["max_removals"] == "25%"


def test_a_strike_without_an_id_is_named_by_its_content() -> None:
    one = StrikeTable.model_validate({"when": {"n": {"op": "==", "value": 1}}, "reason": "a"})
    same = StrikeTable.model_validate({"when": {"n": {"op": "==", "value": 1}}, "reason": "b"})
    other = StrikeTable.model_validate({"when": {"n": {"op": "==", "value": True}}})
    assert one.identity == same.identity != other.identity
    assert one.identity.startswith("strike-")


def test_a_strike_may_compare_with_a_date() -> None:
    when = {"since": {"op": "between", "value": [dt.date(2026, 1, 1), dt.date(2026, 2, 1)]}}
    assert StrikeTable.model_validate({"when": when}).when["since"].value[0] == dt.date(2026, 1, 1)


def test_secrets_are_not_in_the_representation() -> None:
    configuration = Configuration.model_validate(
        {
            "url": "redis://app:hunter2@db",
            "security": {"signing_keys": {"a": "hunter2"}},
            "workers": {"default": {"env": {"KEY": "hunter2"}}},
        }
    )
    assert "hunter2" not in repr(configuration)

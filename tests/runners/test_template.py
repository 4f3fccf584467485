"""Texts that are filled in from arguments."""

from __future__ import annotations

import pytest

from docket.errors import InvalidSetting
from docket.runners.template import fill_in, names_in, signature_of


def test_a_name_in_braces_is_replaced_and_a_double_brace_is_one() -> None:
    text = "{{{name}}} is {age}, {is_adult}"

    assert fill_in(text, {"name": "Jane", "age": 7, "is_adult": False}) == "{Jane} is 7, false"


def test_what_is_filled_in_can_be_quoted() -> None:
    assert fill_in("/{path}/x", {"path": "a/b"}, lambda value: value.replace("/", "-")) == "/a-b/x"


def test_an_argument_is_never_read_as_a_text_with_names_itself() -> None:
    assert fill_in("{a}", {"a": "{b}", "b": "secret"}) == "{b}"


@pytest.mark.parametrize("text", ["{", "a } b", "{two words}", "{}"])
def test_a_brace_that_stands_alone_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"for a brace, found"):
        names_in(text)


def test_a_task_needs_what_its_texts_ask_for() -> None:
    needs = signature_of(["{a}", "{b} {a}"])

    assert str(needs) == "(*, a, b)"
    assert str(signature_of(["{a}"], optional=True)) == "(*, a, **arguments)"

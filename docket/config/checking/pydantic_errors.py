"""The findings of pydantic, in the words of the author of a docket.toml."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..describing.sentences import shown
from ..reading.keypath import KeyPath, written
from .findings import Finding, did_you_mean
from .shape import KnownKeys, Leaf, shape_at

_EXPECTED: Final[Mapping[str, str]] = {
    "bool_type": "expected true or false",
    "datetime_type": "expected a moment with an offset, such as 2026-12-01T00:00:00Z, without quotes",
    "dict_type": "expected a table",
    "float_type": "expected a number",
    "greater_than_equal": "expected at least {ge}",
    "int_type": "expected a whole number",
    "less_than_equal": "expected at most {le}",
    "literal_error": "expected {expected}",
    "model_type": "expected a table",
    "string_pattern_mismatch": "expected a string of the form {pattern}",
    "string_too_short": "expected a string that is not empty",
    "string_type": "expected a string in quotes",
    "too_short": "expected at least one entry",
    "tuple_type": "expected an array",
}
_CHOICE: Final = re.compile(r"'([^']*)'")
_LONGEST_VALUE: Final = 60

Hidden: TypeAlias = Callable[[KeyPath], bool]


def explain(error: ValidationError, is_hidden: Hidden) -> list[Finding]:
    """Return all findings of pydantic.

    Arguments:
        error: what pydantic found.
        is_hidden: whether the value at a path must not be shown.
    """
    found_all: list[Finding] = []
    choices: dict[KeyPath, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        path = _without_choice(details["loc"])
        if path == details["loc"]:
            found_all.append(_finding(details, is_hidden))
        else:
            choices.setdefault(path, []).append(details)
    return [*found_all, *(_none_of(path, each, is_hidden) for path, each in choices.items())]


def _without_choice(path: KeyPath) -> KeyPath:
    """Return the path through the configuration, without the choice that pydantic adds to it."""
    for length, key in enumerate(path):
        if isinstance(key, str) and key != "[key]" and isinstance(shape_at(path[:length]), Leaf):
            return path[:length]
    return path


def _none_of(path: KeyPath, choices: list[ErrorDetails], is_hidden: Hidden) -> Finding:
    """Return the one finding of a value that may be of several kinds, and is of none."""
    kinds = [_expectation(details).removeprefix("expected ") for details in choices]
    finding = _bad_value(path, f"expected {' or '.join(kinds)}", choices[0]["input"], is_hidden)
    advice = [_advice(details) for details in choices]
    return finding if is_hidden(path) else replace(finding, suggestion=max(advice, key=bool))


def found(value: Any, *, is_hidden: bool) -> str:
    """Describe what was found: the value itself, or only its kind."""
    match value:
        case dict() | BaseModel():
            return "found a table" if value else "found an empty table"
        case list():
            return "found an array" if value else "found an empty array"
        case str() if is_hidden:
            return "found a string that is not shown"
        case _ if is_hidden:
            return "found a value that is not a string"
        case _:
            return f"found {_shortened(shown(value))}"


def _finding(details: ErrorDetails, is_hidden: Hidden) -> Finding:
    path, context = details["loc"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return unknown_key(path)
        case "missing":
            return Finding(path[:-1], f'expected the key "{path[-1]}", found none', "header")
        case "at":
            path = (*path, context["key"])
            return _bad_value(path, context["message"], context["value"], is_hidden)
        case _ if path[-1:] == ("[key]",):
            return _bad_name(path[:-1], _expectation(details))
        case _ if isinstance(details["input"], dict) and details["type"] == "expected":
            target = "header" if details["msg"].endswith("found none") else "table"
            return Finding(path, details["msg"], target)
        case _:
            finding = _bad_value(path, _expectation(details), details["input"], is_hidden)
            return finding if is_hidden(path) else replace(finding, suggestion=_advice(details))


def unknown_key(path: KeyPath) -> Finding:
    """Return the finding of a key that the model does not have."""
    table = shape_at(path[:-1])
    allowed = sorted(table.keys) if isinstance(table, KnownKeys) else []
    question = did_you_mean(str(path[-1]), allowed)
    suggestion = f"{question} allowed: {', '.join(allowed)}".lstrip()
    return Finding(path, "unknown key", "key", suggestion, is_unknown=True)


def _bad_name(path: KeyPath, expectation: str) -> Finding:
    return Finding(path, f"{expectation}, found {_shortened(written(str(path[-1])))}", "key")


def _bad_value(path: KeyPath, expectation: str, value: Any, is_hidden: Hidden) -> Finding:
    return Finding(path, f"{expectation}, {found(value, is_hidden=is_hidden(path))}")


def _advice(details: ErrorDetails) -> str:
    context, value = details.get("ctx", {}), details["input"]
    choices = _CHOICE.findall(context.get("expected", ""))
    return context.get("advice") or (did_you_mean(value, choices) if isinstance(value, str) else "")


def _expectation(details: ErrorDetails) -> str:
    template = _EXPECTED.get(details["type"])
    if template is None:
        return details["msg"]
    context = {
        key: f"{value:.10g}" if isinstance(value, (int, float)) else value
        for key, value in details.get("ctx", {}).items()
    }
    return _CHOICE.sub(r'"\1"', template.format(**context))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"

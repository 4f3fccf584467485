"""The account that a run gives of itself to the history: length, arguments, error, revision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain, repeat
from typing import Any, Final

from ...annotations import Logged, get_signature, logged_parameters
from ...execution import Execution
from ...storage.claims import Settlement
from ...storage.history import Scalar
from .fingerprint import fingerprint_of, fingerprint_of_line
from .outcome import Failed, Outcome, Perpetuated, Retried
from .slots import Run

LONGEST: Final = 64
"""Characters of an argument that are kept."""

LARGEST: Final = 1 << 63
"""Whole numbers up to here are numbers to every reader."""

_PLAIN: Final = frozenset({type(None), bool, float})

_WRITE: Final = json.JSONEncoder(separators=(",", ":")).encode


def with_account(
    run: Run, outcome: Outcome, settlement: Settlement, *, is_remembered: bool = True
) -> Settlement:
    """Return a settlement with the account of its run.

    Arguments:
        run: the run that has ended.
        outcome: its outcome.
        settlement: what is written down of that.
        is_remembered: whether there is a history; if not, all but what the series need is left out.
    """
    seconds = "" if run.seconds is None else f"{run.seconds:.4g}"
    if not is_remembered:
        return _with_ending(outcome, settlement).told(seconds, "")
    told: dict[str, Any] = {}
    if (execution := run.execution) is not None:
        if args := logged_arguments(execution):
            told["args"] = args
        if execution.tags:
            told["tags"] = execution.tags
    error = _error_of(outcome)
    if error is not None or (settlement.error and settlement.word == "failed"):
        told |= _described(error, settlement.error)
    elif settlement.word == "again":
        return settlement  # put off, and neither ended nor failed
    if run.revision:
        told["revision"] = run.revision
    return _with_ending(outcome, settlement).told(seconds, _WRITE(told) if told else "")


def _with_ending(outcome: Outcome, settlement: Settlement) -> Settlement:
    """Return a settlement that says how a run has ended that is followed by another one."""
    if settlement.word != "next" or not isinstance(outcome, Perpetuated):
        return settlement
    ended = "failed" if isinstance(outcome.ended, Failed) else "completed"
    return settlement._replace(reason=ended)


def logged_arguments(execution: Execution) -> Mapping[str, Scalar]:
    """Return the arguments that may be logged, by name: numbers as numbers, anything else as short text."""
    logged = logged_parameters(execution.function)
    if not logged:
        return {}
    names = chain(get_signature(execution.function).parameters, repeat(""))
    given = {**dict(zip(names, execution.args, strict=False)), **execution.kwargs}
    return {name: _scalar(logged[name], value) for name, value in given.items() if name in logged}


def _scalar(annotation: Logged, value: Any) -> Scalar:
    if not annotation.length_only:
        if type(value) in _PLAIN or (type(value) is int and -LARGEST < value < LARGEST):
            return value
        if type(value) is str:
            return value[:LONGEST]
    return annotation.format(value)[:LONGEST]


def _error_of(outcome: Outcome) -> BaseException | None:
    match outcome:
        case Failed(error) | Retried(error) | Perpetuated(ended=Failed(error)):
            return error
        case _:
            return None


def _described(error: BaseException | None, line: str) -> dict[str, str]:
    found = fingerprint_of_line(line) if error is None else fingerprint_of(error)
    told = {"error": found.error, "message": found.message, "place": found.place}
    return {**{name: text for name, text in told.items() if text}, "fingerprint": found.digest}

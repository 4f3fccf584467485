"""Findings of the checks, before it is known where in a file they stand."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..reading.keypath import KeyPath

Target = Literal["key", "value", "table", "header"]
"""The thing that is pointed at: a key, its value, the table where it was set last, or where it begins."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or will surprise, at a path.

    Arguments:
        path: the key it is about.
        message: what was expected and what was found.
        target: what is pointed at.
        suggestion: what was probably meant, or what to do next.
        is_unknown: whether the key is unknown, so that its value may be a misplaced secret.
    """

    path: KeyPath
    message: str
    target: Target = "value"
    suggestion: str = ""
    is_unknown: bool = False


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return the question after the closest choice, in quotes, or nothing if none is close."""
    by_folded = {choice.casefold(): choice for choice in choices}
    match difflib.get_close_matches(word.casefold(), by_folded, 1):
        case [closest]:
            return f'did you mean "{by_folded[closest]}"?'
        case _:
            return ""

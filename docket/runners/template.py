"""Strings with ``{name}`` in them, filled in from the arguments of a call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import InvalidSetting

_PART = re.compile(r"\{\{|\}\}|\{(\w+)\}|[{}]")


def names_in(text: str) -> list[str]:
    """Return the names in a template, in their order.

    Raises:
        InvalidSetting: a brace stands alone.
    """
    return [name for name in _parts(text) if name is not None]


def fill_in(
    text: str, arguments: Mapping[str, Any], quote: Callable[[str], str] = lambda value: value
) -> str:
    """Return the template with every ``{name}`` replaced by the argument of that name; ``{{`` is a brace.

    Arguments:
        text: with ``{name}`` in it.
        arguments: by name.
        quote: called with each of them first.
    """
    return _PART.sub(
        lambda part: quote(as_text(arguments[part[1]])) if part[1] else part[0][0], text
    )


def as_text(value: Any) -> str:
    """Return an argument as a string: the way people write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def signature_of(texts: Iterable[str], *, optional: bool = False) -> inspect.Signature:
    """Return the signature of a task that needs the names in some templates.

    Arguments:
        texts: the templates.
        optional: whether it takes other arguments, too.
    """
    names = dict.fromkeys(name for text in texts for name in names_in(text))
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    if optional:
        parameters.append(inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD))
    return inspect.Signature(parameters)


def _parts(text: str) -> Iterable[str | None]:
    for part in _PART.finditer(text):
        if part[0] in "{}":
            raise InvalidSetting(
                f'expected "{{name}}", or "{part[0] * 2}" for a brace, found {part[0]!r} at character '
                f"{part.start()}"
            )
        yield part[1]

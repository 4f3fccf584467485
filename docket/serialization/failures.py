"""Exceptions as data: never lost, regardless of their content."""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Mapping
from typing import Any, Final

from .. import errors
from ..errors import FailedElsewhere, NotSerializable, RemoteTraceback, Undecodable
from ..foundation.error_text import LONGEST, attempt, cut, is_unwieldy, line_of, message_of
from . import pickling
from .encoding import Encoder
from .models import name_of
from .words import as_parts

LONGEST_TRACEBACK: Final = 16 * 1024


def words_of(error: BaseException, pickles: bool) -> list[Any]:
    """Return an exception in values: its name, message and traceback, and if possible itself.

    Arguments:
        error: the exception.
        pickles: whether it may be pickled.
    """
    arguments, is_complete = _arguments(error)
    pickled = _pickled(error) if pickles and not (is_complete or is_unwieldy(error)) else None
    return [*_told(error), arguments, pickled]


def short_words_of(error: BaseException, length: int) -> list[Any]:
    """Return an exception in words of no more than about ``length`` bytes."""
    name, message, trace = _told(error)
    share = max(length // 16, 32)
    return [name[:share], message[:share], trace[-share:], None, None]


def build(words: Any, pickles: bool) -> Exception:
    """Return the exception, with the traceback of where it was raised as its cause.

    What cannot be brought back is a ``FailedElsewhere``. So is an exception that would end the reader, such
    as ``SystemExit``.

    Raises:
        Undecodable: the words tell of no exception.
    """
    parts = as_parts(words, str, str, str, None, None)
    if parts is None:
        raise Undecodable("expected the description of an exception, found something else")
    name, message, trace, arguments, pickled = parts
    original = _unpickled(pickled) if pickles and pickled is not None else None
    error = original or _known(name, arguments) or FailedElsewhere(name, message, trace)
    error.__cause__ = RemoteTraceback(trace) if trace else None
    return error


def _told(error: BaseException) -> tuple[str, str, str]:
    name = attempt(lambda: name_of(type(error)))
    return name, message_of(error), _traceback_of(error)


def _traceback_of(error: BaseException) -> str:
    if is_unwieldy(error):
        # Where it was raised is worth more than all that it says.
        shown = "".join(traceback.format_tb(error.__traceback__))
        return shown[-LONGEST_TRACEBACK // 2 :] + line_of(error, LONGEST_TRACEBACK // 4)
    trace = attempt(lambda: "".join(traceback.format_exception(error)))
    over = len(trace) - LONGEST_TRACEBACK
    return cut(trace) if over <= 0 else f"[cut: {over} characters] …{cut(trace[over:])}"


def _arguments(error: BaseException) -> tuple[list[Any] | None, bool]:
    """Return the arguments that make a known exception, and whether they are all there is to it."""
    if KNOWN.get(name_of(type(error))) is not type(error):
        return None, False
    try:
        reduced: Any = error.__reduce__()
        kind, arguments, *state = reduced
        bounded = [
            cut(one) if type(one) is str and len(one) > LONGEST else one for one in arguments
        ]
        Encoder((), pickles=False).words(bounded)
    except Exception:
        # Too deep, or of values that are not data, or whose own code fails.
        return None, False
    return bounded, kind is type(error) and not any(state)


def _pickled(error: BaseException) -> bytes | None:
    try:
        return pickling.dump(error)
    except NotSerializable:
        return None


def _unpickled(data: bytes) -> Exception | None:
    try:
        error = pickling.load(data)
    except Undecodable:
        return None
    return error if isinstance(error, Exception) else None


def _known(name: str, arguments: Any) -> Exception | None:
    if name not in KNOWN or arguments is None:
        return None
    try:
        return KNOWN[name](*arguments)
    except Exception:
        # Arguments that only a forger would have stored.
        return None


def _known_exceptions() -> Mapping[str, type[Exception]]:
    found: list[Any] = [*vars(builtins).values(), *vars(errors).values()]
    return {
        name_of(kind): kind
        for kind in found
        if isinstance(kind, type) and issubclass(kind, Exception)
    }


KNOWN: Final = _known_exceptions()
"""Exceptions that need no pickle: those of Python and of Docket."""

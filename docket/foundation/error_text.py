"""Texts of errors: there is always one, and never more than is bearable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

LONGEST: Final = 64 * 1024
"""Bytes in UTF-8, at most, of the text of an error, wherever it is stored, shown or logged."""

_ROOM: Final = 64
"""Bytes that are kept free for the note of how much was cut."""

_DEEPEST: Final = 100
"""Groups within groups that are looked into."""


def cut(text: str, longest: int = LONGEST) -> str:
    """Return the text, or its beginning and a note of how much of it was cut; always valid UTF-8."""
    whole = text[: longest + 1].encode(errors="backslashreplace")
    if len(text) <= longest and len(whole) <= longest:
        return whole.decode()
    kept = whole[: max(longest - _ROOM, 0)].decode(errors="ignore")
    return f"{kept}… [cut: about {len(text) - len(kept)} of {len(text)} characters]"


def attempt(text: Callable[[], str]) -> str:
    """Return a text from the author of an exception, or of the exception that making it raises."""
    try:
        # A subclass of str may do as it likes; what is not a string is refused here.
        return "".join([text()])
    except BaseException as error:
        return f"<not printable: {type(error).__name__}>"


def message_of(error: BaseException, longest: int = LONGEST) -> str:
    """Return what an exception says."""
    return cut(attempt(lambda: str(error)), longest)


def line_of(error: BaseException, longest: int = LONGEST) -> str:
    """Return the kind of an exception and what it says; of a group, first what its first one is and says."""
    line = f"{_kind_of(error)}: {attempt(lambda: str(error))}"
    cause = _first_of(error)
    if cause is not error:
        line = f"{_kind_of(cause)}: {attempt(lambda: str(cause))} ({line})"
    return cut(line, longest)


def _kind_of(error: BaseException) -> str:
    return attempt(lambda: type(error).__name__)


def _first_of(error: BaseException) -> BaseException:
    """Return the first exception in a group, however deep, that is not a group itself."""
    for _ in range(_DEEPEST):
        inner = _within(error)
        if not inner:
            break
        error = inner[0]
    return error


def _within(error: BaseException) -> list[BaseException]:
    """Return what a group consists of; nothing, of anything else."""
    try:
        inner: Any = getattr(error, "exceptions", ())
    except BaseException:
        return []
    if not isinstance(inner, tuple):
        return []
    found = cast(tuple[object, ...], inner)
    return [one for one in found if isinstance(one, BaseException)]


def is_unwieldy(error: BaseException) -> bool:
    """Return whether an exception, or one that it came from, says too much, or what no file takes."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        text = attempt(lambda one=one: str(one))
        if cut(text) != text:
            return True
        waiting += [one.__cause__, one.__context__, *_within(one)]
    return False

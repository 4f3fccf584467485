"""Fingerprints of errors: the same for those that one mend would mend."""

from __future__ import annotations

import re
import sysconfig
import zlib
from pathlib import Path, PurePath
from types import CodeType, TracebackType
from typing import Final, NamedTuple

from ...foundation.error_text import attempt, message_of

LONGEST: Final = 120
"""Characters of a message that are kept."""

_VARIES: Final = re.compile(r"[\w-]*\d[\w.:+-]*")
"""Words with a digit in them: numbers, ids, moments, addresses."""

OURS: Final = str(Path(__file__).parents[2])
"""Directory of our files."""

FOREIGN: Final = tuple(
    {
        OURS,
        *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    }
)
"""Directories of files that others have written; an application may be installed there as well."""


class Fingerprint(NamedTuple):
    """The parts of an error that it shares with others of its kind.

    Arguments:
        error: the class.
        place: file and function in the user's code; empty if it has no part in it.
        message: the message, without numbers and ids.
    """

    error: str
    place: str
    message: str

    @property
    def digest(self) -> str:
        """The three of them in eight characters."""
        return f"{zlib.crc32(chr(0).join(self).encode(errors='replace')):08x}"


def fingerprint_of(error: BaseException) -> Fingerprint:
    """Return the fingerprint of an exception."""
    return Fingerprint(
        attempt(lambda: type(error).__name__),
        place_of(error.__traceback__),
        invariant(message_of(error, 1000)),
    )


def fingerprint_of_line(line: str) -> Fingerprint:
    """Return the fingerprint of an error of which no more is known than ``Class: message``."""
    kind, _, message = line.partition(": ")
    return Fingerprint(kind, "", invariant(message))


def invariant(message: str) -> str:
    """Return a message without what differs from one time to the next.

    Example:
        >>> invariant("order-7 not found after 1.5 s")
        '# not found after # s'
    """
    return _VARIES.sub("#", message.partition("\n")[0])[:LONGEST]


def place_of(traceback: TracebackType | None) -> str:
    """Return the innermost file and function that the user has written; else that of a library."""
    own = others = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(FOREIGN):
            own = _named(code)
        elif not code.co_filename.startswith(OURS):
            others = _named(code)
        traceback = traceback.tb_next
    return own or others


def _named(code: CodeType) -> str:
    return f"{'/'.join(PurePath(code.co_filename).parts[-2:])}:{code.co_name}"

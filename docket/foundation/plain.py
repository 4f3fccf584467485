"""Text from outside as it may be shown: nothing in it steers a terminal or passes for a line of ours."""

from __future__ import annotations

import logging

from typing_extensions import override


def plain(text: str) -> str:
    """Return a text in one line; what is not printable is written as an escape.

    Example:
        >>> plain("a\\x1b[2Jb\\nc")
        'a\\\\x1b[2Jb\\\\nc'
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def plain_lines(text: str, indent: str = "") -> str:
    """Return a text of any number of lines; what is not printable in them is written as an escape.

    Arguments:
        text: the text.
        indent: the text before every line but the first, so that none passes for a new entry.

    Example:
        >>> plain_lines("Error: \\x07\\n  in line 1", "| ")
        'Error: \\\\x07\\n|   in line 1'
    """
    if text.isprintable():
        return text
    lines = text.split("\n")
    return f"\n{indent}".join(plain(line.rstrip("\r").expandtabs()) for line in lines)


class PlainFormatter(logging.Formatter):
    """Lines for people: what belongs to an entry is indented below it, and passes for no other entry."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return plain_lines(super().format(record), "  ")

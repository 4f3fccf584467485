"""Texts that come from elsewhere, made fit for a line of a log or of a terminal."""

from __future__ import annotations


def plain(text: str) -> str:
    """Return a text without what would steer a terminal or begin a line of its own.

    Example:
        >>> plain("a\\x1b[2Jb")
        'a\\\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )

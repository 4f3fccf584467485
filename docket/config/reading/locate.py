"""The places of keys, values and table headers in a TOML text, which tomli does not report.

The text has been read by tomli, or refused by it: this scanner only follows its structure. It stops
where it cannot follow, and what it has seen until then stays known.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

import tomli

from .keypath import KeyPath


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the text: its offsets, and the line and column, both from 1, of its beginning."""

    start: int
    end: int
    line: int
    column: int


_BEGINNING: Final = Span(0, 0, 1, 1)


@dataclass(slots=True)
class Places:
    """The places of everything in a text.

    Arguments:
        keys: the key that names a path for the first time.
        values: the value of a path.
        headers: the header of a table, or of one entry of an array of tables.
        statement: the path and the key of the statement that the scanner came to last.
        innermost: the path and the key that it came to last, in inline tables too.
    """

    keys: dict[KeyPath, Span] = field(default_factory=dict[KeyPath, Span])
    values: dict[KeyPath, Span] = field(default_factory=dict[KeyPath, Span])
    headers: dict[KeyPath, Span] = field(default_factory=dict[KeyPath, Span])
    statement: tuple[KeyPath, Span] = ((), _BEGINNING)
    innermost: tuple[KeyPath, Span] = ((), _BEGINNING)

    def key(self, path: KeyPath) -> Span | None:
        """Return the place of a path's key, or of the nearest key above it."""
        return self._nearest(path, self.keys, self.headers)

    def value(self, path: KeyPath) -> Span | None:
        """Return the place of a path's value; for a table, that of its header."""
        return self._nearest(path, self.values, self.headers, self.keys)

    def table(self, path: KeyPath) -> Span | None:
        """Return the place where a table begins: its header, or else its key."""
        return self._nearest(path, self.headers, self.keys, self.values)

    @staticmethod
    def _nearest(path: KeyPath, *choices: dict[KeyPath, Span]) -> Span | None:
        for length in range(len(path), 0, -1):
            for choice in choices:
                if found := choice.get(path[:length]):
                    return found
        return None


class _Stop(Exception):
    """The text does not go on as TOML does."""


_SPACE: Final = re.compile(r"[ \t]*")
_LINE_END: Final = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_BETWEEN: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^\s,\[\]{}#=\"'][^,\[\]{}#=\"'\n]*")
_STRINGS: Final = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r'"""(?:\\.|[^\\])*?"{3,5}(?!")',
        r"'''.*?'{3,5}(?!')",
        r'"(?:\\[^\n]|[^"\\\n])*"',
        r"'[^'\n]*'",
    )
)
_DEEPEST: Final = 400


def locate(text: str) -> Places:
    """Find the places of everything in a TOML text."""
    scanner = _Scanner(text)
    with contextlib.suppress(_Stop):
        scanner.document()
    return scanner.places


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.places = Places()
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._entries: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip(_BETWEEN) and self.position < len(self.text):
            if self._at("["):
                table = self._header()
            else:
                self._pair(table, 0)
            self._expect(_LINE_END)

    def _header(self) -> KeyPath:
        start = self.position
        opening, closing = ("[[", "]]") if self._at("[[") else ("[", "]")
        self._expect_text(opening)
        parts = self._parts()
        path = self._enter([name for name, _ in parts], is_entry=opening == "[[")
        self.places.statement = self.places.innermost = path, self._span(start)
        self._expect_text(closing)
        self._note_names(path, parts)
        self.places.headers.setdefault(path, self._span(start))
        return path

    def _enter(self, names: list[str], *, is_entry: bool) -> KeyPath:
        path: KeyPath = ()
        for depth, name in enumerate(names, 1):
            path = (*path, name)
            if is_entry and depth == len(names):
                self._entries[path] = self._entries.get(path, -1) + 1
            if path in self._entries:
                path = (*path, self._entries[path])
        return path

    def _pair(self, table: KeyPath, depth: int) -> None:
        start = self.position
        parts = self._parts()
        path = (*table, *(name for name, _ in parts))
        self.places.innermost = path, self._span(start, parts[-1][1].end)
        if not depth:
            self.places.statement = self.places.innermost
        self._note_names(path, parts)
        self._expect_text("=")
        self._skip(_SPACE)
        self._value(path, depth)

    def _parts(self) -> list[tuple[str, Span]]:
        parts: list[tuple[str, Span]] = []
        while True:
            self._skip(_SPACE)
            parts.append(self._name())
            self._skip(_SPACE)
            if not self._at("."):
                return parts
            self.position += 1

    def _name(self) -> tuple[str, Span]:
        start = self.position
        if self._skip_match(_BARE):
            return self.text[start : self.position], self._span(start)
        self._string()
        return _unquoted(self.text[start : self.position]), self._span(start)

    def _value(self, path: KeyPath, depth: int) -> None:
        start = self.position
        if depth > _DEEPEST:
            raise _Stop
        if self._at("["):
            self._array(path, depth + 1)
        elif self._at("{"):
            self._inline_table(path, depth + 1)
        elif self._at('"') or self._at("'"):
            self._string()
        else:
            self._expect(_SCALAR)
        self.places.values.setdefault(path, self._span(start))

    def _array(self, path: KeyPath, depth: int) -> None:
        self.position += 1
        index = 0
        while self._skip(_BETWEEN) and not self._at("]"):
            self._value((*path, index), depth)
            index += 1
            self._comma_unless("]")
        self.position += 1

    def _inline_table(self, path: KeyPath, depth: int) -> None:
        self.position += 1
        while self._skip(_BETWEEN) and not self._at("}"):
            self._pair(path, depth)
            self._comma_unless("}")
        self.position += 1

    def _comma_unless(self, end: str) -> None:
        self._skip(_BETWEEN)
        if not self._at(end):
            self._expect_text(",")

    def _string(self) -> None:
        if not any(self._skip_match(string) for string in _STRINGS):
            raise _Stop

    def _note_names(self, path: KeyPath, parts: list[tuple[str, Span]]) -> None:
        # The names of a statement are the last ones of its path, with indexes of entries in between.
        remaining = list(parts)
        for length in range(len(path), 0, -1):
            if not remaining:
                return
            if isinstance(path[length - 1], str):
                self.places.keys.setdefault(path[:length], remaining.pop()[1])

    def _span(self, start: int, end: int | None = None) -> Span:
        line = self._line_of(start)
        column = start - self._line_starts[line] + 1
        return Span(start, self.position if end is None else end, line + 1, column)

    def _line_of(self, offset: int) -> int:
        return bisect_right(self._line_starts, offset) - 1

    def _at(self, text: str) -> bool:
        return self.text.startswith(text, self.position)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Skip what may be empty; always true."""
        return self._skip_match(pattern)

    def _skip_match(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self.text, self.position)
        if found is None:
            return False
        self.position = found.end()
        return True

    def _expect(self, pattern: re.Pattern[str]) -> None:
        if not self._skip_match(pattern):
            raise _Stop

    def _expect_text(self, text: str) -> None:
        if not self._at(text):
            raise _Stop
        self.position += len(text)


def _unquoted(text: str) -> str:
    try:
        return tomli.loads(f"key = {text}")["key"]
    except tomli.TOMLDecodeError:
        raise _Stop from None

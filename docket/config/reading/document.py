"""One TOML file: its text, its values, where everything stands, and which of it may be shown."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import tomli

from ..checking.findings import Finding
from ..checking.problems import ConfigurationInvalid, ConfigurationUnreadable, Problem
from ..checking.shape import Leaf, shape_at
from .keypath import KeyPath
from .locate import Places, Span, locate
from .secrecy import is_secret

SMALLEST: Final = 'the smallest one is: [tasks.hello] function = "package.module:function"'
_LONGEST_EXCERPT: Final = 120
_HIDDEN: Final = "…"
_SECOND_TIME: Final = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate inline")
_WORD: Final = re.compile(r"[\w.:-]*")


@dataclass(frozen=True)
class Document:
    """A file that is TOML.

    Arguments:
        file: its name as it was given.
        text: its content with plain line ends.
        tree: its values.
    """

    file: str
    text: str
    tree: dict[str, Any]

    @cached_property
    def places(self) -> Places:
        """The places of all keys and values, found when the first one is asked for."""
        return locate(self.text)

    def problem(self, finding: Finding, unknown: Iterable[KeyPath] = ()) -> Problem:
        """Return the problem that a finding describes, with its place and its line.

        Arguments:
            finding: its path is that of this file.
            unknown: unknown keys: their values may be misplaced secrets.
        """
        place = self._place(finding)
        excerpt, caret = self.excerpt(place, unknown)
        return Problem(
            finding.message,
            finding.path,
            finding.suggestion,
            self.file,
            place.line,
            place.column,
            excerpt=excerpt,
            caret=caret,
        )

    def line(self, path: KeyPath) -> int:
        """Return the line, from 1, on which a key stands."""
        place = self.places.key(path)
        # Everything that tomli has read has been located; the test against tomli holds this.
        assert place is not None
        return place.line

    def _place(self, finding: Finding) -> Span:
        places = self.places
        find = {"key": places.key, "value": places.value}.get(finding.target, places.table)
        place = find(finding.path)
        # What no file leads to is the doing of a variable.
        assert place is not None
        return place

    def excerpt(self, span: Span, unknown: Iterable[KeyPath]) -> tuple[str, int]:
        """Return the line on which a span begins, all secrets hidden, and the column of the span.

        Arguments:
            span: what is pointed at.
            unknown: unknown keys: their values may be misplaced secrets.
        """
        start = span.start - span.column + 1
        end = _end_of_line(self.text, start)
        hidden = [
            place
            for path, place in self.places.values.items()
            if place.start < end
            and place.end > start
            and (is_secret(path) or any(path[: len(key)] == key for key in unknown))
        ]
        return _excerpt(self.text, span, hidden)


def read_file(path: Path | str) -> bytes:
    """Return the bytes of a file.

    Raises:
        ConfigurationUnreadable: there is no such file, or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        message = (
            f"there is no such file; create it (`docket config init` does; {SMALLEST}), "
            "or name another with --config"
        )
    except IsADirectoryError:
        message = "expected a file, found a directory; name the docket.toml in it"
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"cannot be read: {reason}; check its path and its permissions"
    raise ConfigurationUnreadable([Problem(message, file=str(path))])


def read_document(data: bytes, file: str, *, is_part: bool = False) -> Document:
    """Parse the content of a file.

    Arguments:
        data: its content.
        file: its name as it was given.
        is_part: whether it adds to another file, so that it may hold nothing but comments.

    Raises:
        ConfigurationInvalid: it is empty, or not TOML.
    """
    text = _decoded(data, file).replace("\r\n", "\n")
    if not text.strip():
        # Half-written files look like this, too.
        advice = "remove it, or comment out what it said" if is_part else SMALLEST
        raise ConfigurationInvalid([Problem(f"the file is empty; {advice}", file=file)])
    tree = _parsed(text, file)
    if not tree and not is_part:
        raise ConfigurationInvalid([Problem(f"the file sets nothing; {SMALLEST}", file=file)])
    return Document(file, text, tree)


def _decoded(data: bytes, file: str) -> str:
    # What editors of another system put before it says nothing.
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").replace("\r\n", "\n")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = (
            f"expected UTF-8, found the byte 0x{data[error.start]:02x}; save the file as UTF-8"
        )
        raise ConfigurationInvalid(
            [Problem(message, file=file, line=line, column=column)]
        ) from None


def _parsed(text: str, file: str) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        problem = _syntax_problem(error, text, file)
    except RecursionError:
        problem = Problem("arrays and tables are nested too deeply", file=file)
    except ValueError:
        problem = Problem("a number has more digits than can be read", file=file)
    raise ConfigurationInvalid([problem])


def _syntax_problem(error: tomli.TOMLDecodeError, text: str, file: str) -> Problem:
    places = locate(text[: error.pos])
    if error.msg.startswith(_SECOND_TIME):
        path, span = places.innermost if "inline" in error.msg else places.statement
        message, suggestion = "is set a second time", "keep one of the two"
        line, caret = _repeated_excerpt(text, span, places)
    else:
        path, span = (), Span(error.pos, error.pos, error.lineno, error.colno)
        message = f"this is not TOML: {error.msg[:1].lower()}{error.msg[1:]}"
        suggestion = "put strings in quotes, and every key on a line of its own"
        line, caret = _broken_excerpt(text, span, places)
    return Problem(
        message, path, suggestion, file, span.line, span.column, excerpt=line, caret=caret
    )


def _repeated_excerpt(text: str, span: Span, places: Places) -> tuple[str, int]:
    """Return the line up to the repeated key: what follows may be a secret, and is not located."""
    is_header = text[span.start] == "["
    end = (text + "\n").index("\n", span.start) if is_header else span.end
    return _excerpt(text[:end], span, places.values.values())


def _broken_excerpt(text: str, span: Span, places: Places) -> tuple[str, int]:
    """Return the part of an unreadable line that may be shown: its beginning, if the key is known."""
    path, key = places.statement
    start = span.start - span.column + 1
    is_known = isinstance(shape_at(path), Leaf) and not is_secret(path)
    if key.line != span.line or not (is_known or path in places.headers):
        return "", 0
    word = _WORD.match(text, span.start)
    assert word is not None  # it matches nothing, too
    return _shortened(text[start : word.end()], span.column)


def _excerpt(text: str, span: Span, hidden: Iterable[Span]) -> tuple[str, int]:
    start = span.start - span.column + 1
    end = _end_of_line(text, start)
    places = [place for place in hidden if place.start < end and place.end > start]
    line, caret = "", 0
    for offset in range(start, end):
        is_hidden = any(place.start <= offset < place.end for place in places)
        if not (is_hidden and line.endswith(_HIDDEN)):
            line += _HIDDEN if is_hidden else text[offset]
        if offset == span.start:
            caret = len(line)
    return _shortened(line, caret or len(line) + 1)


def _end_of_line(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _shortened(line: str, caret: int) -> tuple[str, int]:
    indent = len(line) - len(line.lstrip())
    first = max(indent, caret - _LONGEST_EXCERPT // 2) if len(line) > _LONGEST_EXCERPT else indent
    # A tab is as wide as the terminal likes; a space keeps the caret where it belongs.
    return line[first : first + _LONGEST_EXCERPT].rstrip().replace("\t", " "), caret - first

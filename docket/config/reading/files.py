"""The files that one configuration stands in: the one that is named, those it includes, and overlays."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import tomli

from ...discovery.layering import matches, patterns
from ..checking.findings import Finding
from ..checking.problems import ConfigurationInvalid, ConfigurationUnreadable, Problem
from ..checking.shape import Entries, shape_at
from ..layers.merging import Written
from .document import Document, read_document, read_file
from .keypath import KeyPath

OFTEN = (("version",),)
"""Keys that every file may set for itself."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files that were read.

    Arguments:
        base: the file that was named, and those that it includes, in lexical order.
        overlays: the files that were named after it.
    """

    base: tuple[Document, ...]
    overlays: tuple[Document, ...]

    @property
    def documents(self) -> tuple[Document, ...]:
        """All of them, the one that wins last."""
        return (*self.base, *self.overlays)


@dataclass(frozen=True, slots=True)
class Joined:
    """The base files as one.

    Arguments:
        tree: all of it as one tree; entries of arrays of tables follow one another.
        layers: the part of each file.
        problems: keys that two of them set.
    """

    tree: dict[str, Any]
    layers: tuple[Written, ...]
    problems: tuple[Problem, ...]


def read_files(main: bytes, path: Path | str, overlays: Iterable[Path | str]) -> Files:
    """Read everything that belongs to a file.

    Arguments:
        main: the content of the file.
        path: its name; what it includes is looked for beside it.
        overlays: files that are laid over it.

    Raises:
        ConfigurationUnreadable: a file is not there, or cannot be read.
        ConfigurationInvalid: a file is not TOML, or includes what it may not.
    """
    reading = _Reading()
    base = reading.document(main, path, is_part=False)
    included = [] if base is None else reading.included(base, Path(path))
    others = [reading.file(overlay) for overlay in overlays]
    parts = [part for part in (*included, *others) if part is not None]
    reading.problems += [_misplaced_include(part) for part in parts if "include" in part.tree]
    if reading.problems:
        raise reading.error(reading.problems)
    assert base is not None
    return Files(
        (base, *(part for part in included if part is not None)),
        tuple(other for other in others if other is not None),
    )


class _Reading:
    """A reading of files, one after the other, with the problems of all."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.error: type[ConfigurationInvalid] = ConfigurationInvalid

    def file(self, path: Path | str) -> Document | None:
        """Read a further file; return None if there is nothing readable in it."""
        try:
            data = read_file(path)
        except ConfigurationUnreadable as error:
            self.error = ConfigurationUnreadable
            self.problems += error.problems
            return None
        return self.document(data, path, is_part=True)

    def document(self, data: bytes, path: Path | str, *, is_part: bool) -> Document | None:
        """Parse the content of a file; return None if it is not TOML."""
        try:
            return read_document(data, str(path), is_part=is_part)
        except ConfigurationInvalid as error:
            self.problems += error.problems
            return None

    def included(self, base: Document, path: Path) -> list[Document | None]:
        """Read the files that another one includes."""
        paths: set[Path] = set()
        for index, pattern in enumerate(patterns(base.tree)):
            found = matches(path, pattern)
            if not found and not glob.has_magic(pattern):
                message = f"expected a file beside {path.name}, found none of this name"
                self.problems.append(base.problem(Finding(("include", index), message)))
            paths.update(found)
        return [self.file(found) for found in sorted(paths)]


def _misplaced_include(part: Document) -> Problem:
    message = "only the file that is named first includes others"
    return part.problem(Finding(("include",), message, "key", "name the files there"))


def join(documents: Sequence[Document]) -> Joined:
    """Put the base files together: each may add keys, none may repeat those of another."""
    joining = _Joining()
    layers = tuple(joining.add(document) for document in documents)
    return Joined(joining.tree, layers, tuple(joining.problems))


class _Joining:
    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self._layers: list[Written] = []

    def add(self, document: Document) -> Written:
        """Add what one more file says."""
        earlier: dict[KeyPath, int] = {}
        for path in self._put((), self.tree, document.tree, earlier):
            self.problems.append(self._repeated(document, path))
        self._layers.append(Written(document, earlier=earlier))
        return self._layers[-1]

    def _put(
        self, path: KeyPath, tree: dict[str, Any], new: dict[str, Any], earlier: dict[KeyPath, int]
    ) -> Iterator[KeyPath]:
        for key, value in new.items():
            below, old = (*path, key), tree.get(key)
            if isinstance(value, dict) and (key not in tree or isinstance(old, dict)):
                inner = tree.setdefault(key, {})
                yield from self._put(below, inner, cast(dict[str, Any], value), earlier)
            elif key not in tree:
                tree[key] = value
            elif (joined := _joined_entries(below, old, value)) is not None:
                earlier[below], tree[key] = joined
            elif below not in OFTEN:
                yield below

    def _repeated(self, document: Document, path: KeyPath) -> Problem:
        # One of the files before has this key, or something in its place.
        first = next(layer for layer in self._layers if layer.find(path) is not None)
        place = f"{first.document.file}:{first.document.line(path)}"
        suggestion = "keep one of the two, or let an overlay (--config) say it instead"
        message = f"is set a second time, and for the first time at {place}"
        return document.problem(Finding(path, message, "key", suggestion))


def _joined_entries(path: KeyPath, old: Any, new: Any) -> tuple[int, list[Any]] | None:
    """Return the number of old entries, and all entries; None unless both are arrays of tables.

    Any file may add to such an array.
    """
    if isinstance(shape_at(path), Entries) and isinstance(old, list) and isinstance(new, list):
        earlier = cast(list[Any], old)
        return len(earlier), [*earlier, *cast(list[Any], new)]
    return None


class Surroundings:
    """The files that a configuration would be read from now.

    Arguments:
        path: the file.
        overlays: files that are laid over it.
    """

    def __init__(self, path: Path, overlays: Iterable[Path] = ()) -> None:
        self._path = path
        self._overlays = tuple(overlays)
        self._content = b""
        self._patterns: list[str] = []

    def beside(self) -> tuple[Path, ...]:
        """Return all but the file itself; a pattern is among them, so that its directory is known."""
        try:
            content = self._path.read_bytes()
            if content != self._content:
                # The event loop waits meanwhile: a large file is read only if it may include others, or has.
                if self._patterns or b"include" in content or b"\\" in content:
                    self._patterns = patterns(tomli.loads(content.decode("utf-8-sig")))
                self._content = content
        except (OSError, ValueError, RecursionError):
            pass  # its problems are reported where it is read for good
        included = [
            file
            for pattern in self._patterns
            for file in (self._path.parent / pattern, *matches(self._path, pattern))
        ]
        return tuple(dict.fromkeys([*included, *self._overlays]))

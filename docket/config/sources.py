"""Where everything in a configuration came from, and so where to look for what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from .document import Document
from .environment import Overrides
from .findings import Finding
from .keypath import KeyPath
from .layers import Inherited
from .locate import Span
from .problems import Problem
from .secrecy import is_secret


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: in a file, or in an environment variable.

    ``str`` gives ``docket.toml:12`` or ``env DOCKET_URL``.

    Arguments:
        file: the file as it was given.
        line: counted from 1.
        variable: the environment variable; then there is no file.
    """

    file: str = ""
    line: int = 0
    variable: str = ""

    def __str__(self) -> str:
        return f"env {self.variable}" if self.variable else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Sources:
    """The layers that one configuration was made of.

    Arguments:
        document: the file.
        overrides: what the environment said.
        inherited: both together, with the defaults under the tasks.
    """

    document: Document
    overrides: Overrides
    inherited: Inherited

    def origins(self) -> dict[KeyPath, Origin]:
        """Where every value was written."""
        return {path: self._origin(path) for path in _leaves((), self.inherited.tree)}

    def is_hidden(self, path: KeyPath) -> bool:
        """Whether the value at a path must not be shown: secrets, and whatever the environment holds."""
        return is_secret(path) or bool(self.overrides.variable(self._source(path)))

    def at_their_sources(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings, each where its value was written: those of one default only once."""
        moved = [replace(finding, path=self._source(finding.path)) for finding in findings]
        return list(dict.fromkeys(moved))

    def located(self, findings: Iterable[Finding]) -> tuple[Problem, ...]:
        """The findings as problems, in the order of the file, those of the environment last."""
        findings = self._without_echoes(list(findings))
        unknown = [finding.path for finding in findings if finding.is_unknown]
        problems = [self._problem(finding, unknown) for finding in findings]
        return tuple(
            sorted(problems, key=lambda problem: (problem.variable, problem.line, problem.column))
        )

    def _without_echoes(self, findings: list[Finding]) -> list[Finding]:
        """What is wrong with a default is told once, not again for every task that inherits it."""
        told = {(finding.path, finding.message) for finding in findings}
        return [
            finding
            for finding in findings
            if not self._is_inherited(finding.path)
            or (self._source(finding.path), finding.message) not in told
        ]

    def _is_inherited(self, path: KeyPath) -> bool:
        return self._source(path) != path

    def _source(self, path: KeyPath) -> KeyPath:
        for length in range(len(path), 0, -1):
            if source := self.inherited.sources.get(path[:length]):
                return (*source, *path[length:])
        return path

    def _origin(self, path: KeyPath) -> Origin:
        source = self._source(path)
        if variable := self.overrides.variable(source):
            return Origin(variable=variable)
        place = self.document.places.key(source)
        # Whatever tomli has read has been located; the test against tomli holds this.
        assert place is not None
        return Origin(self.document.file, place.line)

    def _problem(self, finding: Finding, unknown: list[KeyPath]) -> Problem:
        if variable := self._variable(finding.path):
            return Problem(finding.message, finding.path, finding.suggestion, variable=variable)
        place = self._place(finding)
        excerpt, caret = self.document.excerpt(place, unknown)
        return Problem(
            finding.message,
            finding.path,
            finding.suggestion,
            self.document.file,
            place.line,
            place.column,
            excerpt=excerpt,
            caret=caret,
        )

    def _variable(self, path: KeyPath) -> str:
        """The variable that set a value; of a default that does not fit, one that set its neighbour."""
        source = self._source(path)
        if own := self.overrides.variable(source):
            return own
        places = self.document.places
        is_written = source in places.keys or source in places.headers or source in places.values
        return "" if is_written else self.overrides.neighbour(source)

    def _place(self, finding: Finding) -> Span:
        places = self.document.places
        find = {"key": places.key, "value": places.value, "table": places.table}[finding.target]
        place = find(finding.path)
        # What the file does not lead to is the doing of a variable.
        assert place is not None
        return place


def _leaves(path: KeyPath, value: Any) -> Iterator[KeyPath]:
    if isinstance(value, dict) and value:
        for key, inner in cast(dict[str, Any], value).items():
            yield from _leaves((*path, key), inner)
    elif isinstance(value, list) and _holds_tables(cast(list[Any], value)):
        for index, inner in enumerate(cast(list[Any], value)):
            yield from _leaves((*path, index), inner)
    else:
        yield path


def _holds_tables(values: list[Any]) -> bool:
    return any(isinstance(value, dict) for value in values)

"""The origin of everything in a configuration, and so the place to look for what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from ..checking.findings import Finding
from ..checking.problems import Problem
from ..layers.merging import Inherited, Written, value_at
from ..layers.overrides import Overrides
from .keypath import KeyPath
from .secrecy import is_secret

Layer: TypeAlias = Written | Overrides
"""One of the places that a configuration is put together from."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The place where a value was written: a file, an environment variable, or the command line.

    ``str`` gives ``docket.toml:12``, ``env DOCKET_URL`` or ``--set url``.

    Arguments:
        file: the file as it was given.
        line: counted from 1.
        variable: the environment variable or the option; then there is no file.
    """

    file: str = ""
    line: int = 0
    variable: str = ""

    def __str__(self) -> str:
        if self.variable:
            return self.variable if self.variable.startswith("--") else f"env {self.variable}"
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Sources:
    """The layers that one configuration was made of.

    Arguments:
        groups: the layers; a later group wins over an earlier one, in one group nothing is said twice.
        inherited: all of them together, with the defaults under the tables.
    """

    groups: Sequence[tuple[Layer, ...]]
    inherited: Inherited

    def origins(self) -> dict[KeyPath, Origin]:
        """Return the origin of every value."""
        return {path: self.origin(path) for path in _leaves((), self.inherited.tree)}

    def origin(self, path: KeyPath) -> Origin:
        """Return the origin of the value at a path."""
        return _origin_in(*self._owners(self._source(path))[-1])

    def history(self, path: KeyPath) -> list[tuple[Origin, Any]]:
        """Return all origins of a value with what each sets, the one that counts last."""
        return [
            (_origin_in(layer, found), _value_in(layer, found))
            for layer, found in self._owners(self._source(path))
        ]

    def shadowed(self) -> dict[KeyPath, tuple[Any, str]]:
        """Return the values in files that have no effect, each with the variable that overrides it."""
        found: dict[KeyPath, tuple[Any, str]] = {}
        for layer in self._layers():
            for path, variable in layer.variables.items() if isinstance(layer, Overrides) else ():
                if written := self._written(path):
                    found[path] = _value_in(*written[-1]), variable
        return found

    def is_hidden(self, path: KeyPath) -> bool:
        """Return True if a value must not be shown: a secret, or anything from the environment."""
        return is_secret(path) or any(
            isinstance(layer, Overrides) for layer, _ in self._owners(self._source(path))[-1:]
        )

    def at_their_sources(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return the findings, each where its value was written: those of one default only once."""
        moved = [replace(finding, path=self._source(finding.path)) for finding in findings]
        return list(dict.fromkeys(moved))

    def located(self, findings: Iterable[Finding]) -> tuple[Problem, ...]:
        """Return the findings as problems, in the order of the files, those of the environment last."""
        findings = self._without_echoes(list(findings))
        unknown = [finding.path for finding in findings if finding.is_unknown]
        return self.in_order(self._problem(finding, unknown) for finding in findings)

    def in_order(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Return the problems in the order of the files, those of the environment last."""
        order = {"": len(self._layers())}
        for layer in self._layers():
            if isinstance(layer, Written):
                order.setdefault(layer.document.file, len(order))
        return tuple(
            sorted(
                dict.fromkeys(problems),
                key=lambda p: (order[p.file], p.variable, p.line, p.column),
            )
        )

    def _without_echoes(self, findings: list[Finding]) -> list[Finding]:
        """Drop repeated findings: a wrong default is reported once, not again for every heir."""
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
        if not self.inherited.sources:
            return path
        for length in range(len(path), 0, -1):
            if source := self.inherited.sources.get(path[:length]):
                return (*source, *path[length:])
        return path

    def _layers(self) -> list[Layer]:
        return [layer for group in self.groups for layer in group]

    def _owners(self, path: KeyPath) -> list[tuple[Layer, KeyPath]]:
        """Return the layers that set a path, and its name in each; the last one wins."""
        index = next((i for i, key in enumerate(path) if isinstance(key, int)), None)
        groups = self.groups
        if index is not None:
            # An array is that of one group, as a whole.
            groups = [g for g in groups if any(layer.find(path[:index]) for layer in g)][-1:]
        return [
            (layer, found)
            for group in groups
            for layer in group
            if (found := layer.find(path)) is not None
        ]

    def _problem(self, finding: Finding, unknown: list[KeyPath]) -> Problem:
        source = self._source(finding.path)
        owners = self._owners(source)
        if owners and isinstance(owners[-1][0], Overrides):
            return _problem_of(owners[-1][0].variable(source), finding)
        if not owners and (variable := self._neighbour(source)):
            return _problem_of(variable, finding)
        layer, path = self._nearest(finding)
        hidden = [found for key in unknown if (found := layer.find(key)) is not None]
        return layer.document.problem(replace(finding, path=path), hidden)

    def _neighbour(self, path: KeyPath) -> str:
        """Return the variable or option that set another key of the table of a default that does not fit."""
        return next(
            (
                variable
                for layer in reversed(self._layers())
                if isinstance(layer, Overrides) and (variable := layer.neighbour(path))
            ),
            "",
        )

    def _nearest(self, finding: Finding) -> tuple[Written, KeyPath]:
        """Return the file that sets what is nearest to a path, and the name of the path there."""
        written, length = next(
            (written, length)
            for length in range(len(finding.path), 0, -1)
            if (written := self._written(finding.path[:length]))
        )
        layer, found = written[0 if finding.target == "header" else -1]
        return layer, (*found, *finding.path[length:])

    def _written(self, path: KeyPath) -> list[tuple[Written, KeyPath]]:
        return [(layer, found) for layer, found in self._owners(path) if isinstance(layer, Written)]


def _problem_of(variable: str, finding: Finding) -> Problem:
    return Problem(finding.message, finding.path, finding.suggestion, variable=variable)


def _origin_in(layer: Layer, path: KeyPath) -> Origin:
    if isinstance(layer, Overrides):
        return Origin(variable=layer.variable(path))
    return Origin(layer.document.file, layer.document.line(path))


def _value_in(layer: Layer, path: KeyPath) -> Any:
    return value_at(layer.tree if isinstance(layer, Overrides) else layer.document.tree, path)


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

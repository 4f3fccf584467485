"""Keys of the configuration that the environment overrides.

A variable is named ``DOCKET_`` and the path of the key, joined by ``__``, in capitals, every other character
``_``: ``DOCKET_URL``, ``DOCKET_WORKERS__DEFAULT__CONCURRENCY=50``, ``DOCKET_TASKS__SEND_EMAIL__TIMEOUT=5m``.
It can only mean a key that the model or the file has, so a typo is an error and never a new entry.
``NAME_FILE`` names a file that holds the value. An empty variable counts as not set.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import tomli

from .keypath import KeyPath, dotted, entry
from .model import Configuration
from .problems import Problem
from .shape import Entries, Keys, Leaf, Names, Shape, whole

PREFIX: Final = "DOCKET_"
NOT_OURS: Final = frozenset(
    {
        "DOCKET_CONFIG",  # which file is read
        "DOCKET_FALLBACK_TASK",  # docket worker --fallback-task
        "DOCKET_LOGGING_FORMAT",  # docket worker --logging-format
        "DOCKET_LOGGING_LEVEL",  # docket worker --logging-level
        "DOCKET_PROFILE",  # which profile is chosen
        "DOCKET_REDIS_URL",  # docket watch --url
        "DOCKET_SERVER",  # the binary of the embedded server
        "DOCKET_TASKS",  # docket worker --tasks
    }
)
"""Variables that other parts of Docket read."""
NOT_OURS_PREFIX: Final = "DOCKET_WORKER_"
"""What the variables for the options of ``docket worker`` begin with."""
# Kubernetes gives every pod such variables for every service whose name begins with "docket".
_SERVICE_LINK: Final = re.compile(
    r"DOCKET_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)"
)
_OTHER: Final = re.compile(r"[^A-Z0-9]")
_Found: TypeAlias = tuple[KeyPath, Shape]


@dataclass(slots=True)
class Overrides:
    """What the environment says.

    Arguments:
        tree: the keys that are set, as tables.
        variables: the variable behind each of them.
        problems: variables that can not be meant.
    """

    tree: dict[str, Any] = field(default_factory=dict[str, Any])
    variables: dict[KeyPath, str] = field(default_factory=dict[KeyPath, str])
    problems: list[Problem] = field(default_factory=list[Problem])

    def variable(self, path: KeyPath) -> str:
        """The variable that set the value at a path, or ``""``."""
        for length in range(len(path), 0, -1):
            if found := self.variables.get(path[:length]):
                return found
        return ""

    def neighbour(self, path: KeyPath) -> str:
        """A variable that set another key of the same table, or ``""``."""
        return next((v for other, v in self.variables.items() if other[:-1] == path[:-1]), "")

    def put(self, path: KeyPath, value: Any, variable: str) -> None:
        """Note what a variable sets; a part of a value that is no table stays out."""
        table = self.tree
        for key in path[:-1]:
            inner = table.setdefault(str(key), {})
            if not isinstance(inner, dict):
                return
            table = cast(dict[str, Any], inner)
        table[str(path[-1])] = value
        self.variables[path] = variable


def read_environment(environ: Mapping[str, str], tree: Mapping[str, Any]) -> Overrides:
    """Read what the environment says.

    Arguments:
        environ: all variables.
        tree: what the file says: names of tasks, schedules and pools are resolved against it.
    """
    overrides = Overrides()
    for variable in sorted(environ):
        if environ[variable] and _may_be_ours(variable):
            _read_variable(variable, environ, tree, overrides)
    return overrides


def _may_be_ours(variable: str) -> bool:
    return (
        variable.startswith(PREFIX)
        and variable not in NOT_OURS
        and not variable.startswith(NOT_OURS_PREFIX)
    )


def _read_variable(
    variable: str, environ: Mapping[str, str], tree: Mapping[str, Any], overrides: Overrides
) -> None:
    named, is_file = variable, False
    found = _resolve(variable, tree)
    if not found and variable.endswith("_FILE"):
        named, is_file = variable.removesuffix("_FILE"), True
        found = _resolve(named, tree)
    problem = _problem_with(variable, named, found, environ, tree)
    if problem is not None:
        overrides.problems.append(problem)
    elif found and not _is_blocked(found[0][0], tree):
        path, shape = found[0]
        try:
            text = _content(environ[variable]) if is_file else environ[variable]
        except (OSError, ValueError) as error:
            overrides.problems.append(_unreadable(variable, environ[variable], error, path))
        else:
            overrides.put(path, _value(text, shape), variable)


def _problem_with(
    variable: str,
    named: str,
    found: list[_Found],
    environ: Mapping[str, str],
    tree: Mapping[str, Any],
) -> Problem | None:
    if not found:
        return None if _SERVICE_LINK.fullmatch(variable) else _unknown(variable, tree)
    path, shape = found[0]
    if len(found) > 1:
        choices = ", ".join(dotted(other) for other, _ in found)
        message = f"expected a variable that means one key, found one that means {choices}"
        return Problem(message, suggestion="set these keys in the file", variable=variable)
    if not _is_settable(shape):
        message = f"{dotted(path)} is a table and can not be set as a whole"
        suggestion = f"set one of its keys, as in {variable}__NAME"
        return Problem(message, suggestion=suggestion, variable=variable)
    if named != variable and environ.get(named):
        message = f"expected one of {named} and {variable}, found both"
        return Problem(message, path, "unset one of them", variable=variable)
    return None


def _unknown(variable: str, tree: Mapping[str, Any]) -> Problem:
    known = sorted({_variable(path) for path, _ in _all_keys((), whole(), tree, _defaults())})
    message = "no key of the configuration has this variable"
    match difflib.get_close_matches(variable, known, 1):
        case [closest]:
            suggestion = f"did you mean {closest}?"
        case _:
            suggestion = "unset it, or name a key that the model or the file has"
    return Problem(message, suggestion=suggestion, variable=variable)


def _unreadable(variable: str, file: str, error: OSError | ValueError, path: KeyPath) -> Problem:
    reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    message = f"the file {file} that it names can not be read: {reason}"
    return Problem(message, path, "correct the name or the permissions", variable=variable)


def _is_blocked(path: KeyPath, tree: Mapping[str, Any]) -> bool:
    """Whether the file has no table where the variable needs one; then the file is to blame."""
    table: Any = tree
    for key in path[:-1]:
        if not isinstance(table, dict):
            return True
        table = cast(dict[str, Any], table).get(str(key), {})
    return not isinstance(table, dict)


def _resolve(variable: str, tree: Mapping[str, Any]) -> list[_Found]:
    found = _all_keys((), whole(), tree, _defaults())
    return [(path, shape) for path, shape in found if _variable(path) == variable]


def _all_keys(path: KeyPath, shape: Shape, table: Any, default: Any) -> Iterator[_Found]:
    for key, inner in _children(shape, table, default):
        yield (*path, key), inner
        yield from _all_keys((*path, key), inner, entry(table, key), entry(default, key))


def _children(shape: Shape, table: Any, default: Any) -> list[tuple[str, Shape]]:
    if isinstance(shape, Keys):
        return list(shape.keys.items())
    if isinstance(shape, Names):
        names = cast(dict[str, Any], table if isinstance(table, dict) else default or {})
        return [(name, shape.each) for name in names]
    return []


def _is_settable(shape: Shape) -> bool:
    return isinstance(shape, Leaf | Entries) or isinstance(getattr(shape, "each", None), Leaf)


@functools.cache
def _defaults() -> dict[str, Any]:
    return Configuration().model_dump()


def _variable(path: KeyPath) -> str:
    return PREFIX + "__".join(_OTHER.sub("_", str(key).upper()) for key in path)


def _content(file: str) -> str:
    return Path(file).read_text("utf-8").strip()


def _value(text: str, shape: Shape) -> Any:
    """The value as TOML, else as a text; where only a text can stand, nothing else is read."""
    try:
        tree = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = tree["value"]
    if len(tree) > 1 or (isinstance(shape, Leaf) and shape.is_text and not isinstance(value, str)):
        return text
    return value

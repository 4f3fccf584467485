"""Keys of the configuration that the environment overrides.

A variable is named ``DOCKET_`` and the path of the key, joined by ``__``, in capitals, every other character
``_``: ``DOCKET_URL``, ``DOCKET_WORKERS__DEFAULT__CONCURRENCY=50``, ``DOCKET_TASKS__SEND_EMAIL__TIMEOUT=5m``.
It can only mean a key that the model or the file has, so a typo is an error and never a new entry.
``NAME_FILE`` names a file that holds the value. An empty variable counts as not set.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...discovery.layering import PREFIX, content_of, variable_of
from ..checking.problems import Problem
from ..checking.shape import Shape
from ..reading.keypath import KeyPath, dotted
from .overrides import Known, Overrides, is_blocked, is_settable, known_keys, read_value

NOT_OURS: Final = frozenset(
    {
        "DOCKET_AUTHOR",  # who gives a command
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
"""Prefix of the variables for the options of ``docket worker``."""
# Kubernetes gives every pod such variables for every service whose name begins with "docket".
_SERVICE_LINK: Final = re.compile(
    r"DOCKET_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)"
)


def read_environment(environ: Mapping[str, str], tree: Mapping[str, Any]) -> Overrides:
    """Read what the environment says.

    Arguments:
        environ: all variables.
        tree: what the files say: names of tasks, schedules and pools are resolved against it.
    """
    overrides = Overrides()
    ours = sorted(name for name, value in environ.items() if value and _may_be_ours(name))
    if ours:
        reader = _Reader(environ, tree, overrides, ours)
        for variable in ours:
            reader.read(variable)
    return overrides


def _may_be_ours(variable: str) -> bool:
    return (
        variable.startswith(PREFIX)
        and variable not in NOT_OURS
        and not variable.startswith(NOT_OURS_PREFIX)
    )


class _Reader:
    def __init__(
        self,
        environ: Mapping[str, str],
        tree: Mapping[str, Any],
        overrides: Overrides,
        ours: Sequence[str],
    ) -> None:
        self._environ = environ
        self._tree = tree
        self._overrides = overrides
        self._known: dict[str, list[Known]] = {}

        def leads_to_one(path: KeyPath) -> bool:
            # A large file has tens of thousands of keys, and the environment means a few of them.
            return any(name.startswith(variable_of(path)) for name in ours)

        for path, shape in known_keys(tree, leads_to_one):
            self._known.setdefault(variable_of(path), []).append((path, shape))

    def read(self, variable: str) -> None:
        """Note what a variable sets, or why it cannot set anything."""
        named, is_file = variable, False
        found = self._known.get(variable, [])
        if not found and variable.endswith("_FILE"):
            named, is_file = variable.removesuffix("_FILE"), True
            found = self._known.get(named, [])
        problem = self._problem_with(variable, named, found)
        if problem is not None:
            self._overrides.problems.append(problem)
        elif found and not is_blocked(found[0][0], self._tree):
            self._set(variable, *found[0], is_file=is_file)

    def _set(self, variable: str, path: KeyPath, shape: Shape, *, is_file: bool) -> None:
        value = self._environ[variable]
        try:
            text = content_of(value) if is_file else value
        except (OSError, ValueError) as error:
            self._overrides.problems.append(_unreadable(variable, value, error, path))
        else:
            self._overrides.put(path, read_value(text, shape), variable)

    def _problem_with(self, variable: str, named: str, found: list[Known]) -> Problem | None:
        if not found:
            return None if _SERVICE_LINK.fullmatch(variable) else self._unknown(variable)
        path, shape = found[0]
        if len(found) > 1:
            choices = ", ".join(dotted(other) for other, _ in found)
            message = f"expected a variable that means one key, found one that means {choices}"
            return Problem(message, suggestion="set these keys in the file", variable=variable)
        if not is_settable(shape):
            message = f"{dotted(path)} is a table and cannot be set as a whole"
            suggestion = f"set one of its keys, as in {variable}__NAME"
            return Problem(message, suggestion=suggestion, variable=variable)
        if named != variable and self._environ.get(named):
            message = f"expected one of {named} and {variable}, found both"
            return Problem(message, path, "unset one of them", variable=variable)
        return None

    def _unknown(self, variable: str) -> Problem:
        message = "no key of the configuration has this variable"
        known = sorted({variable_of(path) for path, _ in known_keys(self._tree)})
        match difflib.get_close_matches(variable, known, 1):
            case [closest]:
                suggestion = f"did you mean {closest}?"
            case _:
                suggestion = "unset it, or name a key that the model or the file has"
        return Problem(message, suggestion=suggestion, variable=variable)


def _unreadable(variable: str, file: str, error: OSError | ValueError, path: KeyPath) -> Problem:
    reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    message = f"the file {file} that it names cannot be read: {reason}"
    return Problem(message, path, "correct the name or the permissions", variable=variable)

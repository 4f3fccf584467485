"""Keys that the command line sets: ``--set tasks.send_email.timeout=5m``, over everything else.

The path is written as in TOML and means a key that the model or a file has; the value is read as TOML, else
as a string, just as an environment variable is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ..checking.problems import Problem
from ..checking.shape import Shape
from ..reading.keypath import KeyPath, dotted, read_path
from .overrides import Overrides, is_blocked, is_settable, known_keys, read_value

OPTION = "--set"


def read_settings(settings: Iterable[str], tree: Mapping[str, Any]) -> Overrides:
    """Read what the command line sets.

    Arguments:
        settings: each as ``path=value``; of two for one key the later one counts.
        tree: what the files and the environment say: names are resolved against it.
    """
    overrides = Overrides()
    given = list(settings)
    known = dict(known_keys(tree)) if given else {}
    for setting in given:
        _read_setting(setting, known, tree, overrides)
    return overrides


def _read_setting(
    setting: str, known: Mapping[KeyPath, Shape], tree: Mapping[str, Any], overrides: Overrides
) -> None:
    key, equals, text = setting.partition("=")
    path = read_path(key) if equals else None
    if path is None:
        message = "expected path=value, as in --set workers.default.concurrency=20"
        overrides.problems.append(Problem(message, variable=OPTION))
        return
    name = f"{OPTION} {dotted(path)}"
    if path not in known:
        overrides.problems.append(_unknown(path, known, name))
    elif not is_settable(known[path]):
        message = "is a table and cannot be set as a whole"
        overrides.problems.append(Problem(message, path, "set one of its keys", variable=name))
    elif not is_blocked(path, tree):
        overrides.put(path, read_value(text, known[path]), name)


def _unknown(path: KeyPath, known: Mapping[KeyPath, Shape], name: str) -> Problem:
    message = "no key of the configuration has this path"
    match difflib.get_close_matches(dotted(path), map(dotted, known), 1):
        case [closest]:
            suggestion = f"did you mean {closest}?"
        case _:
            suggestion = "name a key that the model or the file has"
    return Problem(message, path, suggestion, variable=name)

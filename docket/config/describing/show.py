"""A configuration as it counts, leaf by leaf: for ``docket config show`` and ``docket config explain``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from ...foundation.durations import format_duration
from ..kinds import Ratio, format_share
from ..load import Loaded
from ..model import PARTS_OF_FILES
from ..reading.keypath import KeyPath, dotted
from ..reading.secrecy import masked
from .catalogue import Key, key_at
from .sentences import shown

DEFAULT = "default"
"""The origin of a value that is set nowhere."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value that counts.

    Arguments:
        path: where it stands.
        value: what it is, secrets masked.
        origin: where it was said: ``docket.toml:12``, ``env DOCKET_URL``, ``--set url`` or ``default``.

    Example:
        >>> Value(("workers", "default", "concurrency"), 20, "docket.toml:12").line
        'workers.default.concurrency = 20'
    """

    path: KeyPath
    value: Any
    origin: str

    @property
    def line(self) -> str:
        """The key and its value as TOML, but on one line: ``workers.default.concurrency = 20``."""
        return f"{dotted(self.path)} = {_as_toml(self.value)}"

    @property
    def fields(self) -> dict[str, Any]:
        """The value as JSON; durations and shares are strings as in a file."""
        match self.value:
            case timedelta():
                value: Any = format_duration(self.value)
            case Ratio():
                value = format_share(self.value)
            case _:
                value = self.value
        return {"path": dotted(self.path), "value": value, "origin": self.origin}


@dataclass(frozen=True, slots=True)
class KeyExplanation:
    """Everything known about one key.

    Arguments:
        path: where it stands.
        key: what it is in general.
        values: what it is here: one value, or those of a table.
        said: where it is set and to what, the one that counts last; only for a single value.
    """

    path: KeyPath
    key: Key
    values: tuple[Value, ...]
    said: tuple[tuple[str, Any], ...]

    def lines(self) -> Iterator[str]:
        """Yield the explanation in words, for people."""
        yield f"{dotted(self.path)}: {self.key.meaning}"
        yield f"  kind:     {self.key.kind}"
        if not self.key.is_table:
            yield f"  default:  {self.key.default or 'none'}"
        yield f"  an edit:  {self.key.effect}"
        for value in self.values:
            yield f"  here:     {value.line}  # {value.origin}"
        for origin, value in self.said[:-1]:
            yield f"  hidden:   {_as_toml(value)}  # {origin}"


def values_of(loaded: Loaded) -> tuple[Value, ...]:
    """Return every value of a configuration, in the order of the model."""
    configuration = loaded.configuration
    tree = configuration.model_dump(by_alias=True, exclude=set(PARTS_OF_FILES))
    return tuple(
        Value(path, masked(path, value), _origin(loaded, path))
        for path, value in _leaves((), tree)
        if value is not None
    )


def explain_path(loaded: Loaded, path: KeyPath) -> KeyExplanation | None:
    """Explain a path; return None if the configuration has nothing there."""
    key = key_at(path)
    values = tuple(one for one in values_of(loaded) if one.path[: len(path)] == path)
    if key is None or not (values or path in _unset(loaded)):
        return None
    said = (
        ()
        if key.is_table
        else tuple(
            (str(origin), masked(path, value)) for origin, value in loaded.sources.history(path)
        )
    )
    return KeyExplanation(path, key, values, said)


def closest_path(loaded: Loaded, path: KeyPath) -> str:
    """Return the path of the configuration that was probably meant, or nothing."""
    known = {dotted(one.path[:length]) for one in values_of(loaded) for length in range(1, 9)}
    known |= {dotted(unset) for unset in _unset(loaded)}
    found = difflib.get_close_matches(dotted(path), sorted(known), 1)
    return found[0] if found else ""


def _unset(loaded: Loaded) -> set[KeyPath]:
    """Return the keys that there could be, and that are not set."""
    tree = loaded.configuration.model_dump(by_alias=True)
    return {path for path, value in _leaves((), tree) if value is None or path[0] in PARTS_OF_FILES}


def _origin(loaded: Loaded, path: KeyPath) -> str:
    history = loaded.sources.history(path)
    return str(history[-1][0]) if history else DEFAULT


def _leaves(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in cast(dict[str, Any], value).items():
            yield from _leaves((*path, key), inner)
    elif path == ("strikes",) and value:
        for index, strike in enumerate(cast(tuple[Any, ...], value)):
            yield from _leaves((*path, index), strike)
    else:
        yield path, value


def _as_toml(value: Any) -> str:
    # Sentences show durations bare; in a file they stand in quotes.
    match value:
        case timedelta():
            return f'"{format_duration(value)}"'
        case Ratio():
            return f'"{format_share(value)}"'
        case _:
            return shown(value)

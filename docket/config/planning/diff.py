"""The differences between two configurations, leaf by leaf."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias, cast

from ..model import PARTS_OF_FILES, Configuration
from ..reading.secrecy import masked
from .meaning import canonical

Path: TypeAlias = tuple[str, ...]


_PLAIN: Final = frozenset({bool, int, str, timedelta})
"""Kinds of values that mean the same if they are equal: nearly all that there are."""


class Absent(enum.Enum):
    """The one value that stands for something absent."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Change:
    """One leaf, or one whole named table, that is not the same; secrets are masked.

    Arguments:
        path: the keys that lead to it; strikes are found by their identity.
        old: what it was, or ``ABSENT``.
        new: what it is, or ``ABSENT``.
    """

    path: Path
    old: Any
    new: Any

    @property
    def is_added(self) -> bool:
        """True if there was nothing before."""
        return self.old is ABSENT

    @property
    def is_removed(self) -> bool:
        """True if nothing is left."""
        return self.new is ABSENT


def diff(old: Configuration, new: Configuration) -> tuple[Change, ...]:
    """Return the differences in the order of the new configuration, removed keys at the end."""
    return tuple(
        Change(path, _masked(path, before), _masked(path, after))
        for path, before, after in _differences((), tree_of(old), tree_of(new))
    )


def tree_of(configuration: Configuration) -> dict[str, Any]:
    """Return a configuration as plain tables; strikes are a table too, by identity.

    Signing keys are an array of pairs, because their order has a meaning: the first one signs.
    """
    tree = configuration.model_dump(by_alias=True)
    # Defaults, included files and profiles have had their effect: a change to them is reported there.
    for key in ("defaults", *PARTS_OF_FILES):
        del tree[key]
    tree["security"]["signing_keys"] = list(configuration.security.signing_keys.items())
    tree["strikes"] = {strike.identity: strike.model_dump() for strike in configuration.strikes}
    return tree


def _differences(
    path: Path, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[Path, Any, Any]]:
    for key in [*new, *(key for key in old if key not in new)]:
        before, after = old.get(key, ABSENT), new.get(key, ABSENT)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(
                (*path, key), cast(dict[str, Any], before), cast(dict[str, Any], after)
            )
        elif not _same(before, after):
            yield (*path, key), before, after


def _masked(path: Path, value: Any) -> Any:
    return value if value is ABSENT else masked(path, value)


def _same(before: Any, after: Any) -> bool:
    if before is ABSENT or after is ABSENT:
        return False
    if type(before) is type(after) and type(before) in _PLAIN:
        return before == after
    return before is after or canonical(before) == canonical(after)

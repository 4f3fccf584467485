"""One docket, several hosts: which configuration is active, and which pools run where. Pure functions."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ...config.model import Configuration
from ...storage.configurations import Revision, RevisionEntry

FLAPS = 4
"""Number of changes of hands between the same two configurations that is no accident."""

FLAP_WINDOW = 600_000
"""Milliseconds within which they count."""


class Standing(enum.Enum):
    """The relation of a file to the active configuration."""

    SAME = "same"
    NEWER = "newer"
    """The file is to become active."""
    OLDER = "older"
    """The file has a lower revision: another host has a newer one."""
    CONFLICT = "conflict"
    """Another file has the same revision and says something else."""
    FLAPPING = "flapping"
    """Two hosts make their own file active in turns."""


def standing(ours: RevisionEntry, history: Sequence[Revision]) -> Standing:
    """Return the relation of a file to the active configuration.

    Arguments:
        ours: the content of the file.
        history: the active revision and earlier ones, the newest first.
    """
    if not history:
        return Standing.NEWER
    theirs = history[0].entry
    if theirs.digest == ours.digest:
        return Standing.SAME
    if ours.declared is not None and theirs.declared is not None:
        if ours.declared > theirs.declared:
            return Standing.NEWER
        if theirs.host == ours.host and ours.declared == theirs.declared:
            return Standing.NEWER  # edits without counting up, on one host
        return Standing.CONFLICT if ours.declared == theirs.declared else Standing.OLDER
    return Standing.FLAPPING if _flaps(ours, history) else Standing.NEWER


def _flaps(ours: RevisionEntry, history: Sequence[Revision]) -> bool:
    recent = [one.entry for one in history[:FLAPS] if history[0].at - one.at <= FLAP_WINDOW]
    if len(recent) < FLAPS:
        return False
    turns = all(
        one.digest != other.digest and one.host != other.host
        for one, other in itertools.pairwise(recent)
    )
    return turns and len({entry.digest for entry in recent} | {ours.digest}) == 2


def here(configuration: Configuration, host: str) -> Configuration:
    """Return the same configuration with the pools of this host only.

    Arguments:
        configuration: all of it.
        host: the name of this host.
    """
    pools = {
        name: pool
        for name, pool in configuration.workers.items()
        if any(fnmatchcase(host, pattern) for pattern in pool.hosts)
    }
    return configuration.model_copy(update={"workers": pools})

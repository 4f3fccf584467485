"""One docket, several hosts: which configuration is in force, and which pools run where. Pure."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ..config.model import Configuration
from ..storage.configurations import Entry, Revision

FLAPS = 4
"""So many changes of hands between the same two configurations are no accident."""

FLAP_WINDOW = 600_000
"""Milliseconds within which they count."""


class Standing(enum.Enum):
    """How a file stands to the configuration that is in force."""

    SAME = "same"
    NEWER = "newer"
    """It is to be put in force."""
    OLDER = "older"
    """Its revision is lower: another host has a newer file."""
    CONFLICT = "conflict"
    """Another file has the same revision and says something else."""
    FLAPPING = "flapping"
    """Two hosts put their own in force in turns."""


def standing(ours: Entry, history: Sequence[Revision]) -> Standing:
    """How a file stands.

    Arguments:
        ours: what the file says.
        history: what is in force, and what was before, the newest first.
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
            return Standing.NEWER  # somebody edits without counting up, on one host
        return Standing.CONFLICT if ours.declared == theirs.declared else Standing.OLDER
    return Standing.FLAPPING if _flaps(ours, history) else Standing.NEWER


def _flaps(ours: Entry, history: Sequence[Revision]) -> bool:
    recent = [one.entry for one in history[:FLAPS] if history[0].at - one.at <= FLAP_WINDOW]
    if len(recent) < FLAPS:
        return False
    turns = all(
        one.digest != other.digest and one.host != other.host
        for one, other in itertools.pairwise(recent)
    )
    return turns and len({entry.digest for entry in recent} | {ours.digest}) == 2


def here(configuration: Configuration, host: str) -> Configuration:
    """The same configuration with the pools of this host only.

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

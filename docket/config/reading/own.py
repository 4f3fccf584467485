"""Keys that belong to one host: how its supervisor is reached, and what it logs.

Hosts do not share them: two files that differ in nothing else mean the same, no revision keeps them, and a
supervisor that goes back to a revision stays reachable where it is.
"""

from __future__ import annotations

from typing import Any, Final, cast

from ..model import Configuration

OWN: Final = (("supervisor", "listen"), ("supervisor", "control"), ("logging",))
"""The keys, by their path; what stands in a table among them is as well."""


def without_own(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as plain tables, or a part of one, without what is a host's own."""
    return _without((), tree)


def with_own_of(host: Configuration, shared: Configuration) -> Configuration:
    """Return a configuration as a host runs it.

    Arguments:
        host: where the keys are taken from that are its own.
        shared: all else.
    """
    ours = host.supervisor
    supervisor = shared.supervisor.model_copy(
        update={"listen": ours.listen, "control": ours.control}
    )
    return shared.model_copy(update={"supervisor": supervisor, "logging": host.logging})


def _holds_own(path: tuple[str, ...]) -> bool:
    return any(own[: len(path)] == path for own in OWN)


def _without(path: tuple[str, ...], tree: dict[str, Any]) -> dict[str, Any]:
    shared: dict[str, Any] = {}
    for key, value in tree.items():
        inner = (*path, key)
        if inner in OWN:
            continue
        if isinstance(value, dict) and value and _holds_own(inner):
            # A table in which nothing else stands goes with it.
            if rest := _without(inner, cast(dict[str, Any], value)):
                shared[key] = rest
        else:
            shared[key] = value
    return shared

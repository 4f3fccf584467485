"""Profiles: parts of a configuration that count where they are chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from ...discovery.layering import PROFILE
from ..checking.findings import Finding, did_you_mean
from ..checking.problems import Problem
from ..checking.pydantic_errors import unknown_key
from ..describing.sentences import shown
from ..model import PARTS_OF_FILES
from ..reading.keypath import entry, written
from .merging import Written

_OPTION: Final = "--profile"


def profiles_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profiles of a raw tree, by name."""
    profiles = tree.get("profiles")
    return cast(dict[str, Any], profiles) if isinstance(profiles, dict) else {}


def choose_profile(
    tree: Mapping[str, Any], named: str | None, environ: Mapping[str, str]
) -> tuple[str | None, list[Problem]]:
    """Return the profile that counts, or why there is none of this name.

    Arguments:
        tree: what the files say.
        named: what the command line names.
        environ: all variables.
    """
    name = named or environ.get(PROFILE)
    profiles = profiles_of(tree)
    if not name or name in profiles:
        return name or None, []
    known = f"profiles: {', '.join(map(written, profiles))}" if profiles else "there are none"
    suggestion = f"{did_you_mean(name, profiles)} {known}".lstrip()
    message = f"expected a profile of this file, found {shown(name)}"
    problem = Problem(message, (), suggestion, variable=_OPTION if named else PROFILE)
    return None, [problem]


def profile_layers(
    groups: Iterable[tuple[Written, ...]], name: str | None
) -> list[tuple[Written, ...]]:
    """Return the part of each group of files that belongs to a profile."""
    if name is None:
        return []
    return [
        tuple(Written(layer.document, ("profiles", name), layer.earlier) for layer in group)
        for group in groups
    ]


def misplaced_keys(tree: Mapping[str, Any]) -> list[Finding]:
    """Return findings for the keys that cannot differ between a profile and the file."""
    return [
        unknown_key(("profiles", name, key))
        for name, profile in profiles_of(tree).items()
        for key in ("version", *PARTS_OF_FILES)
        if entry(profile, key) is not None
    ]

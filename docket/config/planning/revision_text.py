"""A configuration as one text and back again: what is kept of a revision.

The text holds everything that hosts share, regardless of the files, profile and environment it came from,
and masks secrets.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import tomli

from ...errors import ConfigurationError
from ...foundation.durations import format_duration
from ..kinds import Ratio, format_share
from ..load import Loaded, parse
from ..model import PARTS_OF_FILES, Configuration
from ..reading.keypath import dotted, entry, written
from ..reading.own import with_own_of, without_own
from ..reading.secrecy import HIDDEN, is_secret, masked, masked_url

_LEFT_OUT = (*PARTS_OF_FILES, "defaults")
"""Keys that have had their effect."""


def text_of(configuration: Configuration) -> str:
    """Write what hosts share of a configuration as TOML, one line for each value; secrets are masked."""
    tree = configuration.model_dump(by_alias=True, exclude_unset=True, exclude=set(_LEFT_OUT))
    tree = without_own(tree)
    return "".join(f"{line}\n" for line in _lines("", _masked((), tree)))


def rebuilt(text: str, present: Configuration, path: Path) -> Loaded:
    """Rebuild a configuration from its text; secrets and keys of the host come from the present one.

    Arguments:
        text: the output of ``text_of``.
        present: the configuration that runs.
        path: the file; relative paths start beside it.

    Raises:
        ConfigurationError: a secret of it is not in the present configuration.
    """
    tree = tomli.loads(text)
    _fill_in((), tree, present.model_dump(by_alias=True))
    loaded = _parsed("".join(f"{line}\n" for line in _lines("", tree)), path)
    return replace(loaded, configuration=with_own_of(present, loaded.configuration))


def kept(text: str, path: Path) -> Loaded:
    """Parse a configuration from its text, with its secrets masked: to be looked at, not to be run.

    Arguments:
        text: the output of ``text_of``.
        path: the file; relative paths start beside it.

    Raises:
        ConfigurationError: another release of Docket has kept it, and this one cannot use it.
    """
    return _parsed(text, path)


def _parsed(text: str, path: Path) -> Loaded:
    # A file with nothing but keys of its host leaves no text, and no file is empty.
    return parse(text or "version = 1\n", path)


def _lines(place: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in cast(dict[str, Any], value).items():
            yield from _lines(f"{place}.{written(key)}" if place else written(key), inner)
    elif value is not None and place:
        yield f"{place} = {_toml(value)}"


def _masked(path: tuple[str, ...], value: Any) -> Any:
    """Return the same with every single secret masked: their names are not secret."""
    if isinstance(value, dict):
        table = cast(dict[str, Any], value)
        return {key: _masked((*path, key), inner) for key, inner in table.items()}
    return masked(path, value)


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case dt.timedelta():
            return f'"{format_duration(value)}"'
        case Ratio():
            return f'"{format_share(value)}"'
        case dt.date() | dt.time():
            return value.isoformat()
        case dict():
            table = cast(dict[str, Any], value)
            told = (f"{written(k)} = {_toml(v)}" for k, v in table.items() if v is not None)
            return "{" + ", ".join(told) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_toml, cast(list[Any], value))) + "]"
        case _:
            return str(value)


def _fill_in(path: tuple[str, ...], tree: dict[str, Any], present: Mapping[str, Any]) -> None:
    """Put the present secrets where they were masked."""
    for key, value in tree.items():
        known = entry(present, key)
        if isinstance(value, dict) and value:
            table = cast(dict[str, Any], value)
            inner = cast(dict[str, Any], known) if isinstance(known, dict) else {}
            _fill_in((*path, key), table, inner)
        elif value == HIDDEN or (key == "url" and is_secret((*path, key))):
            if known is None or (key == "url" and masked_url(str(known)) != value):
                raise ConfigurationError(
                    f"{dotted((*path, key))} is a secret, which is not kept, and the configuration that runs "
                    "has none there; put the revision's text into the file instead, with the secret"
                )
            tree[key] = known

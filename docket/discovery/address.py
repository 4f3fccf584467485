"""The address of a docket: given outright, by the environment, or by the docket.toml at hand.

Reads no more of the file than a program needs to add work, and only with tomli, so that application code
reaches its docket without the configuration tower.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import tomli

from ..errors import ConfigurationError
from ..foundation.durations import read_duration
from ..foundation.sizes import parse_limit, parse_size
from ..foundation.strictness import STRICT, check_strict
from .layering import (
    PROFILE,
    content_of,
    embedded_url,
    laid_over,
    matches,
    patterns,
    value_of,
    variable_of,
)

T = TypeVar("T")

DEFAULT_NAME = "docket"
DEFAULT_URL = "redis://localhost:6379/0"
FILE = "docket.toml"

VALUES = (
    *(("security", "codecs"), ("security", "signing_keys"), ("security", "max_payload")),
    *(("history", "enabled"), ("history", "max_memory"), ("results", "max_memory")),
    ("audit", "max_memory"),
)
"""Keys that are not strings."""

SHARED = (
    *(("name",), ("url",), ("execution_ttl",), ("security", "profile"), ("history", "keep")),
    ("audit", "keep"),
    *VALUES,
)
"""Keys that count for every user of a docket."""


@dataclass(frozen=True, slots=True)
class Address:
    """A docket and the rules that all who use it share; None where nothing says anything.

    Arguments:
        name: the docket.
        url: the server.
        execution_ttl: how long finished executions are kept.
        codecs: the codecs that are allowed.
        signing_keys: secrets by id, the first one signs.
        max_payload: the limit of serialized arguments in bytes.
        has_history, history_keep, history_memory: how much is remembered of what has ended.
        result_memory: the bytes that results may take; 0 is no limit.
        audit_keep, audit_memory: how much is kept of what operators have done.
        is_strict: whether nothing may be pickled, and all must be signed with long keys.
    """

    name: str
    url: str
    execution_ttl: timedelta | None = None
    codecs: tuple[str, ...] | None = None
    signing_keys: tuple[tuple[str, bytes], ...] | None = None
    max_payload: int | None = None
    has_history: bool | None = None
    history_keep: timedelta | None = None
    history_memory: int | None = None
    result_memory: int | None = None
    audit_keep: timedelta | None = None
    audit_memory: int | None = None
    is_strict: bool = False


def find(
    name: str | None = None,
    url: str | None = None,
    *,
    config: Path | str | Literal[False] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Address:
    """Return the address from, in this order: the arguments, the environment, the file, the defaults.

    Everything that counts for a user of a docket is read here as a supervisor reads it.

    The file is the one that is given, else the one that ``DOCKET_CONFIG`` names, else ``docket.toml`` in
    the working directory if there is one. A file without a url means the embedded server beside it. Files
    that it includes, overlays that ``DOCKET_CONFIG`` names after it, and the chosen profile count. With
    ``False`` there is no file, even if one lies there.

    Raises:
        ConfigurationError: the file cannot be read, or the environment names one that is not there.
    """
    files = _files(config, environ)
    file = files[0] if files else None
    table = _read_all(files, environ)
    if file is not None:
        below: dict[str, Any] = {"url": embedded_url(file)}
        if name is None or name == table.get("name", DEFAULT_NAME):
            # Its file is there to be relied on: nothing is unpickled that it does not allow.
            below["security"] = {"codecs": ["safe"]}
        table = laid_over(below, table)
    security, *_ = (_table(table, name) for name in ("security", "history", "results", "audit"))
    address = Address(
        name=name or _text(table, "name") or DEFAULT_NAME,
        url=url or _text(table, "url") or DEFAULT_URL,
        execution_ttl=_parsed(("execution_ttl",), table, read_duration, environ),
        codecs=_codecs(security),
        signing_keys=_secrets(security, environ, file),
        max_payload=_parsed(("security", "max_payload"), table, parse_size, environ),
        has_history=_parsed(("history", "enabled"), table, _flag, environ),
        history_keep=_parsed(("history", "keep"), table, read_duration, environ),
        history_memory=_parsed(("history", "max_memory"), table, parse_size, environ),
        result_memory=_parsed(("results", "max_memory"), table, parse_limit, environ),
        audit_keep=_parsed(("audit", "keep"), table, _positive_duration, environ),
        audit_memory=_parsed(("audit", "max_memory"), table, parse_size, environ),
        is_strict=_is_strict(security),
    )
    if address.is_strict:
        check_strict(address.codecs or ("safe",), address.signing_keys or ())
    return address


def read_secret(reference: str, environ: Mapping[str, str], directory: Path) -> str:
    """Return a secret that is given as ``file:PATH``, ``env:NAME`` or, for tests, as itself.

    Raises:
        ConfigurationError: the file cannot be read, or the variable is not set.
    """
    kind, colon, rest = reference.partition(":")
    if colon and kind == "env":
        if rest not in environ:
            raise ConfigurationError(
                f"the environment variable {rest} is not set; it holds a secret"
            )
        return environ[rest]
    if colon and kind == "file":
        try:
            return (directory / rest).read_text("utf-8").strip()
        except OSError as error:
            raise ConfigurationError(
                f"cannot read the secret file {rest}: {error.strerror}"
            ) from error
    return reference


def _files(config: Path | str | Literal[False] | None, environ: Mapping[str, str]) -> list[Path]:
    if config is False:
        return []
    if config is not None:
        return [Path(config)]
    if named := environ.get("DOCKET_CONFIG"):
        return [Path(part) for part in named.split(os.pathsep) if part]
    at_hand = Path(FILE)
    return [at_hand] if at_hand.is_file() else []


def _read_all(files: list[Path], environ: Mapping[str, str]) -> dict[str, Any]:
    """Merge files and variables, each file over the previous one, and variables over all of them."""
    table: dict[str, Any] = {}
    for file in files[:1]:
        table = _read(file)
        for pattern in patterns(table):
            for part in matches(file, pattern):
                table = laid_over(table, _read(part))
    for overlay in files[1:]:
        table = laid_over(table, _read(overlay))
    profiles = cast(dict[str, dict[str, Any]], table.get("profiles", {}))
    table = laid_over(table, profiles.get(environ.get(PROFILE, ""), {}))
    return laid_over(table, _overrides(table, environ))


def _overrides(table: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the variables for the keys that are read here."""
    keys = _table(_table(table, "security"), "signing_keys")
    paths = [*SHARED, *(("security", "signing_keys", identity) for identity in keys)]
    tree: dict[str, Any] = {}
    for path in paths:
        text = _variable(variable_of(path), environ)
        if text is not None:
            value: Any = value_of(text) if path in VALUES else text
            for key in reversed(path):
                value = {key: value}
            tree = laid_over(tree, value)
    return tree


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomli.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            f"{file}: cannot be read: {error.strerror}; expected a docket.toml there"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{file}: {error}") from error


def _variable(name: str, environ: Mapping[str, str]) -> str | None:
    if file := environ.get(f"{name}_FILE"):
        try:
            return content_of(file)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{name}_FILE: cannot read {file}: {error}") from error
    return environ.get(name) or None


def _text(table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{key}: expected a string in quotes, found {value!r}")
    return value


def _table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise ConfigurationError(f"{key}: expected a table, found {value!r}")
    return cast(dict[str, Any], value)


def _is_strict(security: Mapping[str, Any]) -> bool:
    profile = security.get("profile", "default")
    if profile not in ("default", STRICT):
        # Taken for the default, a slip of the pen would take the strictness away in silence.
        raise ConfigurationError(
            f'security.profile: expected "default" or "{STRICT}", found {profile!r}'
        )
    return profile == STRICT


def _codecs(security: Mapping[str, Any]) -> tuple[str, ...] | None:
    codecs = security.get("codecs")
    if codecs is None:
        return None
    if not isinstance(codecs, list):
        raise ConfigurationError(
            f'security.codecs: expected ["safe"] or ["safe", "pickle"], found {codecs!r}'
        )
    return tuple(map(str, cast("list[Any]", codecs)))


def _secrets(
    security: Mapping[str, Any], environ: Mapping[str, str], file: Path | None
) -> tuple[tuple[str, bytes], ...] | None:
    if "signing_keys" not in security:
        return None
    directory = file.resolve().parent if file is not None else Path()
    keys: list[tuple[str, bytes]] = []
    for identity, reference in _table(security, "signing_keys").items():
        if not isinstance(reference, str) or not reference:
            raise ConfigurationError(
                f"security.signing_keys.{identity}: expected file:PATH or env:NAME in quotes, "
                f"found {'an empty string' if reference == '' else 'no string'}"
            )
        keys.append((identity, read_secret(reference, environ, directory).encode()))
    return tuple(keys)


def _positive_duration(value: object) -> timedelta:
    found = read_duration(value)
    if not found:
        raise ValueError('expected a duration longer than zero, such as "30s"')
    return found


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {value!r}")
    return value


def _parsed(
    path: tuple[str, ...],
    table: Mapping[str, Any],
    parse: Callable[[Any], T],
    environ: Mapping[str, str],
) -> T | None:
    """Return the value of a key, or None if it is not set; an error names key and variable."""
    value: Any = table
    for key in path:
        value = value.get(key)
        if value is None:
            return None
    try:
        return parse(value)
    except ValueError as error:
        variable = variable_of(path)
        is_variable = environ.get(variable) or environ.get(f"{variable}_FILE")
        where = f"{variable}: " if is_variable else ""
        raise ConfigurationError(f"{where}{'.'.join(path)}: {error}") from error

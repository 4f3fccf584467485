"""Where a docket is: given outright, by the environment, or by the docket.toml at hand.

Reads no more of the file than a program needs to add work, and only with tomli, so that application code
reaches its docket without the configuration tower.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, cast

import tomli

from .durations import parse_duration
from .errors import ConfigurationError
from .sizes import parse_size

DEFAULT_NAME = "docket"
DEFAULT_URL = "redis://localhost:6379/0"
FILE = "docket.toml"
EMBEDDED = ".docket"


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
    """

    name: str
    url: str
    execution_ttl: timedelta | None = None
    codecs: tuple[str, ...] | None = None
    signing_keys: tuple[tuple[str, bytes], ...] | None = None
    max_payload: int | None = None


def find(
    name: str | None = None,
    url: str | None = None,
    *,
    config: Path | str | Literal[False] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Address:
    """The address from, in this order: the arguments, the environment, the file, the defaults.

    The file is the one that is given, else the one that ``DOCKET_CONFIG`` names, else ``docket.toml`` in
    the working directory if there is one. A file without a url means the embedded server beside it. Files
    that it includes, overlays that ``DOCKET_CONFIG`` names after it, and the chosen profile count. With
    ``False`` there is no file, whatever lies there.

    Raises:
        ConfigurationError: the file can not be read, or the environment names one that is not there.
    """
    files = _files(config, environ)
    file = files[0] if files else None
    table = _read_all(file, files[1:], environ) if file is not None else {}
    url = url or _variable("DOCKET_URL", environ) or _text(table, "url")
    if url is None:
        url = DEFAULT_URL if file is None else embedded_url(file)
    security = cast(dict[str, Any], table.get("security", {}))
    ttl = _text(table, "execution_ttl")
    return Address(
        name=name or _variable("DOCKET_NAME", environ) or _text(table, "name") or DEFAULT_NAME,
        url=url,
        execution_ttl=None if ttl is None else parse_duration(ttl),
        codecs=tuple(security["codecs"]) if "codecs" in security else None,
        signing_keys=_secrets(security, environ, file),
        max_payload=_size(security.get("max_payload")),
    )


def embedded_url(file: Path) -> str:
    """The embedded server beside a configuration file."""
    return f"embedded://{file.resolve().parent / EMBEDDED}"


def read_secret(reference: str, environ: Mapping[str, str], directory: Path) -> str:
    """A secret that is given as ``file:PATH``, ``env:NAME`` or, for tests, as itself.

    Raises:
        ConfigurationError: the file can not be read, or the variable is not set.
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
                f"can not read the secret file {rest}: {error.strerror}"
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


def _read_all(file: Path, overlays: list[Path], environ: Mapping[str, str]) -> dict[str, Any]:
    """What the files say together, each over the one before, and the profile over all of them."""
    table = _read(file)
    included = (
        file.parent / name
        for pattern in cast(list[str], table.get("include", []))
        for name in sorted(glob.glob(pattern, root_dir=file.parent, recursive=True))  # noqa: PTH207
    )
    for part in (*(part for part in included if part.is_file() and part != file), *overlays):
        table = _laid_over(table, _read(part))
    profiles = cast(dict[str, dict[str, Any]], table.get("profiles", {}))
    return _laid_over(table, profiles.get(environ.get("DOCKET_PROFILE", ""), {}))


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    table = dict(below)
    for key, value in above.items():
        old = table.get(key)
        are_tables = isinstance(value, dict) and isinstance(old, dict)
        table[key] = (
            _laid_over(cast(dict[str, Any], old), cast(dict[str, Any], value))
            if are_tables
            else value
        )
    return table


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomli.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            f"{file}: can not be read: {error.strerror}; expected a docket.toml there"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{file}: {error}") from error


def _variable(name: str, environ: Mapping[str, str]) -> str | None:
    if file := environ.get(f"{name}_FILE"):
        return read_secret(f"file:{file}", environ, Path())
    return environ.get(name) or None


def _text(table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{key}: expected a text in quotes, found {value!r}")
    return value


def _secrets(
    security: Mapping[str, Any], environ: Mapping[str, str], file: Path | None
) -> tuple[tuple[str, bytes], ...] | None:
    if "signing_keys" not in security:
        return None
    directory = file.resolve().parent if file is not None else Path()
    return tuple(
        (identity, read_secret(reference, environ, directory).encode())
        for identity, reference in security["signing_keys"].items()
    )


def _size(value: str | int | None) -> int | None:
    return None if value is None else parse_size(value)

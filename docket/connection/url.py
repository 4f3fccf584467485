"""From a URL to a connection: one line per environment."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import URL_QUERY_ARGUMENT_PARSERS
from redis.credentials import CredentialProvider

from ..errors import InvalidUrl
from .base import Connection
from .cluster import Cluster
from .embedded import Embedded
from .memory import Memory
from .sentinel import Sentinel
from .standalone import Standalone, Target

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
SPARE: Final = 10
"""Connections beyond one per slot: heartbeats, clients of tasks, and the trade itself."""


def connect(
    url: str, *, concurrency: int = 10, credential_provider: CredentialProvider | None = None
) -> Connection:
    """The connection that a URL describes; nothing is reached before it is opened.

    Arguments:
        url: ``redis://``, ``rediss://``, ``unix://``, ``valkey://``, ``valkeys://``,
            ``redis+cluster://``, ``rediss+cluster://``, ``redis+sentinel://``, ``rediss+sentinel://``,
            ``embedded://DIRECTORY`` or ``memory://NAME``.
        concurrency: how many tasks will use it at a time.
        credential_provider: gives user and password where they rotate.

    Raises:
        InvalidUrl: the URL is none of these; the message shows what is missing.

    Example:
        >>> connect("redis+sentinel://one:26379,two:26379/orders/0").url
        'redis+sentinel://one:26379,two:26379/orders/0'
    """
    parts = _split(url)
    options = _options(parts)
    if credential_provider is not None:
        if "username" in options or "password" in options:
            raise ValueError("Pass credentials in the URL or in credential_provider, not both")
        options["credential_provider"] = credential_provider
    make = _ENVIRONMENTS.get(parts.scheme)
    if make is None:
        raise InvalidUrl(_unknown_scheme(parts.scheme, url))
    return make(masked(url), parts, options, concurrency + SPARE)


def masked(url: str) -> str:
    """The URL as it may be shown: without password and without query, which can hold one."""
    head, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("?")[0].partition("/")
    credentials, at, hosts = authority.rpartition("@")
    if at:
        user, colon, _ = credentials.partition(":")
        authority = f"{user}:***@{hosts}" if colon else f"{user}@{hosts}"
    return f"{head}{separator}{authority}{slash}{path}"


def _standalone(url: str, parts: SplitResult, options: dict[str, Any], size: int) -> Connection:
    ((host, port),) = _hosts(parts, PORT, most=1)
    options |= _tls(parts) | _database(parts.path, url)
    return Standalone(url, Target(host, port, options=options), size)


def _unix(url: str, parts: SplitResult, options: dict[str, Any], size: int) -> Connection:
    path = unquote(parts.path)
    if not path:
        raise InvalidUrl(
            f"expected the path of a socket, as in unix:///run/redis.sock, found {url}"
        )
    return Standalone(url, Target(path=path, options=options), size)


def _cluster(url: str, parts: SplitResult, options: dict[str, Any], size: int) -> Connection:
    if parts.path.strip("/") not in ("", "0"):
        raise InvalidUrl(f"a cluster has only database 0; drop {parts.path} from {url}")
    options.pop("db", None)
    return Cluster(url, _hosts(parts, PORT), Target(options=options | _tls(parts)), size)


def _sentinel(url: str, parts: SplitResult, options: dict[str, Any], size: int) -> Connection:
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise InvalidUrl(
            f"expected the name of a service after the hosts, as in {url.rstrip('/')}/mymaster"
        )
    asked = _tls(parts)
    for name in ("username", "password"):
        if (value := options.pop(f"sentinel_{name}", None)) is not None:
            asked[name] = value
    options |= _tls(parts) | _database(database, url)
    hosts = _hosts(parts, SENTINEL_PORT)
    return Sentinel(url, hosts, unquote(service), Target(options=options), asked, size)


def _embedded(url: str, parts: SplitResult, options: dict[str, Any], size: int) -> Connection:
    directory = unquote(parts.netloc + parts.path)
    if not directory:
        raise InvalidUrl(
            "expected a directory, as in embedded:///var/lib/orders or embedded://.docket"
        )
    _refuse_options(options, url)
    return Embedded(url, Path(directory), size)


def _memory(url: str, parts: SplitResult, options: dict[str, Any], size: int) -> Connection:
    _refuse_options(options, url)
    return Memory(url, parts.netloc + parts.path, size)


_ENVIRONMENTS: Final[
    Mapping[str, Callable[[str, SplitResult, dict[str, Any], int], Connection]]
] = {
    "redis": _standalone,
    "rediss": _standalone,
    "valkey": _standalone,
    "valkeys": _standalone,
    "unix": _unix,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
    "redis+sentinel": _sentinel,
    "rediss+sentinel": _sentinel,
    "embedded": _embedded,
    "memory": _memory,
}
_SECURE: Final = frozenset({"rediss", "valkeys", "rediss+cluster", "rediss+sentinel"})


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidUrl(f"expected a URL such as redis://localhost:6379/0: {error}") from error
    if "://" not in url:
        raise InvalidUrl(f"expected a URL such as redis://localhost:6379/0, found {masked(url)!r}")
    return parts


def _options(parts: SplitResult) -> dict[str, Any]:
    """User, password and the options of the query, as redis-py names and reads them."""
    options: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query):
        read = URL_QUERY_ARGUMENT_PARSERS.get(name)
        try:
            options[name] = read(value) if read else value
        except ValueError as error:
            raise InvalidUrl(f"expected a proper value for {name}, found {value!r}") from error
    credentials, at, _ = parts.netloc.rpartition("@")
    if at:
        user, colon, password = credentials.partition(":")
        if user:
            options["username"] = unquote(user)
        if colon:
            options["password"] = unquote(password)
    return options


def _hosts(parts: SplitResult, default: int, most: int = 100) -> list[tuple[str, int]]:
    names = parts.netloc.rpartition("@")[2].split(",")
    hosts = [_host(name, default, parts.scheme) for name in names]
    if len(hosts) > most:
        raise InvalidUrl(
            f"expected one host in a {parts.scheme}:// URL, found {len(hosts)}; several hosts need "
            "redis+cluster:// or redis+sentinel://"
        )
    return hosts


def _host(name: str, default: int, scheme: str) -> tuple[str, int]:
    host, port = (name, "")
    if not name.endswith("]"):
        host, _, port = name.rpartition(":") if ":" in name else (name, "", "")
    if not host:
        raise InvalidUrl(f"expected a host, as in {scheme}://localhost:{default}, found none")
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise InvalidUrl(f"expected a port between 1 and 65535 after {host}, found {port!r}")
    return host.strip("[]"), int(port or default)


def _database(path: str, url: str) -> dict[str, Any]:
    database = path.strip("/")
    if not database:
        return {}
    if not database.isdecimal():
        raise InvalidUrl(
            f"expected the number of a database at the end of {url}, found {database!r}"
        )
    return {"db": int(database)}


def _tls(parts: SplitResult) -> dict[str, Any]:
    return {"ssl": True} if parts.scheme in _SECURE else {}


def _refuse_options(options: dict[str, Any], url: str) -> None:
    if options:
        raise InvalidUrl(f"expected no options in {url}, found {', '.join(sorted(options))}")


def _unknown_scheme(scheme: str, url: str) -> str:
    close = difflib.get_close_matches(scheme, _ENVIRONMENTS, 1)
    meant = f'; did you mean "{close[0]}"?' if close else ""
    known = ", ".join(f"{name}://" for name in _ENVIRONMENTS)
    return f"unknown scheme {scheme!r} in {masked(url)}{meant} expected one of {known}"

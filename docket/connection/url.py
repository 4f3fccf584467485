"""The way from a URL to a connection: one line per environment."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import URL_QUERY_ARGUMENT_PARSERS

from ..errors import InvalidUrl
from .base import Connection, CredentialProvider
from .cluster import Cluster
from .credentials import askable
from .embedded import Embedded
from .memory import Memory
from .sentinel import Sentinel
from .standalone import COMMAND_TIMEOUT, Standalone, Target

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
SPARE: Final = 10
"""Connections beyond one per slot: heartbeats, clients of tasks, and the trade itself."""

OPTIONS: Final = frozenset(
    {
        "client_name", "db", "health_check_interval", "lib_name", "lib_version", "max_connections",
        "password", "protocol", "retry_on_timeout", "socket_connect_timeout", "socket_keepalive",
        "socket_read_size", "socket_timeout", "timeout", "username",
    }
)  # fmt: skip
"""Words of the query that every URL of a server may have."""

WITHOUT_EFFECT: Final = frozenset(
    {"health_check_interval", "protocol", "retry_on_timeout", "timeout"}
)
"""Words that are understood and change nothing: how a server is found again, which calls are repeated,
how sockets are waited for and which protocol is spoken is not left to redis-py here."""

TLS_OPTIONS: Final = frozenset(
    {
        "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname",
        "ssl_ciphers", "ssl_exclude_verify_flags", "ssl_include_verify_flags", "ssl_keyfile",
        "ssl_min_version", "ssl_password",
    }
)  # fmt: skip
"""Words of the query of a URL that is encrypted."""

SENTINEL_OPTIONS: Final = frozenset({"sentinel_password", "sentinel_username"})

_POSITIVE: Final = frozenset({"max_connections", "socket_connect_timeout", "socket_timeout"})

_FRAGMENT: Final = "a # in a password is written %23"


def connect(
    url: str, *, concurrency: int = 10, credential_provider: CredentialProvider | None = None
) -> Connection:
    """Return the connection that a URL describes; nothing is reached before it is opened.

    Arguments:
        url: ``redis://``, ``rediss://``, ``unix://``, ``valkey://``, ``valkeys://``,
            ``redis+cluster://``, ``rediss+cluster://``, ``redis+sentinel://``, ``rediss+sentinel://``,
            ``embedded://DIRECTORY`` or ``memory://NAME``.
        concurrency: how many tasks will use it at a time.
        credential_provider: gives user and password where they rotate.

    Raises:
        InvalidUrl: the URL is none of these; the message shows what is missing.
        ValueError: there are credentials in the URL and a provider of credentials.

    Example:
        >>> connect("redis+sentinel://one:26379,two:26379/orders/0").url
        'redis+sentinel://one:26379,two:26379/orders/0'
    """
    given = _read(url, concurrency + SPARE)
    if credential_provider is not None:
        if "username" in given.options or "password" in given.options:
            raise ValueError("Pass credentials in the URL or in credential_provider, not both")
        given.options["credential_provider"] = askable(credential_provider)
    return _ENVIRONMENTS[given.scheme](given)


def masked(url: str) -> str:
    """Return the URL as it may be shown: without password and without query, which can hold one.

    Example:
        >>> masked("redis://app:hunter2@db:6379/0?ssl_password=hunter3")
        'redis://app:***@db:6379/0'
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    # A password that is not encoded may hold any character, so all that stands before the last @ is one.
    credentials, at, address = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    if not _PLAIN.fullmatch(user):
        user = "***"
    address = _NO_PORT.sub(r"\1:***", re.split(r"[?#]", address, maxsplit=1)[0])
    return f"{scheme}{separator}{user}{colon and ':***'}{at}{address}"


_PLAIN: Final = re.compile(r"[\w.+-]*")
# A password whose @ was forgotten looks like a port.
_NO_PORT: Final = re.compile(r"^([^:/\[\]]*):(?!\d*(?:[,/]|$))[^,/]*")


@dataclass(frozen=True)
class _Given:
    """The parts of a URL, before its environment interprets them.

    Arguments:
        raw: all of it, secrets included.
        parts: its parts.
        options: user, password and the words of the query, read as redis-py reads them.
        size: how many connections are used at a time.
        patience: seconds that the server gets to answer.
    """

    raw: str
    parts: SplitResult
    options: dict[str, Any]
    size: int
    patience: float = COMMAND_TIMEOUT

    @property
    def scheme(self) -> str:
        return self.parts.scheme

    @property
    def shown(self) -> str:
        return masked(self.raw)

    @property
    def tls(self) -> dict[str, Any]:
        """The options about encryption, and whether there is any."""
        if self.scheme not in _SECURE:
            return {}
        chosen = {name: self.options[name] for name in TLS_OPTIONS & self.options.keys()}
        return {"ssl": True, **chosen}


def _standalone(given: _Given) -> Connection:
    ((host, port),) = _hosts(given, PORT, most=1)
    options = given.options | given.tls | _database(given.parts.path, given.shown)
    return Standalone(
        given.shown, Target(host, port, options=options, patience=given.patience), given.size
    )


def _unix(given: _Given) -> Connection:
    path = unquote(given.parts.path)
    if not path:
        raise InvalidUrl(
            f"expected the path of a socket, as in unix:///run/redis.sock, found {given.shown}"
        )
    target = Target(path=path, options=given.options, patience=given.patience)
    return Standalone(given.shown, target, given.size)


def _cluster(given: _Given) -> Connection:
    database = given.parts.path.strip("/") or str(given.options.pop("db", 0))
    if database != "0":
        raise InvalidUrl(
            f"expected no database but 0 in {given.shown}, found {_plain(database)}: a cluster has only one"
        )
    target = Target(options=given.options | given.tls, patience=given.patience)
    return Cluster(given.shown, _hosts(given, PORT), target, given.size)


def _sentinel(given: _Given) -> Connection:
    service, _, database = given.parts.path.strip("/").partition("/")
    if not service:
        raise InvalidUrl(
            "expected the name of a service after the hosts, as in "
            f"{given.scheme}://localhost:{SENTINEL_PORT}/mymaster, found {given.shown}"
        )
    asked = given.tls
    for name in ("username", "password"):
        if (value := given.options.pop(f"sentinel_{name}", None)) is not None:
            asked[name] = value
    options = given.options | given.tls | _database(database, given.shown)
    return Sentinel(
        given.shown,
        _hosts(given, SENTINEL_PORT),
        unquote(service),
        Target(options=options, patience=given.patience),
        asked,
        given.size,
    )


def _embedded(given: _Given) -> Connection:
    # A path is taken as it is written: a directory may have any character in its name.
    directory = _after_scheme(given)
    if not directory:
        raise InvalidUrl(
            "expected a directory, as in embedded:///var/lib/orders or embedded://.docket, "
            f"found {given.raw}"
        )
    return Embedded(given.raw, Path(directory).expanduser(), given.size)


def _memory(given: _Given) -> Connection:
    return Memory(given.raw, _after_scheme(given), given.size)


_ENVIRONMENTS: Final[Mapping[str, Callable[[_Given], Connection]]] = {
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
_LOCAL: Final = frozenset({"embedded", "memory"})


def _read(url: str, size: int) -> _Given:
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme not in _ENVIRONMENTS:
        raise InvalidUrl(_unknown_scheme(scheme, url))
    if scheme in _LOCAL:
        return _Given(url, SplitResult(scheme, "", "", "", ""), {}, size)
    try:
        parts = urlsplit(url)
    except ValueError:
        # The original error contains the credentials.
        raise InvalidUrl(
            f"expected a host and a port, as in {scheme}://localhost:{PORT}/0, found {masked(url)}"
        ) from None
    if parts.fragment:
        raise InvalidUrl(f"expected no # in {masked(url)}; {_FRAGMENT}")
    options: dict[str, Any] = _credentials(parts) | _query(parts, url)
    for name in WITHOUT_EFFECT:
        options.pop(name, None)
    most, patience = (
        options.pop("max_connections", size),
        options.pop("socket_timeout", COMMAND_TIMEOUT),
    )
    return _Given(url, parts, options, most, patience)


def _credentials(parts: SplitResult) -> dict[str, str]:
    credentials, _, _ = parts.netloc.rpartition("@")
    user, colon, password = credentials.partition(":")
    options = {"username": unquote(user)} if user else {}
    return options | {"password": unquote(password)} if colon else options


def _query(parts: SplitResult, url: str) -> dict[str, Any]:
    return {
        name: _option(name, value, parts.scheme, url)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    }


def _option(name: str, value: str, scheme: str, url: str) -> Any:
    known = OPTIONS
    known |= TLS_OPTIONS if scheme in _SECURE else frozenset()
    known -= {"socket_keepalive"} if scheme == "unix" else set()
    # redis-py's client of a cluster does not know these two.
    known -= {"ssl_ca_path", "ssl_password"} if scheme.endswith("+cluster") else set()
    known |= SENTINEL_OPTIONS if scheme.endswith("+sentinel") else frozenset()
    if name not in known:
        raise InvalidUrl(_unknown_option(name, scheme, known, url))
    try:
        read: Any = URL_QUERY_ARGUMENT_PARSERS.get(name, str)(value)
        if name in _POSITIVE and read <= 0:
            raise ValueError
        return read
    except ValueError:
        number = "positive number" if name in _POSITIVE else "number"
        raise InvalidUrl(
            f"expected a {number} for {name} in the query of {masked(url)}, found {_plain(value)}"
        ) from None


def _hosts(given: _Given, default: int, most: int = 100) -> list[tuple[str, int]]:
    names = given.parts.netloc.rpartition("@")[2].split(",")
    if len(names) > most:
        raise InvalidUrl(
            f"expected one host in {given.shown}, found {len(names)}; several hosts need "
            "redis+cluster:// or redis+sentinel://"
        )
    return [_host(name, default, given) for name in names]


def _host(name: str, default: int, given: _Given) -> tuple[str, int]:
    host, _, port = name.rpartition(":") if ":" in name and name[-1] != "]" else (name, "", "")
    if not host:
        raise InvalidUrl(
            f"expected a host, as in {given.scheme}://localhost:{default}, found none in {given.shown}"
        )
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        found = port if port.isdecimal() else "something else"
        raise InvalidUrl(
            f"expected a port between 1 and 65535 after the host in {given.shown}, found {found}; "
            "in a password, / ? # @ and : are written %2F %3F %23 %40 and %3A"
        )
    return host.strip("[]"), int(port or default)


def _database(path: str, shown: str) -> dict[str, Any]:
    database = path.strip("/")
    if not database:
        return {}
    if not database.isdecimal():
        raise InvalidUrl(
            f"expected the number of a database at the end of {shown}, found {_plain(database)}"
        )
    return {"db": int(database)}


def _plain(word: str) -> str:
    """Return a word as it may be shown: with other characters it may be part of a password."""
    return repr(word) if _PLAIN.fullmatch(word) else "something else"


def _after_scheme(given: _Given) -> str:
    return given.raw.partition("://")[2]


def _unknown_option(name: str, scheme: str, known: frozenset[str], url: str) -> str:
    if name in TLS_OPTIONS:
        return f"{name} needs an encrypted URL: write {_secure(scheme)}:// in {masked(url)}"
    close = difflib.get_close_matches(name, known, 1)
    meant = f'; did you mean "{close[0]}"?' if close else ";"
    return (
        f"unknown option {_plain(name)} in the query of {masked(url)}{meant} expected one of "
        f"{', '.join(sorted(known))}"
    )


def _secure(scheme: str) -> str:
    return {
        "redis": "rediss",
        "valkey": "valkeys",
        "redis+cluster": "rediss+cluster",
        "redis+sentinel": "rediss+sentinel",
    }.get(scheme, "rediss")


def _unknown_scheme(scheme: str, url: str) -> str:
    known = ", ".join(f"{name}://" for name in _ENVIRONMENTS)
    if not scheme:
        return (
            f"expected a URL such as redis://localhost:{PORT}/0, found {masked(url)!r}; it begins with "
            f"one of {known}"
        )
    close = difflib.get_close_matches(scheme, _ENVIRONMENTS, 1)
    meant = f'; did you mean "{close[0]}"?' if close else ";"
    return f"unknown scheme {scheme!r} in {masked(url)}{meant} expected one of {known}"

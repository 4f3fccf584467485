"""Every kind of server that the conformance suites run on, by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from typing_extensions import Self

from docket.connection.embedded import EmbeddedServer

from .binaries import redis_6, redis_8, valkey_8, valkey_9
from .cluster import Cluster
from .process import ServerProcess
from .sentinel import PATIENT, SentinelGroup
from .tls import TLSProxy

MEMORY: Final = "memory"
RIGHTS: Final = "~* &* +@all -@dangerous +info +client|kill +client|list +script|flush"
"""What a program of ours may do at most; the last three words are the tests' own."""

Start = Callable[[ExitStack, Path], str]


def _memory(_: ExitStack, __: Path) -> str:
    return "memory://fleet"


def _embedded(stack: ExitStack, directory: Path) -> str:
    server = EmbeddedServer(directory / "store")
    stack.callback(server.stop)
    return f"embedded://{server.directory}"


def _standalone(binary: Callable[[], Path]) -> Start:
    return lambda stack, directory: stack.enter_context(ServerProcess(binary(), directory)).url


def _cluster(binary: Callable[[], Path]) -> Start:
    return lambda stack, directory: stack.enter_context(Cluster(binary(), directory)).url


def _sentinel(stack: ExitStack, directory: Path) -> str:
    return stack.enter_context(SentinelGroup(valkey_9(), directory, PATIENT)).url


def _user(stack: ExitStack, directory: Path) -> str:
    server = ServerProcess(redis_8(), directory, password="of the operator")
    stack.enter_context(server)
    server.call("ACL", "SETUSER", "app", "on", ">s3cret", *RIGHTS.split())
    return f"redis://app:s3cret@127.0.0.1:{server.port}/0"


def _tls(stack: ExitStack, directory: Path) -> str:
    server = stack.enter_context(ServerProcess(valkey_8(), directory))
    return stack.enter_context(TLSProxy(server.port, directory)).url


KINDS: Final[dict[str, Start]] = {
    MEMORY: _memory,
    "embedded": _embedded,
    "redis-6.2": _standalone(redis_6),
    "redis-8.2": _standalone(redis_8),
    "valkey-8.1": _standalone(valkey_8),
    "valkey-9.1": _standalone(valkey_9),
    "cluster": _cluster(valkey_9),
    "cluster-6.2": _cluster(redis_6),
    "sentinel": _sentinel,
    "user": _user,
    "tls": _tls,
}


class Fleet:
    """Starts each kind of server when its URL is first asked for.

    Arguments:
        directory: where the servers keep their files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._urls: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, kind: str) -> str:
        """Where a server of this kind is."""
        if kind not in self._urls:
            directory = self._directory / kind
            directory.mkdir()
            self._urls[kind] = KINDS[kind](self._stack, directory)
        return self._urls[kind]

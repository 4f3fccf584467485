"""Facts about a server, and whether it will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from redis.exceptions import ResponseError

from ..errors import ServerRefused
from .base import Command, Facts, Reply
from .errors import translate

OLDEST: Final = (6, 2)

# HELLO needs no permission and INFO does, but a user without it can work as well.
QUESTIONS: Final[Sequence[Command]] = (("HELLO",), ("INFO", "server"), ("INFO", "memory"))


def read_facts(replies: Sequence[Reply]) -> Facts:
    """Return the facts in the replies to ``QUESTIONS``.

    Raises:
        ServerRefused: the server does not even say its version.
    """
    hello, server, memory = replies
    if isinstance(hello, ResponseError):
        raise translate(hello)
    greeting = _greeting(hello)
    info = _info(server) | _info(memory)
    # Valkey calls itself redis 7.2.4 to programs that ask the old way.
    version = info.get("valkey_version") or greeting["version"]
    is_valkey = greeting["server"] == "valkey" or "valkey_version" in info
    return Facts(
        family="valkey" if is_valkey else "redis",
        version=tuple(int(part) for part in version.split(".") if part.isdigit()),
        is_cluster=greeting["mode"] == "cluster",
        eviction=info.get("maxmemory_policy"),
    )


def refuse_unfit(facts: Facts, url: str, is_cluster: bool) -> None:
    """Refuse a server that is too old, or that needs another kind of URL.

    Arguments:
        facts: what it is.
        url: where it is, without secrets.
        is_cluster: whether it was expected to be a cluster.

    Raises:
        ServerRefused: it will not do; the message says what to change.
    """
    if facts.version < OLDEST:
        found = ".".join(map(str, facts.version))
        raise ServerRefused(
            f"expected Redis 6.2 or newer, or Valkey, at {url}, found {facts.family} {found}; "
            "upgrade the server, or name another one"
        )
    if facts.is_cluster and not is_cluster:
        raise ServerRefused(
            f"expected a server of its own at {url}, found a node of a cluster; write redis+cluster:// "
            "(or rediss+cluster://) instead"
        )


def _greeting(hello: Any) -> dict[str, str]:
    words = cast(list[Any], hello)
    return {
        key.decode(): value.decode()
        for key, value in zip(words[::2], words[1::2], strict=True)
        if isinstance(value, bytes)
    }


def _info(reply: Reply) -> dict[str, str]:
    if isinstance(reply, ResponseError):
        return {}
    lines = cast(bytes, reply).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))

"""A primary with a replica, and three Sentinels that watch them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from redis.exceptions import RedisError
from typing_extensions import Self

from .cluster import is_linked
from .process import ServerProcess, until

SERVICE = "fleet"
DOWN_AFTER = 500
"""Milliseconds after which a silent primary counts as dead, where that is the test."""

PATIENT = 30_000
"""The same where no test kills it: on a machine that is busy, silence is no death."""

COUNT = 3


class SentinelGroup:
    """One service that survives the death of its primary.

    Arguments:
        binary: what to run.
        directory: where all of them keep their files.
        down_after: milliseconds after which a silent primary counts as dead.
    """

    def __init__(self, binary: Path, directory: Path, down_after: int = DOWN_AFTER) -> None:
        self._down_after = down_after
        synchronise = ("--repl-diskless-sync-delay", "0", "--appendonly", "no")
        self.primary = ServerProcess(binary, directory / "primary", *synchronise)
        replicate = ("--replicaof", "127.0.0.1", str(self.primary.port))
        self.replica = ServerProcess(binary, directory / "replica", *synchronise, *replicate)
        self.sentinels = [
            ServerProcess(binary, directory / f"sentinel-{index}", sentinel=Path("sentinel.conf"))
            for index in range(COUNT)
        ]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """All Sentinels, and the service."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.primary)
            stack.enter_context(self.replica)
            until(lambda: is_linked(self.replica), "the link of the replica")
            for sentinel in self.sentinels:
                self._configure(sentinel)
                stack.enter_context(sentinel)
            until(self._is_complete, "the introduction of the Sentinels")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _configure(self, sentinel: ServerProcess) -> None:
        sentinel.directory.mkdir(parents=True)
        lines = [
            f"port {sentinel.port}",
            "bind 127.0.0.1",
            f"dir {sentinel.directory}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary.port} {COUNT // 2 + 1}",
            f"sentinel down-after-milliseconds {SERVICE} {self._down_after}",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        (sentinel.directory / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def _is_complete(self) -> bool:
        try:
            return all(_sees_everybody(sentinel) for sentinel in self.sentinels)
        except RedisError:
            return False


def _sees_everybody(sentinel: ServerProcess) -> bool:
    words = sentinel.call("SENTINEL", "MASTER", SERVICE)
    state = dict(zip(words[::2], words[1::2], strict=True))
    return (
        int(state[b"num-other-sentinels"]) == COUNT - 1
        and int(state[b"num-slaves"]) == 1
        and state[b"flags"] == b"master"
    )

"""A cluster of primaries, with or without replicas, laid out by hand."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from redis.crc import key_slot
from typing_extensions import Self

from .process import ServerProcess, until

SLOTS = 16384
NODE_TIMEOUT = 1000
"""Milliseconds after which a silent node counts as dead."""


class Cluster:
    """Nodes on ports of their own; every slot is served.

    Arguments:
        binary: what to run.
        directory: where the nodes keep their files.
        primaries: how many share the slots.
        replicas: how many stand behind each of them.
    """

    def __init__(
        self, binary: Path, directory: Path, primaries: int = 3, replicas: int = 0
    ) -> None:
        self._binary = binary
        self._directory = directory
        self._settings = (
            "--cluster-enabled", "yes",
            "--cluster-node-timeout", str(NODE_TIMEOUT),
            # A primary whose last slot leaves stays one.
            "--cluster-allow-replica-migration", "no",
            "--cluster-config-file", "nodes.conf",
            "--appendonly", "no",
            "--repl-diskless-sync-delay", "0",
        )  # fmt: skip
        self.nodes = [
            ServerProcess(binary, directory / str(index), *self._settings)
            for index in range(primaries * (1 + replicas))
        ]
        self.primaries = self.nodes[:primaries]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """All nodes as seeds."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._join()
            self._share_slots()
            self._follow()
            until(self._is_complete, "a complete cluster")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def holder(self, key: str) -> ServerProcess:
        """The node that serves a key, as the first living node sees it."""
        slot = key_slot(key.encode())
        witness = next(node for node in self.nodes if node.is_running)
        for first, last, (_, port, *_), *_ in witness.call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody serves {key}")

    def begin_move(self, key: str, to: ServerProcess) -> None:
        """Open the slot of a key on both sides: what is missing is answered with ASK from now on."""
        slot, source = key_slot(key.encode()), self.holder(key)
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.call("CLUSTER", "MYID"))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.call("CLUSTER", "MYID"))

    def carry(self, key: str, to: ServerProcess, most: int = 100) -> int:
        """Carry over some of what is in the slot of a key; tells how much that was."""
        source = self.holder(key)
        keys = source.call("CLUSTER", "GETKEYSINSLOT", key_slot(key.encode()), most)
        if keys:
            source.call("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def finish_move(self, key: str, to: ServerProcess) -> None:
        """Carry over what is left in the slot of a key, and tell everybody who serves it."""
        while self.carry(key, to):
            pass
        identity = to.call("CLUSTER", "MYID")
        for node in (to, *(node for node in self.primaries if node is not to)):
            node.call("CLUSTER", "SETSLOT", key_slot(key.encode()), "NODE", identity)

    def add_node(self) -> ServerProcess:
        """One more primary, which serves no slot yet."""
        place = self._directory / str(len(self.nodes))
        node = self._stack.enter_context(ServerProcess(self._binary, place, *self._settings))
        self.nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.port)
        self.nodes.append(node)
        until(self._know_each_other, "the introduction of a node")
        until(self._is_complete, "a complete cluster")
        self.primaries.append(node)
        return node

    def remove_node(self, node: ServerProcess) -> None:
        """Take away a primary that serves no slot (any more)."""
        identity = node.call("CLUSTER", "MYID")
        node.kill()
        self.nodes.remove(node)
        self.primaries.remove(node)
        for other in self.nodes:
            other.call("CLUSTER", "FORGET", identity)

    def other(self, key: str) -> ServerProcess:
        """A primary that does not serve a key."""
        holder = self.holder(key)
        return next(node for node in self.primaries if node is not holder)

    def _join(self) -> None:
        first = self.nodes[0]
        for epoch, node in enumerate(self.nodes, 1):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            first.call("CLUSTER", "MEET", "127.0.0.1", node.port)
        until(self._know_each_other, "the introduction of all nodes")

    def _share_slots(self) -> None:
        share = SLOTS // len(self.primaries) + 1
        for index, node in enumerate(self.primaries):
            first = index * share
            node.call("CLUSTER", "ADDSLOTS", *range(first, min(first + share, SLOTS)))

    def _follow(self) -> None:
        count = len(self.primaries)
        for index, node in enumerate(self.nodes[count:]):
            node.call("CLUSTER", "REPLICATE", self.primaries[index % count].call("CLUSTER", "MYID"))
        for node in self.nodes[count:]:
            until(lambda node=node: is_linked(node), "the link of a replica")

    def _know_each_other(self) -> bool:
        return all(
            lines.count(b"\n") == len(self.nodes) and b"handshake" not in lines
            for lines in (node.call("CLUSTER", "NODES") for node in self.nodes)
        )

    def _is_complete(self) -> bool:
        return all(
            b"cluster_state:ok" in info and f"cluster_slots_ok:{SLOTS}".encode() in info
            for info in (node.call("CLUSTER", "INFO") for node in self.nodes)
        )


def is_linked(replica: ServerProcess) -> bool:
    """Whether a replica has caught up: killing its primary earlier would leave no usable replica."""
    return replica.call("INFO", "replication").get("master_link_status") == "up"

"""Everything that one docket keeps, read in one script: no step of anybody else comes between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from docket.connection.base import Connection
from docket.storage.keys import WORKER_GROUP, Keys
from docket.storage.scripting.replies import pairs
from docket.storage.scripting.retrying import value_of

_READ = """
local found = {}
for _, name in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do
  local kind = redis.call('TYPE', name).ok
  local value
  if kind == 'hash' then value = redis.call('HGETALL', name)
  elseif kind == 'zset' then value = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = redis.call('SMEMBERS', name)
  elseif kind == 'list' then value = redis.call('LRANGE', name, 0, -1)
  elseif kind == 'string' then value = redis.call('GET', name)
  else
    local pending = redis.pcall('XPENDING', name, ARGV[2], '-', '+', 10000)
    value = {redis.call('XRANGE', name, '-', '+'), pending.err and {} or pending}
  end
  found[#found + 1] = {string.sub(name, #ARGV[1] + 2), kind, redis.call('PTTL', name), value}
end
return found
"""


@dataclass(frozen=True)
class Kept:
    """One key: its type, its time to live in ms (-1 is for ever), its content as Redis tells it."""

    kind: str
    ttl: int
    value: Any


@dataclass(frozen=True)
class Message:
    """One entry of a stream, and the consumer under whose name it is pending."""

    queue: str
    number: bytes
    key: str
    generation: int
    consumer: str | None

    @property
    def holder(self) -> bytes:
        """Its queue and number, as scripts name them."""
        return self.queue.encode() + b"\n" + self.number


class Snapshot:
    """All keys of a docket at one moment, by their names without the prefix."""

    def __init__(self, found: list[Any]) -> None:
        self.kept = {
            name.decode(): Kept(kind.decode(), ttl, value)
            for name, kind, ttl, value in sorted(found)
        }
        self.messages = list(self._messages())

    @classmethod
    async def take(cls, connection: Connection, keys: Keys) -> Snapshot:
        """Read all keys under the prefix."""
        (reply,) = await connection.send(("EVAL", _READ, 1, keys.future, keys.prefix, WORKER_GROUP))
        return cls(value_of(reply))

    def hash(self, name: str) -> dict[str, str]:
        """The fields of a hash, empty if there is none."""
        kept = self.kept.get(name)
        fields = pairs(kept.value) if kept else {}
        return {field.decode(): value.decode() for field, value in fields.items()}

    def scores(self, name: str) -> dict[str, float]:
        """The members of a sorted set, empty if there is none."""
        kept = self.kept.get(name)
        members = pairs(kept.value) if kept else {}
        return {member.decode(): float(score) for member, score in members.items()}

    def members(self, name: str) -> set[str]:
        """The members of a set, empty if there is none."""
        kept = self.kept.get(name)
        return {member.decode() for member in kept.value} if kept else set()

    def named(self, prefix: str) -> dict[str, Kept]:
        """What begins so, by the rest of its name."""
        return {
            name[len(prefix) :]: kept for name, kept in self.kept.items() if name.startswith(prefix)
        }

    def messages_of(self, key: str, generation: int) -> list[Message]:
        """The messages of one generation of an execution."""
        return [m for m in self.messages if (m.key, m.generation) == (key, generation)]

    def occurrences(self, text: bytes) -> list[str]:
        """Where these bytes are kept."""
        return [name for name, kept in self.kept.items() if text in b"\n".join(_leaves(kept.value))]

    def _messages(self) -> Iterator[Message]:
        for name, kept in self.kept.items():
            # The history is a stream as well.
            if kept.kind != "stream" or name.partition(":")[0] != "stream":
                continue
            entries, pending = kept.value
            consumers = {entry[0]: entry[1].decode() for entry in pending}
            queue = name.partition(":")[2]
            gone = set(consumers) - {number for number, _ in entries}
            assert not gone, f"pending, but not on the stream {name}: {gone}"
            for number, (_, key, _, generation) in entries:
                yield Message(queue, number, key.decode(), int(generation), consumers.get(number))


def _leaves(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, list):
        for part in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _leaves(part)

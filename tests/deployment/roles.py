"""Who may send what: the least that each role needs, from the scripts that it runs.

``python -m tests.deployment.roles`` writes ``config/acl``, and below it, for Redis 6.2, files that cannot
tell reading a key from writing it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import docket.storage
from docket.storage.scripting.source import used_modules

SCRIPTS: Final = Path(docket.storage.__path__[0]) / "scripts"
DIRECTORY: Final = Path(__file__).parents[2] / "config" / "acl"
OLD: Final = DIRECTORY / "redis-6.2"
NAME: Final = "orders"
"""The docket of the files; their users put their own in its place."""

HELLO: Final = (
    *("hello", "auth", "ping", "info", "client|setname", "time"),
    *("eval", "evalsha", "subscribe", "unsubscribe", "readonly", "cluster|slots", "cluster|shards"),
)
READS: Final = (
    *(
        "get",
        "exists",
        "type",
        "pttl",
        "hget",
        "hmget",
        "hgetall",
        "hvals",
        "hkeys",
        "hlen",
        "hexists",
    ),
    *("llen", "lrange", "smembers", "xlen", "xrange", "xrevrange", "xread", "xpending"),
    *("zcard", "zrange", "zrangebyscore", "zrevrange", "zscore", "zrank", "zscan"),
)
WORK: Final = (
    *(
        "stream",
        "stream:*",
        "format",
        "queues",
        "queue",
        "runs:*",
        "results:*",
        "stored",
        "stored:*",
        "evicted",
        "progress:*",
        "state:*",
        "cancellations",
    ),
    *(
        "dead",
        "expiring",
        "parked",
        "parked:*",
        "parked-groups",
        "schedule:*",
        "paused",
        "outcomes:*",
    ),
    *(
        "workers",
        "worker-tasks:*",
        "worker-shapes:*",
        "codecs",
        "worker-queues",
        "worker-code",
        "task-workers:*",
        "bell",
        "bell:*",
        "fence",
        "leases",
        "lost",
        "lost:*",
        "suspects",
        "suspects:*",
        "quarantine",
        "quarantine:*",
        "death:*",
    ),
    *("slots:*", "holding", "orphans:*", "waiters:*", "waiting", "sizes", "limits"),
    *("cooldown:*", "rate:*", "moments:*", "debounce:*"),
    *("history", "history:completed", "trimmed", "series:*"),
    *("none", "none2"),
)
"""Keys and channels of work: all but those of configurations, supervisors and what schedules remember."""
ASKED: Final = ("requests:*", "answers:*")
"""Keys and channels of questions to workers."""
RULES: Final = ("strikes", "routes", "schemas", "schedules", "paused-queues")
"""Keys that say what work may do: whoever works reads them, and does not write them."""
_CALL = re.compile(r"redis\.p?call\('(\w+)'(?:, '(\w+)')?")
_PART = re.compile(r"^ *--! (?:include|insert) (\w+)$", re.MULTILINE)
_CONTAINERS = ("memory", "xgroup", "xinfo")
_PUBSUB = frozenset({"publish", "spublish", "pubsub", "subscribe", "unsubscribe"})


@dataclass(frozen=True)
class Role:
    """What somebody does.

    Arguments:
        scripts: the scripts that it runs.
        commands: what it sends besides.
        keys: what of the docket it may touch.
        rules: what of it it may read, and not write.
        asking: what it sends to the keys and channels of questions, and to no others.
    """

    scripts: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    keys: tuple[str, ...] = ("*",)
    rules: tuple[str, ...] = ()
    asking: tuple[str, ...] = ()

    def __or__(self, other: Role) -> Role:
        scripts, commands = self.scripts + other.scripts, self.commands + other.commands
        return Role(scripts, commands, other.keys, other.rules)

    @property
    def allowed(self) -> list[str]:
        """All commands that it needs."""
        return self._known({*HELLO, *READS, *self.commands, *commands_of(*self.scripts)})

    def _known(self, allowed: set[str]) -> list[str]:
        # Those of shards are unknown to a server before 7.0, which refuses a user who may send them; a
        # category is known to all of them.
        return sorted(allowed - _PUBSUB | {"@pubsub"} if "publish" in allowed else allowed)

    def line(self, user: str, name: str = NAME, *, is_old: bool = False) -> str:
        """The line of an ACL file.

        Arguments:
            user: who it is for.
            name: the docket.
            is_old: whether it is for a server before 7.0, where who may read a key may write it.
        """
        places, read = _places(name, self.keys), _places(name, self.rules)
        reading = "~" if is_old else "%R~"
        words = [
            *("user", user, "on", ">change-me", "resetkeys"),
            *(f"~{place}" for place in places),
            *(f"{reading}{place}" for place in read),
            "resetchannels",
            *(f"&{place}" for place in [*places, *read]),
            "-@all",
            *(f"+{command}" for command in self.allowed),
            *(self._asking(name, is_old) if self.asking else ()),
        ]
        return " ".join(words) + "\n"

    def _asking(self, name: str, is_old: bool) -> list[str]:
        """The words for questions: a selector, which servers before 7.0 do not know."""
        commands = [f"+{command}" for command in self._known({*self.asking})]
        if is_old:
            return commands
        places = _places(name, ("requests:*",))
        words = [*(f"~{place} &{place}" for place in places), *commands]
        return [f"({' '.join(words)})"]


def _places(name: str, keys: tuple[str, ...]) -> list[str]:
    # On a cluster all keys begin with the name in braces, so that they share a slot.
    return [f"{prefix}:{key}" for key in keys for prefix in (name, f"{{{name}}}")]


def _text_of(name: str) -> str:
    part = SCRIPTS / "include" / f"{name}.lua"
    return (part if part.exists() else SCRIPTS / f"{name}.lua").read_text()


def commands_of(*scripts: str) -> set[str]:
    """The commands that scripts send, and those that they include, insert or use."""
    found: set[str] = set()
    for name in parts_of(*scripts):
        text = _text_of(name)
        for command, word in _CALL.findall(text):
            lowered = str(command).lower()
            found.add(f"{lowered}|{word.lower()}" if lowered in _CONTAINERS else lowered)
    return found


def parts_of(*scripts: str) -> set[str]:
    """The files that scripts are made of."""
    found: set[str] = set()
    waiting = [*scripts]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        text = _text_of(name)
        waiting += [*_PART.findall(text), *used_modules([text])]
        if name != "events" and "publish(" in text:
            waiting.append("events")
    return found


READER = Role(
    ("open", "page", "schedule_situation", "situation", "states", "waits", "marks", "glance")
)
INSPECTOR = Role(READER.scripts, asking=("set", "publish"))
PRODUCER = Role(
    ("open", "page", "situation", "schedule", "cancel", "clear"), keys=WORK, rules=RULES
)
WORKER = PRODUCER | Role(
    (
        *("claim", "settle", "begin", "renew", "release", "register", "retire", "unpark", "acquit"),
        *("admit", "announce", "regrant", "progress", "heartbeat", "series"),
    ),
    ("blpop", "zadd", "set", "get"),
    (*WORK, *ASKED),
    RULES,
)
ACTING = PRODUCER | Role(
    (
        "strike",
        "acquit",
        "unpark",
        "steer",
        "backfill",
        "states",
        "retry",
        "discard",
        "release_parked",
        "pause_queues",
        "audit",
    )
)
# Who compares everything sees the names of all keys of the server.
OPERATOR = ACTING | Role(("check",), ("scan", "hscan", "sscan", "set", "publish"))
SUPERVISOR = ACTING | Role(
    (
        "stage",
        "commit",
        "follow",
        "beat",
        "resign",
        "reconcile",
        "tick",
        "awaited",
        "paused",
        "release",
        "waits",
    ),
)
ROLES: Final = {
    "reader": READER,
    "inspector": INSPECTOR,
    "producer": PRODUCER,
    "worker": WORKER,
    "operator": OPERATOR,
    "supervisor": SUPERVISOR,
    # Programs keep data of their own by it, in transactions.
    "docket": WORKER | SUPERVISOR | OPERATOR | Role((), ("multi", "exec")),
}


def user_of(role: str) -> str:
    """The user of a role."""
    return NAME if role == "docket" else f"{NAME}-{role}"


def main() -> None:
    """Write the files."""
    OLD.mkdir(exist_ok=True)
    for name, role in ROLES.items():
        (DIRECTORY / f"{name}.acl").write_text(role.line(user_of(name)))
        (OLD / f"{name}.acl").write_text(role.line(user_of(name), is_old=True))


if __name__ == "__main__":
    main()

"""Who may send what: the least that each role needs, from the scripts that it runs.

``python -m tests.deployment.roles`` writes ``config/acl``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docket.storage import script
from docket.storage.script import used_modules

SCRIPTS: Final = Path(script.__file__).parent / "scripts"
DIRECTORY: Final = Path(__file__).parents[2] / "config" / "acl"
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
    *("llen", "lrange", "smembers", "xlen", "xrange", "xpending"),
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
        "progress:*",
        "state:*",
        "cancellations",
    ),
    *(
        "dead",
        "parked",
        "parked:*",
        "parked-groups",
        "strikes",
        "routes",
        "schemas",
        "schedules",
        "schedule:*",
        "paused",
        "outcomes:*",
    ),
    *(
        "workers",
        "worker-tasks:*",
        "worker-shapes:*",
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
    *("none", "none2"),
)
"""Keys and channels of work: all but those of configurations, supervisors and what schedules remember."""
_CALL = re.compile(r"redis\.p?call\('(\w+)'(?:, '(\w+)')?")
_PART = re.compile(r"^ *--! (?:include|insert) (\w+)$", re.MULTILINE)
_CONTAINERS = ("xgroup",)
_PUBSUB = frozenset({"publish", "spublish", "pubsub", "subscribe", "unsubscribe"})


@dataclass(frozen=True)
class Role:
    """What somebody does.

    Arguments:
        scripts: the scripts that it runs.
        commands: what it sends besides.
        keys: what of the docket it may touch.
    """

    scripts: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    keys: tuple[str, ...] = ("*",)

    def __or__(self, other: Role) -> Role:
        return Role(self.scripts + other.scripts, self.commands + other.commands, other.keys)

    @property
    def allowed(self) -> list[str]:
        """All commands that it needs."""
        allowed = {*HELLO, *READS, *self.commands, *commands_of(*self.scripts)}
        # Those of shards are unknown to a server before 7.0, which refuses a user who may send them; a
        # category is known to all of them.
        return sorted(allowed - _PUBSUB | {"@pubsub"} if "publish" in allowed else allowed)

    def line(self, user: str, name: str = NAME) -> str:
        """The line of an ACL file."""
        # On a cluster all keys begin with the name in braces, so that they share a slot.
        places = [f"{prefix}:{key}" for key in self.keys for prefix in (name, f"{{{name}}}")]
        words = [
            *("user", user, "on", ">change-me", "resetkeys"),
            *(f"~{place}" for place in places),
            "resetchannels",
            *(f"&{place}" for place in places),
            "-@all",
            *(f"+{command}" for command in self.allowed),
        ]
        return " ".join(words) + "\n"


def commands_of(*scripts: str) -> set[str]:
    """The commands that scripts send, and those that they include, insert or use."""
    found: set[str] = set()
    for name in parts_of(*scripts):
        text = (SCRIPTS / f"{name}.lua").read_text()
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
        text = (SCRIPTS / f"{name}.lua").read_text()
        waiting += [*_PART.findall(text), *used_modules([text])]
        if name != "events" and "publish(" in text:
            waiting.append("events")
    return found


READER = Role(("open", "page"))
PRODUCER = Role(("open", "page", "schedule", "cancel", "clear"), keys=WORK)
WORKER = PRODUCER | Role(
    (
        *("claim", "settle", "begin", "renew", "release", "register", "retire", "unpark", "acquit"),
        *("admit", "announce", "regrant", "progress", "strike", "heartbeat"),
    ),
    ("blpop", "zadd"),
    WORK,
)
OPERATOR = PRODUCER | Role(("strike", "acquit", "unpark", "steer", "backfill"))
SUPERVISOR = OPERATOR | Role(
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
    ),
)
ROLES: Final = {
    "reader": READER,
    "producer": PRODUCER,
    "worker": WORKER,
    "operator": OPERATOR,
    "supervisor": SUPERVISOR,
    # Programs keep data of their own by it, in transactions.
    "docket": WORKER | SUPERVISOR | Role((), ("multi", "exec")),
}


def main() -> None:
    """Write the files."""
    for name, role in ROLES.items():
        user = NAME if name == "docket" else f"{NAME}-{name}"
        (DIRECTORY / f"{name}.acl").write_text(role.line(user))


if __name__ == "__main__":
    main()

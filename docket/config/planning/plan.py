"""The plan that leads what runs to a new configuration: decided here, carried out elsewhere.

A plan is one of three: nothing is to be done, only a restart will do, or these actions in this order.

Example:
    >>> match plan(old, new):
    ...     case Unchanged():
    ...         ...
    ...     case RestartRequired(paths=paths):
    ...         ...
    ...     case Apply(actions=actions):
    ...         ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..checking.problems import Problem
from ..describing.sentences import sentence
from ..kinds import format_share
from ..model import Configuration
from ..reading.keypath import dotted
from ..tables.audit import AuditTable
from ..tables.logging import Logging
from ..tables.pools import PoolTable
from ..tables.queues import QueueTable
from ..tables.schedules import Schedule
from ..tables.strikes import StrikeTable
from ..tables.supervisor import SupervisorTable
from ..tables.tasks import Task
from .diff import Change, Path, diff

_CODE = frozenset({"function", "command", "env", "http", "args_schema", "upcast"})
"""The keys of a task that only new processes know."""

_RESTART: tuple[Path, ...] = (
    ("name",),
    ("url",),
    ("owner",),
    ("supervisor", "listen"),
    ("supervisor", "control"),
)


@dataclass(frozen=True, slots=True)
class ChangeLogging:
    """Action: write messages of another level, or in another format, from now on."""

    logging: Logging


@dataclass(frozen=True, slots=True)
class ReconfigureSupervisor:
    """Use other times and limits for reloads, restarts and the shutdown from now on."""

    supervisor: SupervisorTable


@dataclass(frozen=True, slots=True)
class ChangeAudit:
    """Action: keep so much of what operators have done from now on."""

    audit: AuditTable


@dataclass(frozen=True, slots=True)
class ReplaceStrikes:
    """Action: make exactly these strikes of the configuration active."""

    strikes: tuple[StrikeTable, ...]


@dataclass(frozen=True, slots=True)
class ReplaceTaskPolicies:
    """Use these timeouts and retries for attempts that start now, these queues for new executions."""

    tasks: Mapping[str, Task]


@dataclass(frozen=True, slots=True)
class ReplaceSchedules:
    """Action: make exactly these schedules of the configuration exist.

    Arguments:
        schedules: the schedules by name.
        timezone: the zone of those that name none.
    """

    schedules: Mapping[str, Schedule]
    timezone: str


@dataclass(frozen=True, slots=True)
class ReplaceQueues:
    """Action: have exactly those queues be paused by the file of which the configuration says so."""

    queues: Mapping[str, QueueTable]


@dataclass(frozen=True, slots=True)
class StartPool:
    """Start the workers of a new pool."""

    name: str
    pool: PoolTable


@dataclass(frozen=True, slots=True)
class StopPool:
    """Drain and stop the workers of a pool that is gone; their time is the drain of the old pool."""

    name: str
    pool: PoolTable


@dataclass(frozen=True, slots=True)
class RollPool:
    """Replace the workers of a pool, new ones ready before old ones drain.

    Arguments:
        name: the pool.
        pool: its new settings.
        reasons: what makes new processes necessary, in words.
    """

    name: str
    pool: PoolTable
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReconfigurePool:
    """Action: send new settings to the running workers of a pool, and start or stop some of them."""

    name: str
    old: PoolTable
    new: PoolTable


Action: TypeAlias = (
    ChangeLogging
    | ReconfigureSupervisor
    | ChangeAudit
    | ReplaceStrikes
    | ReplaceTaskPolicies
    | StartPool
    | RollPool
    | ReconfigurePool
    | ReplaceSchedules
    | ReplaceQueues
    | StopPool
)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Both configurations mean the same."""

    def describe(self) -> tuple[str, ...]:
        """Return no sentences: there is nothing to say."""
        return ()


@dataclass(frozen=True, slots=True)
class RestartRequired:
    """The new configuration is refused as a whole: these keys hold for the life of a supervisor.

    Arguments:
        paths: the keys, such as ``supervisor.listen``.
        changes: all that differs.
    """

    paths: tuple[str, ...]
    changes: tuple[Change, ...]

    def describe(self) -> tuple[str, ...]:
        """Return the changes that need a restart, one sentence each."""
        return tuple(
            sentence(change, effect_of(change))
            for change in self.changes
            if change.path in _RESTART
        )


@dataclass(frozen=True, slots=True)
class Apply:
    """The actions to take, in this order.

    Arguments:
        actions: each of another kind, or for another pool.
        changes: all that differs.
    """

    actions: tuple[Action, ...]
    changes: tuple[Change, ...]

    def describe(self) -> tuple[str, ...]:
        """Return all changes, one sentence each, such as ``workers.default.concurrency: 10 → 20 (live)``."""
        return tuple(sentence(change, effect_of(change)) for change in self.changes)


Plan: TypeAlias = Unchanged | RestartRequired | Apply


def plan(old: Configuration, new: Configuration) -> Plan:
    """Plan the actions after which everything that runs under ``old`` runs under ``new``."""
    changes = diff(old, new)
    if not changes:
        return Unchanged()
    if fixed := [change for change in changes if change.path in _RESTART]:
        return RestartRequired(tuple(dotted(change.path) for change in fixed), changes)
    return Apply(_actions(old, new, changes), changes)


def effect_of(change: Change) -> str:
    """Describe the effect of a change in a few words."""
    match change.path:
        case path if path in _RESTART:
            return "needs a restart"
        case ("workers", _):
            return _coming_or_going(change, "workers start", "workers drain and stop")
        case ("workers", _, "env" | "secrets" | "url", *_):
            return "pool rolls"
        case ("workers", _, "hosts", *_):
            return "workers start or stop on other hosts"
        case ("tasks", _):
            return f"pools roll; {_fate(change)}" if change.is_removed else "pools roll"
        case ("tasks", _, key, *_) if key in _CODE:
            return "pools roll"
        case ("security", *_):
            return "pools roll"
        case ("execution_ttl",) | ("history" | "results", *_) | ("modules",):
            return "pools roll"
        case ("tasks", _, "queue" | "priority"):
            return "live for new executions"
        case ("schedules", *_) | ("timezone",):
            return "schedules reconciled"
        case ("queues", _):
            return _pausing(change)
        case _:
            return "live"


def _pausing(change: Change) -> str:
    """Describe what a table of a queue that comes or goes does."""
    if change.is_added and change.new["paused"]:
        return "live; the queue is paused"
    if change.is_removed and change.old["paused"]:
        return "live; the queue is resumed"
    return "live"


def _fate(change: Change) -> str:
    """Describe what happens to the queued executions of a task that is removed."""
    return {
        "park": "queued work parks",
        "drain": "queued work is run before it goes",
        "cancel": "queued work is cancelled",
    }[change.old.get("on_removed", "park")]


def refuse_removals(old: Configuration, new: Configuration, max_removals: float) -> Problem | None:
    """Return the reason to refuse a change that removes too much to be meant, or None.

    Arguments:
        old: what runs.
        new: what the file says now; it may be half written.
        max_removals: the share of tasks, schedules and pools that may go, 0 to 1.
    """
    before, after = _named(old), _named(new)
    gone = sorted(before - after)
    if len(gone) <= len(before) * max_removals:
        return None
    return Problem(
        message=(
            f"removes {len(gone)} of {len(before)} tasks, schedules and pools ({_listed(gone)});"
            f" expected at most {format_share(max_removals)};"
            " if it is meant, remove fewer at a time or raise supervisor.reload.max_removals first"
        )
    )


def _actions(
    old: Configuration, new: Configuration, changes: tuple[Change, ...]
) -> tuple[Action, ...]:
    return (
        *_logging(new, changes),
        *_supervisor(new, changes),
        *_audit(new, changes),
        *_strikes(new, changes),
        *_policies(new, changes),
        *_queues(new, changes),
        *_starts(old, new),
        *_rolls_and_reconfigurations(old, new, changes),
        # After the rolls: a new schedule may run a task that only new workers know.
        *_schedules(new, changes),
        *_stops(old, new),
    )


def _logging(new: Configuration, changes: tuple[Change, ...]) -> Iterator[Action]:
    if _touches(changes, "logging"):
        yield ChangeLogging(new.logging)


def _supervisor(new: Configuration, changes: tuple[Change, ...]) -> Iterator[Action]:
    if _touches(changes, "supervisor"):
        yield ReconfigureSupervisor(new.supervisor)


def _audit(new: Configuration, changes: tuple[Change, ...]) -> Iterator[Action]:
    if _touches(changes, "audit"):
        yield ChangeAudit(new.audit)


def _strikes(new: Configuration, changes: tuple[Change, ...]) -> Iterator[Action]:
    if _touches(changes, "strikes"):
        yield ReplaceStrikes(new.strikes)


def _policies(new: Configuration, changes: tuple[Change, ...]) -> Iterator[Action]:
    if any(change.path[0] == "tasks" and not _is_about_code(change) for change in changes):
        yield ReplaceTaskPolicies(new.tasks)


def _queues(new: Configuration, changes: tuple[Change, ...]) -> Iterator[Action]:
    if _touches(changes, "queues"):
        yield ReplaceQueues(new.queues)


def _is_about_code(change: Change) -> bool:
    return not _CODE.isdisjoint(change.path[2:3])


def _schedules(new: Configuration, changes: tuple[Change, ...]) -> Iterator[Action]:
    if _touches(changes, "schedules") or _touches(changes, "timezone"):
        yield ReplaceSchedules(new.schedules, new.timezone)


def _starts(old: Configuration, new: Configuration) -> Iterator[Action]:
    for name, pool in new.workers.items():
        if name not in old.workers:
            yield StartPool(name, pool)


def _stops(old: Configuration, new: Configuration) -> Iterator[Action]:
    for name, pool in old.workers.items():
        if name not in new.workers:
            yield StopPool(name, pool)


def _rolls_and_reconfigurations(
    old: Configuration, new: Configuration, changes: tuple[Change, ...]
) -> Iterator[Action]:
    shared = tuple(_reasons_to_roll_all(changes))
    for name, pool in new.workers.items():
        if name not in old.workers:
            continue
        touching = [change for change in changes if change.path[:2] == ("workers", name)]
        own = tuple(_told(change) for change in touching if _is_environment(change))
        if shared or own:
            yield RollPool(name, pool, shared + own)
        elif touching:
            yield ReconfigurePool(name, old.workers[name], pool)


def _is_environment(change: Change) -> bool:
    return change.path[2:3] in (("env",), ("secrets",), ("url",))


def _reasons_to_roll_all(changes: tuple[Change, ...]) -> Iterator[str]:
    for change in changes:
        match change.path:
            case ("tasks", _):
                yield _told(change)
            case ("tasks", _, key, *_) if key in _CODE:
                yield _told(change)
            case ("security", *_) | ("execution_ttl",) | ("history" | "results", *_) | ("modules",):
                yield _told(change)
            case _:
                pass


def _told(change: Change) -> str:
    verb = "added" if change.is_added else "removed" if change.is_removed else "changed"
    return f"{dotted(change.path)} {verb}"


def _touches(changes: tuple[Change, ...], key: str) -> bool:
    return any(change.path[0] == key for change in changes)


def _coming_or_going(change: Change, coming: str, going: str) -> str:
    return coming if change.is_added else going


def _named(configuration: Configuration) -> set[str]:
    return {
        dotted((kind, name))
        for kind, table in (
            ("tasks", configuration.tasks),
            ("schedules", configuration.schedules),
            ("workers", configuration.workers),
        )
        for name in table
    }


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, …" if len(names) > 5 else shown

"""Rules between the tables of a configuration, and valid settings that will surprise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Final, cast

from ...errors import CronError
from ...foundation.call_options import without_priority
from ...foundation.cron import CronExpression
from ...foundation.durations import format_duration
from ...foundation.names import EVERY_QUEUE
from ..describing.sentences import shown
from ..model import Configuration
from ..reading.keypath import KeyPath, dotted, written
from ..tables.pools import PoolTable
from ..tables.schedules import schedule_seed
from ..tables.strikes import strike_identity
from ..tables.tasks import Task
from .findings import Finding, did_you_mean
from .pydantic_errors import Hidden, found

MOST_NAMES: Final = 10
"""Maximum number of names listed where one of them was expected."""


def broken_rules(tree: Mapping[str, Any], is_hidden: Hidden) -> list[Finding]:
    """Find references that lead nowhere, and names given twice.

    Arguments:
        tree: the raw tree, so that an error elsewhere hides none of them.
        is_hidden: whether the value at a path must not be shown.
    """
    return [
        *_dangling_tasks(tree, is_hidden),
        *_crons_that_never_fire(tree, is_hidden),
        *_repeated_strikes(tree, is_hidden),
        *_shared_limits_of_two_sizes(tree, is_hidden),
    ]


def surprises(configuration: Configuration) -> list[Finding]:
    """Find what is valid but can hardly be meant."""
    now = datetime.now(timezone.utc)
    return [
        *_schedules_that_are_over(configuration, now),
        *(
            finding
            for name, task in configuration.tasks.items()
            for finding in (
                *_queue_that_nobody_serves(("tasks", name), task.queue, configuration),
                *_timeout_longer_than_drain(name, task, configuration),
            )
        ),
        *(
            finding
            for name, schedule in configuration.schedules.items()
            if schedule.queue is not None
            for finding in _queue_that_nobody_serves(
                ("schedules", name), schedule.queue, configuration
            )
        ),
        *_paused_queues_without_work(configuration),
        *_pools_at_another_server(configuration),
    ]


def _dangling_tasks(tree: Mapping[str, Any], is_hidden: Hidden) -> Iterator[Finding]:
    tasks = _table(tree.get("tasks", {}))
    for name, schedule in _table(tree.get("schedules")).items():
        yield from _dangling_task(("schedules", name, "task"), schedule, tasks, is_hidden)
    for index, strike in enumerate(_array(tree.get("strikes"))):
        yield from _dangling_task(("strikes", index, "task"), strike, tasks, is_hidden)


def _dangling_task(
    path: KeyPath, table: Any, tasks: Mapping[str, Any], is_hidden: Hidden
) -> Iterator[Finding]:
    task = _table(table).get("task")
    if isinstance(task, str) and task not in tasks:
        known = f"tasks: {_listed(tasks)}" if tasks else "there are no tasks"
        suggestion = f"{did_you_mean(task, tasks)} {known}".lstrip()
        message = f"expected a task of this file, {found(task, is_hidden=is_hidden(path))}"
        yield Finding(path, message, "value", suggestion)


def _listed(names: Iterable[str]) -> str:
    shown_names = [written(name) for name in names]
    more = ["…"] if len(shown_names) > MOST_NAMES else []
    return ", ".join([*shown_names[:MOST_NAMES], *more])


def _crons_that_never_fire(tree: Mapping[str, Any], is_hidden: Hidden) -> Iterator[Finding]:
    docket = str(tree.get("name", Configuration().name))
    for name, schedule in _table(tree.get("schedules")).items():
        cron = _table(schedule).get("cron")
        if isinstance(cron, str):
            # What H stands for, and so whether such a day exists, depends on both names.
            seed = schedule_seed(docket, name)
            yield from _cron_that_never_fires(("schedules", name, "cron"), cron, seed, is_hidden)


def _cron_that_never_fires(
    path: KeyPath, cron: str, seed: str, is_hidden: Hidden
) -> Iterator[Finding]:
    try:
        CronExpression(cron, seed=seed)
    except CronError as error:
        advice = "" if is_hidden(path) else f"at character {error.position + 1}: {error.reason}"
        message = f"expected a cron expression, {found(cron, is_hidden=is_hidden(path))}"
        yield Finding(path, message, "value", advice)


def _repeated_strikes(tree: Mapping[str, Any], is_hidden: Hidden) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, strike in enumerate(_array(tree.get("strikes"))):
        table = _table(strike)
        identity = strike_identity(table.get("id"), table.get("task"), table.get("when", {}))
        if identity in seen and "id" in table:
            path = ("strikes", index, "id")
            value = found(table["id"], is_hidden=is_hidden(path))
            yield Finding(path, f"expected an id of its own, {value} again")
        elif identity in seen:
            yield Finding(
                ("strikes", index),
                "strikes the same as one before",
                "table",
                "remove one of the two",
            )
        seen.add(identity)


def _shared_limits_of_two_sizes(tree: Mapping[str, Any], is_hidden: Hidden) -> Iterator[Finding]:
    """Find tasks that share a limit, by naming its parameter, and do not agree on its size."""
    sharing: dict[str, dict[str, int]] = {}
    for name, task in _table(tree.get("tasks")).items():
        limit = _table(_table(task).get("concurrency"))
        if isinstance(limit.get("key"), str) and type(limit.get("limit")) is int:
            sharing.setdefault(limit["key"], {})[name] = limit["limit"]
    for key, sizes in sharing.items():
        first, *others = sizes
        for name in others:
            if sizes[name] != sizes[first]:
                for one, other in ((first, name), (name, first)):
                    yield _size_of_its_own(key, one, other, sizes, is_hidden)


def _size_of_its_own(
    key: str, task: str, other: str, sizes: Mapping[str, int], is_hidden: Hidden
) -> Finding:
    path = ("tasks", task, "concurrency", "limit")
    place = dotted(("tasks", other, "concurrency", "limit"))
    return Finding(
        path,
        f"expected the same as {place}, as both are the limit of {shown(key)}, "
        f"{found(sizes[task], is_hidden=is_hidden(path))}",
        "value",
        "make them equal, or give the parameter of one task another name",
    )


def _schedules_that_are_over(configuration: Configuration, now: datetime) -> Iterator[Finding]:
    for name, schedule in configuration.schedules.items():
        for key in ("at", "end"):
            moment: datetime | None = getattr(schedule, key)
            if moment is not None and moment <= now:
                yield Finding(
                    ("schedules", name, key),
                    f"{moment.isoformat()} is past: nothing will be due",
                    "value",
                    "write a moment that is still to come, or remove the schedule",
                )


def _queue_that_nobody_serves(
    path: KeyPath, queue: str, configuration: Configuration
) -> Iterator[Finding]:
    if not any(queue in pool.queues for pool in configuration.workers.values()):
        served = sorted({queue for pool in configuration.workers.values() for queue in pool.queues})
        yield Finding(
            (*path, "queue"),
            f"no pool serves the queue {shown(queue)}: its executions wait",
            "value",
            f"add it to the queues of a pool; served: {', '.join(served)}",
        )


def _paused_queues_without_work(configuration: Configuration) -> Iterator[Finding]:
    served = {queue for pool in configuration.workers.values() for queue in pool.queues}
    named = {task.queue for task in configuration.tasks.values()}
    named |= {schedule.queue for schedule in configuration.schedules.values() if schedule.queue}
    known = {EVERY_QUEUE} | served | named
    for name, queue in configuration.queues.items():
        if queue.paused and without_priority(name) not in known:
            yield Finding(
                ("queues", name, "paused"),
                f"no pool serves the queue {shown(name)}, and no task or schedule names it",
                "value",
                did_you_mean(name, known)
                or f"queues of this file: {_listed(sorted(served | named))}",
            )


def _timeout_longer_than_drain(
    name: str, task: Task, configuration: Configuration
) -> Iterator[Finding]:
    for pool_name, pool in configuration.workers.items():
        if task.queue in pool.queues and _outlives(task, pool):
            yield Finding(
                ("tasks", name, "timeout"),
                f"{format_duration(task.timeout or pool.drain)} is longer than the drain of the pool"
                f" {shown(pool_name)} ({format_duration(pool.drain)}): when the pool stops, an attempt may be"
                " interrupted and started again",
                "value",
                f"raise {dotted(('workers', pool_name, 'drain'))}, or lower the timeout",
            )


def _pools_at_another_server(configuration: Configuration) -> Iterator[Finding]:
    for name, pool in configuration.workers.items():
        if pool.url is not None and _server(pool.url) != _server(configuration.url or ""):
            yield Finding(
                ("workers", name, "url"),
                "is another server than the url of the file: no work comes there",
                "value",
                "name the same server, and another user in it",
            )


def _server(url: str) -> str:
    """Return a URL without the user."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _outlives(task: Task, pool: PoolTable) -> bool:
    return task.timeout is not None and task.timeout > pool.drain


def _table(value: Any) -> Mapping[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _array(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []

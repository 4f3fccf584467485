"""Orders become a docket and a worker, in the process that follows them.

Nothing here reads a configuration: to import its models would cost a quarter of the start of each process.
"""

from __future__ import annotations

import importlib
import logging
from datetime import timedelta
from typing import Any

from ...calls.registry import TaskFunction, is_named, load, name_of
from ...discovery.fingerprint import Code, code_of
from ...docket import Docket
from ...foundation.policy import BEHAVIOURS, RetryPolicy, TaskPolicy
from ...foundation.worker_spec import RetrySpec, TaskSpec, WorkerSpec
from ...runners.command import command_task
from ...runners.http import HttpCall, http_task
from ...storage.audit import AuditLimits
from ...storage.history import HistoryLimits
from ...storage.stored import ResultLimits
from ...worker import Worker

logger = logging.getLogger("docket")


def build_docket(orders: WorkerSpec) -> Docket:
    """Return the docket that orders speak of, with its tasks imported.

    Raises:
        ImportError, AttributeError: a module or a function is not where the orders say.
    """
    docket = Docket(
        orders.name,
        orders.url,
        execution_ttl=timedelta(seconds=orders.execution_ttl),
        history=HistoryLimits(timedelta(seconds=orders.history_keep), orders.history_memory),
        results=ResultLimits(orders.result_memory),
        codecs=orders.codecs,
        signing_keys={identity: key.encode() for identity, key in orders.signing_keys.items()},
        max_payload=orders.max_payload,
        # The orders say it all. The file may say something else by now, or be broken.
        config=False,
        # A supervisor wants to hear that its worker does not reach the server.
        lazy=False,
    )
    for module in orders.modules:
        importlib.import_module(module)
    for name, task in orders.tasks.items():
        function = _function(name, task)
        docket.register(function, [name])
        # Code that adds the function itself uses the function's own name.
        if is_named(function) and name_of(function) not in orders.tasks:
            _register_under_its_own_name(docket, function)
    return docket


def _register_under_its_own_name(docket: Docket, function: TaskFunction) -> None:
    try:
        docket.register(function)
    except ValueError as error:
        # Each has a name in the file: that is enough for all but code that adds the function itself.
        logger.warning(
            "Two tasks have functions of one name; add them by the file's names: %s", error
        )


def _function(name: str, task: TaskSpec) -> TaskFunction:
    if task.function is not None:
        return load(task.function)
    if task.command:
        return command_task(name, task.command, task.env)
    return http_task(name, HttpCall(**task.http))


def instruct(docket: Docket, orders: WorkerSpec) -> None:
    """Make a docket run its tasks as the orders say; what has started goes on as it began.

    Raises:
        ImportError, AttributeError: an error that is not to be retried is not where the orders say.
    """
    keep = timedelta(seconds=orders.audit_keep)
    docket.storage.audit.limits = AuditLimits(keep, orders.audit_memory)
    # Tasks that are new here come with the process that replaces this one.
    policies = {name: _policy(task) for name, task in orders.tasks.items() if name in docket.tasks}
    aliases = {
        own: policy
        for name, policy in policies.items()
        if (own := docket.registry.name_of(docket.tasks[name])) not in policies
    }
    docket.registry.apply_policies({**aliases, **policies})
    for name, task in orders.tasks.items():
        # Without a level of its own a logger follows its parents again.
        level = (task.log_level or "notset").upper()
        told = logging.getLogger(f"docket.task.{name}")
        # To set a level has all loggers forget what they know, and each task has one.
        if logging.getLevelName(told.level) != level:
            told.setLevel(level)


def code_for(orders: WorkerSpec, since: int) -> Code:
    """Return the code that a process has imported for its orders.

    Arguments:
        orders: its orders.
        since: when it has begun to import, in ns since the epoch.
    """
    paths = [path for task in orders.tasks.values() for path in (task.function, task.upcast)]
    named = [path.partition(":")[0] for path in paths if path is not None]
    return code_of([*orders.modules, *named], since)


def build_worker(docket: Docket, orders: WorkerSpec, code: Code | None = None) -> Worker:
    """Return the worker that orders describe.

    Arguments:
        docket: where it works.
        orders: its orders.
        code: the code that was imported for them.
    """
    return Worker(
        docket,
        concurrency=orders.concurrency,
        redelivery_timeout=timedelta(seconds=orders.lease),
        queues=orders.queues,
        suspects_wait=orders.suspects_wait,
        is_introduced=False,
        code=code,
    )


_DURATIONS = {"per", "window", "settle", "max_wait", "every"}


def _policy(task: TaskSpec) -> TaskPolicy:
    behaviours = {
        name: BEHAVIOURS[name](**{key: _value(key, value) for key, value in table.items()})
        for name, table in task.behaviours.items()
    }
    return TaskPolicy(
        timeout=_duration(task.timeout),
        retry=None if task.retry is None else _retry_policy(task.retry),
        result_ttl=_duration(task.result_ttl),
        in_process=task.in_process,
        args_schema=task.args_schema,
        upcast=None if task.upcast is None else load(task.upcast),
        **behaviours,
    )


def _value(key: str, value: Any) -> Any:
    return _duration(value) if key in _DURATIONS else value


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _retry_policy(retry: RetrySpec) -> RetryPolicy:
    return RetryPolicy(
        attempts=retry.attempts,
        delay=timedelta(seconds=retry.delay),
        max_delay=timedelta(seconds=retry.max_delay),
        backoff="exponential" if retry.backoff == "exponential" else "fixed",
        jitter=retry.jitter,
        never_on=tuple(load(path) for path in retry.never_on),
    )

"""Assembly: a configuration becomes orders, orders become a docket and a worker."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from .calls.registry import TaskFunction, is_named, load, name_of
from .config.load import resolved_url
from .config.model import Configuration
from .config.tables.strikes import StrikeTable
from .config.tables.tasks import Http, RetryTable, Task
from .discovery.address import read_secret
from .discovery.fingerprint import Code, code_of
from .docket import Docket
from .foundation.call_options import lane
from .foundation.policy import (
    ConcurrencyPolicy,
    CooldownPolicy,
    DebouncePolicy,
    PerpetualPolicy,
    RatePolicy,
    RetryPolicy,
    TaskPolicy,
)
from .foundation.strictness import STRICT, check_strict
from .foundation.worker_spec import RetrySpec, TaskSpec, WorkerSpec
from .runners.command import command_task
from .runners.http import HttpCall, http_task
from .serialization import Serializer
from .storage.history import NO_HISTORY, HistoryLimits
from .storage.stored import ResultLimits
from .strikelist import Condition, Operator, Rule
from .worker import Worker

logger = logging.getLogger("docket")

LEASE = timedelta(seconds=30)


def signing_keys(configuration: Configuration, path: Path) -> dict[str, str]:
    """Return the secrets that payloads are signed with, by id.

    Raises:
        ConfigurationError: a secret cannot be read.
    """
    directory = path.resolve().parent
    return {
        identity: read_secret(reference, os.environ, directory)
        for identity, reference in configuration.security.signing_keys.items()
    }


def serializer_for(configuration: Configuration, path: Path) -> Serializer:
    """Return the serializer for the payloads of a configuration's tasks."""
    keys = signing_keys(configuration, path)
    if configuration.security.profile == STRICT:
        secrets = [(identity, secret.encode()) for identity, secret in keys.items()]
        check_strict(configuration.security.codecs, secrets)
    return Serializer(
        codecs=tuple(configuration.security.codecs),
        signing_keys=tuple((identity, secret.encode()) for identity, secret in keys.items()),
        max_payload=configuration.security.max_payload,
        docket=configuration.name,
    )


def history_limits(configuration: Configuration) -> HistoryLimits:
    """Return how much a configuration has remembered of what has ended."""
    history = configuration.history
    return HistoryLimits(history.keep, history.max_memory) if history.enabled else NO_HISTORY


def orders_for(configuration: Configuration, pool: str, path: Path) -> WorkerSpec:
    """Return the orders for the processes of a pool.

    Raises:
        ConfigurationError: a secret cannot be read.
    """
    workers, directory = configuration.workers[pool], path.resolve().parent
    history = history_limits(configuration)
    return WorkerSpec(
        pool=pool,
        name=configuration.name,
        url=workers.url or workers.env.get("DOCKET_URL") or resolved_url(configuration, path),
        concurrency=workers.concurrency,
        queues=tuple(
            lane for queue in workers.queues for lane in _lanes(queue, configuration.tasks.values())
        ),
        drain=workers.drain.total_seconds(),
        execution_ttl=configuration.execution_ttl.total_seconds(),
        history_keep=history.keep.total_seconds(),
        history_memory=history.max_memory,
        result_memory=configuration.results.max_memory,
        lease=LEASE.total_seconds(),
        codecs=tuple(configuration.security.codecs),
        max_payload=configuration.security.max_payload,
        signing_keys=signing_keys(configuration, path),
        tasks={name: _task_order(task, directory) for name, task in configuration.tasks.items()},
        log_level=configuration.logging.level,
        log_format=configuration.logging.format,
        modules=configuration.modules,
    )


def rule_for(strike: StrikeTable, owner: str) -> Rule:
    """Return the rule that a ``[[strikes]]`` table of an owner means."""
    conditions = tuple(
        Condition(parameter, Operator(condition.op), _hashable(condition.value))
        for parameter, condition in strike.when.items()
    )
    return Rule(
        strike.task,
        conditions,
        strike.reason,
        source=f"{source_of(owner)}{strike.identity}",
        action=strike.action,
        expires=strike.expires,
        delay=strike.delay,
    )


def source_of(owner: str) -> str:
    """Return the prefix of the sources of rules from the files of an owner."""
    return f"file:{owner}/"


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


def client_for(configuration: Configuration, path: Path, url: str) -> Docket:
    """Return the docket of a configuration, without its tasks: it adds those that every docket knows.

    Arguments:
        configuration: the configuration.
        path: its file, beside which its secrets are.
        url: the server.

    Raises:
        ConfigurationError: a secret cannot be read.
    """
    return Docket(
        configuration.name,
        url,
        execution_ttl=configuration.execution_ttl,
        history=history_limits(configuration),
        codecs=configuration.security.codecs,
        signing_keys={
            identity: key.encode() for identity, key in signing_keys(configuration, path).items()
        },
        max_payload=configuration.security.max_payload,
        config=False,
    )


def instruct(docket: Docket, orders: WorkerSpec) -> None:
    """Make a docket run its tasks as the orders say; what has started goes on as it began.

    Raises:
        ImportError, AttributeError: an error that is not to be retried is not where the orders say.
    """
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


def lane_of(task: Task) -> str:
    """Return the lane in which executions of a task wait: its queue, or the part of it for its priority."""
    return lane(task.queue, task.priority)


def _lanes(queue: str, tasks: Iterable[Task]) -> Iterator[str]:
    """Yield the parts of a queue that there are tasks for, best first; the queue itself is always served."""
    used = {task.priority for task in tasks if task.queue == queue}
    if "high" in used:
        yield f"{queue}/high"
    yield queue
    if "low" in used:
        yield f"{queue}/low"


def _task_order(task: Task, directory: Path) -> TaskSpec:
    # What the file does not say is left to the code.
    return TaskSpec(
        function=task.function,
        timeout=_seconds(task.timeout),
        retry=_retry_order(task.retry) if "retry" in task.model_fields_set else None,
        command=task.command or (),
        env=task.env,
        http={} if task.http is None else _http_order(task.http, directory),
        behaviours={
            name: {key: _plain(value) for key, value in table.model_dump().items()}
            for name in _BEHAVIOURS
            if (table := getattr(task, name)) is not None
        },
        result_ttl=_seconds(task.result_ttl),
        in_process=task.runner == "process",
        log_level=task.log_level,
        args_schema=task.args_schema,
        upcast=task.upcast,
    )


def _http_order(http: Http, directory: Path) -> dict[str, Any]:
    headers = {name: _header(value, directory) for name, value in http.headers.items()}
    return {**http.model_dump(), "headers": headers}


def _header(value: str, directory: Path) -> str:
    found = read_secret(value, os.environ, directory)
    # What is read from elsewhere is a secret, and no template.
    return found if found == value else found.replace("{", "{{").replace("}", "}}")


def _plain(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _retry_order(retry: RetryTable) -> RetrySpec:
    return RetrySpec(
        retry.attempts,
        retry.delay.total_seconds(),
        retry.max_delay.total_seconds(),
        retry.backoff,
        retry.jitter,
        tuple(retry.never_on),
    )


_BEHAVIOURS: dict[str, Callable[..., Any]] = {
    "concurrency": ConcurrencyPolicy,
    "rate_limit": RatePolicy,
    "cooldown": CooldownPolicy,
    "debounce": DebouncePolicy,
    "perpetual": PerpetualPolicy,
}
"""Policies of a task's tables, by their names in the file."""

_DURATIONS = {"per", "window", "settle", "max_wait", "every"}


def _policy(task: TaskSpec) -> TaskPolicy:
    behaviours = {
        name: _BEHAVIOURS[name](**{key: _value(key, value) for key, value in table.items()})
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


def _hashable(value: Any) -> Hashable:
    return tuple(cast(list[Hashable], value)) if isinstance(value, list) else value

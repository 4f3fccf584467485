"""Assembly: a configuration becomes orders for worker processes, rules, and the objects of its supervisor."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from .config.load import resolved_url
from .config.model import Configuration
from .config.tables.strikes import StrikeTable
from .config.tables.tasks import Http, RetryTable, Task
from .discovery.address import read_secret
from .docket import Docket
from .foundation.call_options import lane
from .foundation.policy import BEHAVIOURS
from .foundation.strictness import STRICT, check_strict
from .foundation.worker_spec import RetrySpec, TaskSpec, WorkerSpec
from .serialization import Serializer
from .storage.audit import AuditLimits
from .storage.history import NO_HISTORY, HistoryLimits
from .strikelist import Condition, Operator, Rule

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


def audit_limits(configuration: Configuration) -> AuditLimits:
    """Return how much is kept of what operators have done."""
    return AuditLimits(configuration.audit.keep, configuration.audit.max_memory)


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
        audit_keep=configuration.audit.keep.total_seconds(),
        audit_memory=configuration.audit.max_memory,
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
        audit=audit_limits(configuration),
        codecs=configuration.security.codecs,
        signing_keys={
            identity: key.encode() for identity, key in signing_keys(configuration, path).items()
        },
        max_payload=configuration.security.max_payload,
        config=False,
    )


def paused_queues(configuration: Configuration) -> list[str]:
    """Return the queues that a configuration pauses; ``*`` is every one."""
    return [name for name, queue in configuration.queues.items() if queue.paused]


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
            for name in BEHAVIOURS
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


def _hashable(value: Any) -> Hashable:
    return tuple(cast(list[Hashable], value)) if isinstance(value, list) else value

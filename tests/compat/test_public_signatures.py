"""Public names take what those of pydocket take: the same parameters, in the same order.

Parameters of our own follow, and can be given by name only.
"""

from __future__ import annotations

import datetime as dt
import enum
import importlib
import inspect
import sys
from typing import Any

import pytest

import docket

PUBLIC_NAMES = (
    *("Agenda", "CallArgument", "ConcurrencyLimit", "Cooldown", "Cron", "CurrentDocket"),
    *("CurrentExecution", "CurrentWorker", "CycleError", "Debounce", "Depends", "Disposition"),
    *("Docket", "Execution", "ExecutionCancelled", "ExecutionState", "ExponentialRetry", "Logged"),
    *("Perpetual", "Progress", "RateLimit", "Retry", "Shared", "StrikeList", "TaskArgument"),
    *("TaskCall", "TaskKey", "TaskLogger", "Timeout", "Worker", "__version__"),
)

SIGNATURES = {
    "docket": {
        "Agenda": "()",
        "Agenda.add": "(self, function, key=None)",
        "Agenda.clear": "(self)",
        "Agenda.scatter": "(self, docket, over, start=None, jitter=None)",
        # The newest uncalled-for that runs on Python 3.10 knows no default.
        "CallArgument": "(parameter=None, optional=False, *, default)"
        if sys.version_info >= (3, 11)
        else "(parameter=None, optional=False)",
        "ConcurrencyLimit": "(argument_name=None, max_concurrent=1, scope=None)",
        "ConcurrencyLimit.bind_to_parameter": "(self, name, value)",
        "Cooldown": "(window, *, scope=None)",
        "Cron": "(expression, automatic=True, tz=datetime.timezone.utc)",
        "Cron.next_time": "(self)",
        "CurrentDocket": "()",
        "CurrentExecution": "()",
        "CurrentWorker": "()",
        "Debounce": "(settle, *, scope=None)",
        # The injection engine that both share calls its first one `factory`; it goes by position.
        "Depends": "(factory, **bindings)",
        "ExponentialRetry": (
            "(attempts=1, minimum_delay=datetime.timedelta(seconds=1), "
            "maximum_delay=datetime.timedelta(seconds=64))"
        ),
        "Logged": "(length_only=False)",
        "Perpetual": "(every=datetime.timedelta(0), automatic=False)",
        "Perpetual.after": "(self, delay)",
        "Perpetual.at": "(self, when)",
        "Perpetual.cancel": "(self)",
        "Perpetual.perpetuate": "(self, *args, **kwargs)",
        "Progress": "()",
        "RateLimit": "(limit, *, per, drop=False, scope=None)",
        "Retry": "(attempts=1, delay=datetime.timedelta(0))",
        "Retry.after": "(self, delay)",
        "Retry.at": "(self, when)",
        "Retry.in_": "(self, delay)",
        "Shared": "(factory)",
        "TaskArgument": "(parameter=None, optional=False)",
        "TaskCall": "(function, args, kwargs, key, when, function_name=None)",
        "TaskKey": "()",
        "TaskLogger": "()",
        "Timeout": "(base)",
        "Timeout.start": "(self)",
        "Timeout.expired": "(self)",
        "Timeout.remaining": "(self)",
        "Timeout.extend": "(self, by=None)",
    },
    "docket.docket": {
        # The two that are different on purpose come from docket.toml or the environment if left out.
        "Docket": (
            "(name=None, url=None, heartbeat_interval=datetime.timedelta(seconds=2), "
            "missed_heartbeats=5, execution_ttl=None, result_storage=None, "
            "enable_internal_instrumentation=False, credential_provider=None)"
        ),
        "Docket.add": "(self, function, when=None, key=None)",
        "Docket.add_many": "(self, calls, *, chunk_size=1000)",
        "Docket.call": "(self, function, when=None, key=None)",
        "Docket.cancel": "(self, key)",
        "Docket.cancel_channel": "(self, task_key)",
        "Docket.clear": "(self)",
        "Docket.get_execution": "(self, key)",
        "Docket.key": "(self, suffix)",
        "Docket.known_task_key": "(self, task_key)",
        "Docket.labels": "(self)",
        "Docket.parked_task_key": "(self, task_key)",
        "Docket.redis": "(self)",
        "Docket.register": "(self, function, names=None)",
        "Docket.register_collection": "(self, collection_path)",
        "Docket.replace": "(self, function, when, key)",
        "Docket.replace_many": "(self, calls, *, chunk_size=1000)",
        "Docket.restore": "(self, function=None, parameter=None, operator='==', value=None)",
        "Docket.runs_key": "(self, task_key)",
        "Docket.schedule": "(self, execution)",
        "Docket.snapshot": "(self)",
        "Docket.stream_id_key": "(self, task_key)",
        "Docket.strike": "(self, function=None, parameter=None, operator='==', value=None)",
        "Docket.task_workers": "(self, task_name)",
        "Docket.task_workers_set": "(self, task_name)",
        "Docket.wait_for_strikes_loaded": "(self)",
        "Docket.worker_tasks_set": "(self, worker_name)",
        "Docket.workers": "(self)",
        "DocketSnapshot": "(taken, total_tasks, future, running, workers)",
        "RunningExecution": "(execution, worker, started)",
        "WorkerInfo": "(name, last_seen, tasks)",
        "Strike": "(function, parameter, operator, value)",
        "Restore": "(function, parameter, operator, value)",
    },
    "docket.execution": {
        "Execution": (
            "(docket, function, args, kwargs, key, when, attempt, trace_context=None, "
            "redelivered=False, function_name=None, generation=0, message_id=None)"
        ),
        "Execution.as_message": "(self)",
        "Execution.call_repr": "(self)",
        "Execution.claim": "(self, worker)",
        "Execution.from_message": (
            "(docket, message, redelivered=False, fallback_task=None, message_id=None, sync=True)"
        ),
        "Execution.general_labels": "(self)",
        "Execution.get_argument": "(self, parameter)",
        "Execution.get_result": "(self, *, timeout=None, deadline=None)",
        "Execution.incoming_span_links": "(self)",
        "Execution.is_superseded": "(self)",
        "Execution.mark_as_cancelled": "(self)",
        "Execution.mark_as_completed": "(self, result_key=None)",
        "Execution.mark_as_failed": "(self, error=None, result_key=None)",
        "Execution.schedule": (
            "(self, replace=False, reschedule_message=None, expected_generation=0)"
        ),
        "Execution.specific_labels": "(self)",
        "Execution.subscribe": "(self, *, ready=None)",
        "Execution.sync": "(self)",
        "ExecutionProgress": "(docket, key)",
        "ExecutionProgress.create": "(docket, key)",
        "ExecutionProgress.increment": "(self, amount=1)",
        "ExecutionProgress.set_message": "(self, message)",
        "ExecutionProgress.set_total": "(self, total)",
        "ExecutionProgress.subscribe": "(self, *, ready=None)",
        "ExecutionProgress.sync": "(self)",
        "compact_signature": "(signature)",
        "get_signature": "(function)",
    },
    "docket.strikelist": {
        "StrikeInstruction": "(function, parameter, operator, value)",
        "StrikeInstruction.as_message": "(self)",
        "StrikeInstruction.call_repr": "(self)",
        "StrikeInstruction.from_message": "(message)",
        "StrikeInstruction.labels": "(self)",
        "StrikeList": (
            "(url=None, name='strikelist', enable_internal_instrumentation=False, "
            "credential_provider=None)"
        ),
        "StrikeList.add_condition": "(self, condition)",
        "StrikeList.is_stricken": "(self, target)",
        "StrikeList.remove_condition": "(self, condition)",
        "StrikeList.restore": "(self, function=None, parameter=None, operator='==', value=None)",
        "StrikeList.send_instruction": "(self, instruction)",
        "StrikeList.strike": "(self, function=None, parameter=None, operator='==', value=None)",
        "StrikeList.update": "(self, instruction)",
        "StrikeList.wait_for_strikes_loaded": "(self)",
    },
    "docket.agenda": {"Agenda.scatter": "(self, docket, over, start=None, jitter=None)"},
    "docket.testing": {
        "assert_no_tasks": "(docket)",
        "assert_task_count": "(docket, function=None, *, count)",
        "assert_task_not_scheduled": "(docket, function, *, args=None, kwargs=None, key=None)",
        "assert_task_scheduled": "(docket, function, *, args=None, kwargs=None, key=None)",
    },
}

COROUTINES = {
    "docket.docket": (
        *("add_many", "cancel", "clear", "get_execution", "replace_many", "restore", "schedule"),
        *("snapshot", "strike", "task_workers", "wait_for_strikes_loaded", "workers"),
    ),
    "docket.execution": (
        *("claim", "from_message", "get_result", "is_superseded", "mark_as_cancelled"),
        *("mark_as_completed", "mark_as_failed", "schedule", "sync"),
    ),
}

PROPERTIES = {
    "Docket": (
        *("prefix", "queue_key", "redelivery_sweep_key", "results_collection", "stream_key"),
        *("tasks", "worker_group_name", "workers_set"),
    ),
    "Execution": (
        *("args", "docket", "function", "function_name", "generation", "key", "kwargs"),
        *("redelivered", "trace_context"),
    ),
    "StrikeList": ("parameter_strikes", "prefix", "strike_key", "task_strikes"),
    "ConcurrencyLimit": ("concurrency_key",),
    "Cron": ("initial_when",),
    "Perpetual": ("initial_when",),
}

MEMBERS: dict[str, list[str]] = {
    "Disposition": [
        *("loaded", "scheduled", "already_scheduled", "struck", "superseded", "failed"),
    ],
    "ExecutionState": ["scheduled", "queued", "running", "completed", "failed", "cancelled"],
    "Operator": ["==", "!=", ">", ">=", "<", "<=", "between"],
}

CASES = [
    (module, name, text) for module, names in SIGNATURES.items() for name, text in names.items()
]


def found(module: str, name: str) -> Any:
    thing: Any = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def positional(thing: Any) -> list[inspect.Parameter]:
    return [
        one
        for one in inspect.signature(thing).parameters.values()
        if one.kind is not one.KEYWORD_ONLY
    ]


def bare(parameters: list[inspect.Parameter]) -> str:
    """Parameters without annotations, as the expectations are written."""
    stripped = [one.replace(annotation=inspect.Parameter.empty) for one in parameters]
    return str(inspect.Signature(stripped))


@pytest.mark.parametrize(
    ("module", "name", "expected"), CASES, ids=[f"{m}.{n}" for m, n, _ in CASES]
)
def test_it_takes_what_it_takes_in_pydocket(module: str, name: str, expected: str) -> None:
    thing = found(module, name)
    parameters = list(inspect.signature(thing).parameters.values())
    wanted = inspect.signature(_function_of(expected)).parameters
    ours = {one.name for one in parameters} - wanted.keys()

    kept = [one for one in parameters if one.name not in ours]

    assert bare(kept) == expected
    for one in parameters:
        if one.name in ours:
            # Options of a call are given by name only, whatever they are called.
            assert one.kind in (one.KEYWORD_ONLY, one.VAR_KEYWORD)
            assert one.kind is one.VAR_KEYWORD or one.default is not one.empty


def _function_of(signature: str) -> Any:
    return eval(f"lambda {signature[1:-1]}: None", {"datetime": dt})


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_it_is_a_public_name(name: str) -> None:
    assert getattr(docket, name) is not None
    assert name in docket.__all__


@pytest.mark.parametrize(
    ("module", "name"), [(m, n) for m, names in COROUTINES.items() for n in names]
)
def test_it_is_awaited(module: str, name: str) -> None:
    owner = {"docket.docket": "Docket", "docket.execution": "Execution"}[module]

    assert inspect.iscoroutinefunction(found(module, f"{owner}.{name}"))


@pytest.mark.parametrize(
    ("owner", "name"), [(o, n) for o, names in PROPERTIES.items() for n in names]
)
def test_it_is_a_property(owner: str, name: str) -> None:
    assert isinstance(inspect.getattr_static(getattr(docket, owner), name), property)


@pytest.mark.parametrize("name", MEMBERS)
def test_it_has_the_members_of_pydocket(name: str) -> None:
    kind: type[enum.Enum] = found("docket.strikelist" if name == "Operator" else "docket", name)
    values = [member.value for member in kind]

    assert [value for value in values if value in MEMBERS[name]] == MEMBERS[name]
    for value in MEMBERS[name]:
        spelled = value.upper()
        assert name == "Operator" or kind[spelled].value == value


def test_words_that_programs_import_are_where_they_look_for_them() -> None:
    for module, names in {
        "docket.docket": ("Docket", "DocketSnapshot", "Operator", "RunningExecution", "WorkerInfo"),
        "docket.execution": (
            *("Disposition", "Execution", "ExecutionCancelled", "ExecutionProgress"),
            *("ExecutionState", "ProgressEvent", "StateEvent", "TaskCall", "TaskFunction"),
            *("compact_signature", "get_signature", "_signature_cache"),
        ),
        "docket.strikelist": (
            *(
                "LiteralOperator",
                "Operator",
                "Restore",
                "Strike",
                "StrikeInstruction",
                "StrikeList",
            ),
        ),
        "docket.agenda": ("Agenda",),
        "docket.annotations": ("Logged",),
    }.items():
        for name in names:
            assert found(module, name) is not None


def test_defaults_that_are_read_at_the_time_of_a_call_are_those_of_pydocket() -> None:
    made = docket.Docket("compat-defaults", "memory://compat")

    assert made.execution_ttl == dt.timedelta(seconds=900)

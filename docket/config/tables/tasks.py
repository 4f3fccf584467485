"""[tasks.NAME] and [defaults.task]."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from ...foundation.durations import format_duration
from ..kinds import (
    Duration,
    Name,
    Parameter,
    PositiveDuration,
    Reference,
    VariablePattern,
    at,
    expected,
)
from .base import Level, Table, with_keys

_KEY: Final = (
    "The parameter whose argument distinguishes limits; left out, there is one for the task."
)


class RetryTable(Table):
    """The times at which a failed attempt is tried again."""

    attempts: Annotated[int, Field(ge=1)] = Field(
        default=1, description="The number of attempts in all."
    )
    delay: Duration = Field(
        default=timedelta(seconds=1), description="The pause after the first attempt."
    )
    max_delay: Duration = Field(default=timedelta(minutes=5), description="The longest pause.")
    backoff: Literal["fixed", "exponential"] = Field(
        default="exponential",
        description='"fixed" keeps the pause; "exponential" doubles it with every attempt.',
    )
    jitter: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.2, description="The share of a pause that chance may add or take away."
    )
    never_on: Annotated[tuple[Reference, ...], Field(strict=False)] = Field(
        default=(), description="Errors that no further attempt will mend."
    )

    @model_validator(mode="after")
    def max_delay_is_not_less_than_delay(self) -> Self:
        """Refuse a first pause that is longer than the longest, where pauses grow."""
        if self.backoff == "exponential" and self.delay > self.max_delay:
            raise at(
                "delay",
                self.delay,
                f"expected at most max_delay ({format_duration(self.max_delay)})",
            )
        return self


class TaskDefaults(Table):
    """[defaults.task]: what holds for every task that does not say otherwise."""

    timeout: PositiveDuration | None = Field(
        default=None, description="The time that one attempt may take; left out, unlimited."
    )
    retry: RetryTable = Field(
        default=RetryTable(), description="The times at which a failed attempt is tried again."
    )


class Concurrency(Table):
    """The number of runs of a task at a time."""

    limit: Annotated[int, Field(ge=1)] = Field(description="The number of runs.")
    key: Parameter | None = Field(default=None, description=_KEY)
    on_conflict: Literal["wait", "drop"] = Field(
        default="wait", description='"wait" delays a run above the limit; "drop" drops it.'
    )


class RateLimitTable(Table):
    """The number of runs of a task that start within a window."""

    limit: Annotated[int, Field(ge=1)] = Field(description="The number of runs.")
    per: PositiveDuration = Field(description="The length of the window.")
    key: Parameter | None = Field(default=None, description=_KEY)
    drop: bool = Field(
        default=False, description="True drops a run above the limit; false delays it."
    )


class CooldownTable(Table):
    """The time for which the start of a run keeps others out; those are dropped."""

    window: PositiveDuration = Field(description="The length of the window.")
    key: Parameter | None = Field(default=None, description=_KEY)


class DebounceTable(Table):
    """The calls in a short time that become one run."""

    settle: PositiveDuration = Field(description="The time without another call before it runs.")
    max_wait: PositiveDuration | None = Field(
        default=None, description="The time from the first call after which it runs in any case."
    )
    key: Parameter | None = Field(default=None, description=_KEY)


class PerpetualTable(Table):
    """The way in which a task runs again and again."""

    every: Duration = Field(description="The time from one run to the next.")
    counted_from: Literal["start", "finish"] = Field(
        default="start",
        alias="from",
        description="Count the time from the start of a run, or from its end.",
    )
    automatic: bool = Field(
        default=False,
        description="True lets workers keep it scheduled at all times; it must not need arguments.",
    )


class Http(Table):
    """An HTTP call; {name} in url, headers and body stands for an argument."""

    url: Annotated[str, Field(min_length=1)] = Field(description="The address to call.")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="POST", description="The HTTP method."
    )
    headers: dict[str, str] = Field(
        default={},
        description="Headers; a value may be file:PATH or env:NAME, which keeps it out of the file.",
        repr=False,
    )
    body: str | None = Field(
        default=None,
        description="The body to send; left out, the arguments as JSON, except with GET, HEAD and DELETE.",
    )
    expect: Annotated[str, Field(pattern=r"^[1-5](xx|\d\d)$")] = Field(
        default="2xx", description="The status of a success, such as 204, or 2xx for all of them."
    )
    allow_private: bool = Field(
        default=False, description="True allows calls to addresses that are not public."
    )


class Task(TaskDefaults):
    """[tasks.NAME]: a function that workers run, a command, or an HTTP call."""

    model_config = ConfigDict(json_schema_extra=with_keys("oneOf", "function", "command", "http"))

    function: Reference | None = Field(
        default=None, description="The function to call, as package.module:attribute."
    )
    command: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None,
        description="A program and its arguments; {name} stands for an argument of the task.",
    )
    env: Annotated[tuple[VariablePattern, ...], Field(strict=False)] = Field(
        default=(),
        description="Variables of the worker that a command gets beside PATH, HOME, USER, LANG and the like; "
        "PG* stands for all that start with PG.",
    )
    http: Http | None = Field(default=None, description="An HTTP call.")
    runner: Literal["auto", "process"] = Field(
        default="auto",
        description="The place where a plain function runs: in a thread, or in a process of its own.",
    )
    queue: Name = Field(default="default", description="The queue that new executions go to.")
    priority: Literal["high", "normal", "low"] = Field(
        default="normal", description="Its place among the tasks of its queue."
    )
    concurrency: Concurrency | None = Field(
        default=None,
        description="The number of runs at a time; left out, the code decides.",
    )
    rate_limit: RateLimitTable | None = Field(
        default=None,
        description="The number of runs that may start within a window; left out, the code decides.",
    )
    cooldown: CooldownTable | None = Field(
        default=None,
        description="The time for which a start keeps others out; left out, the code decides.",
    )
    debounce: DebounceTable | None = Field(
        default=None, description="The calls that become one run; left out, the code decides."
    )
    perpetual: PerpetualTable | None = Field(
        default=None,
        description="The way in which it runs again and again; left out, the code decides.",
    )
    result_ttl: Duration | None = Field(
        default=None,
        description="The time that finished executions and results are kept; left out, execution_ttl.",
    )
    log_level: Level | None = Field(
        default=None, description="The log level of the task; left out, logging.level."
    )
    on_removed: Literal["park", "drain", "cancel"] = Field(
        default="park",
        description="What happens to queued executions when the task is removed from the file: they "
        "are kept, they are run before it goes, or they are cancelled.",
    )
    args_schema: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="The version of the arguments' shape; an execution of a lower number is converted by "
        "upcast, or parked.",
    )
    upcast: Reference | None = Field(
        default=None,
        description="A function that takes the lower number, the positional arguments and those by name, and "
        "returns both in the current shape.",
    )

    @model_validator(mode="after")
    def exactly_one_kind(self) -> Self:
        """Refuse a task with nothing to do, or with more than one thing."""
        given = [
            kind for kind in ("function", "command", "http") if getattr(self, kind) is not None
        ]
        if not given:
            raise expected("expected exactly one of function, command, http, found none")
        if len(given) > 1:
            raise expected("expected exactly one of function, command, http, found more")
        return self

    @model_validator(mode="after")
    def only_commands_have_an_environment(self) -> Self:
        """Refuse variables without a command: a function has all of the worker's."""
        if self.env and self.command is None:
            raise at("env", list(self.env), "only a command is given variables")
        return self

    @model_validator(mode="after")
    def only_functions_have_a_runner(self) -> Self:
        """Refuse a process without a function."""
        if self.runner == "process" and self.function is None:
            raise at("runner", self.runner, "only a function has a runner")
        return self

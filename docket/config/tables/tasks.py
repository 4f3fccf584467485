"""[tasks.NAME] and [defaults.task]."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from ...durations import format_duration
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
    "The parameter whose argument tells limits apart; left out, there is one for the task."
)


class Retry(Table):
    """When a failed attempt is tried again."""

    attempts: Annotated[int, Field(ge=1)] = Field(
        default=1, description="How many attempts there are in all."
    )
    delay: Duration = Field(
        default=timedelta(seconds=1), description="The pause after the first attempt."
    )
    max_delay: Duration = Field(default=timedelta(minutes=5), description="The longest pause.")
    backoff: Literal["fixed", "exponential"] = Field(
        default="exponential",
        description="Whether pauses stay as they are or double with every attempt.",
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
        default=None, description="How long one attempt may take; left out, it is without end."
    )
    retry: Retry = Field(default=Retry(), description="When a failed attempt is tried again.")


class Concurrency(Table):
    """How many runs of a task there may be at a time."""

    limit: Annotated[int, Field(ge=1)] = Field(description="How many.")
    key: Parameter | None = Field(default=None, description=_KEY)
    on_conflict: Literal["wait", "drop"] = Field(
        default="wait", description="Whether a run that is too many waits, or is dropped."
    )


class RateLimit(Table):
    """How many runs of a task may start in a while."""

    limit: Annotated[int, Field(ge=1)] = Field(description="How many.")
    per: PositiveDuration = Field(description="In any window of this length.")
    key: Parameter | None = Field(default=None, description=_KEY)
    drop: bool = Field(
        default=False, description="Whether a run that is too many is dropped, rather than put off."
    )


class Cooldown(Table):
    """For how long the start of a run keeps others out, which are dropped."""

    window: PositiveDuration = Field(description="How long.")
    key: Parameter | None = Field(default=None, description=_KEY)


class Debounce(Table):
    """How many calls in a short time become one run."""

    settle: PositiveDuration = Field(
        description="How long no further call may come before it runs."
    )
    max_wait: PositiveDuration | None = Field(
        default=None, description="After which it runs in any case, counted from the first call."
    )
    key: Parameter | None = Field(default=None, description=_KEY)


class Perpetual(Table):
    """How a task runs again and again."""

    every: Duration = Field(description="How long from one run to the next.")
    counted_from: Literal["start", "finish"] = Field(
        default="start",
        alias="from",
        description="Whether that is counted from the start of a run, or from its end.",
    )
    automatic: bool = Field(
        default=False,
        description="Whether workers see to it that it is always scheduled; it must not need arguments.",
    )


class Http(Table):
    """An HTTP call; {name} in url, headers and body stands for an argument."""

    url: Annotated[str, Field(min_length=1)] = Field(description="What is called.")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="POST", description="How it is called."
    )
    headers: dict[str, str] = Field(
        default={},
        description="Headers; a value may be file:PATH or env:NAME, which keeps it out of the file.",
        repr=False,
    )
    body: str | None = Field(
        default=None,
        description="What is sent; left out, it is the arguments as JSON, except with GET, HEAD and DELETE.",
    )
    expect: Annotated[str, Field(pattern=r"^[1-5](xx|\d\d)$")] = Field(
        default="2xx", description="The status of a success, such as 204, or 2xx for all of them."
    )
    allow_private: bool = Field(
        default=False, description="Whether addresses that are not public may be called."
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
        "PG* stands for all that begin so.",
    )
    http: Http | None = Field(default=None, description="An HTTP call.")
    runner: Literal["auto", "process"] = Field(
        default="auto",
        description="Where a plain function runs: in a thread, or in a process of its own.",
    )
    queue: Name = Field(default="default", description="The queue that new executions go to.")
    priority: Literal["high", "normal", "low"] = Field(
        default="normal", description="Its place among the tasks of its queue."
    )
    concurrency: Concurrency | None = Field(
        default=None,
        description="How many runs there may be at a time; left out, the code says so.",
    )
    rate_limit: RateLimit | None = Field(
        default=None, description="How many runs may start in a while; left out, the code says so."
    )
    cooldown: Cooldown | None = Field(
        default=None,
        description="For how long a start keeps others out; left out, the code says so.",
    )
    debounce: Debounce | None = Field(
        default=None, description="How many calls become one run; left out, the code says so."
    )
    perpetual: Perpetual | None = Field(
        default=None, description="How it runs again and again; left out, the code says so."
    )
    result_ttl: Duration | None = Field(
        default=None,
        description="How long finished executions and results are kept; left out, it is execution_ttl.",
    )
    log_level: Level | None = Field(
        default=None, description="The level of what the task logs; left out, it is logging.level."
    )
    on_removed: Literal["park", "drain", "cancel"] = Field(
        default="park",
        description="What becomes of queued executions when the task is removed from the file: they "
        "are kept, they are run before it goes, or they are cancelled.",
    )
    args_schema: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="Which shape the arguments have; what was added under a lower number is brought up by "
        "upcast, or parked.",
    )
    upcast: Reference | None = Field(
        default=None,
        description="A function of the lower number, the positional arguments and those by name, which "
        "returns both as they are now.",
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
        """Refuse variables for what is no command: a function has all of the worker's."""
        if self.env and self.command is None:
            raise at("env", list(self.env), "only a command is given variables")
        return self

    @model_validator(mode="after")
    def only_functions_have_a_runner(self) -> Self:
        """Refuse a process for what is no function."""
        if self.runner == "process" and self.function is None:
            raise at("runner", self.runner, "only a function has a runner")
        return self

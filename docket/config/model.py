"""What a docket.toml may say: every key with its kind, its default and its meaning, here and nowhere else.

A key is added in one place: a field with a default and a description. The environment, the schema for
editors, the list of allowed keys in messages and the comparison of two configurations follow the fields.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from ..durations import format_duration
from .kinds import (
    Duration,
    FilePattern,
    Listen,
    ModuleName,
    Moment,
    Name,
    Parameter,
    PositiveDuration,
    Profile,
    Queues,
    Ratio,
    Reference,
    Share,
    Size,
    Timezone,
    Url,
    Variable,
    VariableValue,
    at,
    expected,
    unique,
)
from .meaning import digest

_KEY: Final = (
    "The parameter whose argument tells limits apart; left out, there is one for the task."
)

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
Codec: TypeAlias = Literal["safe", "pickle"]
Comparison: TypeAlias = Literal["==", "!=", ">", ">=", "<", "<=", "between"]


class Table(BaseModel):
    """What all tables share: unknown keys are errors, a text is no number, nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, ser_json_inf_nan="constants"
    )


def _with(choice: str, *keys: str) -> dict[str, Any]:
    """For editors: a table that has one of these keys, or some of them."""
    return {choice: [{"required": [key]} for key in keys]}


class Security(Table):
    """[security]: which bytes are trusted."""

    codecs: Annotated[tuple[Codec, ...], Field(min_length=1, strict=False)] = Field(
        default=("safe", "pickle"),
        description='How arguments and results may be encoded; ["safe"] refuses pickle on both sides.',
    )
    signing_keys: dict[Name, Annotated[str, Field(min_length=1)]] = Field(
        default={},
        description="Secrets by id, each as file:PATH or env:NAME; the first signs, all of them verify.",
        repr=False,
    )
    max_payload: Size = Field(
        default=1 << 20, description="The limit of the serialized arguments of one task, in bytes."
    )


class Logging(Table):
    """[logging]: what is told, and how."""

    level: Level = Field(default="info", description="The least severe messages that are written.")
    format: Literal["auto", "rich", "plain", "json"] = Field(
        default="auto",
        description="How messages are written; auto is rich on a terminal, else plain.",
    )


class Reload(Table):
    """[supervisor.reload]: how changes of the file are noticed."""

    watch: Literal["auto", "poll", "off"] = Field(
        default="auto",
        description="What notices a change: the file system and poll_interval, the latter alone, or nothing"
        " but SIGHUP.",
    )
    settle: Duration = Field(
        default=timedelta(milliseconds=500),
        description="How long the file must be quiet before it is read.",
    )
    min_interval: Duration = Field(
        default=timedelta(seconds=2), description="The least time between two reloads."
    )
    poll_interval: PositiveDuration = Field(
        default=timedelta(seconds=10),
        description="How often the file is compared even if nothing hints at a change.",
    )
    max_removals: Share = Field(
        default=Ratio(0.5),
        description="The share of tasks, schedules and pools that one change may remove.",
    )


class RestartBackoff(Table):
    """The pauses between a crash of a worker process and its next start."""

    initial: PositiveDuration = Field(
        default=timedelta(milliseconds=500), description="The pause after the first crash."
    )
    max: PositiveDuration = Field(default=timedelta(minutes=1), description="The longest pause.")
    factor: Annotated[float, Field(ge=1, le=100)] = Field(
        default=2.0, description="By how much every pause is longer than the one before."
    )
    jitter: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.2, description="The share of a pause that chance may add or take away."
    )

    @model_validator(mode="after")
    def max_is_not_less_than_initial(self) -> Self:
        """Refuse a first pause that is longer than the longest."""
        if self.initial > self.max:
            raise at("initial", self.initial, f"expected at most max ({format_duration(self.max)})")
        return self


class Restart(Table):
    """[supervisor.restart]: the brake on crash loops, per pool."""

    backoff: RestartBackoff = Field(
        default=RestartBackoff(), description="The pauses between crashes and starts."
    )
    stable_after: Duration = Field(
        default=timedelta(seconds=30),
        description="A worker that lived this long resets the pauses.",
    )
    max_crashes: Annotated[int, Field(ge=1)] = Field(
        default=5, description="More crashes than this within the window degrade the pool."
    )
    window: PositiveDuration = Field(
        default=timedelta(minutes=2), description="The window in which crashes are counted."
    )


class Supervisor(Table):
    """[supervisor]: the process that keeps workers and schedules in the declared shape."""

    listen: Listen = Field(
        default="127.0.0.1:9464",
        description="Host and port of health, metrics and pages; a change needs a restart.",
    )
    shutdown_timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="From the request to stop to the end of every process.",
    )
    reload: Reload = Field(default=Reload(), description="How changes of the file are noticed.")
    restart: Restart = Field(default=Restart(), description="The brake on crash loops, per pool.")

    @property
    def host(self) -> str:
        """The host to listen on, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on; 0 lets the system choose."""
        return int(self.listen.rpartition(":")[2])


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


class Daylight(Table):
    """What becomes of due times where clocks change."""

    gap: Literal["shift", "skip"] | None = Field(
        default=None,
        description="Whether due times that the clocks jump over run when they have jumped, or not at all; "
        "left out, those of fixed hours run.",
    )
    overlap: Literal["first", "both"] | None = Field(
        default=None,
        description="Whether due times that the clocks show twice run the first time, or both times; left "
        "out, those of fixed hours run once.",
    )


class ScheduleDefaults(Table):
    """[defaults.schedule]: what holds for every schedule that does not say otherwise."""

    jitter: Duration = Field(
        default=timedelta(),
        description="Shifts all due times by less than this: by how much, the name of the schedule decides.",
    )
    catchup: Literal["none", "last", "all"] = Field(
        default="last",
        description="Which runs are made up for that were missed; all is the last 100 of them.",
    )
    catchup_window: PositiveDuration | None = Field(
        default=None, description="How late a run may be to be made up for; left out, any."
    )


class Defaults(Table):
    """[defaults.*]: what holds where a table does not say otherwise."""

    task: TaskDefaults = Field(default=TaskDefaults(), description="What holds for every task.")
    schedule: ScheduleDefaults = Field(
        default=ScheduleDefaults(), description="What holds for every schedule."
    )


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

    model_config = ConfigDict(json_schema_extra=_with("oneOf", "function", "command", "http"))

    function: Reference | None = Field(
        default=None, description="The function to call, as package.module:attribute."
    )
    command: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None,
        description="A program and its arguments; {name} stands for an argument of the task.",
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
    def only_functions_have_a_runner(self) -> Self:
        """Refuse a process for what is no function."""
        if self.runner == "process" and self.function is None:
            raise at("runner", self.runner, "only a function has a runner")
        return self


class Schedule(ScheduleDefaults):
    """[schedules.NAME]: when a task runs by itself."""

    model_config = ConfigDict(json_schema_extra=_with("oneOf", "cron", "every", "at"))

    task: Name = Field(description="The task to run.")
    args: Annotated[tuple[Any, ...], Field(strict=False)] = Field(
        default=(), description="Its positional arguments."
    )
    kwargs: dict[str, Any] = Field(default={}, description="Its arguments by name.")
    cron: str | None = Field(
        default=None, description="When, as a cron expression; six fields put seconds first."
    )
    every: PositiveDuration | None = Field(
        default=None, description="How often, counted from 1970-01-01T00:00:00Z plus the phase."
    )
    at: Moment | None = Field(default=None, description="When, once and never again.")
    phase: Duration | None = Field(
        default=None, description="By how much the runs of every are shifted; less than every."
    )
    anchor: Literal["epoch"] | Moment = Field(
        default="epoch", description="What every is counted from: 1970, or a moment."
    )
    timezone: Timezone | None = Field(
        default=None, description="The zone that cron is read in; left out, it is the docket's."
    )
    dst: Daylight | None = Field(
        default=None, description="What becomes of the due times of cron where clocks change."
    )
    start: Moment | None = Field(
        default=None, description="The first moment at which it may be due."
    )
    end: Moment | None = Field(
        default=None, description="The first moment at which it may not be due any more."
    )
    paused: bool = Field(default=False, description="Whether no runs are due.")
    renamed_from: Name | None = Field(
        default=None, description="The name that it had before; it goes on where that has stopped."
    )
    notes: str | None = Field(default=None, description="What people should know about it.")

    @model_validator(mode="after")
    def exactly_one_time(self) -> Self:
        """Refuse a schedule with no time, or with more than one."""
        given = [key for key in ("cron", "every", "at") if getattr(self, key) is not None]
        if not given:
            raise expected("expected exactly one of cron, every, at, found none")
        if len(given) > 1:
            raise expected("expected exactly one of cron, every, at, found more")
        return self

    @model_validator(mode="after")
    def start_is_before_end(self) -> Self:
        """Refuse a schedule that is never due."""
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise at("end", self.end, f"expected a moment after start ({self.start.isoformat()})")
        return self

    @model_validator(mode="after")
    def only_cron_has_clocks_that_change(self) -> Self:
        """Refuse a rule for clocks that nothing looks at."""
        if self.dst is not None and self.cron is None:
            raise at("dst", self.dst, "only a schedule with cron has a rule for clocks that change")
        return self

    @model_validator(mode="after")
    def only_every_has_an_anchor(self) -> Self:
        """Refuse an anchor that nothing is counted from."""
        if self.anchor != "epoch" and self.every is None:
            raise at("anchor", self.anchor, "only a schedule with every has an anchor")
        return self

    @model_validator(mode="after")
    def phase_is_within_every(self) -> Self:
        """Refuse a phase that shifts nothing, or by whole periods."""
        if self.phase is None:
            return self
        if self.every is None:
            raise at("phase", self.phase, "only a schedule with every has a phase")
        if self.phase >= self.every:
            raise at(
                "phase", self.phase, f"expected less than every ({format_duration(self.every)})"
            )
        return self


def schedule_seed(docket: str, schedule: str) -> str:
    """What ``H`` in the cron expression of a schedule is computed from."""
    return f"{docket}/{schedule}"


class Pool(Table):
    """[workers.POOL]: equal worker processes."""

    processes: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="How many worker processes run."
    )
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=10, description="How many tasks one process runs at the same time."
    )
    queues: Queues = Field(
        default=("default",), description="The queues that are served, the first one first."
    )
    drain: Duration = Field(
        default=timedelta(seconds=30),
        description="How long running tasks may finish when a worker stops.",
    )
    env: dict[Variable, VariableValue] = Field(
        default={}, description="Environment variables of the worker processes.", repr=False
    )


class Condition(Table):
    """One comparison of an argument."""

    op: Comparison = Field(description="How the argument is compared with the value.")
    value: Any = Field(description="What it is compared with; two bounds in an array for between.")

    @model_validator(mode="after")
    def value_fits_op(self) -> Self:
        """Refuse a value that the comparison can not work with."""
        if self.op == "between":
            if not _are_bounds(self.value):
                raise at(
                    "value", self.value, "expected the lower and the upper bound, as in [10, 20]"
                )
        elif not _is_single(self.value):
            raise at(
                "value",
                cast(object, self.value),
                "expected a single value; only between takes an array",
            )
        return self


def _is_single(value: Any) -> bool:
    return not isinstance(value, (list, dict))


def _are_bounds(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    bounds = cast(list[Any], value)
    if len(bounds) != 2:
        return False
    try:
        return bool(bounds[0] <= bounds[1])
    except TypeError:
        return False


def strike_identity(id_: Any, task: Any, when: Any) -> str:
    """The id of a strike, or without one a name that is the same wherever the content is the same."""
    return str(id_) if id_ is not None else f"strike-{digest([task, when])[:12]}"


class Strike(Table):
    """[[strikes]]: what is struck out instead of being run."""

    model_config = ConfigDict(json_schema_extra=_with("anyOf", "task", "when"))

    id: Name | None = Field(
        default=None, description="Its name; left out, it is made from the content."
    )
    task: Name | None = Field(
        default=None, description="Only executions of this task; left out, of any task."
    )
    when: dict[Name, Condition] = Field(
        default={}, description="Comparisons by the name of the argument; all of them must hold."
    )
    action: Literal["drop", "park"] = Field(
        default="drop",
        description="Whether what is struck is cancelled, or kept until the strike is over.",
    )
    reason: str = Field(default="", description="Why, for those who wonder.")
    expires: Moment | None = Field(default=None, description="When it is over; left out, never.")

    @property
    def identity(self) -> str:
        """The id, or a name that is made from the content."""
        return strike_identity(self.id, self.task, self.model_dump()["when"])

    @model_validator(mode="after")
    def strikes_something_particular(self) -> Self:
        """Refuse a strike that would strike out everything."""
        if self.task is None and not self.when:
            raise expected("expected task, when, or both, found neither")
        return self


class Configuration(Table):
    """A whole docket.toml."""

    version: Literal[1] = Field(default=1, description="The file format.")
    include: Annotated[tuple[FilePattern, ...], Field(strict=False)] = Field(
        default=(),
        description="Further files, or patterns of them, beside this one: each adds what no other file says.",
    )
    name: Name = Field(
        default="docket", description="The namespace in Redis; a change needs a restart."
    )
    url: Url | None = Field(
        default=None,
        description="The server; left out, the embedded one beside the file. A change needs a restart.",
        repr=False,
    )
    timezone: Timezone = Field(default="UTC", description="The time zone of schedules.")
    modules: Annotated[
        tuple[ModuleName, ...],
        Field(strict=False, json_schema_extra={"uniqueItems": True}),
        AfterValidator(unique),
    ] = Field(
        default=(),
        description="What workers import beside the functions of the tasks; the supervisor never does.",
    )
    execution_ttl: Duration = Field(
        default=timedelta(minutes=15),
        description="How long finished executions and their results are kept.",
    )
    security: Security = Field(default=Security(), description="Which bytes are trusted.")
    logging: Logging = Field(default=Logging(), description="What is told, and how.")
    supervisor: Supervisor = Field(
        default=Supervisor(),
        description="The process that keeps workers and schedules in the declared shape.",
    )
    defaults: Defaults = Field(
        default=Defaults(), description="What holds where a table does not say otherwise."
    )
    tasks: dict[Name, Task] = Field(default={}, description="Functions that workers run, by name.")
    schedules: dict[Name, Schedule] = Field(
        default={}, description="When tasks run by themselves, by name."
    )
    workers: Annotated[dict[Name, Pool], Field(min_length=1)] = Field(
        default={"default": Pool()}, description="Pools of equal worker processes, by name."
    )
    strikes: Annotated[tuple[Strike, ...], Field(strict=False)] = Field(
        default=(), description="What is struck out instead of being run."
    )
    profiles: dict[Name, Profile] = Field(
        default={},
        description="What one of them says instead, where --profile or DOCKET_PROFILE names it.",
        repr=False,
    )

    @property
    def summary(self) -> str:
        """How much there is of everything, in words."""
        counts = {
            "task": len(self.tasks),
            "schedule": len(self.schedules),
            "pool": len(self.workers),
            "strike": len(self.strikes),
        }
        return ", ".join(
            f"{count} {what if count == 1 else what + 's'}" for what, count in counts.items()
        )


PARTS_OF_FILES: Final = ("include", "profiles")
"""Keys that say how files become one configuration; only a file can hold them."""

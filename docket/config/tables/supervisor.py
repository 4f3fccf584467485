"""[supervisor], with what it says of reloads and of restarts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from ...foundation.durations import format_duration
from ..kinds import Duration, Listen, PositiveDuration, Ratio, Share, at
from .base import Table


class Reload(Table):
    """[supervisor.reload]: how changes of the file are noticed."""

    watch: Literal["auto", "poll", "off"] = Field(
        default="auto",
        description="What notices a change: the file system and poll_interval, the latter alone, or nothing"
        " but SIGHUP.",
    )
    settle: Duration = Field(
        default=timedelta(milliseconds=500),
        description="The time without changes before the file is read.",
    )
    min_interval: Duration = Field(
        default=timedelta(seconds=2), description="The least time between two reloads."
    )
    poll_interval: PositiveDuration = Field(
        default=timedelta(seconds=10),
        description="The interval at which the file is compared even without a hint of a change.",
    )
    follow_code: bool = Field(
        default=False,
        description="Whether new processes take over when a module file of the tasks changes, or a link on"
        " the way to it; noticed as watch says.",
    )
    max_removals: Share = Field(
        default=Ratio(0.5),
        description="The share of tasks, schedules and pools that one change may remove.",
    )
    on_failure: Literal["rollback", "hold"] = Field(
        default="rollback",
        description="What happens to a change that fails after it was committed: the previous revision is "
        "committed again, or the change stays as far as it has come.",
    )
    history: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="The number of revisions kept to look at and to go back to."
    )


class RestartBackoff(Table):
    """The pauses between a crash of a worker process and its next start."""

    initial: PositiveDuration = Field(
        default=timedelta(milliseconds=500), description="The pause after the first crash."
    )
    max: PositiveDuration = Field(default=timedelta(minutes=1), description="The longest pause.")
    factor: Annotated[float, Field(ge=1, le=100)] = Field(
        default=2.0, description="The factor by which every pause is longer than the previous one."
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
    on_exhausted: Literal["degrade", "exit"] = Field(
        default="degrade",
        description="What happens to a pool that crashes more often: it is left as it is, or the supervisor "
        "stops and exits with 1.",
    )


class Ping(Table):
    """[supervisor.ping]: calls that do nothing, to measure the time from an add to an outcome."""

    every: PositiveDuration | None = Field(
        default=None,
        description="The interval at which the leader pings every pool; left out, never. It is a metric and"
        " an alert, and no reason to be unhealthy.",
    )
    timeout: PositiveDuration = Field(
        default=timedelta(seconds=10), description="The time after which a ping is late."
    )


class SupervisorTable(Table):
    """[supervisor]: the process that keeps workers and schedules in the declared shape."""

    listen: Listen = Field(
        default="127.0.0.1:9464",
        description="Host and port of health, metrics and pages: each host's own, and in no revision. "
        "A change needs a restart.",
    )
    control: Annotated[str, Field(min_length=1)] = Field(
        default=".docket/control.sock",
        description="The socket that the command line talks to, beside the file: each host's own, and in no "
        "revision. A change needs a restart.",
    )
    shutdown_timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="The time from the request to stop to the end of every process.",
    )
    probe_timeout: PositiveDuration = Field(
        default=timedelta(seconds=20),
        description="The time that importing all modules and functions of the file may take.",
    )
    reload: Reload = Field(
        default=Reload(), description="The way in which changes of the file are noticed."
    )
    restart: Restart = Field(default=Restart(), description="The brake on crash loops, per pool.")
    ping: Ping = Field(default=Ping(), description="The pings of every pool.")

    @property
    def host(self) -> str:
        """The host to listen on, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on; 0 lets the system choose."""
        return int(self.listen.rpartition(":")[2])

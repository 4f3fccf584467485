"""[supervisor], with what it says of reloads and of restarts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from ...durations import format_duration
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
    on_failure: Literal["rollback", "hold"] = Field(
        default="rollback",
        description="What becomes of a change that fails after it was committed: the revision before it is "
        "committed again, or the change stays as far as it has come.",
    )
    history: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="How many revisions are kept to look at and to go back to."
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
    on_exhausted: Literal["degrade", "exit"] = Field(
        default="degrade",
        description="What becomes of a pool that crashes more often: it is left as it is, or the supervisor "
        "stops and exits with 1.",
    )


class Supervisor(Table):
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
        description="From the request to stop to the end of every process.",
    )
    probe_timeout: PositiveDuration = Field(
        default=timedelta(seconds=20),
        description="How long importing all modules and functions that the file names may take.",
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

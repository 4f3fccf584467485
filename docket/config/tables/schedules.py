"""[schedules.NAME] and [defaults.schedule]."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from ...foundation.durations import format_duration
from ..kinds import Duration, Moment, Name, PositiveDuration, Timezone, at, expected
from .base import Table, with_keys

Tag = Annotated[Name, Field(max_length=64)]
"""A text to find an execution by."""


class Daylight(Table):
    """The treatment of due times where clocks change."""

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

    overlap: Literal["skip", "queue_one", "queue_all", "cancel_running", "allow"] = Field(
        default="skip",
        description="What happens to a run that is due while the previous one is not over: it is left out, "
        "it waits as the only one, it waits with all others, it replaces the previous one, or both "
        "run.",
    )
    pause_on_failure: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="The number of failed runs in a row that pauses the schedule; left out, none.",
    )

    jitter: Duration = Field(
        default=timedelta(),
        description="Shift all due times by less than this; the name of the schedule decides by how much.",
    )
    catchup: Literal["none", "last", "all"] = Field(
        default="last",
        description='The missed runs that are made up for; "all" means the last 100 of them.',
    )
    catchup_window: PositiveDuration | None = Field(
        default=None,
        description="The age up to which missed runs are made up for; left out, any age.",
    )


class Schedule(ScheduleDefaults):
    """[schedules.NAME]: when a task runs by itself."""

    model_config = ConfigDict(json_schema_extra=with_keys("oneOf", "cron", "every", "at"))

    task: Name = Field(description="The task to run.")
    args: Annotated[tuple[Any, ...], Field(strict=False)] = Field(
        default=(), description="Its positional arguments."
    )
    kwargs: dict[str, Any] = Field(default={}, description="Its arguments by name.")
    queue: Name | None = Field(
        default=None, description="The queue of its runs; left out, that of its task."
    )
    priority: Literal["high", "normal", "low"] | None = Field(
        default=None,
        description="The place of its runs among the others of the queue; left out, that of its task.",
    )
    expires: PositiveDuration | None = Field(
        default=None,
        description="The time after its due time by which a run must have begun; left out, any.",
    )
    timeout: PositiveDuration | None = Field(
        default=None,
        description="The time that an attempt of its runs may take; left out, that of its task.",
    )
    tags: Annotated[tuple[Tag, ...], Field(strict=False, max_length=16)] = Field(
        default=(), description="Short texts to find its runs by."
    )
    cron: str | None = Field(
        default=None,
        description="The due times as a cron expression; six fields put seconds first.",
    )
    every: PositiveDuration | None = Field(
        default=None,
        description="The interval between runs, counted from 1970-01-01T00:00:00Z plus the phase.",
    )
    at: Moment | None = Field(default=None, description="The moment of the only run.")
    phase: Duration | None = Field(
        default=None, description="The offset of the runs of every; less than every."
    )
    anchor: Literal["epoch", "created", "finish"] | Moment = Field(
        default="epoch",
        description="The origin of every: 1970, the moment at which the schedule was first seen, the "
        "end of each run, or a moment.",
    )
    timezone: Timezone | None = Field(
        default=None, description="The zone that cron is read in; left out, it is the docket's."
    )
    dst: Daylight | None = Field(
        default=None, description="The treatment of the due times of cron where clocks change."
    )
    start: Moment | None = Field(
        default=None, description="The first moment at which it may be due."
    )
    end: Moment | None = Field(
        default=None, description="The first moment at which it is no longer due."
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The number of runs in all; left out, unlimited."
    )
    paused: bool = Field(default=False, description="True pauses it: no runs are due.")
    renamed_from: Name | None = Field(
        default=None, description="Its previous name; it goes on where that one has stopped."
    )
    notes: str | None = Field(default=None, description="Notes for people.")

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
    """Return the seed from which ``H`` in the cron expression of a schedule is computed."""
    return f"{docket}/{schedule}"

"""What a docket.toml may say: every key with its kind, its default and its meaning, here and nowhere else.

A key is added in one place: a field with a default and a description. The environment, the schema for
editors, the list of allowed keys in messages and the comparison of two configurations follow the fields.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from .kinds import (
    DocketName,
    Duration,
    FilePattern,
    ModuleName,
    Name,
    OwnerName,
    Profile,
    Timezone,
    Url,
    unique,
)
from .tables.base import Table
from .tables.logging import Logging
from .tables.pools import Pool
from .tables.schedules import Schedule, ScheduleDefaults
from .tables.security import Security
from .tables.strikes import Strike
from .tables.supervisor import Supervisor
from .tables.tasks import Task, TaskDefaults


class Defaults(Table):
    """[defaults.*]: what holds where a table does not say otherwise."""

    task: TaskDefaults = Field(default=TaskDefaults(), description="What holds for every task.")
    schedule: ScheduleDefaults = Field(
        default=ScheduleDefaults(), description="What holds for every schedule."
    )


class Configuration(Table):
    """A whole docket.toml."""

    version: Literal[1] = Field(default=1, description="The file format.")
    include: Annotated[tuple[FilePattern, ...], Field(strict=False)] = Field(
        default=(),
        description="Further files, or patterns of them, beside this one: each adds what no other file says.",
    )
    name: DocketName = Field(
        default="docket", description="The namespace in Redis; a change needs a restart."
    )
    url: Url | None = Field(
        default=None,
        description="The server; left out, the embedded one beside the file. A change needs a restart.",
        repr=False,
    )
    owner: OwnerName | None = Field(
        default=None,
        description="Whose schedules and strikes these are: a file takes back only what its owner made. Left "
        "out, it is the name; a change needs a restart.",
    )
    revision: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="The number of what this file says, where several hosts have one: the highest holds.",
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
    logging: Logging = Field(
        default=Logging(), description="What is told, and how: each host's own, and in no revision."
    )
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
    def owned_by(self) -> str:
        """Whose schedules and strikes these are."""
        return self.name.replace("/", "-") if self.owner is None else self.owner

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

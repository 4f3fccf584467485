"""The whole of docket.toml: every key with its kind, its default and its meaning, here and nowhere else.

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
from .tables.audit import AuditTable
from .tables.base import Table
from .tables.history import HistoryTable
from .tables.logging import Logging
from .tables.pools import PoolTable
from .tables.queues import QueueTable
from .tables.results import ResultsTable
from .tables.schedules import Schedule, ScheduleDefaults
from .tables.security import Security
from .tables.strikes import StrikeTable
from .tables.supervisor import SupervisorTable
from .tables.tasks import Task, TaskDefaults


class Defaults(Table):
    """[defaults.*]: what holds where a table does not say otherwise."""

    task: TaskDefaults = Field(default=TaskDefaults(), description="Defaults of every task.")
    schedule: ScheduleDefaults = Field(
        default=ScheduleDefaults(), description="Defaults of every schedule."
    )


class Configuration(Table):
    """A whole docket.toml."""

    version: Literal[1] = Field(default=1, description="The file format.")
    include: Annotated[tuple[FilePattern, ...], Field(strict=False)] = Field(
        default=(),
        description="Further files, or patterns, beside this one: each adds keys that no other file sets.",
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
        description="The owner of these schedules and strikes: a file removes only those of its owner. Left "
        "out, the name; a change needs a restart.",
    )
    revision: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="The number of this content, where several hosts have a file: the highest one counts.",
    )
    timezone: Timezone = Field(default="UTC", description="The time zone of schedules.")
    modules: Annotated[
        tuple[ModuleName, ...],
        Field(strict=False, json_schema_extra={"uniqueItems": True}),
        AfterValidator(unique),
    ] = Field(
        default=(),
        description="Modules that workers import beside those of the tasks; the supervisor never does.",
    )
    execution_ttl: Duration = Field(
        default=timedelta(minutes=15),
        description="The time that finished executions and their results are kept.",
    )
    history: HistoryTable = Field(
        default=HistoryTable(), description="How much is remembered of what has ended."
    )
    results: ResultsTable = Field(
        default=ResultsTable(), description="How much memory results may take."
    )
    audit: AuditTable = Field(
        default=AuditTable(), description="How much is kept of what operators have done."
    )
    security: Security = Field(default=Security(), description="The bytes that are trusted.")
    logging: Logging = Field(
        default=Logging(),
        description="Which messages are written, and how: each host's own, and in no revision.",
    )
    supervisor: SupervisorTable = Field(
        default=SupervisorTable(),
        description="The process that keeps workers and schedules in the declared shape.",
    )
    defaults: Defaults = Field(
        default=Defaults(), description="Values for tables that do not set their own."
    )
    tasks: dict[Name, Task] = Field(default={}, description="Functions that workers run, by name.")
    schedules: dict[Name, Schedule] = Field(
        default={}, description="The times at which tasks run by themselves, by name."
    )
    workers: Annotated[dict[Name, PoolTable], Field(min_length=1)] = Field(
        default={"default": PoolTable()}, description="Pools of equal worker processes, by name."
    )
    queues: dict[Name, QueueTable] = Field(
        default={}, description='The state of queues, by name; "*" is every queue.'
    )
    strikes: Annotated[tuple[StrikeTable, ...], Field(strict=False)] = Field(
        default=(), description="Executions that are struck out instead of being run."
    )
    profiles: dict[Name, Profile] = Field(
        default={},
        description="Values that replace others where --profile or DOCKET_PROFILE names the profile.",
        repr=False,
    )

    @property
    def owned_by(self) -> str:
        """The owner of these schedules and strikes."""
        return self.name.replace("/", "-") if self.owner is None else self.owner

    @property
    def summary(self) -> str:
        """The number of tasks, schedules and so on, in words."""
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

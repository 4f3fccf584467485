"""The import contract: which part of the package stands on which."""

from __future__ import annotations

LAYERS = (
    ("__main__",),
    ("programs",),
    ("cli",),
    ("supervisor", "web"),
    ("assembly", "schedules"),
    ("contrib", "pytest_plugin", "testing"),
    ("worker",),
    ("runners", "tasks"),
    ("dependencies",),
    ("agenda", "pinging", "sync"),
    ("docket",),
    ("insights", "operations", "result_storage"),
    ("execution", "strikelist"),
    ("calls", "compat"),
    ("annotations",),
    ("storage",),
    ("connection",),
    ("instrumentation", "serialization"),
)
"""From the top down; what stands in one row does not import each other."""

GROUND: dict[str, set[str]] = {
    "discovery": {"errors", "foundation"},
    "foundation": {"errors"},
    "errors": set(),
    "_version": set(),
}
"""The ground: plain values and the files that they are read from, and what each may import of the package."""

CONFIGURATION_READERS = {"assembly", "cli", "schedules", "supervisor", "web"}
"""Who may import the side tower ``config``, which itself imports level 0 only."""

OWNERS = {
    "exceptiongroup": {"dependencies"},
    "redis": {"connection", "errors.server", "storage"},
    "httpx": {"runners.http"},
    "hiredis": {"connection"},
    "uncalled_for": {"annotations", "dependencies"},
    "pytest": {"pytest_plugin"},
    "pytest_asyncio": {"pytest_plugin"},
    "watchfiles": {"supervisor.reload.file_watcher"},
    "croniter": {"foundation.cron"},
    "pydantic": {"config", "serialization.written"},
    "pydantic_core": {"config"},
    "pydantic_settings": {"config"},
    "tomli": {"config", "discovery"},
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"cli", "instrumentation.console"},
    "flask": {"contrib.flask"},
    "werkzeug": {"contrib.flask"},
    "fastapi": {"contrib.fastapi"},
    "starlette": {"contrib.fastapi", "web"},
    "jinja2": {"web"},
    "uvicorn": {"web"},
    "msgpack": {"serialization"},
    "cloudpickle": {"serialization"},
    "prometheus_client": {"instrumentation"},
    "opentelemetry": {"instrumentation"},
}
"""Who may import which distribution; the standard library and typing_extensions are everybody's."""

ROWS = {name: row for row, names in enumerate((*LAYERS, GROUND)) for name in names}

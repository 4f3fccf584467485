"""A Prefect server with all its background services on Docket; prints what a client of it found."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import prefect
from asgi_lifespan import LifespanManager
from prefect import flow
from prefect.client import base
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.server.api.server import create_app
from prefect.server.services.perpetual_services import get_enabled_perpetual_services
from prefect.states import Scheduled

from docket import Docket
from docket.execution import ExecutionState


class Started(logging.Handler):
    """Hears from Docket's own log which tasks have been started."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the name of the task in a line like ``↪ [1ms] task(){key}``."""
        if (message := record.getMessage()).startswith("↪"):
            self.tasks.add(message.split("] ")[1].split("(")[0])


@flow
def restock() -> None:
    """Never runs: nobody works here, so it is late."""


async def until(condition: Callable[[], Awaitable[bool]]) -> bool:
    """Wait for what a background service does in its own time."""
    while not await condition():
        await asyncio.sleep(0.05)
    return True


def patiently(app: Any, **_: float) -> LifespanManager:
    """Give the server the time it takes to start: their client gives it 30 s, too few on a busy machine."""
    return LifespanManager(app, startup_timeout=240, shutdown_timeout=60)


async def main() -> None:
    base.LifespanManager = patiently
    started = Started()
    logger = logging.getLogger("docket.worker")
    logger.setLevel(logging.INFO)
    logger.addHandler(started)
    services = {service.function.__name__ for service in get_enabled_perpetual_services()}
    found: dict[str, object] = {"prefect": prefect.__version__}

    app = create_app(ephemeral=False)
    async with PrefectClient(app) as client:
        before = datetime.now(timezone.utc) - timedelta(minutes=1)
        run = await client.create_flow_run(restock, state=Scheduled(scheduled_time=before))

        async def late() -> bool:
            return (await client.read_flow_run(run.id)).state_name == "Late"

        found["marked late"] = await until(late)

        await client.create_logs(
            [
                LogCreate(
                    name="shop", level=20, message="hello", timestamp=before, flow_run_id=run.id
                )
            ]
        )
        of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))

        async def gone() -> bool:
            return not await client.read_logs(of_run)

        found["logs before"] = not await gone()
        await client.delete_flow_run(run.id)
        found["logs deleted"] = await until(gone)

        async def all_started() -> bool:
            return services <= started.tasks

        found["all services ran"] = await until(all_started)

        home = docket_of(app)
        scheduled = [execution.key for execution in (await home.snapshot()).future]
        states = [(await home.get_execution(service)).state for service in services]
        found["services"] = len(services)
        found["not live any more"] = [state.value for state in states if not state.is_live]
        found["their keys are their names"] = services >= {*scheduled} != set()
        assert ExecutionState.SCHEDULED in states
    print(json.dumps(found))


def docket_of(app: object) -> Docket:
    """The docket that the server keeps at its API, which is mounted in the application."""
    (home,) = [
        route.app.state.docket
        for route in app.routes
        if hasattr(getattr(route, "app", None), "state") and hasattr(route.app.state, "docket")
    ]
    return home


asyncio.run(main())

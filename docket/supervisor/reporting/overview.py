"""The state of a supervisor as JSON: the answer of ``docket status`` and of ``/api/status``."""

from __future__ import annotations

import json
import os
import time
from http import HTTPStatus
from typing import Any, Final

from ...instrumentation.pages import Response
from ...storage.queues import QueuePause
from ..conditions import Conditions
from ..fleet import Fleet
from ..processes.pool import Pool
from ..processes.process import WorkerProcess
from ..processes.usage import resident_bytes
from ..reload.code_state import Behind, CodeState
from ..reload.reloader import Reloader
from .health import Status
from .pauses import Pauses

VERSION: Final = 1
"""Version of the JSON: fields may be added; a changed or removed one means a new number."""


class Overview:
    """The state of a supervisor; read in threads, one of them that which serves HTTP.

    Arguments:
        fleet: pools and schedules.
        reloader: holds the configuration.
        conditions: its conditions.
        status: knows whether it is up.
        code: the code of its processes.
        pauses: knows which queues are paused.
    """

    def __init__(
        self,
        fleet: Fleet,
        reloader: Reloader,
        conditions: Conditions,
        status: Status,
        code: CodeState,
        pauses: Pauses,
    ) -> None:
        self._fleet = fleet
        self._reloader = reloader
        self._conditions = conditions
        self._status = status
        self._code = code
        self._pauses = pauses
        self._started = time.time()

    @property
    def fields(self) -> dict[str, Any]:
        """All of it. Files are looked at: not in the event loop."""
        behind = self._code.look()
        fleet, reloads = self._fleet, self._reloader.record
        return {
            "version": VERSION,
            "docket": self._reloader.configuration.name,
            "owner": fleet.owner,
            "host": fleet.host,
            "pid": os.getpid(),
            "file": os.fspath(fleet.path.absolute()),
            "url": fleet.storage.connection.url,
            "started": self._started,
            "is_up": self._status.is_up,
            "leads": fleet.ticker.is_leading,
            "desired": {"hash": reloads.desired},
            "running": {"hash": self._reloader.loaded.meaning, "revision": reloads.revision},
            "code": {
                "processes": behind.processes,
                "behind": len(behind.pids),
                "pools": list(behind.pools),
                "changed": list(behind.files),
            },
            "conditions": self._conditions.fields,
            "pools": [_pool(pool, behind) for pool in list(fleet.pools.values())],
            "paused_queues": [_pause(pause) for pause in self._pauses.queues],
            "schedules": [
                {"name": name, "next_run": moment.timestamp(), "lag": fleet.ticker.lag.get(name)}
                for name, moment in list(fleet.ticker.next_times.items())
            ],
        }

    def page(self) -> Response:
        """Return the state as a page."""
        return Response(HTTPStatus.OK, json.dumps(self.fields) + "\n", "application/json")


def _pause(pause: QueuePause) -> dict[str, Any]:
    return {
        "name": pause.queue,
        "by": pause.by,
        "file": pause.file,
        "revision": pause.revision,
        "reason": pause.reason,
        "since": pause.since and pause.since.timestamp(),
        "until": pause.until and pause.until.timestamp(),
    }


def _pool(pool: Pool, behind: Behind) -> dict[str, Any]:
    return {
        "name": pool.name,
        "revision": pool.desired.revision,
        "desired": pool.desired.processes,
        "running": len(pool.processes),
        "ready": pool.ready,
        "behind": pool.behind,
        "is_degraded": pool.is_degraded,
        "trouble": pool.trouble,
        "queues": list(pool.desired.orders.queues),
        "exits": dict(pool.exits),
        "processes": [_process(process, behind) for process in list(pool.processes)],
    }


def _process(process: WorkerProcess, behind: Behind) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "state": process.state.value,
        "revision": process.revision,
        "worker": process.consumer,
        "in_flight": process.status.get("in_flight", 0),
        "runs": process.runs,
        "uptime": round(process.age, 3),
        "code": process.code.fingerprint,
        "is_behind": process.pid in behind.pids,
        "rss": resident_bytes(process.pid),
    }

"""Flask under gunicorn, with --preload and four workers; prints what a client of it has found."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from docket import SyncDocket

HERE = Path(os.environ["DIRECTORY"])
SOCKET = HERE / "web.sock"
WORKERS = 4


class Connection(http.client.HTTPConnection):
    """A connection to the socket of gunicorn."""

    def connect(self) -> None:
        """Connect, once it listens."""
        self.sock = socket.socket(socket.AF_UNIX)
        while self.sock.connect_ex(str(SOCKET)):
            time.sleep(0.05)


def get(_: int) -> Any:
    """Ask for the one page that there is."""
    connection = Connection("localhost")
    connection.request("GET", "/")
    return json.loads(connection.getresponse().read())


def main() -> None:
    log = HERE / "gunicorn.log"
    with log.open("w") as sink:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--preload", f"--workers={WORKERS}"),
                *(f"--bind=unix:{SOCKET}", "--timeout=200", "tests.contrib.programs.flask_app:app"),
            ],
            stdout=sink,
            stderr=sink,
        )
    with ThreadPoolExecutor(WORKERS) as threads:
        answers = threads.map(get, range(WORKERS))
        while len(list(HERE.glob("here-*"))) < WORKERS:
            time.sleep(0.05)
        (HERE / "go").touch()
        found = list(answers)
    server.send_signal(signal.SIGTERM)
    code = server.wait()
    with SyncDocket("gunicorn", os.environ["URL"], config=False) as docket:
        total = docket.snapshot().total_tasks
        docket.clear()
    said = log.read_text()
    print(len({one["pid"] for one in found}), "workers")
    print(len({key for one in found for key in one["keys"]}), "keys,", total, "in the docket")
    print("code", code, [line for line in said.splitlines() if "[INFO]" not in line])


if __name__ == "__main__":
    main()

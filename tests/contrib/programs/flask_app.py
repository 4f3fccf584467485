"""A Flask app as gunicorn loads it before it forks: its docket is open, and in use, by then."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flask import Flask

from docket import SyncDocket

HERE = Path(os.environ["DIRECTORY"])

app = Flask(__name__)
docket = SyncDocket("gunicorn", os.environ["URL"], config=False)


def work(number: int) -> None:
    """Never runs: nobody works here."""


docket.add(work, key="loaded")(0)


@app.get("/")
def add() -> dict[str, Any]:
    """Add from threads, once each worker has a request like this."""
    (HERE / f"here-{os.getpid()}").touch()
    while not (HERE / "go").exists():
        time.sleep(0.01)
    with ThreadPoolExecutor(8) as threads:
        keys = [one.key for one in threads.map(docket.add(work), range(40))]
    return {"pid": os.getpid(), "keys": keys}

"""An application with incidents; the tests decide what is broken."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated

from docket import Logged

BROKEN = Path("broken")
"""Names what does not work, in the working directory."""


class CardUnknown(Exception):
    """No card."""


def _is_broken(name: str) -> bool:
    return BROKEN.exists() and name in BROKEN.read_text().split()


async def charge(order: str, customer: Annotated[str, Logged()]) -> str:
    """Fails for customers that are broken."""
    if _is_broken(customer):
        raise CardUnknown(f"order {order} has no card")
    return f"charged {order} to {customer}"


async def resize(picture: str) -> str:
    """Kills its process as long as it is broken."""
    if _is_broken("resize"):
        os.kill(os.getpid(), signal.SIGKILL)
    return picture


async def wait_for_partner(file: str) -> None:
    """Hangs."""
    del file
    await asyncio.Event().wait()


async def greet(name: str) -> str:
    """Works, and is struck."""
    return name


async def report(name: str) -> str:
    """Works."""
    return name


async def tidy() -> str:
    """Needs a disk."""
    if _is_broken("tidy"):
        raise OSError("the disk is not there")
    return "tidy"


tasks = [charge, resize, wait_for_partner, greet, report, tidy]

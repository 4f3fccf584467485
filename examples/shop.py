"""The tasks of a small shop: what ``docket.toml`` at the top of this repository runs."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Annotated

from docket import Logged

logger = logging.getLogger(__name__)


class CarrierUnavailable(Exception):
    """The carrier does not answer right now."""


class UnknownParcel(Exception):
    """There is no such parcel, and there will be none."""


async def send_email(customer: Annotated[str, Logged()], template: Annotated[str, Logged()]) -> str:
    """Greet a customer: the simplest thing that a task can be."""
    await asyncio.sleep(0.01)
    logger.info("Sent %r to %s", template, customer)
    return f"{template} for {customer}"


async def track_parcel(parcel: Annotated[str, Logged()]) -> str:
    """Ask a carrier that is away now and then: a task that is tried again."""
    if not parcel:
        raise UnknownParcel("expected the number of a parcel")
    if random.random() < 0.3:
        raise CarrierUnavailable("the carrier does not answer")
    return "on its way"


def build_report(kind: Annotated[str, Logged()]) -> dict[str, int]:
    """Count for a while: a plain function, which runs in a thread."""
    return {"kind": len(kind), "total": sum(range(100_000))}

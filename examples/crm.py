"""A partner's API that must be handled with care: limits, cooldown and debounce, per customer.

python -m examples.crm
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Annotated

from docket import (
    ConcurrencyLimit,
    Cooldown,
    Debounce,
    Docket,
    ExponentialRetry,
    RateLimit,
    Timeout,
    Worker,
)

calls: Counter[str] = Counter()
under_way: Counter[str] = Counter()
busiest: Counter[str] = Counter()


async def push_contact(
    customer: Annotated[str, ConcurrencyLimit(2)],
    contact: int,
    rate: RateLimit = RateLimit(50, per=timedelta(seconds=1)),
    retry: ExponentialRetry = ExponentialRetry(
        attempts=3, minimum_delay=timedelta(milliseconds=20)
    ),
    timeout: Timeout = Timeout(timedelta(seconds=5)),
) -> None:
    """Send a contact: two at a time for a customer, fifty a second in all, once more if it fails."""
    under_way[customer] += 1
    busiest[customer] = max(busiest[customer], under_way[customer])
    try:
        await asyncio.sleep(0.005)
        if contact == 3 and retry.attempt == 1:
            raise ConnectionError("the partner has hung up")
        calls[customer] += 1
    finally:
        under_way[customer] -= 1


async def refresh_segments(
    customer: Annotated[str, Debounce(timedelta(milliseconds=100), max_wait=timedelta(seconds=1))],
) -> None:
    """Count segments anew, when a customer's contacts have come to rest."""
    calls[f"segments of {customer}"] += 1


async def warn(customer: Annotated[str, Cooldown(timedelta(hours=1))]) -> None:
    """Tell a customer that something is wrong, once an hour at most."""
    calls[f"warnings to {customer}"] += 1


async def main() -> None:
    """Let three customers change twenty contacts at the same time."""
    async with Docket() as docket, Worker(docket, concurrency=20) as worker:
        await docket.add_many(
            call
            for contact in range(20)
            for customer in ("acme", "globex", "initech")
            for call in (
                docket.call(push_contact)(customer, contact),
                docket.call(refresh_segments)(customer),
                docket.call(warn)(customer),
            )
        )
        await worker.run_until_finished()
    for what, count in sorted(calls.items()):
        print(f"{what}: {count}")
    print("at a time:", max(busiest.values()))


if __name__ == "__main__":
    asyncio.run(main())

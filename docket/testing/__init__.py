"""Help for tests of programs that use Docket: assertions, running what is due, and time travel.

Example:
    >>> async with Docket(url="memory://tests") as docket:
    ...     await docket.add(remind, when=in_an_hour)("Jane")
    ...     await assert_task_scheduled(docket, remind, args=("Jane",))
    ...     (ran,) = await advance(docket, timedelta(hours=1))
    ...     assert ran.outcome == "completed"
"""

from __future__ import annotations

from .assertions import (
    assert_no_tasks,
    assert_task_count,
    assert_task_not_scheduled,
    assert_task_scheduled,
)
from .runner import Ran
from .travel import advance, drain, now

__all__ = [
    "Ran",
    "advance",
    "assert_no_tasks",
    "assert_task_count",
    "assert_task_not_scheduled",
    "assert_task_scheduled",
    "drain",
    "now",
]

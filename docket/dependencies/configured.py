"""The declarations of the configuration about a task, as the dependencies that it would declare itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from uncalled_for import Dependency

from ..foundation.policy import TaskPolicy
from .concurrency_limit import ConcurrencyLimit
from .cooldown import Cooldown
from .debounce import Debounce
from .perpetual import Perpetual
from .rate_limit import RateLimit


@lru_cache(maxsize=4096)
def configured(policy: TaskPolicy) -> tuple[Dependency[Any], ...]:
    """Return the dependencies that a policy stands for; each goes before all of its kind in the code.

    Timeout and retry are not among them: they look at the policy of the moment, see the executor.

    Arguments:
        policy: how the task is run.
    """
    return tuple(_configured(policy))


def _configured(policy: TaskPolicy) -> Iterator[Dependency[Any]]:
    if (cooldown := policy.cooldown) is not None:
        yield Cooldown(cooldown.window).for_argument(cooldown.key)
    if (debounce := policy.debounce) is not None:
        gate = Debounce(debounce.settle, max_wait=debounce.max_wait)
        yield gate.for_argument(debounce.key)
    if (rate := policy.rate_limit) is not None:
        yield RateLimit(rate.limit, per=rate.per, drop=rate.drop).for_argument(rate.key)
    if (concurrency := policy.concurrency) is not None:
        yield _concurrency_limit(concurrency.key, concurrency.limit, concurrency.on_conflict)
    if (perpetual := policy.perpetual) is not None:
        yield Perpetual(perpetual.every, perpetual.automatic, counted_from=perpetual.counted_from)


def _concurrency_limit(key: str | None, limit: int, on_conflict: Any) -> ConcurrencyLimit:
    if key is None:
        return ConcurrencyLimit(max_concurrent=limit, on_conflict=on_conflict)
    return ConcurrencyLimit(key, limit, on_conflict=on_conflict)

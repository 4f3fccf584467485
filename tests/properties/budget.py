"""How long the machines look: a little in every run, long with ``DOCKET_PROPERTIES=thorough``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

IS_THOROUGH = os.environ.get("DOCKET_PROPERTIES") == "thorough"

_UNHURRIED = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]


def budget(examples: int, steps: int, thorough: int) -> settings:
    """So many examples of so many steps; ``thorough`` times as many where there is time.

    Arguments:
        examples: in every run.
        steps: of each example.
        thorough: how many times as many examples a long run takes.
    """
    return settings(
        max_examples=examples * (thorough if IS_THOROUGH else 1),
        stateful_step_count=steps * (2 if IS_THOROUGH else 1),
        derandomize=not IS_THOROUGH,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=_UNHURRIED,
    )

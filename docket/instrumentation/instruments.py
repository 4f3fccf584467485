"""Every metric of a docket, by its name.

The instruments count as soon as the application has set a meter provider, and cost next to nothing until
then. Labels are bounded: the docket, the worker and the task; never a key or an argument of a task.
"""

from __future__ import annotations

from opentelemetry import metrics

from .._version import __version__
from .histogram import BOUNDS

_meter = metrics.get_meter("docket", __version__)

TASKS_ADDED = _meter.create_counter(
    "docket_tasks_added", "1", "Calls of add, those of a key that was live already included."
)
TASKS_REPLACED = _meter.create_counter("docket_tasks_replaced", "1", "Calls of replace.")
TASKS_SCHEDULED = _meter.create_counter(
    "docket_tasks_scheduled", "1", "Executions that were scheduled."
)
TASKS_CANCELLED = _meter.create_counter("docket_tasks_cancelled", "1", "Calls of cancel, replaced.")
TASKS_STARTED = _meter.create_counter("docket_tasks_started", "1", "Runs that have begun.")
TASKS_REDELIVERED = _meter.create_counter(
    "docket_tasks_redelivered", "1", "Runs that have begun after a worker was lost under them."
)
TASKS_STRICKEN = _meter.create_counter(
    "docket_tasks_stricken",
    "1",
    "Executions that a strike kept from being scheduled or from running.",
)
TASKS_EXPIRED = _meter.create_counter(
    "docket_tasks_expired", "1", "Executions that have not begun in time."
)
TASKS_SUPERSEDED = _meter.create_counter(
    "docket_tasks_superseded", "1", "Runs whose end was not recorded, because a newer one counts."
)
TASKS_COMPLETED = _meter.create_counter(
    "docket_tasks_completed", "1", "Runs that have ended, however they did."
)
TASKS_FAILED = _meter.create_counter("docket_tasks_failed", "1", "Runs that raised an error.")
TASKS_SUCCEEDED = _meter.create_counter("docket_tasks_succeeded", "1", "Runs that returned.")
TASKS_RETRIED = _meter.create_counter(
    "docket_tasks_retried", "1", "Runs that failed and are tried again."
)
TASKS_PERPETUATED = _meter.create_counter(
    "docket_tasks_perpetuated", "1", "Runs that have scheduled their own next one."
)
TASKS_INTERRUPTED = _meter.create_counter(
    "docket_tasks_interrupted", "1", "Runs that a drain has handed back to the queue."
)
TASKS_PARKED = _meter.create_counter(
    "docket_tasks_parked", "1", "Executions that wait for something that is not here."
)
TASKS_DEAD = _meter.create_counter(
    "docket_tasks_dead", "1", "Executions that crashed their workers or could not be read."
)
TASKS_RUNNING = _meter.create_up_down_counter("docket_tasks_running", "1", "Runs at the moment.")
TASK_DURATION = _meter.create_histogram(
    "docket_task_duration",
    "s",
    "How long runs take.",
    explicit_bucket_boundaries_advisory=BOUNDS,
)
TASK_PUNCTUALITY = _meter.create_histogram(
    "docket_task_punctuality",
    "s",
    "How late runs begin, measured from their due time.",
    explicit_bucket_boundaries_advisory=BOUNDS,
)
QUEUE_DEPTH = _meter.create_gauge("docket_queue_depth", "1", "Executions that are due or running.")
SCHEDULE_DEPTH = _meter.create_gauge(
    "docket_schedule_depth", "1", "Executions that wait for their due time."
)
CACHE_SIZE = _meter.create_gauge("docket_cache_size", "1", "What is remembered about functions.")
REDIS_DISRUPTIONS = _meter.create_counter(
    "docket_redis_disruptions", "1", "Round trips that were lost because the server was away."
)
RESULTS_EVICTED = _meter.create_counter(
    "docket_results_evicted", "1", "Results that were taken away because they took too much memory."
)
STRIKES_IN_EFFECT = _meter.create_up_down_counter(
    "docket_strikes_in_effect", "1", "Strikes that this process follows."
)

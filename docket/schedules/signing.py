"""What is signed of a schedule."""

from __future__ import annotations

from ..serialization import Serializer, place_of_call
from .desired import DesiredSchedule


def call_of(serializer: Serializer, schedule: DesiredSchedule, key: str) -> bytes:
    """The arguments of one run of a schedule, as they are stored.

    Arguments:
        serializer: how arguments become bytes.
        schedule: the schedule.
        key: what the run is known by.

    Raises:
        PayloadTooLarge, NotSerializable: they can not be stored.
    """
    place = place_of_call(schedule.task, key)
    return serializer.dump_call(schedule.args, dict(schedule.kwargs), context=place)

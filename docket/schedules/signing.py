"""Signatures of schedules: each covers the definition or one of the calls."""

from __future__ import annotations

from ..errors import NotTrusted
from ..foundation.plain import plain
from ..serialization import Serializer, Trust, place_of_call
from .desired import DesiredSchedule


def call_of(serializer: Serializer, schedule: DesiredSchedule, key: str) -> bytes:
    """Return the arguments of one run of a schedule, as they are stored.

    Arguments:
        serializer: how arguments become bytes.
        schedule: the schedule.
        key: what the run is known by.

    Raises:
        PayloadTooLarge, NotSerializable: they cannot be stored.
    """
    place = place_of_call(schedule.task, key)
    kwargs = dict(schedule.kwargs)
    return serializer.dump_call(schedule.args, kwargs, context=place, written=True)


def seal_of(serializer: Serializer, owner: str, schedule: DesiredSchedule) -> str:
    """Return the signature of a definition; empty if there are no keys."""
    return serializer.sign(schedule.definition, _place(owner, schedule.name))


def check_seal(serializer: Serializer, owner: str, name: str, definition: str, seal: str) -> None:
    """Check that a definition is what its owner has declared.

    Arguments:
        serializer: knows the keys.
        owner, name: whose schedule it is, and which.
        definition, seal: as Redis holds them.

    Raises:
        NotTrusted: it is not signed by a key that is known here.
    """
    found = serializer.trust(definition, seal, _place(owner, name))
    if found is not Trust.GOOD:
        advice = {
            Trust.FOREIGN: "use a configuration with the owner's security.signing_keys",
            Trust.UNSIGNED: "let its owner's supervisor commit its file again",
            Trust.FORGED: "find who writes to this Redis, and let its owner commit its file again",
        }[found]
        raise NotTrusted(
            f"expected the definition of schedule {plain(owner)}/{plain(name)} as {plain(owner)} has signed "
            f"it, found one that cannot be trusted: {found.value}; {advice}"
        )


def _place(owner: str, name: str) -> tuple[str, str, str]:
    return "schedule", owner, name

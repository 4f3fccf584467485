"""The options of one call: its queue, its priority, its limits of time, and the tags to find it by."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from typing_extensions import TypedDict

from ..errors import InvalidOption
from .names import check_name, trouble_with
from .units import MILLISECOND, from_milliseconds, milliseconds, to_milliseconds

Priority: TypeAlias = Literal["high", "normal", "low"]
"""The place of an execution among the others of its queue."""

MOST_TAGS: Final = 16
LONGEST_TAG: Final = 64
"""Bytes of a tag."""


class Options(TypedDict, total=False):
    """The options of a call, as ``Docket.add`` takes them by name; each may be left out, or be None."""

    queue: str | None
    """The queue that it goes to, in place of its task's."""
    priority: Priority | None
    """Its place among the others of its queue, in place of its task's."""
    expires: datetime | timedelta | None
    """The moment by which it must have begun, or how long after its due time that is."""
    timeout: timedelta | None
    """The time that one attempt may take, in place of its task's."""
    tags: Sequence[str]
    """Short texts to find it by."""
    once: timedelta | bool | None
    """The time after its end for which its key stays taken; True is as long as its record is kept."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The options of one call, checked; they stand in the record of its execution.

    Arguments:
        queue: the queue that it goes to; None is that of its task.
        priority: its place among the others of its queue; None is that of its task.
        expires: the moment by which it must have begun, or how long after its due time that is.
        timeout: the time that one attempt may take; None is that of its task.
        tags: short texts to find it by.
        once: the time after its end for which its key stays taken; True is as long as its record is kept.
    """

    queue: str | None = None
    priority: Priority | None = None
    expires: datetime | timedelta | None = None
    timeout: timedelta | None = None
    tags: tuple[str, ...] = ()
    once: timedelta | bool = False

    @classmethod
    def of(cls, options: Options) -> CallOptions:
        """Check the options of a call.

        Raises:
            TypeError: there is no such option.
            InvalidOption, InvalidName: one of them cannot be.
        """
        if not options:
            return NO_OPTIONS
        if unknown := options.keys() - cls.__dataclass_fields__.keys():
            known = ", ".join(cls.__dataclass_fields__)
            raise TypeError(
                f"expected options of a call ({known}), found {', '.join(sorted(unknown))}"
            )
        return cls(
            _checked_queue(options.get("queue")),
            _checked_priority(options.get("priority")),
            _checked_expires(options.get("expires")),
            _checked_duration("timeout", options.get("timeout")),
            _checked_tags(options.get("tags") or ()),
            _checked_once(options.get("once")),
        )

    @classmethod
    def read(cls, text: str) -> CallOptions:
        """Return the options that a record holds; none where somebody has written something else."""
        return _read(text) if text else NO_OPTIONS

    @property
    def text(self) -> str:
        """The options as a record holds them: JSON, empty if there are none."""
        return "" if self == NO_OPTIONS else _written(self)

    @property
    def lane(self) -> str:
        """The queue as ``schedule.lua`` takes it: empty is that of the task, ``/high`` that at a priority."""
        if self.queue is None:
            return f"/{self.priority}" if self.priority else ""
        return lane(self.queue, self.priority or "normal")


def lane(queue: str, priority: Priority) -> str:
    """Return the name under which executions of a priority wait in a queue."""
    return queue if priority == "normal" else f"{queue}/{priority}"


def without_priority(queue: str) -> str:
    """Return the queue of which this is a priority, or the queue itself."""
    base, _, priority = queue.rpartition("/")
    return base if base and priority in ("high", "low") else queue


def with_priorities(queues: Sequence[str], used: Container[str]) -> tuple[str, ...]:
    """Return queues with those of their priorities that calls have named, best first.

    Arguments:
        queues: the queues to serve.
        used: the names under which executions ever waited.
    """
    priorities: tuple[Priority, ...] = get_args(Priority)
    names = (lane(queue, priority) for queue in queues for priority in priorities)
    return tuple(dict.fromkeys(name for name in names if name in queues or name in used))


NO_OPTIONS: Final = CallOptions()


def _checked_queue(queue: object) -> str | None:
    if queue is None:
        return None
    if not isinstance(queue, str):
        raise InvalidOption(f"expected the name of a queue, found {queue!r}")
    return check_name("queue", queue)


def _checked_priority(priority: object) -> Priority | None:
    if priority is not None and priority not in get_args(Priority):
        raise InvalidOption(f'expected the priority "high", "normal" or "low", found {priority!r}')
    return cast("Priority | None", priority)


def _checked_expires(expires: object) -> datetime | timedelta | None:
    if not isinstance(expires, datetime):
        return _checked_duration(
            "expires", expires, "an aware datetime, or a timedelta of 1 ms or more"
        )
    if expires.tzinfo is None:
        raise InvalidOption(
            f"expected an aware datetime as expires, found {expires!r}; add a time zone, or give a timedelta"
        )
    return expires


def _checked_duration(
    name: str, duration: object, expected: str = "a timedelta of 1 ms or more"
) -> timedelta | None:
    if duration is None:
        return None
    if not isinstance(duration, timedelta) or duration < MILLISECOND:
        raise InvalidOption(f"expected {expected} as {name}, found {duration!r}")
    return duration


def _checked_tags(tags: object) -> tuple[str, ...]:
    if isinstance(tags, str) or not isinstance(tags, Sequence):
        raise InvalidOption(f"expected a list of tags, found {tags!r}")
    found = tuple(dict.fromkeys(cast("Sequence[object]", tags)))
    for tag in found:
        if not isinstance(tag, str) or trouble_with(tag) or len(tag.encode()) > LONGEST_TAG:
            raise InvalidOption(
                f"expected printable tags of at most {LONGEST_TAG} bytes, without a space at their ends, "
                f"found {str(tag)[:80]!r}"
            )
    if len(found) > MOST_TAGS:
        raise InvalidOption(f"expected at most {MOST_TAGS} tags, found {len(found)}")
    return cast("tuple[str, ...]", found)


def _checked_once(once: object) -> timedelta | bool:
    if once is None or isinstance(once, bool):
        return bool(once)
    return _checked_duration("once", once, "True, or a timedelta of 1 ms or more") or False


def _written(options: CallOptions) -> str:
    said: dict[str, object] = {}
    if isinstance(options.expires, timedelta):
        said["within"] = milliseconds(options.expires)
    elif options.expires is not None:
        said["expires"] = max(1, to_milliseconds(options.expires))
    if options.timeout is not None:
        said["timeout"] = milliseconds(options.timeout)
    if options.once:
        said["once"] = True if options.once is True else milliseconds(options.once)
    said |= {"queue": options.queue} if options.queue is not None else {}
    said |= {"priority": options.priority} if options.priority is not None else {}
    said |= {"tags": options.tags} if options.tags else {}
    # The scripts look for numbers in it by their names.
    return json.dumps(said, separators=(",", ":"))


@lru_cache(maxsize=256)
def _read(text: str) -> CallOptions:
    try:
        said = json.loads(text)
        return CallOptions(
            said.get("queue"),
            said.get("priority"),
            _expiry(said),
            _duration(said.get("timeout")),
            tuple(map(str, said.get("tags", ()))),
            said.get("once") is True or _duration(said.get("once")) or False,
        )
    except (ValueError, TypeError, AttributeError, OverflowError):
        return NO_OPTIONS


def _expiry(said: Mapping[str, Any]) -> datetime | timedelta | None:
    if (at := said.get("expires")) is not None:
        return from_milliseconds(at)
    return _duration(said.get("within"))


def _duration(milliseconds: float | None) -> timedelta | None:
    return None if milliseconds is None else timedelta(milliseconds=milliseconds)

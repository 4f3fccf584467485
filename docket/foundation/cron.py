"""Cron expressions: croniter walks the wall clock, our rule for clock changes places each tick in time.

A tick is a time on the wall clock. Where clocks go forward it may not exist (``gap``), where they go back
it exists twice (``overlap``). What is due at fixed hours is due once a day all the same; what is due at
every hour, or at every so many hours, follows the time that really passes.
"""

from __future__ import annotations

import copy
import difflib
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from ..errors import CronError, UnknownZone

if TYPE_CHECKING:
    from croniter import croniter

Gap: TypeAlias = Literal["shift", "skip"]
"""A tick that the clocks jump over: at the first moment after the gap, or not at all."""

Overlap: TypeAlias = Literal["first", "both"]
"""A tick that the clocks show twice: at the first of its two moments, or at both."""

ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

FIELDS: Final = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day of month": "1-31, L (the last), LW (the last weekday), 15W (the weekday nearest to the 15th)",
    "month": "1-12 or JAN-DEC",
    "day of week": "0-7 or SUN-SAT, 5L (the last Friday), 1#2 (the second Monday)",
}
"""The fields in their order, and what may stand in them besides ``*``, lists, ranges, steps and ``H``."""

_SECOND: Final = timedelta(seconds=1)
MOST_DAYS: Final = 1_000
"""Maximum number of candidates for the last weekday of a month; six a month suffice."""

_SAMPLE: Final = datetime(2000, 1, 1)
_HASHED_DAY: Final = re.compile(r"H(/\d+)?")
_RANDOM: Final = re.compile(r"R(\(.*\))?(/\d+)?")
_RANGE: Final = re.compile(r"(\w+)-(\w+)(?:/(\d+))?")
_STEP: Final = re.compile(r".*/(\d+)")
_LAST_OF_WEEKDAY: Final = re.compile(r"(\w+)L")
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_BOUNDS: Final = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "day of month": (1, 31),
    "month": (1, 12),
    "day of week": (0, 6),
}
"""The first and the last value of each field."""

_UNITS: Final = {"second": "s", "minute": "m", "hour": "h", "day of month": "d"}
"""Units of the steps of fields as durations."""

_FOREIGN: Final = {
    r"(CRON_)?TZ=\S*.*": 'a time zone stands beside it: timezone = "Europe/Paris"',
    r"@reboot\b.*": "nothing boots here: what begins with the workers is a task with "
    'perpetual = { every = "5m", automatic = true }',
    r"@every\b.*": 'write every = "90m" in the place of cron',
}
"""Syntax of other programs, and its equivalent here."""

_SPECIAL: Final = re.compile(r".*[LW#].*|H.*")


class CronExpression:
    """Repeated due times, as cron writes them.

    Arguments:
        text: five fields, or six with seconds first, or one of ``@yearly @annually @monthly @weekly
            @daily @midnight @hourly``. ``H``, ``H(1-4)`` and ``H/15`` stand for numbers that the seed
            decides. As in cron, a day is due if either of the two day fields says so, and if both do where
            one of them begins with ``*``.
        timezone: the zone of the wall clock.
        gap: the treatment of ticks that the clocks jump over. Left out, it is ``shift`` for fixed hours,
            and ``skip`` where the hour is a wildcard or has steps.
        overlap: the treatment of ticks that the clocks show twice. Left out, it is ``first`` for fixed
            hours, and ``both`` where the hour is a wildcard or has steps.
        seed: the seed from which ``H`` is computed; the same seed gives the same numbers, everywhere and
            always.

    Raises:
        CronError: the expression is malformed, or never due.

    Example:
        >>> nightly = CronExpression("30 2 * * *", exact_zone("Europe/Paris"))
        >>> nightly.next_after(datetime(2026, 3, 28, 12, tzinfo=timezone.utc)).isoformat()
        '2026-03-29T01:00:00+00:00'
    """

    def __init__(
        self,
        text: str,
        timezone: tzinfo = timezone.utc,
        gap: Gap | None = None,
        overlap: Overlap | None = None,
        seed: str | None = None,
    ) -> None:
        follows_elapsed_time, walks = _read(text, seed if "H" in text.upper() else None)
        self.text = text
        self.timezone = timezone
        self.gap: Gap = gap or ("skip" if follows_elapsed_time else "shift")
        self.overlap: Overlap = overlap or ("both" if follows_elapsed_time else "first")
        self._clock = _WallClock(timezone)
        self._walks = walks

    def __repr__(self) -> str:
        return f"CronExpression({self.text!r}, {self.timezone!s}, gap={self.gap}, overlap={self.overlap})"

    def next_after(self, moment: datetime) -> datetime:
        """Return the first due time after a moment, in UTC.

        Raises:
            ValueError: the moment is naive.
        """
        if moment.tzinfo is None:
            raise ValueError(
                f"expected an aware datetime, found {moment!r}; add a time zone, such as timezone.utc"
            )
        moment = moment.astimezone(timezone.utc)
        first = self._first_showing_after(moment)
        second = self._second_showing_after(moment) if self.overlap == "both" else None
        return first if second is None else min(first, second)

    def upcoming(self, moment: datetime, count: int) -> list[datetime]:
        """Return the next due times after a moment, in UTC.

        Arguments:
            moment: an aware datetime.
            count: how many.
        """
        found: list[datetime] = []
        for _ in range(count):
            moment = self.next_after(moment)
            found.append(moment)
        return found

    def explain(self, after: datetime, due: datetime) -> str:
        """Explain the effect of a clock change on a due time; return an empty string on most days.

        Arguments:
            after: the previous due time, or the moment from which on it is counted.
            due: the due time.

        Example:
            >>> nightly = CronExpression("30 2 * * *", exact_zone("Europe/Paris"))
            >>> before = datetime(2026, 3, 28, 12, tzinfo=timezone.utc)
            >>> nightly.explain(before, nightly.next_after(before))
            'the clocks jump from 02:00 to 03:00: 02:30 is made up for at once'
        """
        wall, shown = self._clock.wall(after), self._clock.wall(due)
        overlap = self._clock.overlap(shown)
        if overlap is not None:
            which = "first" if due < overlap.change else "second"
            only = ", and only this one counts" if self.overlap == "first" else ""
            return f"the clocks show {shown:%H:%M} twice: this is the {which} time{only}"
        while (wall := self._tick_after(wall)) < shown:
            if gap := self._clock.gap(wall):
                fate = "is made up for at once" if gap.change == due else "is left out"
                jump = f"the clocks jump from {gap.start:%H:%M} to {gap.end:%H:%M}"
                return f"{jump}: {wall:%H:%M} {fate}"
        return ""

    def _first_showing_after(self, moment: datetime) -> datetime:
        """Return the next tick, taken at the first moment that the clocks show it."""
        wall = self._clock.wall(moment)
        if overlap := self._clock.overlap(wall):
            # Of the ticks within, the first showing is over once the second has begun.
            wall = wall if moment < overlap.change else overlap.end - _SECOND
        while True:
            wall = self._tick_after(wall)
            gap = self._clock.gap(wall)
            if gap is None:
                return self._clock.moment(wall)
            if self.gap == "shift":
                return gap.change
            wall = gap.end - _SECOND

    def _second_showing_after(self, moment: datetime) -> datetime | None:
        """Return the next tick that the clocks show again, if they are showing an hour again or are about to.

        Only from within an overlap can a second showing be next: from before it, the first one is.
        """
        wall = self._clock.wall(moment)
        overlap = self._clock.overlap(wall)
        if overlap is None:
            return None
        wall = self._tick_after(overlap.start - _SECOND if moment < overlap.change else wall)
        return self._clock.second_moment(wall) if wall < overlap.end else None

    def _tick_after(self, wall: datetime) -> datetime:
        return min(walk.tick_after(wall) for walk in self._walks)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the exact names of all time zones, the same on every host."""
    return frozenset(zoneinfo.available_timezones() - {"localtime"})


def exact_zone(name: str) -> ZoneInfo:
    """Return the time zone of this exact name.

    Raises:
        UnknownZone: there is none; the message suggests a name that is close.

    Example:
        >>> exact_zone("Europe/Paris")
        zoneinfo.ZoneInfo(key='Europe/Paris')
    """
    if name in zone_names():
        return ZoneInfo(name)
    lowered = {known.lower(): known for known in zone_names()}
    close = difflib.get_close_matches(name.lower(), sorted(lowered), n=1)
    advice = f"did you mean {lowered[close[0]]!r}?" if close else "see the IANA time zone database"
    raise UnknownZone(
        f'expected the exact name of a time zone such as "Europe/Paris" or "UTC", found {name!r}; {advice}'
    )


@dataclass(frozen=True)
class _Change:
    """A jump of the wall clock: the times of day from start to end are shown twice, or never."""

    change: datetime
    """Moment of the jump, in UTC."""
    start: datetime
    end: datetime


@dataclass(frozen=True)
class _WallClock:
    """The wall clock of a zone; its times are naive, moments are in UTC."""

    zone: tzinfo

    def wall(self, moment: datetime) -> datetime:
        """Return the time that the clock shows at a moment, in whole seconds."""
        return moment.astimezone(self.zone).replace(tzinfo=None, fold=0, microsecond=0)

    def moment(self, wall: datetime) -> datetime:
        """Return the moment at which the clock first shows a time."""
        return wall.replace(tzinfo=self.zone).astimezone(timezone.utc)

    def second_moment(self, wall: datetime) -> datetime:
        """Return the moment at which the clock last shows a time."""
        return wall.replace(tzinfo=self.zone, fold=1).astimezone(timezone.utc)

    def gap(self, wall: datetime) -> _Change | None:
        """Return the gap that a time falls into, if it does."""
        before, after = self._offsets(wall)
        return self._change(wall, before, after) if before < after else None

    def overlap(self, wall: datetime) -> _Change | None:
        """Return the overlap that a time falls into, if it does."""
        before, after = self._offsets(wall)
        return self._change(wall, before, after) if before > after else None

    def _offsets(self, wall: datetime) -> tuple[timedelta, timedelta]:
        return self._offset(wall.replace(fold=0)), self._offset(wall.replace(fold=1))

    def _offset(self, wall: datetime) -> timedelta:
        return wall.replace(tzinfo=self.zone).utcoffset() or timedelta()

    def _change(self, wall: datetime, before: timedelta, after: timedelta) -> _Change:
        """Return the one change of offset between the two readings of a wall time, found by bisection."""
        earlier = (wall - max(before, after)).replace(tzinfo=timezone.utc)
        seconds = abs(int((after - before) / _SECOND))
        low, high = 0, seconds
        while high - low > 1:
            middle = (low + high) // 2
            is_before = (earlier + middle * _SECOND).astimezone(self.zone).utcoffset() == before
            low, high = (middle, high) if is_before else (low, middle)
        change = earlier + high * _SECOND
        naive = change.replace(tzinfo=None)
        return _Change(change, naive + min(before, after), naive + max(before, after))


@dataclass(frozen=True)
class _Walk:
    """One way in which an expression can be due: it is when any of its walks is."""

    croniter: croniter
    is_last_weekday: bool

    def tick_after(self, wall: datetime) -> datetime:
        """Return the next tick on the wall clock, as if it never jumped.

        Raises:
            LookupError: there is none.
        """
        from croniter import CroniterBadDateError  # noqa: PLC0415

        # A copy keeps threads apart: croniter remembers where it stands.
        walker = copy.copy(self.croniter)
        for _ in range(MOST_DAYS):
            try:
                tick: datetime = walker.get_next(datetime, start_time=wall)
            except CroniterBadDateError:
                break
            if not self.is_last_weekday or _is_last_weekday(tick):
                return tick
            wall = tick.replace(hour=23, minute=59, second=59)
        raise LookupError("it is never due")


def _is_last_weekday(day: datetime) -> bool:
    """Return True if no later day of the month is one from Monday to Friday."""
    later = (day + timedelta(days=ahead) for ahead in range(1, 7))
    is_weekday = day.weekday() < 5
    return is_weekday and not any(
        other.month == day.month and other.weekday() < 5 for other in later
    )


@dataclass(frozen=True)
class _Field:
    """One field of an expression, and where it stands."""

    name: str
    text: str
    position: int

    @property
    def is_wild(self) -> bool:
        return self.text.startswith(("*", "?"))

    def items(self) -> Iterator[tuple[str, int]]:
        """Yield its items and their positions."""
        position = self.position
        for item in self.text.split(","):
            yield item, position
            position += len(item) + 1


@lru_cache(maxsize=4096)
def _read(text: str, seed: str | None) -> tuple[bool, tuple[_Walk, ...]]:
    """Return whether an expression follows the time that really passes, and all ways to be due.

    A file of many schedules is read again with each edit, and most of them are as they were.
    """
    fields = _parse(text, seed)
    return _follows_elapsed_time(fields), tuple(_walks(text, fields, seed))


def _parse(text: str, seed: str | None) -> dict[str, _Field]:
    """Return the fields of an expression by name, each of them right in itself."""
    for foreign, advice in _FOREIGN.items():
        if re.fullmatch(foreign, text.strip(), re.IGNORECASE | re.DOTALL):
            raise _error(text, 0, advice)
    if text.strip().startswith("@"):
        return _parse(_unalias(text), seed)
    found = [(match.group().upper(), match.start()) for match in re.finditer(r"\S+", text)]
    names = [*FIELDS] if len(found) == len(FIELDS) else [*FIELDS][1:]
    if len(found) != len(names):
        raise _error(text, 0, f"expected 5 fields, or 6 with seconds first, not {len(found)}")
    fields = {
        name: _Field(name, field, position)
        for name, (field, position) in zip(names, found, strict=True)
    }
    for field in fields.values():
        _check(text, field, seed)
    return fields


def _unalias(text: str) -> str:
    alias = text.strip()
    if alias.lower() not in ALIASES:
        raise _error(text, 0, f"it is none of {', '.join(ALIASES)}")
    return ALIASES[alias.lower()]


def _check(text: str, field: _Field, seed: str | None) -> None:
    for item, position in field.items():
        if objection := _objection(field, item, seed):
            raise _error(text, position, f"{item!r} {objection}")


def _objection(field: _Field, item: str, seed: str | None) -> str | None:
    if _RANDOM.fullmatch(item):
        return "differs from process to process; use H, which stays the same"
    if item.startswith(("H", "?")) and item != field.text:
        return "stands alone in its field, not in a list"
    if item.startswith("H") and seed is None:
        return "needs a seed to be computed from"
    if (step := _STEP.fullmatch(item)) and int(step[1]) > _span(field.name):
        unit = _UNITS.get(field.name)
        remedy = f'; write every = "{int(step[1])}{unit}" in the place of cron' if unit else ""
        return f"has a step that leads beyond every {field.name}{remedy}"
    if not item or not _is_known_to_croniter(field.name, item, seed if "H" in item else None):
        return f"is no {field.name}: {FIELDS[field.name]}"
    return None


@lru_cache(maxsize=1024)
def _is_known_to_croniter(name: str, item: str, seed: str | None) -> bool:
    from croniter import CroniterError, croniter  # noqa: PLC0415

    fields = {**dict.fromkeys(FIELDS, "*"), name: _spelled(name, item)}
    try:
        croniter.expand(" ".join(fields.values()), hash_id=_hash_id(seed), second_at_beginning=True)
    except CroniterError:
        return False
    return True


def _hash_id(seed: str | None) -> bytes | None:
    return None if seed is None else seed.encode()


def _error(text: str, position: int, reason: str) -> CronError:
    return CronError(
        f"expected a cron expression, found {text!r}; at character {position + 1}: {reason}",
        position,
        reason,
    )


def _follows_elapsed_time(fields: dict[str, _Field]) -> bool:
    hour = fields["hour"].text
    return "*" in hour or "/" in hour


def _walks(text: str, fields: dict[str, _Field], seed: str | None) -> Iterator[_Walk]:
    """Yield all ways in which an expression can be due, each of which must be possible."""
    spelled = {name: _spelled_list(field) for name, field in fields.items()}
    for day, weekday in _days(fields["day of month"], fields["day of week"]):
        walk = _walk({**spelled, "day of month": day, "day of week": weekday}, seed)
        try:
            # Any weekday comes each month; only its fifth one, and the day of a month, may never.
            if day != "*" or "#" in weekday:
                walk.tick_after(_SAMPLE)
        except LookupError:
            reason = "such a day never comes"
            raise _error(text, fields["day of month"].position, reason) from None
        yield walk


def _days(day: _Field, weekday: _Field) -> list[tuple[str, str]]:
    """Return the combinations of the two day fields: both hold if one is wild, else either."""
    days, weekdays = _alternatives(day), _alternatives(weekday)
    if day.is_wild or weekday.is_wild:
        return [(one, other) for one in days for other in weekdays]
    return [*((one, "*") for one in days), *(("*", other) for other in weekdays)]


def _alternatives(field: _Field) -> list[str]:
    """Return the items of a field, apart where croniter does not take them in one list."""
    items = [item for item, _ in field.items()]
    special = [item for item in items if _SPECIAL.fullmatch(item)]
    plain = [_spelled(field.name, item) for item in items if item not in special]
    return [*special, ",".join(plain)] if plain else special


def _walk(texts: dict[str, str], seed: str | None) -> _Walk:
    from croniter import croniter  # noqa: PLC0415

    is_last_weekday = texts["day of month"] == "LW"
    expression = " ".join(_spelled(name, text) for name, text in texts.items())
    return _Walk(
        croniter(
            expression, _SAMPLE, day_or=False, hash_id=_hash_id(seed), second_at_beginning=True
        ),
        is_last_weekday,
    )


def _spelled_list(field: _Field) -> str:
    return ",".join(_spelled(field.name, item) for item, _ in field.items())


def _spelled(name: str, item: str) -> str:
    """Return an item as croniter writes it."""
    if (given := _RANGE.fullmatch(item)) and (values := _values(name, *given.groups())):
        # To croniter 05-5 is the whole range, and a step begins anew where a range goes around the end.
        return ",".join(map(str, values))
    if name == "day of month":
        if item == "LW":
            return "26-31"
        # Croniter's H can be the 31st, which most months do not have.
        return _HASHED_DAY.sub(r"H(1-28)\1", item) if _HASHED_DAY.fullmatch(item) else item
    if name == "day of week" and (last := _LAST_OF_WEEKDAY.fullmatch(item)):
        weekday = last[1]
        return f"L{_WEEKDAYS.index(weekday) if weekday in _WEEKDAYS else weekday}"
    return item


def _values(name: str, first: str, last: str, step: str | None) -> list[int]:
    """Return the values of a range, which may go around the end; None if it has not only plain values."""
    start, end = _value(name, first), _value(name, last)
    if start is None or end is None or not int(step or 1):
        return []
    low, span = _BOUNDS[name][0], _span(name)
    if start > end:
        end += span
    values = range(start, end + 1, int(step or 1))
    return list(dict.fromkeys((value - low) % span + low for value in values))


def _value(name: str, text: str) -> int | None:
    """Return the number that a value of a field stands for; None if there is none, or it is out of range."""
    names = {"month": _MONTHS, "day of week": _WEEKDAYS}.get(name, ())
    low, high = _BOUNDS[name]
    if text in names:
        return names.index(text) + low
    # Sunday is 0, and 7 as well.
    most = high + (name == "day of week")
    return int(text) if text.isdecimal() and low <= int(text) <= most else None


def _span(name: str) -> int:
    low, high = _BOUNDS[name]
    return high - low + 1

"""The rules that strike out executions: one field per rule, and a version that every change makes anew."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ..connection.base import Connection
from ..foundation.units import from_time
from .keys import Keys
from .parked import Released, released_of
from .scripting.nonces import new_nonce
from .scripting.replies import pairs
from .scripting.retrying import read_patiently, run_patiently, value_of
from .scripting.script import Script, time_query

_STRIKE = Script("strike", ("direction", "field", "rule", "action", "ends", "lasts", "version"))
_ACQUIT = Script("acquit")
_VERSION = b"version"


class StrikeChange(NamedTuple):
    """The outcome of a change; times are Unix times in ms."""

    version: str
    """The version of the rules now; it was made for this change."""
    before: str
    """Their version before."""
    over: int
    """Number of rules that were removed because their time was over."""
    since: int
    ends: int
    """The end of the rule; 0 is never."""


class StoredRule(NamedTuple):
    """One rule as it is stored; times are Unix times in ms."""

    action: str
    ends: int
    """0 is never."""
    since: int
    rule: bytes
    """The rule in the words of its readers."""


class StoredRules(NamedTuple):
    """All rules at one moment."""

    now: int
    """The server's time in ms."""
    version: str
    """Empty if there never were any."""
    rules: dict[str, StoredRule]
    """By identity."""


class StrikeRules:
    """Access to ``P:strikes``. The meaning of a rule is unknown here."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def change(
        self,
        direction: Literal["strike", "restore", "expire"],
        field: str = "",
        rule: bytes = b"",
        *,
        action: str = "drop",
        ends: int = 0,
        lasts: int = 0,
    ) -> StrikeChange:
        """Add or remove one rule, and remove those that are over.

        Arguments:
            direction: strike adds, restore removes, expire does neither.
            field: the identity of the rule; ``task:<name>`` strikes every execution of a task, which
                the scripts check themselves.
            rule: the rule in the words of its readers.
            action: drop, park or delay.
            ends: when the rule is over, in ms; 0 is never.
            lasts: ms for which it lasts, in place of ``ends``.
        """
        version = new_nonce()
        call = _STRIKE.call(self._keys, direction, field, rule, action, ends, lasts, version)
        (reply,) = await run_patiently(self._connection, call)
        before, *numbers = value_of(reply)
        return StrikeChange(version, before.decode(), *map(int, numbers))

    async def read(self) -> StoredRules:
        """Return the rules as they stand."""
        time, reply = await read_patiently(
            self._connection,
            time_query(self._connection, self._keys),
            ("HGETALL", self._keys.strikes),
        )
        fields = pairs(value_of(reply))
        version = fields.pop(_VERSION, b"").decode(errors="replace")
        rules = {
            field.decode(errors="replace"): stored_rule(text) for field, text in fields.items()
        }
        return StoredRules(from_time(value_of(time)), version, rules)

    async def version(self) -> str:
        """Return the version of the rules; empty if there never were any."""
        (reply,) = await read_patiently(self._connection, ("HGET", self._keys.strikes, _VERSION))
        return (value_of(reply) or b"").decode(errors="replace")

    async def acquit(self) -> Released:
        """Put back what was parked by rules that are no longer active."""
        done, is_more = Released([], []), True
        while is_more:
            (reply,) = await run_patiently(self._connection, _ACQUIT.call(self._keys))
            is_more, slice_ = released_of(value_of(reply))
            done.released.extend(slice_.released)
            done.unreadable.extend(slice_.unreadable)
        return done


def stored_rule(text: bytes) -> StoredRule:
    """Return the rule that a field of ``P:strikes`` holds."""
    head, _, rule = text.partition(b"\n")
    match head.split(b" "):
        case [action, ends, since] if ends.isdigit() and since.isdigit():
            return StoredRule(action.decode(errors="replace"), int(ends), int(since), rule)
        case _:
            # None of ours: the reader of the rule will say so.
            return StoredRule("drop", 0, 0, b"")

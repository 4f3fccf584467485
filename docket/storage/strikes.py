"""The rules that strike out executions: one field per rule, and a version that counts changes."""

from __future__ import annotations

from typing import Literal

from ..connection.base import Connection
from .keys import Keys
from .patience import read_patiently, run_patiently, value_of
from .replies import pairs
from .script import Script

_STRIKE = Script("strike", ("direction", "field", "rule"))
_VERSION = b"version"


class StrikeRules:
    """Reads and writes ``P:strikes``. What a rule means is not known here."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def change(
        self, direction: Literal["strike", "restore"], field: str, rule: bytes = b""
    ) -> int:
        """Add or remove one rule; tells the new version.

        Arguments:
            direction: strike adds, restore removes.
            field: the identity of the rule; ``task:<name>`` strikes every execution of a task, which
                the scripts check themselves.
            rule: the rule in the words of its readers.
        """
        call = _STRIKE.call(self._keys, direction, field, rule)
        (reply,) = await run_patiently(self._connection, call)
        return int(value_of(reply))

    async def read(self) -> tuple[int, dict[str, bytes]]:
        """The version, and all rules by identity."""
        (reply,) = await read_patiently(self._connection, ("HGETALL", self._keys.strikes))
        fields = pairs(value_of(reply))
        version = int(fields.pop(_VERSION, 0))
        return version, {field.decode(): rule for field, rule in fields.items()}

    async def version(self) -> int:
        """The version of the rules."""
        (reply,) = await read_patiently(self._connection, ("HGET", self._keys.strikes, _VERSION))
        return int(value_of(reply) or 0)

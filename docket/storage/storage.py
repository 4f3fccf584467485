"""Everything that one docket keeps in Redis, behind one door."""

from __future__ import annotations

from ..connection.base import Connection
from ..connection.traced import Traced
from ..errors import ForeignData
from .answers import Answers
from .audit import AuditLimits, AuditStream
from .checks import Checks
from .claims import Claims, Consumer
from .clock import Clock
from .configurations import Configurations
from .dead import DeadLetters
from .deeds import Deeds
from .events import EventStreams
from .executions import Executions
from .glances import Glances
from .history import History, HistoryLimits
from .keys import Keys
from .limits import Limits
from .progress import Progresses
from .queues import Queues
from .schedules import Schedules
from .scripting.retrying import value_of
from .scripting.script import Script, run
from .series import Series
from .situations.execution import Situations
from .situations.schedule import ScheduleSituations
from .stored import ResultLimits, StoredResults
from .strikes import StrikeRules
from .subscriptions import Subscriptions
from .workers import Workers

_OPEN = Script("open")


class Storage:
    """The keys of one docket, by what they are about.

    Arguments:
        connection: how the server is reached; opened and closed with the storage.
        name: the docket; on a cluster it pins all its keys to one slot.
        history: how much is remembered of what has ended.
        results: how much memory results may take.
        audit: how much is kept of what operators have done.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        history: HistoryLimits | None = None,
        results: ResultLimits | None = None,
        audit: AuditLimits | None = None,
    ) -> None:
        self.connection = connection
        self.name = name
        limits = HistoryLimits() if history is None else history
        result_limits = ResultLimits() if results is None else results
        self.keys = Keys(connection.prefix(name), limits.words, result_limits.words)
        self.history = History(connection, self.keys, limits)
        self.answers = Answers(connection, self.keys)
        self.audit = AuditStream(connection, self.keys, audit)
        self.checks = Checks(connection, self.keys)
        self.clock = Clock(connection, self.keys)
        self.configurations = Configurations(connection, self.keys)
        self.deeds = Deeds(connection, self.keys)
        self.dead = DeadLetters(connection, self.keys)
        self.events = EventStreams(connection, self.keys)
        self.executions = Executions(connection, self.keys)
        self.glances = Glances(connection, self.keys)
        self.limits = Limits(connection, self.keys)
        self.progress = Progresses(connection, self.keys)
        self.queues = Queues(connection, self.keys)
        self.schedules = Schedules(connection, self.keys)
        self.schedule_situations = ScheduleSituations(connection, self.keys)
        self.series = Series(connection, self.keys)
        self.situations = Situations(connection, self.keys)
        self.stored = StoredResults(connection, self.keys, result_limits)
        self.strikes = StrikeRules(connection, self.keys)
        self.workers = Workers(connection, self.keys)
        self.subscriptions = Subscriptions(connection, self.keys.strikes)

    def exchange(self, claimant: Consumer, *, is_shown: bool = False) -> Claims:
        """Return the round trips of a worker.

        Arguments:
            claimant: the worker.
            is_shown: whether it shows in traces, even if the docket's other traffic does not.
        """
        connection = self.connection
        if is_shown and not isinstance(connection, Traced):
            connection = Traced(connection)
        return Claims(connection, self.keys, claimant)

    async def open(self, *, lazy: bool = False) -> bool:
        """Reach the server and see that the keys are ours.

        Arguments:
            lazy: open it also where nothing answers; the first use of what is there reaches it.

        Returns True if it was reached.

        Raises:
            ServerUnavailable: nothing answers there.
            ServerRefused: the server does not let us in, or is too old.
            ForeignData: another program, or another release of this one, keeps its work under this name.
        """
        return await self.connection.open(self._look_at_what_is_there, lazy=lazy)

    async def format(self) -> str:
        """Return the format of what is there; empty if there is nothing yet."""
        (reply,) = await run(self.connection, _OPEN.call(self.keys))
        return value_of(reply)[1].decode()

    async def _look_at_what_is_there(self) -> None:
        (reply,) = await run(self.connection, _OPEN.call(self.keys))
        word, found, ours = (text.decode() for text in value_of(reply))
        where = f"the keys {self.keys.prefix}:* at {self.connection.url}"
        if word == "FOREIGN":
            raise ForeignData(
                f"{where} were written by another program (pydocket, perhaps) and were left alone; give "
                "this docket another name, or finish that program's work and delete its keys"
            )
        if word == "FORMAT":
            raise ForeignData(
                f"{where} are of format {found} and this release works with format {ours}: give this docket "
                "another name, or finish its work with the release that wrote it and delete its keys"
            )

    async def erase(self) -> None:
        """Delete every key of this docket; for tests, which clean up behind themselves."""
        cursor, pattern = b"0", self.keys.pattern
        while True:
            (reply,) = await self.connection.send(("SCAN", cursor, "MATCH", pattern, "COUNT", 1000))
            cursor, found = value_of(reply)
            if found:
                (deleted,) = await self.connection.send(("UNLINK", *found))
                value_of(deleted)
            if cursor == b"0":
                return

    async def close(self) -> None:
        """Stop listening and give every socket back."""
        await self.subscriptions.close()
        await self.connection.close()

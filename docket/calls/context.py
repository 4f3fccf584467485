"""The parts of a docket that its executions need."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from ..serialization import Serializer
from ..storage.storage import Storage
from .registry import Registry
from .results import Results
from .unanswered import UnansweredCalls


class ExecutionContext(Protocol):
    """The parts of a docket that its executions need."""

    @property
    def name(self) -> str:
        """The name of the docket."""
        ...

    @property
    def storage(self) -> Storage:
        """The records in Redis."""
        ...

    @property
    def unanswered(self) -> UnansweredCalls:
        """Calls that were sent and not answered."""
        ...

    @property
    def registry(self) -> Registry:
        """The tasks that are known here."""
        ...

    @property
    def serializer(self) -> Serializer:
        """Serializer of arguments and results."""
        ...

    @property
    def results(self) -> Results:
        """The store of results."""
        ...

    @property
    def record_ttl(self) -> timedelta:
        """Time that the record of a finished execution is kept."""
        ...

    @property
    def dead_ttl(self) -> timedelta:
        """Time that a dead letter is kept."""
        ...

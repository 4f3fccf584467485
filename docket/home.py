"""What an execution needs of the docket that it lives in."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from .registry import Registry
from .results import Results
from .serialization import Serializer
from .storage.storage import Storage
from .unanswered import UnansweredCalls


class Home(Protocol):
    """What an execution needs of the docket that it lives in."""

    @property
    def name(self) -> str:
        """The name of the docket."""
        ...

    @property
    def storage(self) -> Storage:
        """What Redis holds."""
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
        """How arguments and results become bytes."""
        ...

    @property
    def results(self) -> Results:
        """Where results are kept."""
        ...

    @property
    def record_ttl(self) -> timedelta:
        """How long the record of a finished execution is kept."""
        ...

    @property
    def dead_ttl(self) -> timedelta:
        """How long a dead letter is kept."""
        ...

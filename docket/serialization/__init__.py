"""Arguments, results and errors as tagged, optionally signed bytes."""

from __future__ import annotations

from .description import Description, describe
from .serializer import Serializer

__all__ = ["Description", "Serializer", "describe"]

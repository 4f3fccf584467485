"""The configuration as data: read, checked, compared and planned; nothing here runs anything."""

from __future__ import annotations

"""``python -m docket`` is ``docket``."""

from __future__ import annotations

from .programs import docket

if __name__ == "__main__":
    docket()

"""Says what got slower by more than the spread: ``python -m benchmarks.compare OLD.json NEW.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .statistics import slower


def main() -> int:
    """Compare two result files; exit 1 if something got slower."""
    old, new = (json.loads(Path(name).read_text())["rows"] for name in sys.argv[1:3])
    complaints = slower(old, new)
    print("\n".join(complaints) or "nothing got slower by more than the spread")
    return 1 if complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())

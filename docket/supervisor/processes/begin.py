"""The start of worker processes and probes.

It is run by its path, so that nothing beside the configuration gets in before the modules that they need.

Its first argument says what it becomes: ``worker`` or ``probe``.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Become what the first argument says, in the working directory."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - nothing is imported yet
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != here]  # noqa: PTH100
    from docket.discovery.beside import look_beside  # noqa: PLC0415

    look_beside(os.getcwd())  # noqa: PTH109
    if sys.argv.pop(1) == "worker":
        from docket.supervisor.processes.child import main as become  # noqa: PLC0415
    else:
        from docket.supervisor.reload.probe_process import main as become  # noqa: PLC0415
    become()


if __name__ == "__main__":
    main()

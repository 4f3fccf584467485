"""Builds the API reference from the docstrings: ``python -m tests.docs.reference DIRECTORY``."""

from __future__ import annotations

import sys
from pathlib import Path

import pdoc
import pdoc.render

MODULES = (
    *(
        "docket",
        "docket.dependencies",
        "docket.errors",
        "docket.insights",
        "docket.instrumentation",
    ),
    *("docket.strikelist", "docket.execution", "docket.tasks", "docket.testing"),
)
"""What programs import from; everything else is an inner matter of the package."""


def build(directory: Path) -> None:
    """Write one page per module.

    Arguments:
        directory: where to; it is made if it is not there.
    """
    pdoc.render.configure(docformat="google", show_source=False, footer_text="docket-platform")
    pdoc.pdoc(*MODULES, output_directory=directory)


if __name__ == "__main__":
    build(Path(sys.argv[1]))

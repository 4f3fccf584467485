"""An environment of its own for each peer, made when it is first asked for."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = Path(__file__).parent / ".environments"

REQUIREMENTS = {
    "docket": ["--editable", f"{ROOT}[local]"],
    "pydocket": ["pydocket"],
    "arq": ["arq"],
    "saq": ["saq[redis]", "typing-extensions"],
    "streaq": ["streaq"],
    # taskiq 0.13 has dropped what taskiq-redis 1.0 imports.
    "taskiq": ["taskiq<0.12", "taskiq-redis"],
    "dramatiq": ["dramatiq[redis]"],
    "celery": ["celery[redis]"],
}
"""What is installed for each peer: the newest versions that work together."""


def python_of(peer: str) -> str:
    """The interpreter of a peer's environment."""
    directory = ENVIRONMENTS / peer
    python = directory / "bin" / "python"
    stamp = directory / "installed"
    recipe = repr(REQUIREMENTS[peer])
    if peer == "docket":
        recipe += (ROOT / "pyproject.toml").read_text("utf-8")
    wanted = hashlib.sha256(recipe.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {peer} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS[peer]], check=True)
        stamp.write_text(wanted)
    return str(python)

"""Nonces."""

from __future__ import annotations

import subprocess
import sys

from docket.storage.scripting.nonces import new_nonce

FORKED = """
import os
from docket.storage.scripting.nonces import new_nonce
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, new_nonce().encode())
    os._exit(0)
print(new_nonce(), os.read(reading, 100).decode())
"""


def test_nonces_do_not_repeat() -> None:
    assert len({new_nonce() for _ in range(1000)}) == 1000


def test_a_process_and_its_fork_make_other_nonces() -> None:
    here, there = subprocess.check_output([sys.executable, "-c", FORKED], text=True).split()
    assert here.partition(".")[0] != there.partition(".")[0]

"""pydocket, through the adapter that serves both."""

from __future__ import annotations

from datetime import timedelta

from peer_docket import DocketPeer

PEER = DocketPeer(
    "pydocket",
    # redis-py 8 stops at 100 connections. At concurrency 100 that is too few: the worker backs off for
    # 5 s and leaves what it had just claimed until its lease of 5 min ends: no drain would be complete.
    query="?max_connections=500",
    # The default of its command line and of Worker.run. The class alone takes 250 ms; as the worker sleeps so
    # long whenever all slots are taken, that would cap it at 4 x concurrency tasks per second.
    minimum_check_interval=timedelta(milliseconds=100),
)

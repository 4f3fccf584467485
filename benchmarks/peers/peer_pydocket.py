"""pydocket, through the adapter that serves both."""

from __future__ import annotations

from peer_docket import DocketPeer

PEER = DocketPeer("pydocket")

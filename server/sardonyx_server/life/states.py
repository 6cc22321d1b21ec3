"""The states of a version, and the only moves between them."""

from __future__ import annotations

import enum
from typing import Final

from sardonyx.serving.v1 import model_service_pb2 as pb


class State(enum.IntEnum):
    """Where a version is in its life; numbers and names are ModelService's.

    Legal moves::

        NEW ──▶ LOADING ──▶ VERIFYING ──▶ READY ◀─▶ DRAINING ──▶ UNLOADED
         ▲         │            │
         │         ▼            ▼
         └────── FAILED ◀───────┘

    FAILED goes back to NEW where the cause may pass; DRAINING to READY where a rollback wants the version again.
    """

    NEW = pb.STATE_NEW
    LOADING = pb.STATE_LOADING
    VERIFYING = pb.STATE_VERIFYING
    READY = pb.STATE_READY
    DRAINING = pb.STATE_DRAINING
    UNLOADED = pb.STATE_UNLOADED
    FAILED = pb.STATE_FAILED


MOVES: Final[dict[State, frozenset[State]]] = {
    State.NEW: frozenset({State.LOADING}),
    State.LOADING: frozenset({State.VERIFYING, State.FAILED}),
    State.VERIFYING: frozenset({State.READY, State.FAILED}),
    State.READY: frozenset({State.DRAINING}),
    State.DRAINING: frozenset({State.UNLOADED, State.READY}),
    State.UNLOADED: frozenset(),
    State.FAILED: frozenset({State.NEW}),
}


def check_move(before: State, after: State) -> None:
    """Raise where a move is not legal: that is a bug, never a condition to handle."""
    if after not in MOVES[before]:
        raise RuntimeError(f"A version cannot go from {before.name} to {after.name}. This is a bug.")

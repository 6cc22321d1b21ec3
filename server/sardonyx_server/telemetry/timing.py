"""Server timing: a caller that asks (``call.SERVER_TIMING``) learns from the trailers where its time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: https://www.w3.org/TR/server-timing/#the-server-timing-header-field
TRAILER_KEY: Final = "server-timing"
#: The names of the stages, in the order in which a request meets them.
STAGES: Final = ("decode", "queue", "run", "encode")


def trailer(stages_ns: Sequence[int]) -> tuple[str, str]:
    """The trailer: ``decode;dur=0.021, queue;dur=0.000, …``, durations in milliseconds.

    Args:
        stages_ns: how long each of STAGES took.
    """
    timings = (f"{name};dur={ns / 1e6:.3f}" for name, ns in zip(STAGES, stages_ns, strict=True))
    return TRAILER_KEY, ", ".join(timings)
